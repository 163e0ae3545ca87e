/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing to an index copy: a memtable, in key order, in transactions of bounded size. No key is written twice in one
 * apply, so what a row replaces is found in the committed tree, with the checked walk, and LMDB is let at a page only
 * after the walk has been there.
 *
 * Dirty pages are counted by the pages of the paths walked, each once as long as keys ascend, and by growth for the
 * pages that a split adds.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/thread.h"
#include "meta/index_internal.h"

#define DIRTY_MAX 2000
#define GROWTH_PAGE 2000 /* bytes of growth that count as a page: pages are half full after a split */

struct apply {
	struct index *ix;
	MDB_txn *txn; /* NULL: none open */
	struct tree trees[TABLE_END];
	uint32_t known; /* bit per table: its root is loaded */
	struct index_sum sums[TABLE_END];
	size_t dirty, growth;
	uint64_t rows, row_bytes;
	EVP_MD_CTX *md;
};

/* ---- Sums ---- */

void index_sum_change(struct index_sum *s, const uint8_t digest[32], bool add)
{
	unsigned __int128 sum, d;

	memcpy(&sum, s->sum, 16);
	memcpy(&d, digest, 16);
	sum = add ? sum + d : sum - d;
	memcpy(s->sum, &sum, 16);
	s->rows += add ? 1 : (uint64_t)-1;
}

static int digest_row(EVP_MD_CTX *md, unsigned table, struct str key, struct str value, uint8_t ret[32])
{
	uint8_t t = (uint8_t)table;

	if (EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1 || EVP_DigestUpdate(md, &t, 1) != 1 ||
	    EVP_DigestUpdate(md, key.p, key.len) != 1 || EVP_DigestUpdate(md, value.p, value.len) != 1 ||
	    EVP_DigestFinal_ex(md, ret, NULL) != 1)
		return -ENOMEM;
	return 0;
}

/* ---- Transactions ---- */

struct begin_call {
	MDB_env *env;
	MDB_txn *txn;
	struct pages *px;
};

/* Also looks through the list of free pages: a page named there by mistake would be written over. */
static int do_begin(void *arg)
{
	struct begin_call *c = arg;
	int rc = mdb_txn_begin(c->env, NULL, 0, &c->txn);

	return rc ? rc : pages_learn_free(c->px);
}

static int begin(struct apply *a)
{
	struct begin_call c = {.env = a->ix->env, .px = &a->ix->pages};
	int rc = index_rc(a->ix, guard_call(do_begin, &c), "free pages");

	if (rc < 0) {
		index_abort(c.txn);
		return rc;
	}
	a->txn = c.txn;
	a->known = 0;
	a->dirty = a->growth = 0;
	memset(a->trees, 0, sizeof a->trees);
	return 0;
}

static int commit(struct apply *a)
{
	MDB_txn *txn = a->txn;
	int rc = index_put_sums(a->ix, txn, a->sums);

	a->txn = NULL;
	if (rc < 0) {
		index_abort(txn);
		return rc;
	}
	rc = index_commit(a->ix, txn);
	if (rc < 0)
		return rc;
	mutex_lock(&a->ix->lock);
	memcpy(a->ix->sums, a->sums, sizeof a->sums);
	mutex_unlock(&a->ix->lock);
	return 0;
}

/* ---- Rows ---- */

struct find_call {
	struct tree *tree;
	struct str key;
	unsigned table;
	bool remove;
	struct str ret_value;
};

static int do_find(void *arg)
{
	struct find_call *c = arg;
	struct str key;
	bool exact;
	int rc = tree_seek(c->tree, c->key, &exact);

	if (rc < 0)
		return rc;
	if (!exact)
		return tree_check_absent(c->tree, c->table, c->key);
	rc = tree_item(c->tree, &key, &c->ret_value);
	if (rc > 0)
		rc = envelope_check(c->table, key, c->ret_value, NULL) < 0 ? -QE_CORRUPT : 1;
	if (rc > 0 && c->remove && tree_check_neighbours(c->tree) < 0)
		rc = -QE_CORRUPT;
	return rc;
}

