/* SPDX-License-Identifier: Apache-2.0 */
#include "base/uri.h"

#include <errno.h>

static bool unreserved(unsigned char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
	       c == '~';
}

void uri_encode(struct buf *b, struct str s, bool keep_slash)
{
	static const char hex[] = "0123456789ABCDEF";
	char *to = buf_reserve(b, s.len * 3);
	size_t n = 0;

	if (!to)
		return;
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (unreserved(c) || (keep_slash && c == '/')) {
			to[n++] = (char)c;
		} else {
			to[n++] = '%';
			to[n++] = hex[c >> 4];
			to[n++] = hex[c & 15];
		}
	}
	buf_commit(b, n);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

ptrdiff_t uri_decode(struct str s, bool plus_is_space, char *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];
		if (c == '%') {
			int hi, lo;
			if (s.len - i < 3 || (hi = hex_digit(s.p[i + 1])) < 0 || (lo = hex_digit(s.p[i + 2])) < 0)
				return -EINVAL;
			c = (char)(hi << 4 | lo);
			i += 2;
		} else if (c == '+' && plus_is_space) {
			c = ' ';
		}
		ret[n++] = c;
	}
	return (ptrdiff_t)n;
}

int uri_decode_arena(struct arena *a, struct str s, bool plus_is_space, struct str *ret)
{
	char *p = arena_alloc(a, s.len + 1);
	ptrdiff_t n = uri_decode(s, plus_is_space, p);

	if (n < 0)
		return (int)n;
	p[n] = '\0';
	*ret = (struct str){p, (size_t)n};
	return 0;
}

static int parse_param(struct arena *a, struct str piece, struct uri_param *ret)
{
	ptrdiff_t eq = str_find(piece, '=', 0);
	struct str name = piece, value = STR_LIT("");
	int rc;

	if (eq >= 0) {
		name = str_sub(piece, 0, (size_t)eq);
		value = str_sub(piece, (size_t)eq + 1, piece.len - (size_t)eq - 1);
	}
	rc = uri_decode_arena(a, name, true, &ret->name);
	if (rc < 0)
		return rc;
	return uri_decode_arena(a, value, true, &ret->value);
}

int uri_parse_query(struct arena *a, struct str query, unsigned max, struct uri_param **ret, unsigned *ret_n)
{
	struct str rest = query, piece;
	unsigned n = 0, cap = 0;
	struct uri_param *p;
	int rc;

	for (size_t i = 0; i < query.len; i++)
		cap += query.p[i] == '&';
	cap = query.len ? cap + 1 : 0;
	if (cap > max)
		return -E2BIG;
	p = cap ? arena_alloc(a, cap * sizeof *p) : NULL;
	while (query.len && str_split(&rest, '&', &piece)) {
		if (piece.len == 0)
			continue;
		rc = parse_param(a, piece, &p[n]);
		if (rc < 0)
			return rc;
		n++;
	}
	*ret = p;
	*ret_n = n;
	return 0;
}

bool uri_param_get(const struct uri_param *p, unsigned n, const char *name, struct str *ret)
{
	for (unsigned i = 0; i < n; i++)
		if (str_eqc(p[i].name, name)) {
			if (ret)
				*ret = p[i].value;
			return true;
		}
	return false;
}
