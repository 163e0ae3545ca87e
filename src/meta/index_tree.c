/* SPDX-License-Identifier: Apache-2.0
 *
 * A checked walk over the pages that LMDB 0.9 writes (data version 1, 64-bit little-endian).
 *
 *   page     pgno u64, pad u16, flags u16 {1 branch, 2 leaf, 4 overflow, 8 meta}, lower u16, upper u16, then offsets of
 *            nodes u16 up to lower; nodes lie packed from upper to the end of the page
 *   node     lo u16, hi u16, flags u16, key length u16, key, data. Leaf: lo | hi << 16 is the length of data. Branch:
 *            lo | hi << 16 | flags << 32 is the child; the key of the first node of a branch means nothing
 *   overflow number of pages u32 in place of lower and upper, then data
 *   meta     (behind the 16 bytes of a page) magic u32, version u32, address u64, mapsize u64, two database records
 *            (free, main), last page u64, transaction u64; the pad of the free record holds the page size
 *   record   pad u32, flags u16, depth u16, branch pages u64, leaf u64, overflow u64, entries u64, root u64
 *
 * What is damaged is told from what is whole by: the page's own number, its flags and bounds; nodes that fill the page
 * exactly, in ascending order of keys; children between the separators above them; and, for the rows themselves,
 * their envelopes. So a key is absent only when its two neighbours are whole and lie where the separators say. A page of
 * an older state is whole too, and LMDB leaves many behind: a pointer that leads to one by damage is told by LMDB's own
 * list of the pages that are free.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/fdio.h"
#include "meta/index_internal.h"

#define PAGE_HEAD 16
#define P_BRANCH 1
#define P_LEAF 2
#define P_OVERFLOW 4
#define P_META 8
#define NODE_HEAD 8
#define NODE_BIG 1 /* data is the number of an overflow page */
#define NODE_SUB 2 /* data is a database record (main database) */
#define META_MAGIC 0xBEEFC0DEu
#define META_BYTES 136
#define RECORD_BYTES 48
#define NO_PAGE UINT64_MAX

