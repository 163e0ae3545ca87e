/* SPDX-License-Identifier: Apache-2.0
 *
 * Expansion of "/data{1...4}": numbers, with leading zeros kept ({01...16}), or hexadecimal when an end is not decimal
 * ({a...f}); several ranges give every combination, the last one turning fastest.
 */
#ifndef QUOIN_CONF_ELLIPSES_H
#define QUOIN_CONF_ELLIPSES_H

#include <stddef.h>

#include "base/macros.h"
#include "base/str.h"

#define CONF_ELLIPSES_MAX 1024 /* of one pattern */

/* Calls add for each result, in order, until it returns non-zero, which is then returned. -EINVAL with a sentence in
 * why when the pattern is malformed; nothing was added then. */
typedef int conf_ellipses_add_fn(void *arg, struct str item);
int conf_ellipses_expand(struct str pattern, conf_ellipses_add_fn *add, void *arg, char *why, size_t why_size)
	WARN_UNUSED;

#endif
