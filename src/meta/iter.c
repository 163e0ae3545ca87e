/* SPDX-License-Identifier: Apache-2.0
 *
 * Iterators: a merge of the active memtable, the frozen one and a cursor of the index. Each source stands at its next
 * row; the smallest key wins, and among equal ones the first source, which is the newer. The others with that key are
 * passed together with it, so a row of the index at hand stays until the iterator moves past its key.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "meta/set_internal.h"
#include "meta/view_struct_internal.h"

#define PAGE_ROWS 4096

int meta_iter_open(struct meta_view *v, enum meta_table t, struct meta_iter **ret)
{
	struct meta_iter *it = v->idle_iters;

	if (!t || t >= TABLE_END)
		return -EINVAL;
	if (it)
		v->idle_iters = it->next;
	else
		it = calloc(1, sizeof *it);
	if (!it)
		return -ENOMEM;
	it->v = v;
	it->table = t;
	it->at[0] = it->at[1] = NULL;
	it->cursor = NULL;
	it->has_ix = false;
	it->key.len = 0;
	v->open_iters++;
	*ret = it;
	return 0;
}

void meta_iter_close(struct meta_iter *it)
{
	struct meta_view *v;

	if (!it)
		return;
	v = it->v;
	index_cursor_close(it->cursor);
	arena_reset(&it->arena);
	it->next = v->idle_iters;
	v->idle_iters = it;
	v->open_iters--;
}

/* The cursor on the copy that the view reads now; *ret_fresh: it stands nowhere. */
static int current_cursor(struct meta_iter *it, bool *ret_fresh)
{
	struct meta_view *v = it->v;

	*ret_fresh = false;
	if (it->cursor && it->cursor_npast == v->npast)
		return 0;
	index_cursor_close(it->cursor);
	it->cursor = NULL;
	it->cursor_npast = v->npast;
	*ret_fresh = true;
	return index_cursor_open(v->txn, it->table, &it->cursor);
}

/* First row of the index at from, or behind it. */
static int read_once(struct meta_iter *it, struct str from, bool behind)
{
	bool fresh;
	int rc = current_cursor(it, &fresh);

	if (rc < 0)
		return rc;
	arena_reset(&it->arena);
	if (behind && !fresh)
		return index_next(it->cursor, &it->arena, &it->ix);
	rc = index_seek(it->cursor, from, &it->arena, &it->ix);
	if (rc > 0 && behind && str_eq(it->ix.key, from)) {
		arena_reset(&it->arena);
		rc = index_next(it->cursor, &it->arena, &it->ix);
	}
	return rc;
}

/* from must not lie in the iterator's arena. */
static int read_index(struct meta_iter *it, struct str from, bool behind)
{
	struct meta_view *v = it->v;
	int rc;

	it->has_ix = false;
	for (;;) {
		if (!v->txn)
			return v->indexed ? -QE_CORRUPT : 0;
		rc = read_once(it, from, behind);
		if (rc >= 0)
			break;
		rc = view_failover(v, rc);
		if (rc < 0)
			return rc;
	}
	if (rc <= 0)
		return rc;
	if (it->ix.seq > v->seq)
		return -QE_CONFLICT;
	it->has_ix = true;
	return 0;
}

/* The newest source with the smallest key. */
static const struct memtable_row *smallest(const struct meta_iter *it)
{
	const struct memtable_row *best = NULL;

	for (unsigned i = 0; i < 2; i++)
		if (it->at[i] && (!best || str_cmp(it->mem[i].key, best->key) < 0))
			best = &it->mem[i];
	if (it->has_ix && (!best || str_cmp(it->ix.key, best->key) < 0))
		best = &it->ix;
	return best;
}

/* Moves every source past the last key. */
static int pass(struct meta_iter *it)
{
	struct str key = key_of(&it->key);

	for (unsigned i = 0; i < 2; i++)
		if (it->at[i] && str_eq(it->mem[i].key, key))
			it->at[i] = memtable_next(it->v->mem[i], it->at[i], it->v->seq, &it->mem[i]);
	return it->has_ix && str_eq(it->ix.key, key) ? read_index(it, key, true) : 0;
}

static int pick(struct meta_iter *it, struct meta_row *ret)
{
	const struct memtable_row *r;

	while ((r = smallest(it))) {
		struct meta_row row;
		int rc;

		key_str(&it->key, r->key);
		if (view_row(it->v, r, &row)) {
			*ret = row;
			return 1;
		}
		rc = pass(it);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int meta_iter_seek(struct meta_iter *it, const void *from, size_t flen, struct meta_row *ret)
{
	struct meta_view *v = it->v;
	int rc;

	if (flen > META_KEY_MAX)
		return -EINVAL;
	/* Copied: from may be a key that this iterator returned. */
	if (flen)
		memmove(it->key.b, from, flen);
	it->key.len = (uint16_t)flen;
	for (unsigned i = 0; i < 2; i++)
		it->at[i] = v->mem[i] ? memtable_seek(v->mem[i], it->table, key_of(&it->key), v->seq, &it->mem[i]) : NULL;
	rc = read_index(it, key_of(&it->key), false);
	return rc < 0 ? rc : pick(it, ret);
}

int meta_iter_next(struct meta_iter *it, struct meta_row *ret)
{
	int rc = pass(it);

	return rc < 0 ? rc : pick(it, ret);
}

int rows_page(struct meta_set *s, enum meta_table t, struct meta_key *from, rows_fn fn, void *arg)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct meta_iter *it;
	struct meta_row row;
	unsigned seen = 0;
	int told = 0, rc = meta_view_open(s, &v);

	if (rc == 0)
		rc = meta_iter_open(v, t, &it);
	if (rc < 0)
		return rc;
	for (rc = meta_iter_seek(it, from->b, from->len, &row); rc > 0; rc = meta_iter_next(it, &row)) {
		if (seen++ == PAGE_ROWS)
			break;
		told = fn(arg, &row);
		if (told != 0)
			break;
	}
	if (rc > 0)
		key_str(from, row.key);
	meta_iter_close(it);
	return told < 0 ? told : told > 0 ? 0 : rc;
}
