/* SPDX-License-Identifier: Apache-2.0
 *
 * Values as text, for messages and the dump of the schema.
 */
#ifndef QUOIN_CONF_VALUE_INTERNAL_H
#define QUOIN_CONF_VALUE_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "conf/conf.h"
#include "conf/schema.h"

/* v as one would write it: 64MiB, 1500ms, 0644. */
void conf_value_format(enum conf_type type, uint64_t v, char *buf, size_t size);
int conf_list_add(struct conf_list *l, struct str s) WARN_UNUSED;
void conf_list_free(struct conf_list *l);

#endif
