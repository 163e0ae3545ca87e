/* SPDX-License-Identifier: Apache-2.0
 *
 * An index copy: errors, snapshots, reads.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "drive/drive.h"
#include "meta/index_internal.h"

struct index_cursor {
	struct index_cursor *next;
	struct index_txn *txn;
	unsigned table;
	struct tree tree;
};

_Static_assert(TABLE_END <= 32, "index_txn.known");

/* ---- Errors ---- */

int index_damaged(struct index *ix, const char *why)
{
	void (*fn)(void *arg, const char *why) = NULL;
	void *arg = NULL;

	mutex_lock(&ix->lock);
	if (!atomic_exchange(&ix->bad, true)) {
		fn = ix->on_bad;
		arg = ix->on_bad_arg;
	}
	mutex_unlock(&ix->lock);
	if (fn)
		fn(arg, why);
	return -QE_CORRUPT;
}

int index_rc(struct index *ix, int rc, const char *what)
{
	switch (rc) {
	case 0:
		return 0;
	case MDB_MAP_FULL:
		return -QE_FULL;
	case MDB_READERS_FULL:
		return -QE_BUSY;
	default:
		/* > 0: errno from LMDB. LMDB's own lie below -30000, and like -QE_CORRUPT they mean damage. */
		if (rc > 0)
			return -rc;
		return rc == -QE_CORRUPT || rc < -30000 ? index_damaged(ix, what) : rc;
	}
}

void index_on_bad(struct index *ix, void (*fn)(void *arg, const char *why), void *arg)
{
	mutex_lock(&ix->lock);
	ix->on_bad = fn;
	ix->on_bad_arg = arg;
	mutex_unlock(&ix->lock);
}

bool index_is_bad(const struct index *ix)
{
	return atomic_load_explicit(&ix->bad, memory_order_relaxed);
}

void index_read_through(struct index *ix, struct drive_file *f)
{
	drive_file_unref(ix->pages.file);
	ix->pages.file = f;
}

bool index_is_doubtful(const struct index *ix)
{
	return ix->pages.file && drive_is_out(ix->pages.file->drive);
}

uint64_t index_position(const struct index *ix)
{
	return atomic_load_explicit(&ix->position, memory_order_acquire);
}

uint64_t index_progress(const struct index *ix)
{
	return atomic_load_explicit(&ix->progress, memory_order_relaxed);
}

/* ---- Guarded calls of LMDB ---- */

struct begin_call {
	MDB_env *env;
	MDB_txn *txn;
};

static int do_begin(void *arg)
{
	struct begin_call *c = arg;

	return mdb_txn_begin(c->env, NULL, MDB_RDONLY, &c->txn);
}

static int do_renew(void *arg)
{
	return mdb_txn_renew(arg);
}

static int do_reset(void *arg)
{
	mdb_txn_reset(arg);
	return 0;
}

static int do_abort(void *arg)
{
	mdb_txn_abort(arg);
	return 0;
}

static int do_commit(void *arg)
{
	return mdb_txn_commit(arg);
}

void index_abort(MDB_txn *txn)
{
	/* When it faults the environment is lost, and known to be. */
	if (txn && guard_call(do_abort, txn) < 0)
		return;
}

static int do_learn_free(void *arg)
{
	return pages_learn_free(arg);
}

/* Between the commit and the new list nothing counts as free: a page that is used again must not. */
int index_commit(struct index *ix, MDB_txn *txn)
{
	int rc;

	pages_forget_free(&ix->pages);
	rc = guard_call(do_commit, txn);
	pages_forget(&ix->pages);
	if (rc == 0 && guard_call(do_learn_free, &ix->pages) < 0)
		return index_damaged(ix, "free pages");
	/* What a failed flush left is unknown: pages that count as clean may not be on the drive. */
	if (rc > 0 && rc != ENOSPC && rc != ENOMEM) {
		index_damaged(ix, "a flush failed");
		return -rc;
	}
	return index_rc(ix, rc, "commit");
}

/* ---- Snapshots ---- */

struct root_call {
	struct index *ix;
	MDB_txn *txn;
	unsigned table;
	struct tree_root *ret;
};

