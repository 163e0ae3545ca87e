/* SPDX-License-Identifier: Apache-2.0
 *
 * Borrowed strings: comparison, splitting, numbers with units. Independent of the locale.
 */
#include "base/str.h"

#include <errno.h>

#include "base/clock.h"
#include "base/macros.h"

static unsigned char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : (unsigned char)c;
}

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

int str_cmp(struct str a, struct str b)
{
	size_t n = MIN(a.len, b.len);
	int rc = n ? memcmp(a.p, b.p, n) : 0;

	return rc ? rc : (a.len > b.len) - (a.len < b.len);
}

bool str_eq_nocase(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	return true;
}

bool str_starts(struct str s, struct str prefix)
{
	return s.len >= prefix.len && str_eq((struct str){s.p, prefix.len}, prefix);
}

bool str_ends(struct str s, struct str suffix)
{
	if (suffix.len == 0)
		return true;
	return s.len >= suffix.len && str_eq(str_sub(s, s.len - suffix.len, suffix.len), suffix);
}

struct str str_trim(struct str s)
{
	while (s.len && is_blank(s.p[s.len - 1]))
		s.len--;
	while (s.len && is_blank(s.p[0])) {
		s.p++;
		s.len--;
	}
	return s;
}

ptrdiff_t str_find(struct str s, char c, size_t from)
{
	const char *hit;

	if (from >= s.len)
		return -1;
	hit = memchr(s.p + from, c, s.len - from);
	return hit ? hit - s.p : -1;
}

bool str_split(struct str *rest, char sep, struct str *ret_piece)
{
	ptrdiff_t at;

	if (!rest->p)
		return false;
	at = str_find(*rest, sep, 0);
	if (at < 0) {
		*ret_piece = *rest;
		*rest = (struct str){NULL, 0};
	} else {
		*ret_piece = (struct str){rest->p, (size_t)at};
		*rest = str_sub(*rest, (size_t)at + 1, rest->len - (size_t)at - 1);
	}
	return true;
}

int str_to_u64(struct str s, uint64_t *ret)
{
	uint64_t v = 0;
	bool over = false;

	if (s.len == 0)
		return -EINVAL;
	/* Reads to the end even after an overflow: "99999999999999999999x" is malformed, not large. */
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return -EINVAL;
		over |= __builtin_mul_overflow(v, (uint64_t)10, &v);
		over |= __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v);
	}
	if (over)
		return -ERANGE;
	*ret = v;
	return 0;
}

/* Splits the digits in front from the unit behind them. */
static int split_unit(struct str s, uint64_t *ret_number, struct str *ret_unit)
{
	size_t n = 0;

	while (n < s.len && s.p[n] >= '0' && s.p[n] <= '9')
		n++;
	*ret_unit = n < s.len ? str_sub(s, n, s.len - n) : (struct str){NULL, 0};
	return str_to_u64((struct str){s.p, n}, ret_number);
}

int str_to_size(struct str s, uint64_t *ret_bytes)
{
	static const char letters[] = "kmgtpe";
	struct str unit;
	uint64_t v, factor = 1;
	int rc = split_unit(s, &v, &unit);

	if (rc < 0)
		return rc;
	if (unit.len) {
		const char *letter = memchr(letters, lower(unit.p[0]), sizeof letters - 1);
		struct str tail = str_sub(unit, 1, unit.len - 1);

		if (!letter || (tail.len && !str_eqc(tail, "iB")))
			return -EINVAL;
		factor = 1ULL << (10 * (letter - letters + 1));
	}
	if (__builtin_mul_overflow(v, factor, &v))
		return -ERANGE;
	*ret_bytes = v;
	return 0;
}

int str_to_duration(struct str s, uint64_t *ret_ns)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{"", NS_PER_S}, {"s", NS_PER_S}, {"ms", NS_PER_MS}, {"m", 60 * NS_PER_S}, {"h", 3600 * NS_PER_S},
		{"d", 86400 * NS_PER_S}, {"us", 1000}, {"ns", 1},
	};
	struct str unit;
	uint64_t v;
	int rc = split_unit(s, &v, &unit);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (!str_eqc(unit, units[i].name))
			continue;
		if (__builtin_mul_overflow(v, units[i].ns, &v))
			return -ERANGE;
		*ret_ns = v;
		return 0;
	}
	return -EINVAL;
}

/* Length of the well-formed sequence at p (Unicode table 3-7), 0 if there is none. */
static size_t utf8_len(const unsigned char *p, size_t left)
{
	unsigned char lo = 0x80, hi = 0xbf;
	size_t n;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (left < n)
		return 0;
	/* The second byte excludes overlong forms, surrogates and what lies above U+10FFFF. */
	if (p[0] == 0xe0)
		lo = 0xa0;
	else if (p[0] == 0xed)
		hi = 0x9f;
	else if (p[0] == 0xf0)
		lo = 0x90;
	else if (p[0] == 0xf4)
		hi = 0x8f;
	if (p[1] < lo || p[1] > hi)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

bool str_is_utf8(struct str s)
{
	for (size_t i = 0, n; i < s.len; i += n) {
		n = utf8_len((const unsigned char *)s.p + i, s.len - i);
		if (n == 0)
			return false;
	}
	return true;
}
