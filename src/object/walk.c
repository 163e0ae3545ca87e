/* SPDX-License-Identifier: Apache-2.0
 *
 * The iterator over names.
 */
#include "object/walk.h"

#include <string.h>

#include "base/bytes.h"
#include "base/err.h"

#define WALK_DEPTH_MAX (2 * OBJECT_KEY_MAX)

static struct walk_level *level(struct walk *w)
{
	return (struct walk_level *)(void *)w->levels.data + (w->depth - 1);
}

static int level_push(struct walk *w, uint64_t id)
{
	struct walk_level *l;

	if (w->depth >= WALK_DEPTH_MAX)
		return -QE_CORRUPT;
	w->levels.len = w->depth * sizeof *l;
	l = buf_reserve(&w->levels, sizeof *l);
	if (!l)
		return -ENOMEM;
	buf_commit(&w->levels, sizeof *l);
	l->id = id;
	l->key_len = w->key.len;
	w->depth++;
	key_u64(&w->from, id);
	w->placed = true;
	return 0;
}

static void level_pop(struct walk *w)
{
	w->key.len = level(w)->key_len;
	w->depth--;
	if (w->depth > 0) {
		w->from = level(w)->at;
		w->from.b[w->from.len++] = 0; /* directly behind it; keys end below META_KEY_MAX */
		w->placed = true;
		w->key.len = level(w)->key_len;
	}
}

int walk_open(struct walk *w, struct meta_view *v, uint64_t root)
{
	int rc;

	memset(w, 0, sizeof *w);
	w->view = v;
	w->root = root;
	rc = meta_iter_open(v, TABLE_ENTRY, &w->it);
	if (rc == 0)
		rc = level_push(w, root);
	if (rc < 0)
		walk_close(w);
	return rc;
}

void walk_close(struct walk *w)
{
	if (w->it)
		meta_iter_close(w->it);
	w->it = NULL;
	buf_free(&w->key);
	buf_free(&w->levels);
}

/* ---- Seek -------------------------------------------------------------------------------------------------------------- */
static int entry_at(struct walk *w, const struct meta_key *k, struct row_entry *ret)
{
	struct meta_row row;
	int rc = meta_get_k(w->view, TABLE_ENTRY, k, &row);

	if (rc == 1) {
		int drc = row_entry_decode(row.body, ret);

		if (drc < 0)
			return drc;
	}
	return rc;
}

/* Down one piece of the key in the current level: 1 went down, *rest is what follows; 0 the place is found, < 0. */
static int seek_down(struct walk *w, struct str *rest)
{
	ptrdiff_t slash = w->flat ? -1 : str_find(*rest, '/', 0);
	size_t comp = slash < 0 ? rest->len : (size_t)slash;
	uint64_t id = level(w)->id;
	struct row_entry e;
	size_t take;
	int rc;

	if (comp >= META_NAME_PIECE) {
		key_u64_str(&w->from, id, str_sub(*rest, 0, META_NAME_PIECE));
		take = META_NAME_PIECE;
	} else {
		take = comp + (slash >= 0);
		key_u64_str(&w->from, id, str_sub(*rest, 0, take));
		if (slash < 0 || take == rest->len)
			return 0; /* an object, or the directory itself */
	}
	rc = entry_at(w, &w->from, &e);
	if (rc <= 0 || e.id == 0)
		return MIN(rc, 0);
	level(w)->at = w->from;
	buf_add(&w->key, rest->p, take);
	*rest = str_sub(*rest, take, rest->len - take);
	rc = level_push(w, e.id);
	if (rc == 0 && buf_err(&w->key))
		rc = -ENOMEM;
	return rc < 0 ? rc : 1;
}

int walk_seek(struct walk *w, struct str key)
{
	int rc;

	w->depth = 0;
	w->key.len = 0;
	w->enter = false;
	rc = level_push(w, w->root);
	if (rc == 0 && key.len > 0)
		rc = 1;
	while (rc == 1)
		rc = seek_down(w, &key);
	return rc;
}

/* ---- Next -------------------------------------------------------------------------------------------------------------- */
static int row_next(struct walk *w, struct meta_row *row)
{
	int rc;

	if (w->placed || !w->it_valid) {
		rc = meta_iter_seek(w->it, w->from.b, w->from.len, row);
		w->placed = false;
	} else {
		rc = meta_iter_next(w->it, row);
	}
	w->it_valid = rc == 1;
	return rc;
}

static bool row_in_level(struct walk *w, const struct meta_row *row)
{
	return row->key.len >= 8 && be64_get(row->key.p) == level(w)->id;
}

int walk_next(struct walk *w, struct walk_item *ret)
{
	struct meta_row row;
	int rc;

	if (w->enter) {
		w->enter = false;
		rc = level_push(w, w->enter_id);
		if (rc < 0)
			return rc;
	}
	while (w->depth > 0) {
		rc = row_next(w, &row);
		if (rc < 0)
			return rc;
		if (rc == 0 || !row_in_level(w, &row)) {
			level_pop(w);
			continue;
		}
		rc = row_entry_decode(row.body, &ret->entry);
		if (rc < 0)
			return rc;
		w->key.len = level(w)->key_len;
		buf_add(&w->key, row.key.p + 8, row.key.len - 8);
		key_str(&level(w)->at, row.key);
		if (buf_err(&w->key))
			return -ENOMEM;
		if (ret->entry.kind == ENTRY_CONT) {
			rc = level_push(w, ret->entry.id);
			if (rc < 0)
				return rc;
			continue;
		}
		ret->is_dir = ret->entry.kind == ENTRY_DIR;
		ret->key = buf_str(&w->key);
		w->enter = ret->is_dir && ret->entry.id != 0;
		w->enter_id = ret->entry.id;
		return 1;
	}
	return 0;
}

void walk_skip(struct walk *w)
{
	w->enter = false;
}

struct str key_behind_prefix(struct arena *a, struct str s)
{
	while (s.len > 0 && (uint8_t)s.p[s.len - 1] == 0xff)
		s.len--;
	if (s.len == 0)
		return (struct str){NULL, 0};
	char *p = arena_dup(a, s.p, s.len);

	p[s.len - 1] = (char)((uint8_t)p[s.len - 1] + 1);
	return (struct str){p, s.len};
}
