/* SPDX-License-Identifier: Apache-2.0
 *
 * Two skip lists (rows; payload by sequence) whose nodes lie in chunks that live as long as the memtable. Nothing is
 * ever unlinked, so a reader that found a node may keep it. The writer fills a node, then publishes it with one release
 * store per level, lowest first; readers load with acquire. A replaced value is another pointer in the node; the old
 * value stays in its chunk.
 *
 * Order of rows: table, key, sequence descending. So the newest row of a key is the first one, and the newest with
 * seq <= s is the lower bound of (table, key, s).
 */
#include "meta/memtable.h"

#include <errno.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <string.h>

#include "base/macros.h"

#define LEVELS 12 /* 4^12 rows: more than a memtable holds */
#define CHUNK_BYTES (256u << 10)

struct value {
	uint32_t len;
	bool deleted;
	char bytes[];
};

struct block { /* payload */
	const void *p;
	size_t len;
	void (*release)(void *p);
};

struct node {
	uint64_t seq;
	_Atomic(const void *) value; /* struct value; struct block in the list of payload */
	uint16_t klen;
	uint8_t table;
	uint8_t levels;
	_Atomic(struct node *) next[]; /* [levels], then the key */
};

struct skiplist {
	_Atomic(struct node *) head[LEVELS];
};

struct chunk {
	struct chunk *below;
	alignas(16) char data[];
};

struct memtable {
	struct skiplist rows, payload;
	atomic_uint refs;
	_Atomic uint64_t bytes, nrows, first_seq, last_seq;
	/* The writer's. */
	struct chunk *chunks;
	char *next;
	size_t left;
	uint64_t random;
};

static const char *key_bytes(const struct node *n)
{
	return (const char *)&n->next[n->levels];
}

static struct str node_key(const struct node *n)
{
	return (struct str){key_bytes(n), n->klen};
}

static struct node *load(const _Atomic(struct node *) *link)
{
	return atomic_load_explicit(link, memory_order_acquire);
}

/* < 0: the node lies before (table, key, seq). */
static int compare(const struct node *n, unsigned table, struct str key, uint64_t seq)
{
	int c;

	if (n->table != table)
		return n->table < table ? -1 : 1;
	c = key.len && n->klen ? memcmp(key_bytes(n), key.p, MIN(n->klen, key.len)) : 0;
	if (c)
		return c;
	if (n->klen != key.len)
		return n->klen < key.len ? -1 : 1;
	return n->seq > seq ? -1 : n->seq < seq;
}

/* The first node at or behind (table, key, seq). before (may be NULL): per level the link that leads past the place. */
static struct node *lower_bound(const struct skiplist *l, unsigned table, struct str key, uint64_t seq,
                                _Atomic(struct node *) **before)
{
	const _Atomic(struct node *) *links = l->head;
	const struct node *skip = NULL;
	struct node *n = NULL;

	for (int level = LEVELS - 1; level >= 0; level--) {
		for (n = load(&links[level]); n && n != skip && compare(n, table, key, seq) < 0; n = load(&links[level]))
			links = n->next;
		skip = n; /* known not to lie before: not compared again one level down */
		if (before)
			before[level] = (_Atomic(struct node *) *)&links[level];
	}
	return n;
}

/* ---- Writer ---- */

static void *alloc(struct memtable *m, size_t n)
{
	struct chunk *c;
	void *p;

	n = ALIGN_UP(n, 16);
	if (n > m->left) {
		size_t size = MAX(n, CHUNK_BYTES - sizeof *c);

		c = malloc(sizeof *c + size);
		if (!c)
			return NULL;
		if (n > CHUNK_BYTES / 4 && m->chunks) { /* keep filling the open chunk */
			c->below = m->chunks->below;
			m->chunks->below = c;
			p = c->data;
			goto out;
		}
		c->below = m->chunks;
		m->chunks = c;
		m->next = c->data;
		m->left = size;
	}
	p = m->next;
	m->next += n;
	m->left -= n;
out:
	atomic_fetch_add_explicit(&m->bytes, n, memory_order_relaxed);
	return p;
}

static unsigned some_levels(struct memtable *m)
{
	unsigned levels = 1;

	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	for (uint64_t r = m->random; levels < LEVELS && (r & 3) == 0; r >>= 2)
		levels++;
	return levels;
}

static int insert(struct memtable *m, _Atomic(struct node *) **before, unsigned table, struct str key, uint64_t seq,
                  const void *value)
{
	unsigned levels = some_levels(m);
	struct node *n = alloc(m, sizeof *n + levels * sizeof n->next[0] + key.len);

	if (!n)
		return -ENOMEM;
	n->seq = seq;
	atomic_init(&n->value, value);
	n->klen = (uint16_t)key.len;
	n->table = (uint8_t)table;
	n->levels = (uint8_t)levels;
	if (key.len)
		memcpy((char *)&n->next[levels], key.p, key.len);
	for (unsigned i = 0; i < levels; i++)
		atomic_init(&n->next[i], atomic_load_explicit(before[i], memory_order_relaxed));
	for (unsigned i = 0; i < levels; i++)
		atomic_store_explicit(before[i], n, memory_order_release);
	return 0;
}

struct memtable *memtable_new(void)
{
	struct memtable *m = calloc(1, sizeof *m);

	if (!m)
		return NULL;
	atomic_init(&m->refs, 1);
	m->random = 0x9e3779b97f4a7c15ULL;
	return m;
}

struct memtable *memtable_ref(struct memtable *m)
{
	atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
	return m;
}

