/* SPDX-License-Identifier: Apache-2.0
 *
 * Pieces of request targets, decoded into an arena. (Encoding: codec.h.)
 */
#ifndef QUOIN_BASE_URI_H
#define QUOIN_BASE_URI_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/str.h"

/* Decoded copy in the arena, NUL-terminated behind; 0 or -EINVAL. */
int uri_decode_arena(struct arena *a, struct str s, bool plus_is_space, struct str *ret);

struct uri_param {
	struct str name, value; /* decoded; value of `?name` is "" */
};
/* Splits at '&' (empty pieces are dropped). Parameters beyond max: -E2BIG; bad escapes: -EINVAL. */
int uri_parse_query(struct arena *a, struct str query, unsigned max, struct uri_param **ret, unsigned *ret_n);
/* The first of that name; false when absent. ret may be NULL. */
bool uri_param_get(const struct uri_param *p, unsigned n, const char *name, struct str *ret);

#endif
