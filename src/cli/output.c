/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/output_internal.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#define MAX_COLUMNS 24
#define MAX_WIDTH 150 /* a wider table is printed as one block a row, but for its last column, which may be a sentence */
#define INDENT 2

void output_size(uint64_t bytes, struct buf *ret)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	double v = (double)bytes;
	size_t i = 0;

	while (v >= 1024 && i + 1 < ARRAY_SIZE(units)) {
		v /= 1024;
		i++;
	}
	buf_addf(ret, i == 0 ? "%.0f %s" : "%.1f %s", v, units[i]);
}

void output_seconds(double s, struct buf *ret)
{
	uint64_t whole = (uint64_t)s;

	if (s < 60)
		buf_addf(ret, "%.3g s", s);
	else if (s < 3600)
		buf_addf(ret, "%" PRIu64 "m %02" PRIu64 "s", whole / 60, whole % 60);
	else if (s < 86400)
		buf_addf(ret, "%" PRIu64 "h %02" PRIu64 "m", whole / 3600, whole / 60 % 60);
	else
		buf_addf(ret, "%" PRIu64 "d %02" PRIu64 "h", whole / 86400, whole / 3600 % 24);
}

/* Bytes that could move a terminal's cursor are shown as ?. */
static void add_safe(const char *s, struct buf *ret)
{
	for (; *s; s++)
		buf_add_char(ret, (unsigned char)*s < 0x20 || *s == 0x7f ? '?' : *s);
}

