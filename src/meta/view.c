/* SPDX-License-Identifier: Apache-2.0
 *
 * Views and what they are taken from. Locks: view_internal.h.
 *
 * Why a view is one state: its read transaction is opened under LOCK_PUBLISH together with the references on the
 * memtables. A copy gets rows of a frozen memtable only, so every row in the transaction has a sequence <= that of the
 * view, and each row of a checkpoint in progress is shadowed by the frozen memtable that the view holds.
 *
 * When the copy turns out bad, another one may be read in its place as long as nothing was frozen that the view does not
 * have: until then no copy holds a row that the view must not see. Afterwards the view is given up (-QE_CONFLICT), and who
 * reads takes a new one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "erasure/set.h"
#include "meta/envelope.h"
#include "meta/view_struct_internal.h"

/* ---- publish ---- */

int publish_init(struct publish *p, uint64_t base)
{
	memset(p, 0, sizeof *p);
	p->active = memtable_new();
	if (!p->active)
		return -ENOMEM;
	mutex_init(&p->lock, LOCK_PUBLISH);
	atomic_init(&p->applied, base);
	p->base = base;
	p->vouched = SEQ_DOUBT;
	list_init(&p->open);
	list_init(&p->idle);
	return 0;
}

void publish_done(struct publish *p)
{
	struct list *l;

	if (!p->active)
		return;
	ASSERT(list_empty(&p->open));
	while ((l = list_pop(&p->idle)))
		view_free(LIST_ENTRY(l, struct meta_view, node));
	memtable_unref(p->active);
	memtable_unref(p->frozen);
	mutex_destroy(&p->lock);
	memset(p, 0, sizeof *p);
}

/* A list head does not move, locks do not either. */
void publish_exchange(struct publish *p, struct publish *fresh)
{
	struct publish old;

	mutex_lock(&p->lock);
	ASSERT(list_empty(&fresh->open));
	old = *p;
	p->base = fresh->base;
	p->frozen_to = fresh->frozen_to;
	p->active = fresh->active;
	p->frozen = fresh->frozen;
	memcpy(p->index, fresh->index, sizeof p->index);
	p->nindex = fresh->nindex;
	p->vouched = fresh->vouched;
	p->erasure = fresh->erasure;
	p->has_index = fresh->has_index;
	publish_applied(p, publish_applied_seq(fresh));
	fresh->active = old.active;
	fresh->frozen = old.frozen;
	fresh->nindex = 0;
	mutex_unlock(&p->lock);
}

bool publish_drained(struct publish *p, uint64_t before_ns)
{
	MUTEX_GUARD(&p->lock);
	LIST_FOREACH (l, &p->open)
		if (LIST_ENTRY(l, struct meta_view, node)->opened_ns < before_ns)
			return false;
	return true;
}

struct memtable *publish_active(struct publish *p)
{
	return p->active;
}

struct memtable *publish_frozen(struct publish *p)
{
	return p->frozen;
}

void publish_applied(struct publish *p, uint64_t seq)
{
	atomic_store_explicit(&p->applied, seq, memory_order_release);
}

uint64_t publish_applied_seq(const struct publish *p)
{
	return atomic_load_explicit(&p->applied, memory_order_acquire);
}

int publish_swap_freeze(struct publish *p)
{
	struct memtable *m = memtable_new();

	if (!m)
		return -ENOMEM;
	mutex_lock(&p->lock);
	ASSERT(!p->frozen);
	p->frozen = p->active;
	p->frozen_to = publish_applied_seq(p);
	p->active = m;
	mutex_unlock(&p->lock);
	return 0;
}

uint64_t publish_frozen_to(struct publish *p)
{
	MUTEX_GUARD(&p->lock);
	return p->frozen_to;
}

void publish_retire_frozen(struct publish *p)
{
	struct memtable *m;
	unsigned kept = 0;

	mutex_lock(&p->lock);
	m = p->frozen;
	ASSERT(m);
	/* A view on a copy without the frozen rows would miss them. */
	for (unsigned i = 0; i < p->nindex; i++)
		if (!index_is_bad(p->index[i]) && index_position(p->index[i]) >= memtable_last_seq(m))
			p->index[kept++] = p->index[i];
	p->nindex = kept;
	p->frozen = NULL;
	p->base = p->frozen_to;
	mutex_unlock(&p->lock);
	memtable_unref(m);
}

bool publish_newest(struct publish *p, unsigned table, struct str key, struct memtable_row *ret)
{
	return memtable_get(p->active, table, key, UINT64_MAX, ret) ||
	       (p->frozen && memtable_get(p->frozen, table, key, UINT64_MAX, ret));
}

