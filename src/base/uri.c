/* SPDX-License-Identifier: Apache-2.0 */
#include "base/uri.h"

#include <errno.h>

#include "base/codec.h"

int uri_decode_arena(struct arena *a, struct str s, bool plus_is_space, struct str *ret)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	int rc;

	if (s.len == 0 || (!memchr(s.p, '%', s.len) && !(plus_is_space && memchr(s.p, '+', s.len)))) {
		*ret = arena_str(a, s);
		return 0;
	}
	rc = percent_decode(&b, s, plus_is_space);
	if (rc < 0)
		return rc;
	*ret = arena_str(a, buf_str(&b));
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