static int do_root(void *arg)
{
	struct root_call *c = arg;
	const char *name = meta_table_name(c->table);
	MDB_val key = {strlen(name), (void *)name}, value;
	int rc = pages_bring_main(&c->ix->pages);

	if (rc < 0)
		return rc;
	rc = mdb_get(c->txn, c->ix->main, &key, &value);
	if (rc)
		return rc == MDB_NOTFOUND ? -QE_CORRUPT : rc;
	if (value.mv_size < 6 || le16_get((char *)value.mv_data + 4))
		return -QE_CORRUPT; /* flags: ours have none */
	rc = tree_root_of((struct str){value.mv_data, value.mv_size}, c->ret);
	if (rc == 0)
		c->ret->txn = mdb_txn_id(c->txn);
	return rc;
}

int index_root(struct index *ix, MDB_txn *txn, unsigned table, struct tree_root *ret)
{
	struct root_call c = {ix, txn, table, ret};

	return index_rc(ix, guard_call(do_root, &c), "no root of a table");
}

void index_txn_free(struct index_txn *t)
{
	struct index_cursor *next;

	if (!t)
		return;
	index_abort(t->txn);
	for (struct index_cursor *c = t->cursors; c; c = next) {
		next = c->next;
		free(c);
	}
	free(t);
}

static int txn_new(struct index *ix, struct index_txn **ret)
{
	struct begin_call c = {.env = ix->env};
	struct index_txn *t = calloc(1, sizeof *t);
	int rc;

	if (!t)
		return -ENOMEM;
	rc = index_rc(ix, guard_call(do_begin, &c), "begin");
	if (rc < 0) {
		free(t);
		return rc;
	}
	list_init(&t->node);
	t->ix = ix;
	t->txn = c.txn;
	*ret = t;
	return 0;
}

int index_txn_open(struct index *ix, struct index_txn **ret)
{
	struct list *l;
	int rc;

	if (index_is_bad(ix))
		return -QE_CORRUPT;
	if (ix->pages.file)
		pages_cool(&ix->pages);
	mutex_lock(&ix->lock);
	l = list_pop(&ix->idle);
	mutex_unlock(&ix->lock);
	if (!l)
		return txn_new(ix, ret);
	*ret = LIST_ENTRY(l, struct index_txn, node);
	(*ret)->known = 0;
	rc = index_rc(ix, guard_call(do_renew, (*ret)->txn), "renew");
	if (rc < 0)
		index_txn_free(*ret);
	return rc;
}

void index_txn_close(struct index_txn *t)
{
	struct index *ix;

	if (!t)
		return;
	ix = t->ix;
	if (guard_call(do_reset, t->txn) < 0) {
		t->txn = NULL;
		index_txn_free(t);
		return;
	}
	mutex_lock(&ix->lock);
	list_add_head(&ix->idle, &t->node);
	mutex_unlock(&ix->lock);
}

static int txn_root(struct index_txn *t, unsigned table, struct tree_root *ret)
{
	ASSERT(table && table < TABLE_END);
	if (!(t->known >> table & 1)) {
		int rc = index_root(t->ix, t->txn, table, &t->roots[table]);

		if (rc < 0)
			return rc;
		t->known |= 1u << table;
	}
	*ret = t->roots[table];
	return 0;
}

/* ---- Rows ---- */

void index_piece_key(struct meta_key *k, unsigned table, struct str key, unsigned n)
{
	ASSERT(key.len <= ROW_PIECES_KEY_MAX);
	k->b[0] = (uint8_t)table;
	if (key.len)
		memcpy(k->b + 1, key.p, key.len);
	be16_put(k->b + 1 + key.len, (uint16_t)n);
	k->len = (uint16_t)(key.len + 3);
}

struct read_call {
	struct tree *tree;
	unsigned table;
	struct str key;
	bool next; /* from the tree's place on, else from key */
	bool exact;
	struct arena *arena;
	struct str ret_key, ret_row;
};

/* What is returned is a copy: the mapped page may become unreadable, or change under a fault of the drive. */
static int do_read(void *arg)
{
	struct read_call *c = arg;
	bool exact = false;
	struct str k, v;
	int rc;

	if (c->next)
		rc = tree_next(c->tree);
	else
		rc = tree_seek(c->tree, c->key, &exact);
	if (rc >= 0 && c->exact && !exact)
		return tree_check_absent(c->tree, c->table, c->key);
	if (rc >= 0 && !c->exact && !c->next)
		rc = tree_settle(c->tree);
	if (rc <= 0)
		return rc;
	rc = tree_item(c->tree, &k, &v);
	if (rc <= 0)
		return rc;
	c->ret_key = (struct str){arena_dup(c->arena, k.p, k.len), k.len};
	c->ret_row = (struct str){arena_dup(c->arena, v.p, v.len), v.len};
	return 1;
}