int publish_add_index(struct publish *p, struct index *ix)
{
	MUTEX_GUARD(&p->lock);
	if (index_position(ix) < p->base)
		return -EINVAL;
	if (p->nindex == PUBLISH_INDEXES)
		return -ENOSPC;
	p->index[p->nindex++] = ix;
	p->has_index = true;
	return 0;
}

static bool view_uses(const struct meta_view *v, const struct index *ix)
{
	if (v->ix == ix)
		return true;
	for (unsigned i = 0; i < v->npast; i++)
		if (v->past_ix[i] == ix)
			return true;
	return false;
}

bool publish_remove_index(struct publish *p, struct index *ix)
{
	unsigned kept = 0;

	MUTEX_GUARD(&p->lock);
	for (unsigned i = 0; i < p->nindex; i++)
		if (p->index[i] != ix)
			p->index[kept++] = p->index[i];
	p->nindex = kept;
	LIST_FOREACH (l, &p->open)
		if (view_uses(LIST_ENTRY(l, struct meta_view, node), ix))
			return false;
	return true;
}

uint64_t publish_oldest_seq(struct publish *p)
{
	MUTEX_GUARD(&p->lock);
	return p->base;
}

uint64_t publish_view_seq_min(struct publish *p)
{
	uint64_t min;

	MUTEX_GUARD(&p->lock);
	min = publish_applied_seq(p);
	LIST_FOREACH (l, &p->open)
		min = MIN(min, LIST_ENTRY(l, struct meta_view, node)->seq);
	return min;
}

unsigned publish_open_views(struct publish *p, unsigned *ret_old)
{
	uint64_t now = clock_mono_ns();
	unsigned n = 0, old = 0;

	MUTEX_GUARD(&p->lock);
	LIST_FOREACH (l, &p->open) {
		n++;
		old += now - LIST_ENTRY(l, struct meta_view, node)->opened_ns > VIEW_OLD_NS;
	}
	if (ret_old)
		*ret_old = old;
	return n;
}

void publish_sizes(struct publish *p, uint64_t *ret_bytes, uint64_t *ret_rows, uint64_t *ret_frozen_bytes)
{
	MUTEX_GUARD(&p->lock);
	*ret_bytes = memtable_bytes(p->active);
	*ret_rows = memtable_rows(p->active);
	*ret_frozen_bytes = p->frozen ? memtable_bytes(p->frozen) : 0;
}

/* ---- Views ---- */

void view_free(struct meta_view *v)
{
	struct meta_iter *next;

	for (struct meta_iter *it = v->idle_iters; it; it = next) {
		next = it->next;
		arena_free(&it->arena);
		free(it);
	}
	arena_free(&v->arena);
	free(v);
}

/* The good copies in turn; one whose drive is out when there is no other. NULL: none is good. */
static struct index *choose_copy(struct publish *p)
{
	struct index *doubtful = NULL;

	for (unsigned i = 0; i < p->nindex; i++) {
		struct index *ix = p->index[p->turn++ % p->nindex];

		if (index_is_bad(ix))
			continue;
		if (!index_is_doubtful(ix))
			return ix;
		doubtful = ix;
	}
	return doubtful;
}

/* Opens the read transaction of the view. */
static int open_txn(struct publish *p, struct meta_view *v)
{
	struct index *ix;

	mutex_assert_held(&p->lock);
	while ((ix = choose_copy(p))) {
		int rc = index_txn_open(ix, &v->txn);
		if (rc == 0)
			v->ix = ix;
		if (rc != -QE_CORRUPT)
			return rc;
	}
	if (!p->has_index)
		return 0;
	return p->nindex ? -QE_CORRUPT : -QE_QUORUM_READ;
}

int view_open(struct publish *p, struct meta_view **ret)
{
	struct meta_view *v;
	struct list *l;
	int rc;

	mutex_lock(&p->lock);
	l = list_pop(&p->idle);
	v = l ? LIST_ENTRY(l, struct meta_view, node) : calloc(1, sizeof *v);
	if (!v) {
		mutex_unlock(&p->lock);
		return -ENOMEM;
	}
	v->p = p;
	rc = open_txn(p, v);
	if (rc < 0) {
		list_add_head(&p->idle, &v->node);
		mutex_unlock(&p->lock);
		return rc;
	}
	v->indexed = p->has_index;
	v->seq = publish_applied_seq(p);
	v->vouched = p->vouched;
	v->erasure = p->erasure ? erasure_set_hold(p->erasure) : NULL;
	v->opened_ns = clock_mono_ns();
	v->mem[0] = memtable_ref(p->active);
	v->mem[1] = p->frozen ? memtable_ref(p->frozen) : NULL;
	list_add_tail(&p->open, &v->node);
	mutex_unlock(&p->lock);
	*ret = v;
	return 0;
}