static void add_scalar(const char *key, const json_t *v, struct buf *ret)
{
	if (json_is_integer(v) && str_ends(str_of(key), STR_LIT("_bytes")) && json_integer_value(v) >= 0)
		output_size((uint64_t)json_integer_value(v), ret);
	else if (json_is_number(v) && str_ends(str_of(key), STR_LIT("_seconds")) && json_number_value(v) >= 0)
		output_seconds(json_number_value(v), ret);
	else if (json_is_integer(v))
		buf_addf(ret, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	else if (json_is_real(v))
		buf_addf(ret, "%.3g", json_real_value(v));
	else if (json_is_string(v))
		add_safe(json_string_value(v), ret);
	else if (json_is_boolean(v))
		buf_add_c(ret, json_is_true(v) ? "yes" : "no");
	else
		buf_add_char(ret, '-');
}

/* "free_bytes" -> "free", "took_seconds" -> "took", "last_error" -> "last error" */
static void add_label(const char *key, struct buf *ret)
{
	struct str s = str_of(key);

	if (str_ends(s, STR_LIT("_bytes")))
		s.len -= 6;
	else if (str_ends(s, STR_LIT("_seconds")))
		s.len -= 8;
	for (size_t i = 0; i < s.len; i++)
		buf_add_char(ret, s.p[i] == '_' ? ' ' : s.p[i]);
}

static bool is_nested(const json_t *v)
{
	return json_is_object(v) || json_is_array(v);
}

struct table {
	const char *keys[MAX_COLUMNS];
	size_t n, width[MAX_COLUMNS];
};

static void add_cell(const struct table *t, size_t col, const struct buf *cell, struct buf *ret)
{
	buf_add_str(ret, buf_str(cell));
	for (size_t pad = cell->len; col + 1 < t->n && pad < t->width[col] + 2; pad++)
		buf_add_char(ret, ' ');
}

/* Columns are the plain members of all rows, in the order in which they appear. */
static void find_columns(const json_t *rows, struct table *t)
{
	size_t i;
	const char *key;
	json_t *row, *v;

	json_array_foreach (rows, i, row) {
		json_object_foreach (row, key, v) {
			CLEANUP_BUF struct buf cell = BUF_INIT;
			size_t col = 0;

			if (is_nested(v))
				continue;
			while (col < t->n && strcmp(t->keys[col], key) != 0)
				col++;
			if (col == MAX_COLUMNS)
				continue;
			if (col == t->n) {
				add_label(key, &cell);
				t->keys[t->n] = key;
				t->width[t->n++] = cell.len;
				buf_reset(&cell);
			}
			add_scalar(key, v, &cell);
			t->width[col] = MAX(t->width[col], cell.len);
		}
	}
}

static void add_indent(int depth, struct buf *ret)
{
	for (int i = 0; i < depth * INDENT; i++)
		buf_add_char(ret, ' ');
}

static void add_value(const char *key, const json_t *v, int depth, struct buf *ret);

/* What a row has beside its columns. */
static void add_nested_members(const json_t *row, int depth, struct buf *ret)
{
	const char *key;
	json_t *v;

	json_object_foreach ((json_t *)(uintptr_t)row, key, v) {
		if (is_nested(v))
			add_value(key, v, depth, ret);
	}
}

static size_t table_width(const struct table *t)
{
	size_t width = 0;

	for (size_t col = 0; col + 1 < t->n; col++)
		width += t->width[col] + 2;
	return width;
}

static void add_object(const json_t *o, int depth, struct buf *ret);

/* Under a rule, so that one sees where the next begins. */
static void add_blocks(const json_t *rows, int depth, struct buf *ret)
{
	size_t i;
	json_t *row;

	json_array_foreach (rows, i, row) {
		add_indent(depth, ret);
		buf_add_c(ret, "--\n");
		add_object(row, depth, ret);
	}
}

static void add_table(const json_t *rows, int depth, struct buf *ret)
{
	struct table t = {0};
	size_t i;
	json_t *row;

	find_columns(rows, &t);
	if (table_width(&t) > MAX_WIDTH) {
		add_blocks(rows, depth, ret);
		return;
	}
	add_indent(depth, ret);
	for (size_t col = 0; col < t.n; col++) {
		CLEANUP_BUF struct buf cell = BUF_INIT;

		add_label(t.keys[col], &cell);
		add_cell(&t, col, &cell, ret);
	}
	buf_add_char(ret, '\n');
	json_array_foreach (rows, i, row) {
		add_indent(depth, ret);
		for (size_t col = 0; col < t.n; col++) {
			CLEANUP_BUF struct buf cell = BUF_INIT;

			add_scalar(t.keys[col], json_object_get(row, t.keys[col]), &cell);
			add_cell(&t, col, &cell, ret);
		}
		buf_add_char(ret, '\n');
		add_nested_members(row, depth + 2, ret);
	}
}

static void add_array(const json_t *a, int depth, struct buf *ret)
{
	size_t i;
	json_t *v;

	if (json_is_object(json_array_get(a, 0))) {
		add_table(a, depth, ret);
		return;
	}
	json_array_foreach (a, i, v) {
		add_indent(depth, ret);
		add_scalar("", v, ret);
		buf_add_char(ret, '\n');
	}
}

static void add_object(const json_t *o, int depth, struct buf *ret)
{
	const char *key;
	json_t *v;

	json_object_foreach ((json_t *)(uintptr_t)o, key, v)
		add_value(key, v, depth, ret);
}

static void add_value(const char *key, const json_t *v, int depth, struct buf *ret)
{
	size_t start;

	add_indent(depth, ret);
	start = ret->len;
	add_label(key, ret);
	buf_add_char(ret, ':');
	if (!is_nested(v)) {
		while (!buf_err(ret) && ret->len - start < 18)
			buf_add_char(ret, ' ');
		buf_add_char(ret, ' ');
		add_scalar(key, v, ret);
		buf_add_char(ret, '\n');
		return;
	}
	buf_add_c(ret, json_is_array(v) && json_array_size(v) == 0 ? " none\n" : "\n");
	if (json_is_object(v))
		add_object(v, depth + 1, ret);
	else
		add_array(v, depth + 1, ret);
}

json_t *output_pick(const json_t *rows, const char *const *keys, size_t n)
{
	json_t *list = json_array(), *row;
	size_t i;

	json_array_foreach (rows, i, row) {
		json_t *o = json_object();

		for (size_t k = 0; k < n; k++) {
			json_t *v = json_object_get(row, keys[k]);
			json_object_set(o, keys[k], v ? v : json_null());
		}
		json_array_append_new(list, o);
	}
	return list;
}

void output_text(const json_t *j, struct buf *ret)
{
	if (json_is_object(j))
		add_object(j, 0, ret);
	else if (json_is_array(j))
		add_array(j, 0, ret);
	else
		add_scalar("", j, ret);
}