_Static_assert(sizeof(size_t) == 8 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the layout of pages");

struct node {
	struct str key, value;
	uint64_t child;
	uint16_t flags;
	size_t size; /* taken in the page */
};

static unsigned page_nodes(const uint8_t *page)
{
	return (le16_get(page + 12) - PAGE_HEAD) / 2u;
}

static bool is_leaf(const uint8_t *page)
{
	return le16_get(page + 10) == P_LEAF;
}

/* Bounds are checked each time: a page may be read from the drive again after it was checked. */
static bool node_get(const struct pages *px, const uint8_t *page, unsigned i, struct node *ret)
{
	size_t off = le16_get(page + PAGE_HEAD + 2 * (size_t)i), klen, vlen = 0;
	const uint8_t *p = page + off;

	if (off < PAGE_HEAD || off % 2 || off + NODE_HEAD > px->size)
		return false;
	klen = le16_get(p + 6);
	ret->flags = le16_get(p + 4);
	ret->child = le32_get(p) | (uint64_t)ret->flags << 32;
	if (is_leaf(page))
		vlen = ret->flags & NODE_BIG ? 8 : le32_get(p);
	if (vlen > px->size || off + NODE_HEAD + klen + vlen > px->size)
		return false;
	ret->key = (struct str){(const char *)p + NODE_HEAD, klen};
	ret->value = (struct str){(const char *)p + NODE_HEAD + klen, vlen};
	ret->size = ALIGN_UP(NODE_HEAD + klen + vlen, 2);
	return true;
}

static bool page_inside_ok(const struct pages *px, const uint8_t *page)
{
	unsigned n = page_nodes(page), first = is_leaf(page) ? 0 : 1;
	size_t sum = 0;
	struct str last = {0};

	for (unsigned i = 0; i < n; i++) {
		struct node nd;

		if (!node_get(px, page, i, &nd))
			return false;
		sum += nd.size;
		if (i > first && str_cmp(last, nd.key) >= 0)
			return false;
		last = nd.key;
	}
	return sum == px->size - le16_get(page + 14);
}

static bool was_checked(const struct pages *px, uint64_t pgno)
{
	return atomic_load_explicit(&px->checked[pgno / 64], memory_order_relaxed) >> pgno % 64 & 1;
}

/* An older state may still use a page that a newer one has given up. */
static bool is_free(const struct pages *px, uint64_t pgno, uint64_t txn)
{
	uint64_t of = atomic_load(&px->free_txn);

	return of <= txn && (atomic_load(&px->free[pgno / 64]) >> pgno % 64 & 1) && atomic_load(&px->free_txn) == of;
}

static int page_get(const struct pages *px, uint64_t pgno, uint64_t txn, unsigned flags, const uint8_t **ret)
{
	const uint8_t *page;
	unsigned lower, upper;

	if (pgno < 2 || pgno >= px->len / px->size || is_free(px, pgno, txn))
		return -QE_CORRUPT;
	int rc = page_bring(px, pgno);
	if (rc < 0)
		return rc;
	page = px->map + pgno * px->size;
	if (le64_get(page) != pgno || le16_get(page + 10) != flags)
		return -QE_CORRUPT;
	lower = le16_get(page + 12);
	upper = le16_get(page + 14);
	if (lower <= PAGE_HEAD || lower % 2 || lower > upper || upper > px->size)
		return -QE_CORRUPT;
	if (!was_checked(px, pgno)) {
		if (!page_inside_ok(px, page))
			return -QE_CORRUPT;
		atomic_fetch_or_explicit(&px->checked[pgno / 64], 1ULL << pgno % 64, memory_order_relaxed);
	}
	*ret = page;
	return 0;
}

void pages_forget(struct pages *px)
{
	/* Private anonymous memory: reads as zero again. */
	ASSERT(madvise((void *)px->checked, px->bits_len, MADV_DONTNEED) == 0);
}

void pages_forget_free(struct pages *px)
{
	atomic_store(&px->free_txn, UINT64_MAX);
	ASSERT(madvise((void *)px->free, px->bits_len, MADV_DONTNEED) == 0);
}

/* Of the child at level d. A first or last child has the separator of the nearest level above that has one. */
static bool above_lower(const struct tree *t, unsigned d, const struct node *nd)
{
	struct node sep;

	while (d > 0 && t->level[d - 1].at == 0)
		d--;
	return d == 0 || (node_get(t->px, t->level[d - 1].page, t->level[d - 1].at, &sep) && str_cmp(nd->key, sep.key) >= 0);
}

static bool below_upper(const struct tree *t, unsigned d, const struct node *nd)
{
	struct node sep;

	while (d > 0 && t->level[d - 1].at + 1 >= t->level[d - 1].n)
		d--;
	return d == 0 || (node_get(t->px, t->level[d - 1].page, t->level[d - 1].at + 1, &sep) && str_cmp(nd->key, sep.key) < 0);
}

/* The keys of the page at level d lie from its separator to the next one. */
static int between(const struct tree *t, unsigned d, const uint8_t *child)
{
	unsigned n = page_nodes(child), first = is_leaf(child) ? 0 : 1;
	struct node nd;

	if (n <= first)
		return 0;
	if (!node_get(t->px, child, first, &nd) || !above_lower(t, d, &nd))
		return -QE_CORRUPT;
	if (!node_get(t->px, child, n - 1, &nd) || !below_upper(t, d, &nd))
		return -QE_CORRUPT;
	return 0;
}

/* Loads the page of a level, below the place of the level above. */
static int load_level(struct tree *t, unsigned depth)
{
	struct tree_level *l = &t->level[depth];
	struct node nd = {.child = t->root.page};
	int rc;

	if (depth && !node_get(t->px, l[-1].page, l[-1].at, &nd))
		return -QE_CORRUPT;
	rc = page_get(t->px, nd.child, t->root.txn, depth + 1 == t->root.depth ? P_LEAF : P_BRANCH, &l->page);
	if (rc == 0 && depth)
		rc = between(t, depth, l->page);
	if (rc < 0)
		return rc;
	l->n = page_nodes(l->page);
	l->at = 0;
	return 0;
}

/* First node with a key >= key, from node `from` on. */
static int search(const struct tree *t, const struct tree_level *l, unsigned from, struct str key, unsigned *ret,
                  bool *ret_exact)
{
	unsigned lo = from, hi = l->n;

	*ret_exact = false;
	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		struct node nd;
		int c;

		if (!node_get(t->px, l->page, mid, &nd))
			return -QE_CORRUPT;
		c = str_cmp(nd.key, key);
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
		if (c == 0) {
			*ret_exact = true;
			hi = lo = mid;
		}
	}
	*ret = lo;
	return 0;
}