void meta_view_close(struct meta_view *v)
{
	struct publish *p;

	if (!v)
		return;
	p = v->p;
	ASSERT(!v->open_iters);
	index_txn_close(v->txn);
	for (unsigned i = 0; i < v->npast; i++)
		index_txn_close(v->past[i]);
	memtable_unref(v->mem[0]);
	memtable_unref(v->mem[1]);
	erasure_set_unhold(v->erasure);
	arena_reset(&v->arena);
	mutex_lock(&p->lock);
	if (clock_mono_ns() - v->opened_ns > VIEW_OLD_NS)
		atomic_fetch_add_explicit(&p->old_views, 1, memory_order_relaxed);
	v->txn = NULL;
	v->ix = NULL;
	v->erasure = NULL;
	v->mem[0] = v->mem[1] = NULL;
	v->consulted = 0;
	v->npast = 0;
	list_del(&v->node);
	list_add_head(&p->idle, &v->node);
	mutex_unlock(&p->lock);
}

static bool has_sound_copy(const struct publish *p)
{
	for (unsigned i = 0; i < p->nindex; i++)
		if (!index_is_bad(p->index[i]) && !index_is_doubtful(p->index[i]))
			return true;
	return false;
}

int view_failover(struct meta_view *v, int why)
{
	struct publish *p = v->p;
	int rc;

	if (why != -QE_CORRUPT && why != -QE_DRIVE_TIMEOUT)
		return why;
	MUTEX_GUARD(&p->lock);
	if (why == -QE_DRIVE_TIMEOUT && !has_sound_copy(p))
		return why;
	if (p->frozen_to > v->seq || p->erasure != v->erasure) /* the other: the set was revived */
		return -QE_CONFLICT;
	ASSERT(v->npast < PUBLISH_INDEXES);
	/* Iterators may have cursors there: it is closed with the view. */
	v->past[v->npast] = v->txn;
	v->past_ix[v->npast++] = v->ix;
	v->txn = NULL;
	v->ix = NULL;
	rc = open_txn(p, v);
	if (rc < 0)
		return rc;
	atomic_fetch_add_explicit(&p->failovers, 1, memory_order_relaxed);
	return 0;
}

const void *view_payload(const struct meta_view *v, uint64_t seq, size_t *ret_len)
{
	const void *p = memtable_payload(v->mem[0], seq, ret_len);

	return p || !v->mem[1] ? p : memtable_payload(v->mem[1], seq, ret_len);
}

uint64_t meta_view_seq(const struct meta_view *v)
{
	return v->seq;
}

uint64_t meta_view_consulted(const struct meta_view *v)
{
	return v->consulted;
}

int view_row(struct meta_view *v, const struct memtable_row *r, struct meta_row *ret)
{
	v->consulted = MAX(v->consulted, r->seq <= v->vouched ? r->seq : SEQ_DOUBT);
	ret->key = r->key;
	ret->seq = r->seq;
	ret->body = (struct str){0};
	if (r->deleted)
		return 0;
	ASSERT(r->row.len >= ENVELOPE_BYTES);
	ret->body = str_sub(r->row, ENVELOPE_BYTES, r->row.len - ENVELOPE_BYTES);
	return 1;
}

static int get_indexed(struct meta_view *v, struct memtable_row *r)
{
	int rc;

	for (;;) {
		if (!v->txn)
			return v->indexed ? -QE_CORRUPT : 0;
		rc = index_get(v->txn, r->table, r->key, &v->arena, &r->row, &r->seq);
		if (rc >= 0)
			break;
		rc = view_failover(v, rc);
		if (rc < 0)
			return rc;
	}
	return rc > 0 && r->seq > v->seq ? -QE_CONFLICT : rc;
}

int meta_get(struct meta_view *v, enum meta_table t, const void *key, size_t klen, struct meta_row *ret)
{
	struct memtable_row r = {.table = t, .key = {key, klen}};
	int rc;

	*ret = (struct meta_row){.key = r.key};
	if (klen > META_KEY_MAX || !t || t >= TABLE_END)
		return -EINVAL;
	for (unsigned i = 0; i < 2; i++)
		if (v->mem[i] && memtable_get(v->mem[i], t, r.key, v->seq, &r))
			return view_row(v, &r, ret);
	rc = get_indexed(v, &r);
	if (rc <= 0)
		return rc;
	/* The caller's key may be gone before the row is. */
	r.key = (struct str){arena_dup(&v->arena, key, klen), klen};
	return view_row(v, &r, ret);
}

int meta_get_k(struct meta_view *v, enum meta_table t, const struct meta_key *k, struct meta_row *ret)
{
	return meta_get(v, t, k->b, k->len, ret);
}
