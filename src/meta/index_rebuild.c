/* SPDX-License-Identifier: Apache-2.0
 *
 * Where index copies are, and how they come back. One whose drive was away has applied a part of the history: as far as
 * the journal still reaches it may be read again (R8 replays from where it stands). One that is bad, or too old, is made
 * anew from a good copy, with checkpoints held meanwhile, so that both stand at one position.
 *
 * The superblock tells the two apart: it says `building` before the first row is copied and `good` only after a durable
 * ISR record has said so. So a copy that was left half-made is never taken for one that merely was away.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "meta/set_internal.h"

#define CHUNK_BYTES (32u << 20)

/* ---- Where they are ------------------------------------------------------------------------------------------------ */
uint32_t index_homes(const struct meta_set *s)
{
	uint32_t homes = 0;

	for (unsigned i = 0; i < MIN(s->n, s->m + 2); i++)
		homes |= 1u << (s->p.set + i) % s->n;
	return homes;
}

/* ---- At start: a copy that was away -------------------------------------------------------------------------------- */
/* Its rows are what its sums say: nothing was lost behind a bad page while nobody looked. */
bool index_is_whole(struct index *ix)
{
	struct index_sum kept[TABLE_END] = {{0}}, counted[TABLE_END] = {{0}};

	if (index_sums(ix, kept) < 0 || index_recount(ix, counted) < 0)
		return false;
	for (unsigned t = 1; t < TABLE_END; t++)
		if (kept[t].rows != counted[t].rows || memcmp(kept[t].sum, counted[t].sum, 16) != 0)
			return false;
	return true;
}

/* ---- While serving: a new copy ------------------------------------------------------------------------------------- */
struct copying {
	struct meta_set *s;
	unsigned slot;
	struct index **to;
	struct memtable *chunk;
	uint64_t position;
};

static int flush_chunk(struct copying *c)
{
	struct index_applied did;
	int rc = index_apply_bounded(c->s, c->slot, c->to, c->chunk, c->position, &did);

	memtable_unref(c->chunk);
	c->chunk = memtable_new();
	return rc < 0 || c->chunk ? rc : -ENOMEM;
}

/* A rebuild that holds too much of the journal is given up, not overtaken. */
static bool holds_too_much(struct meta_set *s)
{
	return journal_room(&s->journal) <= s->journal.max_files / 4 || !meta_writable(s) ||
	       __atomic_load_n(&s->stopping, __ATOMIC_RELAXED);
}

static int copy_table(struct copying *c, struct index_txn *t, unsigned table)
{
	struct index_cursor *cur;
	struct memtable_row row;
	struct arena a = ARENA_INIT;
	int rc = index_cursor_open(t, table, &cur);

	if (rc < 0)
		return rc;
	for (rc = index_seek(cur, (struct str){"", 0}, &a, &row); rc > 0; rc = index_next(cur, &a, &row)) {
		row.table = table;
		row.deleted = false;
		rc = memtable_put(c->chunk, &row);
		if (rc == 0 && memtable_bytes(c->chunk) > CHUNK_BYTES) {
			arena_reset(&a);
			rc = holds_too_much(c->s) ? -QE_BUSY : flush_chunk(c);
		}
		if (rc < 0)
			break;
	}
	index_cursor_close(cur);
	arena_free(&a);
	return rc;
}

/* *to is NULL when its drive did not answer. */
static int copy_rows(struct meta_set *s, unsigned slot, struct index *from, struct index **to)
{
	struct copying c = {.s = s, .slot = slot, .to = to, .chunk = memtable_new(), .position = index_position(from)};
	struct index_txn *t;
	int rc = c.chunk ? index_txn_open(from, &t) : -ENOMEM;

	if (rc < 0) {
		memtable_unref(c.chunk);
		return rc;
	}
	for (unsigned table = 1; rc == 0 && table < TABLE_END; table++)
		if (table != TABLE_PIECE && table != TABLE_META)
			rc = copy_table(&c, t, table);
	if (rc == 0)
		rc = flush_chunk(&c);
	index_txn_close(t);
	memtable_unref(c.chunk);
	return rc;
}