int tree_seek(struct tree *t, struct str key, bool *ret_exact)
{
	bool exact = false;

	for (unsigned d = 0; d < t->root.depth; d++) {
		struct tree_level *l = &t->level[d];
		bool leaf = d + 1 == t->root.depth;
		int rc = load_level(t, d);

		if (rc == 0)
			rc = search(t, l, leaf ? 0 : 1, key, &l->at, &exact);
		if (rc < 0)
			return rc;
		if (!leaf && !exact)
			l->at--;
	}
	if (ret_exact)
		*ret_exact = t->root.depth && exact;
	return t->root.depth && exact;
}

/* Moves to the leaf before or behind; the place is its last or first node. 0: there is none. */
static int step_leaf(struct tree *t, bool forward)
{
	unsigned d = t->root.depth - 1;

	do {
		if (d-- == 0)
			return 0;
	} while (forward ? t->level[d].at + 1 >= t->level[d].n : t->level[d].at == 0);
	t->level[d].at += forward ? 1u : -1u;
	while (++d < t->root.depth) {
		int rc = load_level(t, d);

		if (rc < 0)
			return rc;
		if (!forward)
			t->level[d].at = t->level[d].n - 1;
	}
	return 1;
}

int tree_settle(struct tree *t)
{
	if (!t->root.depth)
		return 0;
	if (t->level[t->root.depth - 1].at < t->level[t->root.depth - 1].n)
		return 1;
	return step_leaf(t, true);
}

int tree_next(struct tree *t)
{
	if (!t->root.depth)
		return 0;
	t->level[t->root.depth - 1].at++;
	return tree_settle(t);
}

int tree_item(const struct tree *t, struct str *ret_key, struct str *ret_value)
{
	const struct tree_level *l = &t->level[t->root.depth - 1];
	struct node nd;

	if (!node_get(t->px, l->page, l->at, &nd) || nd.flags)
		return -QE_CORRUPT;
	*ret_key = nd.key;
	*ret_value = nd.value;
	return 1;
}

static int check_row(const struct tree *t, unsigned table)
{
	struct str key, value;
	int rc = tree_item(t, &key, &value);

	if (rc < 0)
		return rc;
	rc = envelope_check(table, key, value, NULL);
	return rc == -QE_DRIVE_FORMAT ? 0 : rc;
}

int tree_check_absent(const struct tree *t, unsigned table, struct str key)
{
	struct tree side = *t;
	struct tree_level *l;
	int rc;

	if (!side.root.depth)
		return 0;
	l = &side.level[side.root.depth - 1];
	/* The row behind the place, in the next leaf when the place is the end of this one. */
	rc = tree_settle(&side);
	if (rc > 0)
		rc = check_row(&side, table);
	if (rc < 0)
		return rc;
	side = *t;
	if (l->at > 0) {
		l->at--;
		rc = 1;
	} else {
		rc = step_leaf(&side, false);
	}
	return rc > 0 ? check_row(&side, table) : rc;
}