/* 1 and the committed row (mapped: valid while the transaction is open), 0 when there is none. */
static int find(struct apply *a, unsigned table, struct str key, bool remove, struct str *ret)
{
	struct tree *tree = &a->trees[table], before = *tree;
	struct find_call c = {.tree = tree, .key = key, .table = table, .remove = remove};
	int rc;

	if (!(a->known >> table & 1)) {
		tree->px = &a->ix->pages;
		rc = index_root(a->ix, a->txn, table, &tree->root);
		if (rc < 0)
			return rc;
		a->known |= 1u << table;
	}
	rc = guard_call(do_find, &c);
	if (rc < 0)
		return index_damaged(a->ix, "a page or row that is replaced");
	for (unsigned d = 0; d < tree->root.depth; d++)
		a->dirty += tree->level[d].page != before.level[d].page;
	*ret = rc ? c.ret_value : (struct str){0};
	return rc;
}

struct write_call {
	MDB_txn *txn;
	MDB_dbi dbi;
	struct str key, value;
};

static int do_put(void *arg)
{
	struct write_call *c = arg;
	MDB_val k = {c->key.len, (void *)c->key.p}, v = {c->value.len, (void *)c->value.p};

	return mdb_put(c->txn, c->dbi, &k, &v, 0);
}

static int do_del(void *arg)
{
	struct write_call *c = arg;
	MDB_val k = {c->key.len, (void *)c->key.p};

	return mdb_del(c->txn, c->dbi, &k, NULL);
}

/* Puts value (NULL p: removes) in place of old (NULL p: there was none). */
static int store(struct apply *a, unsigned table, struct str key, struct str old, struct str value)
{
	struct write_call c = {a->txn, a->ix->dbi[table], key, value};
	uint8_t old_digest[32], new_digest[32];
	int rc = 0;

	if (old.p)
		rc = digest_row(a->md, table, key, old, old_digest);
	if (rc == 0 && value.p)
		rc = digest_row(a->md, table, key, value, new_digest);
	if (rc < 0 || (!old.p && !value.p))
		return rc;
	rc = index_rc(a->ix, guard_call(value.p ? do_put : do_del, &c), "write");
	if (rc < 0)
		return rc;
	if (old.p)
		index_sum_change(&a->sums[table], old_digest, false);
	if (value.p)
		index_sum_change(&a->sums[table], new_digest, true);
	if (value.len > old.len)
		a->growth += value.len - old.len + (old.p ? 0 : key.len + 10);
	return 0;
}

