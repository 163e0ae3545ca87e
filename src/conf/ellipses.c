/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/ellipses.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/buf.h"

#define MAX_RANGES 4

struct range {
	uint64_t first, last;
	int width; /* digits, leading zeros included; 0: no padding */
	bool hex;
	size_t at;  /* of the '{' in the pattern */
	size_t end; /* behind the '}' */
};

struct pattern {
	struct str text;
	struct range ranges[MAX_RANGES];
	size_t n;
};

static bool parse_number(struct str s, bool hex, uint64_t *ret)
{
	uint64_t v = 0;

	if (s.len == 0 || s.len > 9)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (isdigit(c))
			v = v * (hex ? 16 : 10) + (uint64_t)(c - '0');
		else if (hex && isxdigit(c) && !isupper(c))
			v = v * 16 + (uint64_t)(c - 'a' + 10);
		else
			return false;
	}
	*ret = v;
	return true;
}

/* The inside of the braces. */
static bool parse_range(struct str in, struct range *r)
{
	for (size_t i = 0; i + 3 <= in.len; i++) {
		if (in.p[i] != '.' || in.p[i + 1] != '.' || in.p[i + 2] != '.')
			continue;
		struct str a = str_sub(in, 0, i), b = str_sub(in, i + 3, in.len - i - 3);

		r->hex = !(parse_number(a, false, &r->first) && parse_number(b, false, &r->last));
		if (r->hex && !(parse_number(a, true, &r->first) && parse_number(b, true, &r->last)))
			return false;
		r->width = a.len > 1 && a.p[0] == '0' ? (int)a.len : 0;
		return r->first <= r->last;
	}
	return false;
}

static int bad(struct str text, const char *what, char *why, size_t why_size)
{
	snprintf(why, why_size, "\"%.*s\" %s", STR_FMT(text), what);
	return -EINVAL;
}

static int parse_pattern(struct pattern *p, char *why, size_t why_size)
{
	uint64_t total = 1;

	for (size_t i = 0; i < p->text.len; i++) {
		if (p->text.p[i] == '}')
			return bad(p->text, "has a } without its {", why, why_size);
		if (p->text.p[i] != '{')
			continue;
		ptrdiff_t close = str_find(p->text, '}', i);
		if (close < 0)
			return bad(p->text, "has a { without its }", why, why_size);
		if (p->n == MAX_RANGES)
			return bad(p->text, "has more than 4 ranges", why, why_size);
		struct range *r = &p->ranges[p->n++];
		r->at = i;
		r->end = (size_t)close + 1;
		if (!parse_range(str_sub(p->text, i + 1, (size_t)close - i - 1), r))
			return bad(p->text,
			           "has no range in its braces; write for example {1...4}, with three dots and the smaller "
			           "number first",
			           why, why_size);
		if (r->last - r->first >= CONF_ELLIPSES_MAX || (total *= r->last - r->first + 1) > CONF_ELLIPSES_MAX)
			return bad(p->text, "stands for more than 1024 names", why, why_size);
		i = (size_t)close;
	}
	return 0;
}

static int add_one(const struct pattern *p, const uint64_t *at, struct buf *b, conf_ellipses_add_fn *add, void *arg)
{
	size_t pos = 0;

	buf_reset(b);
	for (size_t i = 0; i < p->n; i++) {
		const struct range *r = &p->ranges[i];

		buf_add_str(b, str_sub(p->text, pos, r->at - pos));
		buf_addf(b, r->hex ? "%0*" PRIx64 : "%0*" PRIu64, r->width, at[i]);
		pos = r->end;
	}
	buf_add_str(b, str_sub(p->text, pos, p->text.len - pos));
	if (buf_err(b))
		return buf_err(b);
	return add(arg, buf_str(b));
}

/* The next combination, last range fastest; false after the last one. */
static bool next(const struct pattern *p, uint64_t *at)
{
	for (size_t i = p->n; i-- > 0;) {
		if (at[i]++ < p->ranges[i].last)
			return true;
		at[i] = p->ranges[i].first;
	}
	return false;
}

int conf_ellipses_expand(struct str pattern, conf_ellipses_add_fn *add, void *arg, char *why, size_t why_size)
{
	struct pattern p = {.text = pattern};
	uint64_t at[MAX_RANGES] = {0};
	CLEANUP_BUF struct buf b = BUF_INIT;
	int rc = parse_pattern(&p, why, why_size);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < p.n; i++)
		at[i] = p.ranges[i].first;
	do
		rc = add_one(&p, at, &b, add, arg);
	while (rc == 0 && next(&p, at));
	return rc;
}
