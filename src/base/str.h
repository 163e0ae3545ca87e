/* SPDX-License-Identifier: Apache-2.0
 *
 * Borrowed byte strings with a length. Never owns memory; may hold any bytes, NUL included.
 */
#ifndef QUOIN_BASE_STR_H
#define QUOIN_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
	const char *p;
	size_t len;
};

#define STR_LIT(s) ((struct str){(s), sizeof(s) - 1})
#define STR_FMT(s) (int)(s).len, (s).p /* for "%.*s" */

static inline struct str str_of(const char *c)
{
	return (struct str){c, c ? strlen(c) : 0};
}
static inline struct str str_sub(struct str s, size_t from, size_t len)
{
	return (struct str){s.p + from, len};
}
static inline bool str_eq(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}
static inline bool str_eqc(struct str a, const char *b)
{
	return str_eq(a, str_of(b));
}
int str_cmp(struct str a, struct str b);               /* memcmp order, shorter first */
bool str_eq_nocase(struct str a, struct str b);        /* ASCII */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
struct str str_trim(struct str s);                     /* ASCII blanks at both ends */
/* Position of c at or after from, or -1. */
ptrdiff_t str_find(struct str s, char c, size_t from);
/* The next piece of *rest up to sep (dropped); false when *rest is used up (rest->p == NULL). */
bool str_split(struct str *rest, char sep, struct str *ret_piece);
/* Decimal without sign or blanks; 0 or -EINVAL, -ERANGE. */
int str_to_u64(struct str s, uint64_t *ret);
/* "64MiB", "1G", "4096": binary multiples, with or without iB. */
int str_to_size(struct str s, uint64_t *ret_bytes);
/* "5s", "100ms", "2m", "1h", "30" (seconds) -> nanoseconds. */
int str_to_duration(struct str s, uint64_t *ret_ns);
bool str_is_utf8(struct str s);

#endif