/* Pieces [from, to) of a row are replaced by those of row, whose head takes the first part. */
static int store_pieces(struct apply *a, const struct memtable_row *r, unsigned have, unsigned want)
{
	size_t off = INDEX_PART;

	for (unsigned i = 0; i < MAX(have, want); i++, off += INDEX_PART_BODY) {
		uint8_t part[INDEX_PART];
		struct str old, value = {0};
		struct meta_key k;
		int rc;

		index_piece_key(&k, r->table, r->key, i);
		if (i < want) {
			size_t n = MIN(INDEX_PART_BODY, r->row.len - off);

			memcpy(part + ENVELOPE_BYTES, r->row.p + off, n);
			envelope_seal(TABLE_PIECE, key_of(&k), r->seq, part, ENVELOPE_BYTES + n);
			value = (struct str){(char *)part, ENVELOPE_BYTES + n};
		}
		rc = find(a, TABLE_PIECE, key_of(&k), !value.p, &old);
		if (rc == 0 && i < have)
			return index_damaged(a->ix, "a piece");
		if (rc >= 0)
			rc = store(a, TABLE_PIECE, key_of(&k), old, value);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int apply_row(struct apply *a, const struct memtable_row *r)
{
	unsigned have = 0, want = 0;
	uint8_t part[INDEX_PART];
	struct str old, value = r->row;
	int rc = find(a, r->table, r->key, r->deleted, &old);

	if (rc < 0)
		return rc;
	if (rc && envelope_seq(old) > r->seq)
		return 0;
	if (rc)
		have = envelope_pieces(old);
	if (r->deleted) {
		value = (struct str){0};
	} else if (r->row.len > INDEX_PART) {
		want = (unsigned)DIV_ROUND_UP(r->row.len - INDEX_PART, INDEX_PART_BODY);
		if (r->key.len > ROW_PIECES_KEY_MAX || r->row.len > (size_t)UINT16_MAX * INDEX_PART_BODY)
			return -EINVAL;
		memcpy(part, r->row.p, INDEX_PART);
		envelope_seal_parts(r->table, r->key, r->seq, want, part, INDEX_PART);
		value = (struct str){(char *)part, INDEX_PART};
	}
	if (!have && !want && old.p && value.p && str_eq(old, value))
		return 0; /* replayed */
	if (!old.p && !value.p)
		return 0;
	rc = store_pieces(a, r, have, want);
	if (rc == 0)
		rc = store(a, r->table, r->key, old, value);
	if (rc == 0) {
		a->rows++;
		a->row_bytes += r->key.len + r->row.len;
	}
	return rc;
}

static int apply_table(struct apply *a, const struct memtable *m, unsigned table, uint64_t upto,
                       void (*pause)(void *arg), void *arg)
{
	struct memtable_row r;
	int rc;

	for (const void *at = memtable_seek(m, table, (struct str){0}, upto, &r); at; at = memtable_next(m, at, upto, &r)) {
		if (a->txn && a->dirty + a->growth / GROWTH_PAGE >= DIRTY_MAX) {
			rc = commit(a);
			if (rc < 0)
				return rc;
			if (pause)
				pause(arg);
		}
		if (!a->txn) {
			rc = begin(a);
			if (rc < 0)
				return rc;
		}
		rc = apply_row(a, &r);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int do_sync(void *arg)
{
	return mdb_env_sync(arg, 1);
}

static int sync_env(struct index *ix)
{
	int rc = guard_call(do_sync, ix->env);

	if (rc > 0) {
		/* Never tried again: after a failed flush the pages count as clean. */
		index_damaged(ix, "a flush failed");
		return -rc;
	}
	return index_rc(ix, rc, "sync");
}

static int set_position(struct apply *a, uint64_t position)
{
	uint8_t body[8];
	int rc;

	le64_put(body, position);
	rc = begin(a);
	if (rc == 0)
		rc = index_put_meta(a->ix, a->txn, INDEX_META_POSITION, body, sizeof body);
	if (rc == 0)
		rc = commit(a);
	if (rc == 0)
		rc = sync_env(a->ix);
	if (rc == 0)
		atomic_store_explicit(&a->ix->position, position, memory_order_release);
	return rc;
}

int index_apply(struct index *ix, const struct memtable *m, uint64_t upto, void (*pause)(void *arg), void *arg,
                struct index_applied *ret)
{
	struct apply a = {.ix = ix};
	uint64_t before = thread_written();
	int rc = index_sums(ix, a.sums);

	*ret = (struct index_applied){0};

	if (rc < 0)
		return rc;
	a.md = EVP_MD_CTX_new();
	if (!a.md)
		return -ENOMEM;
	for (unsigned t = 1; t < TABLE_END && rc == 0; t++)
		if (t != TABLE_PIECE && t != TABLE_META)
			rc = apply_table(&a, m, t, upto, pause, arg);
	if (rc == 0 && a.txn)
		rc = commit(&a);
	if (rc == 0)
		rc = sync_env(ix);
	if (rc == 0 && upto > index_position(ix))
		rc = set_position(&a, upto);
	index_abort(a.txn);
	EVP_MD_CTX_free(a.md);
	*ret = (struct index_applied){a.rows, a.row_bytes, thread_written() - before};
	return rc;
}

/* ---- Recount ---- */

struct scan_call {
	struct tree *tree;
	bool first;
	struct str key, value;
};

static int do_scan(void *arg)
{
	struct scan_call *c = arg;
	int rc = c->first ? tree_seek(c->tree, (struct str){0}, NULL) : tree_next(c->tree);

	if (rc >= 0 && c->first)
		rc = tree_settle(c->tree);
	return rc > 0 ? tree_item(c->tree, &c->key, &c->value) : rc;
}

struct digest_call {
	EVP_MD_CTX *md;
	unsigned table;
	struct str key, value;
	uint8_t ret[32];
};

static int do_digest(void *arg)
{
	struct digest_call *c = arg;

	if (envelope_check(c->table, c->key, c->value, NULL) < 0)
		return -QE_CORRUPT;
	return digest_row(c->md, c->table, c->key, c->value, c->ret);
}

static int recount_table(struct index *ix, MDB_txn *txn, EVP_MD_CTX *md, unsigned table, struct index_sum *ret)
{
	struct tree tree = {.px = &ix->pages};
	struct scan_call s = {.tree = &tree, .first = true};
	int rc = index_root(ix, txn, table, &tree.root);

	if (rc < 0)
		return rc;
	while ((rc = guard_call(do_scan, &s)) > 0) {
		struct digest_call d = {.md = md, .table = table, .key = s.key, .value = s.value};

		s.first = false;
		atomic_fetch_add_explicit(&ix->progress, 1, memory_order_relaxed);
		rc = guard_call(do_digest, &d);
		if (rc < 0)
			break;
		index_sum_change(ret, d.ret, true);
	}
	return rc == -QE_CORRUPT ? index_damaged(ix, "a page or row") : rc;
}

static int do_check_own(void *arg)
{
	return pages_check_own(arg);
}

static int do_begin_read(void *arg)
{
	struct begin_call *c = arg;

	return mdb_txn_begin(c->env, NULL, MDB_RDONLY, &c->txn);
}

/* Of the tables from first to last. */
static int recount_tables(struct index *ix, unsigned first, unsigned last, struct index_sum ret[TABLE_END])
{
	struct begin_call c = {.env = ix->env};
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	int rc;

	if (!md)
		return -ENOMEM;
	rc = index_rc(ix, guard_call(do_begin_read, &c), "begin");
	for (unsigned t = first; t <= last && rc == 0; t++)
		if (t != TABLE_META)
			rc = recount_table(ix, c.txn, md, t, &ret[t]);
	index_abort(c.txn);
	EVP_MD_CTX_free(md);
	return rc;
}

int index_recount(struct index *ix, struct index_sum ret[TABLE_END])
{
	memset(ret, 0, TABLE_END * sizeof ret[0]);
	if (index_is_bad(ix))
		return -QE_CORRUPT;
	/* First what is free: a page that is, by mistake, is met where it is used. */
	int rc = index_rc(ix, guard_call(do_check_own, &ix->pages), "free pages");
	return rc < 0 ? rc : recount_tables(ix, 1, TABLE_END - 1, ret);
}

int index_check_table(struct index *ix, unsigned table)
{
	struct index_sum kept[TABLE_END] = {{0}}, counted[TABLE_END] = {{0}};
	int rc = index_is_bad(ix) ? -QE_CORRUPT : index_sums(ix, kept);

	if (rc == 0)
		rc = recount_tables(ix, table, table, counted);
	if (rc == 0 && (kept[table].rows != counted[table].rows || memcmp(kept[table].sum, counted[table].sum, 16) != 0))
		rc = index_damaged(ix, "a table is not what its sum says");
	return rc;
}
