/* SPDX-License-Identifier: Apache-2.0
 *
 * Percent-encoding and query strings (RFC 3986), in the strict form that SigV4 signs: everything but A-Z a-z 0-9 - . _ ~
 * is written as %XX with upper-case digits.
 */
#ifndef QUOIN_BASE_URI_H
#define QUOIN_BASE_URI_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

/* keep_slash: '/' stays as it is (paths). */
void uri_encode(struct buf *b, struct str s, bool keep_slash);
/* ret: room for s.len bytes. plus_is_space: for queries and forms. Returns the decoded length, or -EINVAL when a % is
 * not followed by two hex digits. */
ptrdiff_t uri_decode(struct str s, bool plus_is_space, char *ret);
/* Decoded copy in the arena, NUL-terminated behind; 0 or -EINVAL. */
int uri_decode_arena(struct arena *a, struct str s, bool plus_is_space, struct str *ret);

struct uri_param {
	struct str name, value;  /* decoded; value of `?name` is "" */
};
/* Splits at '&' (empty pieces are dropped). Parameters beyond max: -E2BIG; bad escapes: -EINVAL. */
int uri_parse_query(struct arena *a, struct str query, unsigned max, struct uri_param **ret, unsigned *ret_n);
/* The first of that name; false when absent. ret may be NULL. */
bool uri_param_get(const struct uri_param *p, unsigned n, const char *name, struct str *ret);

#endif
