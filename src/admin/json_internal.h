/* SPDX-License-Identifier: Apache-2.0
 *
 * Small helpers over jansson.
 */
#ifndef QUOIN_ADMIN_JSON_INTERNAL_H
#define QUOIN_ADMIN_JSON_INTERNAL_H

#include <jansson.h>

#include "base/buf.h"
#include "base/str.h"

void admin_set_u64(json_t *o, const char *name, uint64_t v);
/* Bytes that are not UTF-8 are shown percent-encoded. */
void admin_set_str(json_t *o, const char *name, struct str s);
/* ISO 8601; 0: null. */
void admin_set_time(json_t *o, const char *name, uint64_t wall_ns);
void admin_set_seconds(json_t *o, const char *name, uint64_t ns); /* to the millisecond */
/* Appends the text and drops o. 0 or -ENOMEM. */
int admin_dump(json_t *o, struct buf *ret) WARN_UNUSED;

#endif