int tree_check_neighbours(const struct tree *t)
{
	for (unsigned d = 1; d < t->root.depth; d++) {
		const struct tree_level *up = &t->level[d - 1];

		for (unsigned i = up->at ? up->at - 1 : 0; i <= up->at + 1 && i < up->n; i++) {
			struct tree side = *t;
			int rc;

			side.level[d - 1].at = i;
			rc = load_level(&side, d);
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

int tree_root_of(struct str record, struct tree_root *ret)
{
	uint64_t root;
	unsigned depth;

	if (record.len != RECORD_BYTES)
		return -QE_CORRUPT;
	depth = le16_get(record.p + 6);
	root = le64_get(record.p + 40);
	if (depth > TREE_DEPTH || (depth == 0) != (root == NO_PAGE))
		return -QE_CORRUPT;
	*ret = (struct tree_root){.page = root, .depth = depth};
	return 0;
}

/* ---- Free pages and meta pages ---- */

/* A list: count, then page numbers in descending order. */
static int check_free_list(const struct pages *px, const uint8_t *p, size_t len, uint64_t last_page)
{
	uint64_t n, above = MIN(last_page + 1, px->len / px->size);

	if (len < 8)
		return -QE_CORRUPT;
	n = le64_get(p);
	if (n > len / 8 - 1)
		return -QE_CORRUPT;
	for (uint64_t i = 1; i <= n; i++) {
		uint64_t pgno = le64_get(p + 8 * i);

		if (pgno < 2 || pgno >= above)
			return -QE_CORRUPT;
		atomic_fetch_or(&px->free[pgno / 64], 1ULL << pgno % 64);
		above = pgno;
	}
	return 0;
}

static int check_free_node(const struct pages *px, const struct node *nd, const uint8_t *raw, uint64_t last_page)
{
	const uint8_t *page;
	uint64_t pgno, count, max = px->len / px->size;
	size_t len = le32_get(raw);

	if (nd->key.len != 8 || (nd->flags & ~NODE_BIG))
		return -QE_CORRUPT;
	if (!(nd->flags & NODE_BIG))
		return check_free_list(px, (const uint8_t *)nd->value.p, nd->value.len, last_page);
	pgno = le64_get(nd->value.p);
	if (pgno < 2 || pgno >= max)
		return -QE_CORRUPT;
	int rc = page_bring(px, pgno);
	if (rc < 0)
		return rc;
	page = px->map + pgno * px->size;
	count = le32_get(page + 12);
	if (le64_get(page) != pgno || le16_get(page + 10) != P_OVERFLOW || !count || count > max - pgno ||
	    len > count * px->size - PAGE_HEAD)
		return -QE_CORRUPT;
	for (uint64_t i = 1; i < count && rc == 0; i++)
		rc = page_bring(px, pgno + i);
	return rc < 0 ? rc : check_free_list(px, page + PAGE_HEAD, len, last_page);
}

/* Its keys are native integers, so in no order that page_get would accept; sizes are checked all the same. */
static int check_free_page(const struct pages *px, uint64_t pgno, unsigned depth, uint64_t last_page)
{
	const uint8_t *page;
	unsigned lower, upper;
	size_t sum = 0;

	if (pgno < 2 || pgno > last_page || pgno >= px->len / px->size)
		return -QE_CORRUPT;
	int rc = page_bring(px, pgno);
	if (rc < 0)
		return rc;
	page = px->map + pgno * px->size;
	lower = le16_get(page + 12);
	upper = le16_get(page + 14);
	if (le64_get(page) != pgno || le16_get(page + 10) != (depth == 1 ? P_LEAF : P_BRANCH) || lower <= PAGE_HEAD ||
	    lower % 2 || lower > upper || upper > px->size)
		return -QE_CORRUPT;
	for (unsigned i = 0; i < page_nodes(page); i++) {
		struct node nd;

		if (!node_get(px, page, i, &nd))
			return -QE_CORRUPT;
		sum += nd.size;
		if (depth > 1)
			rc = check_free_page(px, nd.child, depth - 1, last_page);
		else
			rc = check_free_node(px, &nd, (const uint8_t *)nd.key.p - NODE_HEAD, last_page);
		if (rc < 0)
			return rc;
	}
	return sum == px->size - upper ? 0 : -QE_CORRUPT;
}

int tree_check_free(const struct pages *px, const struct tree_root *root, uint64_t last_page)
{
	return root->depth ? check_free_page(px, root->page, root->depth, last_page) : 0;
}

static struct str record_of(const uint8_t *meta, unsigned n)
{
	return (struct str){(const char *)meta + 24 + n * RECORD_BYTES, RECORD_BYTES};
}

static int check_meta(const uint8_t *page, uint64_t pgno, uint32_t *ret_psize)
{
	const uint8_t *m = page + PAGE_HEAD;
	uint64_t last;
	uint32_t psize;

	if (le64_get(page) != pgno || !(le16_get(page + 10) & P_META) || le32_get(m) != META_MAGIC || le32_get(m + 4) != 1)
		return -QE_CORRUPT;
	psize = le32_get(m + 24);
	last = le64_get(m + 120);
	if (psize < 4096 || psize > 65536 || (psize & (psize - 1)) || last < 1 || last > INT64_MAX / psize)
		return -QE_CORRUPT;
	if (le64_get(m + 128) && (le64_get(m + 128) & 1) != pgno)
		return -QE_CORRUPT;
	for (unsigned i = 0; i < 2; i++) {
		struct tree_root r;

		if (tree_root_of(record_of(m, i), &r) < 0 || (r.depth && (r.page < 2 || r.page > last)))
			return -QE_CORRUPT;
	}
	*ret_psize = psize;
	return 0;
}

int pages_check_file(int fd)
{
	uint8_t page[PAGE_HEAD + META_BYTES];
	uint32_t psize, psize1;
	struct stat st;
	int rc;

	if (fstat(fd, &st) < 0)
		return -errno;
	rc = fd_pread_full(fd, page, sizeof page, 0);
	if (rc == 0)
		rc = check_meta(page, 0, &psize);
	if (rc == 0)
		rc = fd_pread_full(fd, page, sizeof page, psize);
	if (rc == 0)
		rc = check_meta(page, 1, &psize1);
	if (rc < 0)
		return rc == -QE_END_OF_FILE ? -QE_CORRUPT : rc;
	return psize == psize1 && (uint64_t)st.st_size >= 2 * (uint64_t)psize ? 0 : -QE_CORRUPT;
}

int pages_newest_meta(const struct pages *px, struct tree_root *ret_free, uint64_t *ret_last_page)
{
	const uint8_t *m0 = px->map + PAGE_HEAD, *m1 = px->map + px->size + PAGE_HEAD;
	const uint8_t *m = le64_get(m0 + 128) < le64_get(m1 + 128) ? m1 : m0;
	uint32_t psize;
	int rc = check_meta(m - PAGE_HEAD, m == m1, &psize);

	if (rc < 0 || psize != px->size)
		return -QE_CORRUPT;
	*ret_last_page = le64_get(m + 120);
	rc = tree_root_of(record_of(m, 0), ret_free);
	ret_free->txn = le64_get(m + 128);
	return rc;
}

/* Of whichever of the two states a transaction has. A damaged one is found by who reads it. */
int pages_bring_main(const struct pages *px)
{
	int rc = 0;

	for (unsigned i = 0; i < 2 && rc == 0; i++) {
		struct tree_root r;

		if (tree_root_of(record_of(px->map + i * (size_t)px->size + PAGE_HEAD, 1), &r) == 0 && r.depth &&
		    r.page < px->len / px->size)
			rc = page_bring(px, r.page);
	}
	return rc;
}

int pages_check_own(struct pages *px)
{
	uint32_t psize;

	for (unsigned i = 0; i < 2; i++)
		if (check_meta(px->map + i * (size_t)px->size, i, &psize) < 0 || psize != px->size)
			return -QE_CORRUPT;
	return pages_learn_free(px);
}

int pages_learn_free(struct pages *px)
{
	struct tree_root root;
	uint64_t last_page;
	int rc = pages_newest_meta(px, &root, &last_page);

	if (rc == 0)
		rc = tree_check_free(px, &root, last_page);
	if (rc == 0)
		atomic_store(&px->free_txn, root.txn);
	return rc;
}