static int read_checked(struct index *ix, struct read_call *c, uint64_t *ret_seq)
{
	int rc = guard_call(do_read, c);

	if (rc <= 0)
		return index_rc(ix, rc, "a page");
	rc = envelope_check(c->table, c->ret_key, c->ret_row, ret_seq);
	if (rc == -QE_CORRUPT)
		return index_damaged(ix, "a row");
	return rc < 0 ? rc : 1;
}

/* Adds the pieces of a row to its head. */
static int join(struct index_txn *t, unsigned table, struct str key, uint64_t seq, struct arena *a, struct str *row)
{
	struct tree tree = {.px = &t->ix->pages};
	unsigned n = envelope_pieces(*row);
	size_t cap = row->len + (size_t)n * INDEX_PART_BODY, len = row->len;
	char *whole;
	int rc;

	if (key.len > ROW_PIECES_KEY_MAX || table == TABLE_PIECE)
		return index_damaged(t->ix, "a row in pieces");
	rc = txn_root(t, TABLE_PIECE, &tree.root);
	if (rc < 0)
		return rc;
	whole = arena_alloc(a, cap);
	memcpy(whole, row->p, row->len);
	for (unsigned i = 0; i < n; i++) {
		struct read_call c = {.tree = &tree, .table = TABLE_PIECE, .exact = true, .arena = a};
		struct meta_key k;
		uint64_t piece_seq;

		index_piece_key(&k, table, key, i);
		c.key = key_of(&k);
		rc = read_checked(t->ix, &c, &piece_seq);
		if (rc < 0)
			return rc;
		if (!rc || piece_seq != seq || c.ret_row.len > INDEX_PART)
			return index_damaged(t->ix, "a piece");
		memcpy(whole + len, c.ret_row.p + ENVELOPE_BYTES, c.ret_row.len - ENVELOPE_BYTES);
		len += c.ret_row.len - ENVELOPE_BYTES;
	}
	envelope_seal(table, key, seq, whole, len);
	*row = (struct str){whole, len};
	return 1;
}

int index_get(struct index_txn *t, unsigned table, struct str key, struct arena *a, struct str *ret_row,
              uint64_t *ret_seq)
{
	struct tree tree = {.px = &t->ix->pages};
	struct read_call c = {.tree = &tree, .table = table, .key = key, .exact = true, .arena = a};
	int rc;

	if (index_is_bad(t->ix))
		return -QE_CORRUPT;
	rc = txn_root(t, table, &tree.root);
	if (rc == 0)
		rc = read_checked(t->ix, &c, ret_seq);
	if (rc <= 0)
		return rc;
	*ret_row = c.ret_row;
	return envelope_pieces(*ret_row) ? join(t, table, key, *ret_seq, a, ret_row) : 1;
}

int index_cursor_open(struct index_txn *t, unsigned table, struct index_cursor **ret)
{
	struct index_cursor *c = t->cursors;
	struct tree_root root;
	int rc = index_is_bad(t->ix) ? -QE_CORRUPT : txn_root(t, table, &root);

	if (rc < 0)
		return rc;
	if (c)
		t->cursors = c->next;
	else
		c = malloc(sizeof *c);
	if (!c)
		return -ENOMEM;
	c->txn = t;
	c->table = table;
	c->tree.px = &t->ix->pages;
	c->tree.root = root;
	*ret = c;
	return 0;
}

void index_cursor_close(struct index_cursor *c)
{
	if (!c)
		return;
	c->next = c->txn->cursors;
	c->txn->cursors = c;
}

static int cursor_read(struct index_cursor *c, struct read_call *r, struct memtable_row *ret)
{
	struct index *ix = c->txn->ix;
	int rc = index_is_bad(ix) ? -QE_CORRUPT : read_checked(ix, r, &ret->seq);

	if (rc <= 0)
		return rc;
	ret->table = c->table;
	ret->key = r->ret_key;
	ret->row = r->ret_row;
	ret->deleted = false;
	return envelope_pieces(ret->row) ? join(c->txn, c->table, ret->key, ret->seq, r->arena, &ret->row) : 1;
}

int index_seek(struct index_cursor *c, struct str from, struct arena *a, struct memtable_row *ret)
{
	struct read_call r = {.tree = &c->tree, .table = c->table, .key = from, .arena = a};

	return cursor_read(c, &r, ret);
}

int index_next(struct index_cursor *c, struct arena *a, struct memtable_row *ret)
{
	struct read_call r = {.tree = &c->tree, .table = c->table, .next = true, .arena = a};

	return cursor_read(c, &r, ret);
}