static bool sums_equal(struct index *a, struct index *b)
{
	struct index_sum x[TABLE_END] = {{0}}, y[TABLE_END] = {{0}};

	if (index_sums(a, x) < 0 || index_sums(b, y) < 0)
		return false;
	for (unsigned t = 1; t < TABLE_END; t++)
		if (x[t].rows != y[t].rows || memcmp(x[t].sum, y[t].sum, 16) != 0)
			return false;
	return true;
}

static void remove_files(struct drive *d)
{
	static const char *const names[] = {INDEX_DATA_FILE, "index/lock.mdb"};

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		(void)!drive_unlink(d, names[i]);
}

/* Makes the state of the slot's copy known on its drive. */
static int mark(struct meta_set *s, unsigned slot, enum isr_index state)
{
	s->slot[slot].super.index_state = (uint8_t)state;
	return super_write(s->slot[slot].d, &s->slot[slot].super);
}

/* `good` in a durable ISR record; from then on the copy holds the journal like the others. */
static int declare_good(struct meta_set *s, unsigned slot)
{
	mutex_lock(&s->writer);
	bool in = meta_writable(s) && (s->in_mask & 1u << slot);
	if (in)
		isr_index_good(s, slot);
	uint64_t seq = s->next_seq - 1;
	writer_unlock(s);
	answers_run(s);
	return in ? meta_wait_blocking(s, seq) : -QE_QUORUM_WRITE;
}

static int build(struct meta_set *s, unsigned slot, struct index *from)
{
	struct set_slot *to = &s->slot[slot];
	struct index *ix;
	int rc = mark(s, slot, ISR_INDEX_BUILDING);

	if (rc < 0)
		return rc;
	remove_files(to->d);
	rc = index_open_of(to->d, &(struct index_opening){.map_bytes = s->p.index_map_bytes, .create = true}, &ix);
	if (rc == -QE_DRIVE_TIMEOUT)
		index_hangs(s, slot);
	if (rc < 0)
		return rc;
	rc = copy_rows(s, slot, from, &ix);
	if (rc == 0 && !sums_equal(from, ix))
		rc = -QE_CORRUPT;
	if (rc < 0) {
		index_close_of(to->d, ix);
		return rc;
	}
	index_set(s, &to->index, ix);
	index_watch(to);
	rc = declare_good(s, slot);
	if (rc == 0)
		rc = publish_add_index(&s->pub, ix);
	if (rc == 0)
		rc = mark(s, slot, ISR_INDEX_GOOD);
	return rc;
}

/* (C) One copy at a time, right behind a checkpoint, when the copies stand where the memtable begins. */
void index_rebuild_one(struct meta_set *s)
{
	CLEANUP_ERASURE struct erasure_set *e = meta_erasure_hold(s);
	uint32_t full = erasure_full_slots(e);
	struct index *from = NULL;
	int slot = -1;

	mutex_lock(&s->writer);
	for (unsigned i = 0; i < s->n; i++) {
		if (!(s->in_mask & 1u << i))
			continue;
		if (s->slot[i].index && s->isr.slot[i].index == ISR_INDEX_GOOD && !index_is_bad(s->slot[i].index) &&
		    !index_is_doubtful(s->slot[i].index))
			from = s->slot[i].index;
		else if (!s->slot[i].index && (index_homes(s) & ~full & 1u << i))
			slot = (int)i;
	}
	bool frozen = publish_frozen(&s->pub) != NULL;
	writer_unlock(s);
	if (slot < 0 || !from || frozen || holds_too_much(s))
		return;
	int rc = build(s, (unsigned)slot, from);
	if (rc < 0) {
		log_warn("meta", "index copy is not rebuilt yet slot=%d error=\"%s\"", slot, err_text(rc));
		return;
	}
	log_info("meta", "index copy rebuilt slot=%d rows_to=%llu", slot, (unsigned long long)index_position(from));
	mutex_lock(&s->writer);
	s->rebuild_ns = 0; /* the next one, if one lacks */
	writer_unlock(s);
}