void memtable_unref(struct memtable *m)
{
	struct chunk *below;

	if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (struct node *n = load(&m->payload.head[0]); n; n = load(&n->next[0])) {
		const struct block *b = atomic_load_explicit(&n->value, memory_order_relaxed);

		if (b->release)
			b->release((void *)b->p);
	}
	for (struct chunk *c = m->chunks; c; c = below) {
		below = c->below;
		free(c);
	}
	free(m);
}

static void note_seq(struct memtable *m, uint64_t seq)
{
	uint64_t first = atomic_load_explicit(&m->first_seq, memory_order_relaxed);

	if (!first || seq < first)
		atomic_store_explicit(&m->first_seq, seq, memory_order_relaxed);
	if (seq > atomic_load_explicit(&m->last_seq, memory_order_relaxed))
		atomic_store_explicit(&m->last_seq, seq, memory_order_relaxed);
}

int memtable_put(struct memtable *m, const struct memtable_row *r)
{
	_Atomic(struct node *) *before[LEVELS];
	struct value *v;
	struct node *n;
	int rc;

	ASSERT(r->key.len <= META_KEY_MAX && r->row.len <= UINT32_MAX && r->table < TABLE_END);
	v = alloc(m, sizeof *v + r->row.len);
	if (!v)
		return -ENOMEM;
	v->len = (uint32_t)r->row.len;
	v->deleted = r->deleted;
	if (r->row.len)
		memcpy(v->bytes, r->row.p, r->row.len);
	n = lower_bound(&m->rows, r->table, r->key, r->seq, before);
	if (n && compare(n, r->table, r->key, r->seq) == 0) {
		atomic_store_explicit(&n->value, v, memory_order_release);
		return 0;
	}
	rc = insert(m, before, r->table, r->key, r->seq, v);
	if (rc < 0)
		return rc;
	atomic_fetch_add_explicit(&m->nrows, 1, memory_order_relaxed);
	note_seq(m, r->seq);
	return 0;
}

int memtable_payload_add(struct memtable *m, uint64_t seq, void *p, size_t len, void (*release)(void *p))
{
	_Atomic(struct node *) *before[LEVELS];
	struct block *b;
	struct node *n = lower_bound(&m->payload, 0, (struct str){0}, seq, before);

	if (n && n->seq == seq) {
		/* Readers may hold the first; one sequence has one content. */
		if (release)
			release(p);
		return 0;
	}
	b = alloc(m, sizeof *b);
	if (!b)
		return -ENOMEM;
	*b = (struct block){p, len, release};
	if (insert(m, before, 0, (struct str){0}, seq, b) < 0)
		return -ENOMEM;
	atomic_fetch_add_explicit(&m->bytes, len, memory_order_relaxed);
	return 0;
}

/* ---- Readers ---- */

static void fill(const struct node *n, struct memtable_row *ret)
{
	const struct value *v = atomic_load_explicit(&n->value, memory_order_acquire);

	ret->table = n->table;
	ret->key = node_key(n);
	ret->row = (struct str){v->bytes, v->len};
	ret->seq = n->seq;
	ret->deleted = v->deleted;
}

bool memtable_get(const struct memtable *m, unsigned table, struct str key, uint64_t max_seq, struct memtable_row *ret)
{
	const struct node *n = lower_bound(&m->rows, table, key, max_seq, NULL);

	if (!n || n->table != table || !str_eq(node_key(n), key))
		return false;
	fill(n, ret);
	return true;
}

/* From the first node of a key: its newest row with seq <= max_seq, or that of a later key. */
static const void *settle(const struct memtable *m, const struct node *n, unsigned table, uint64_t max_seq,
                          struct memtable_row *ret)
{
	while (n && n->table == table && n->seq > max_seq)
		n = lower_bound(&m->rows, table, node_key(n), max_seq, NULL);
	if (!n || n->table != table)
		return NULL;
	fill(n, ret);
	return n;
}

const void *memtable_seek(const struct memtable *m, unsigned table, struct str from, uint64_t max_seq,
                          struct memtable_row *ret)
{
	return settle(m, lower_bound(&m->rows, table, from, UINT64_MAX, NULL), table, max_seq, ret);
}

const void *memtable_next(const struct memtable *m, const void *at, uint64_t max_seq, struct memtable_row *ret)
{
	const struct node *from = at, *n = load(&from->next[0]);

	/* Older rows of a key changed often (a directory) may be many: go past them by search. */
	if (n && n->table == from->table && str_eq(node_key(n), node_key(from)))
		n = lower_bound(&m->rows, from->table, node_key(from), 0, NULL);
	if (n && n->table == from->table && n->seq == 0 && str_eq(node_key(n), node_key(from)))
		n = load(&n->next[0]);
	return settle(m, n, from->table, max_seq, ret);
}

const void *memtable_payload(const struct memtable *m, uint64_t seq, size_t *ret_len)
{
	const struct node *n = lower_bound(&m->payload, 0, (struct str){0}, seq, NULL);
	const struct block *b;

	if (!n || n->seq != seq)
		return NULL;
	b = atomic_load_explicit(&n->value, memory_order_acquire);
	*ret_len = b->len;
	return b->p;
}

uint64_t memtable_bytes(const struct memtable *m)
{
	return atomic_load_explicit(&m->bytes, memory_order_relaxed);
}

uint64_t memtable_rows(const struct memtable *m)
{
	return atomic_load_explicit(&m->nrows, memory_order_relaxed);
}

uint64_t memtable_first_seq(const struct memtable *m)
{
	return atomic_load_explicit(&m->first_seq, memory_order_relaxed);
}

uint64_t memtable_last_seq(const struct memtable *m)
{
	return atomic_load_explicit(&m->last_seq, memory_order_relaxed);
}
