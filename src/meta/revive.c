/* SPDX-License-Identifier: Apache-2.0
 *
 * The set writes again (STORAGE.md Q4). Below W it serves what it has, read-only. When enough drives are there, a start is
 * run beside it, in a set of its own: R1 to R8, on files that are opened anew, with the drives that never failed and those
 * that came back. Nothing that serves is touched by it, so an attempt that fails leaves everything as it was. When it has
 * succeeded, its state takes the place of the old one, whole, under the writer's and the publish lock:
 *
 *   drives at rest -> recovery beside the set -> sequences of the old state are passed over -> exchange -> reset hook
 *     -> views of the old state end (a second at most) -> its index copies, files and erasure set go
 *
 * A drive counts only when every change that this process issued to it has returned: the drive object of a lost one was
 * closed (meta_slot_release) and another one is given; of one that stays, drive_changes has come down to 0. Checkpoint,
 * destage, rebuild and reclaim hold checkpoint_lock, and so does this; healers have ended.
 *
 * What readers of the old state take along: their views hold its memtables, read transactions and erasure set. What they
 * learned is told by sequences, and the unflushed suffix of the old state may be gone: its sequences are never used again
 * (a PAD passes over them), and whoever comes with one later is refused (struct stale_range). So a sequence stands for one
 * content for as long as the process lives, and caches of the layers above that compare them stay right. Rows that a
 * read-only start showed above its D carry SEQ_DOUBT instead.
 */
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "meta/set_internal.h"

#define REST_STEP_NS (NS_PER_MS)

static unsigned bits(uint32_t mask)
{
	return (unsigned)__builtin_popcount(mask);
}

/* ---- Before: which drives, and that they are at rest -------------------------------------------------------------- */
/* (C) The drives that never failed. */
static uint32_t staying(struct meta_set *s)
{
	uint32_t mask = 0;

	for (unsigned i = 0; i < s->n; i++)
		if (s->slot[i].d && !drive_is_out(s->slot[i].d))
			mask |= 1u << i;
	return mask;
}

/* A drive that does not come to rest is as good as lost. */
static uint32_t drives_rest(struct meta_set *s, uint32_t slots)
{
	uint64_t until = clock_mono_ns() + s->p.drive_timeout_ns;

	for (unsigned i = 0; i < s->n; i++) {
		struct drive *d = s->slot[i].d;
		if (!(slots & 1u << i))
			continue;
		while (drive_changes(d) && clock_mono_ns() < until) {
			meta_drive(s);
			clock_sleep_ns(REST_STEP_NS);
		}
		if (!drive_changes(d))
			continue;
		drive_set_out(d, true, "does not answer");
		slots &= ~(1u << i);
	}
	return slots;
}

/* They notice soon that the set does not write; what they have begun ends first. */
static bool healers_end(struct meta_set *s)
{
	uint64_t until = clock_mono_ns() + s->p.drive_timeout_ns;

	while (__atomic_load_n(&s->healers, __ATOMIC_SEQ_CST) && clock_mono_ns() < until)
		clock_sleep_ns(REST_STEP_NS);
	return !__atomic_load_n(&s->healers, __ATOMIC_SEQ_CST);
}

static struct meta_set *attempt_new(struct meta_set *s, uint32_t stay, struct drive *const drives[])
{
	struct meta_set *t = set_alloc(&s->p);
	unsigned at = 0;

	if (!t)
		return NULL;
	memset(t->p.drives, 0, sizeof t->p.drives);
	for (unsigned i = 0; i < s->n; i++)
		if (stay & 1u << i)
			t->p.drives[at++] = s->slot[i].d;
	for (unsigned i = 0; i < SUPER_MAX_SLOTS && at < SUPER_MAX_SLOTS; i++)
		if (drives[i])
			t->p.drives[at++] = drives[i];
	t->durable_floor = meta_durable_seq(s);
	t->given_up = s->given_up;
	drives_find_again(t, s);
	for (unsigned i = 0; i < s->n; i++) {
		/* A slot whose lost drive still has I/O under way takes no other. */
		if (!(stay & 1u << i) && s->slot[i].d)
			t->slot[i].d = NULL;
		if (!t->slot[i].d || !(stay & 1u << i))
			continue;
		t->slot[i].index = s->slot[i].index;
		t->slot[i].index_lent = s->slot[i].index != NULL;
	}
	return t;
}

static uint32_t found(const struct meta_set *t)
{
	uint32_t mask = 0;

	for (unsigned i = 0; i < t->n; i++)
		if (t->slot[i].d)
			mask |= 1u << i;
	return mask;
}

static struct meta_set *attempt_free(struct meta_set *t)
{
	for (unsigned i = 0; i < t->n; i++)
		if (t->slot[i].index_lent)
			t->slot[i].index = NULL;
	set_free(t);
	return NULL;
}

/* Sequences that the old state handed out behind what is kept, and one more: a view of the new state, which has the last one
 * that is passed over, is told from each of the old. */
static int pass_over(struct meta_set *t, uint64_t next)
{
	uint64_t to = t->next_seq < next ? next + 1 : t->next_seq;

	while (t->next_seq < to) {
		struct wrec *r = wrec_get(t);
		buf_reset(&t->body);
		r->control = true;
		int rc = record_build(t, r, RECORD_PAD, (uint32_t)MIN(to - t->next_seq, (uint64_t)UINT32_MAX), 0);
		if (rc == 0) {
			record_write_sync(t, r);
			publish_applied(&t->pub, r->last_seq);
		}
		wrec_put(t, r);
		if (rc < 0)
			return rc;
		t->flush_wanted = t->last_is_pad = true;
	}
	return 0;
}

/* Drives that fail in recovery are lost, so that they are opened anew before the next attempt. */
static void note_lost(struct meta_set *s, const struct meta_set *t, uint32_t stay)
{
	for (unsigned i = 0; i < s->n; i++)
		if ((stay & 1u << i) && (!t->slot[i].d || t->slot[i].io_lost))
			drive_set_out(s->slot[i].d, true, "failed in recovery");
}

static int recover(struct meta_set *s, struct meta_set *t, struct op_ctx *ctx)
{
	uint32_t have = found(t);

	if (bits(have) < MAX(s->r, s->w))
		return op_fail(ctx, -QE_QUORUM_WRITE, "%u drives of this set are here, %u are needed to write", bits(have),
			       MAX(s->r, s->w));
	int rc = set_recover(t, s, ctx);
	if (rc == 0 && !meta_writable(t))
		rc = op_fail(ctx, -QE_QUORUM_WRITE, "too few drives count to write");
	mutex_lock(&s->writer);
	uint64_t next = s->next_seq;
	writer_unlock(s);
	return rc < 0 ? rc : pass_over(t, next);
}

/* ---- The exchange (C, W) ------------------------------------------------------------------------------------------ */
static void take_slots(struct meta_set *s, struct meta_set *t, struct index *old[])
{
	for (unsigned i = 0; i < s->n; i++) {
		struct set_slot *to = &s->slot[i], *from = &t->slot[i];
		/* What is not read any more may still be by views of the old state; also one that was lent, of a drive now lost. */
		old[i] = !from->d || to->index != from->index ? to->index : NULL;
		if (!from->d) { /* absent, or lost and not released yet */
			to->has_super = to->counts = false;
			to->index = NULL;
			continue;
		}
		mutex_lock(&s->drives_lock);
		if (!(t->in_mask & 1u << i) && !*from->why)
			memcpy(from->why, to->why, sizeof from->why);
		*to = *from;
		to->set = s;
		to->index_lent = false;
		mutex_unlock(&s->drives_lock);
		from->index = NULL;
		if (to->index)
			index_watch(to);
	}
}

static void take_journal(struct meta_set *s, struct meta_set *t)
{
	journal_exchange(&s->journal, &t->journal);
	s->isr = t->isr;
	s->isr_durable = t->isr_durable;
	s->in_mask = t->in_mask;
	s->fail_mask = t->fail_mask;
	s->join_mask = 0;
	s->join_born.n = 0;
	s->isr_pending = t->isr_pending;
	s->isr_epoch = t->isr_epoch;
	s->isr_seq = t->isr_seq;
	s->next_seq = t->next_seq;
	s->head_crc = t->head_crc;
	s->last_wall_ns = MAX(s->last_wall_ns, t->last_wall_ns);
	s->nhistory = t->nhistory;
	memcpy(s->history, t->history, sizeof s->history);
	s->last_is_pad = t->last_is_pad;
	s->last_record_ns = t->last_record_ns;
	s->dirty_since_ns = t->dirty_since_ns;
	s->cells_dirty = t->cells_dirty;
	s->flush_wanted = t->flush_wanted;
	s->full = false;
	s->full_since_ns = 0;
	__atomic_store_n(&s->reign_epoch, t->reign_epoch, __ATOMIC_RELAXED);
	s->start = t->start;
	s->frozen_seq = 0;
	s->hold_checkpoint = t->hold_checkpoint;
	s->missing_ranges = t->missing_ranges;
	s->rebuild_ns = 0;
	slots_give_up(s, s->given_up & ~s->in_mask);
}

/* Numbers of the old state that the new one does not know: from here on they are refused. */
static void note_stale(struct meta_set *s, uint64_t after, uint64_t last)
{
	if (last <= after)
		return;
	MUTEX_GUARD(&s->answer_lock);
	struct stale_range *r = vec_push(&s->stale, sizeof *r);
	ASSERT(r);
	*r = (struct stale_range){after, last};
	__atomic_store_n(&s->has_stale, true, __ATOMIC_RELEASE);
}

static void exchange(struct meta_set *s, struct meta_set *t, struct index *old[])
{
	struct hash segments = s->segments;
	struct erasure_set *erasure = s->erasure;
	uint64_t epoch = __atomic_load_n(&t->epoch, __ATOMIC_RELAXED);

	note_stale(s, meta_durable_seq(t), s->next_seq - 1);
	take_slots(s, t, old);
	s->segments = t->segments;
	t->segments = segments;
	s->erasure = t->erasure;
	t->erasure = erasure;
	take_journal(s, t);
	__atomic_store_n(&s->epoch, epoch, __ATOMIC_SEQ_CST);
	__atomic_store_n(&s->next_id, t->next_id, __ATOMIC_SEQ_CST);
	if (!s->start_epoch) /* it started read-only */
		s->start_epoch = epoch;
	__atomic_store_n(&s->index_bad, t->index_bad, __ATOMIC_SEQ_CST);
	__atomic_store_n(&s->slot_errors, t->slot_errors, __ATOMIC_SEQ_CST);
	__atomic_store_n(&s->checkpoint_seq, t->checkpoint_seq, __ATOMIC_RELAXED);
	__atomic_store_n(&s->memtable_first_ns, t->memtable_first_ns, __ATOMIC_RELAXED);
	__atomic_store_n(&s->st.unavailable_blobs, t->st.unavailable_blobs, __ATOMIC_RELAXED);
	publish_exchange(&s->pub, &t->pub);
	__atomic_store_n(&s->flush_upto, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&s->durable_seq, meta_durable_seq(t), __ATOMIC_SEQ_CST);
	__atomic_store_n(&s->writable, true, __ATOMIC_SEQ_CST);
}

/* False: a file is being made ready, with the lists of the old journal. */
static bool try_exchange(struct meta_set *s, struct meta_set *t, struct index *old[])
{
	mutex_lock(&s->writer);
	/* What was queued was built on the old state: it is refused now. */
	writer_step(s);
	bool now = s->preparing == 0;
	if (now)
		exchange(s, t, old);
	writer_unlock(s);
	return now;
}

/* ---- After: the old state goes ------------------------------------------------------------------------------------ */
void retired_free(struct meta_set *s, bool wait)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < s->retired.n; i++) {
		struct erasure_set *e = *VEC_AT(&s->retired, struct erasure_set *, i);
		if (wait || erasure_set_quiet(e))
			erasure_set_free(e);
		else
			*VEC_AT(&s->retired, struct erasure_set *, kept++) = e;
	}
	s->retired.n = kept;
	if (wait)
		vec_free(&s->retired);
}

void retired_detach(struct meta_set *s, unsigned slot)
{
	for (unsigned i = 0; i < s->retired.n; i++)
		erasure_slot_detach(*VEC_AT(&s->retired, struct erasure_set *, i), slot);
}

static void retire(struct meta_set *s, struct meta_set *t)
{
	struct erasure_set **at = vec_push(&s->retired, sizeof *at);

	ASSERT(at);
	*at = t->erasure;
	t->erasure = NULL;
}

static void tell(struct meta_set *s)
{
	if (s->p.reset)
		s->p.reset(s->p.arg);
}

static void take_over(void *arg, const struct segment_info *info)
{
	struct meta_set *s = arg;
	struct segment_info known, full = *info;

	if (erasure_segment_get(s->erasure, info->id, &known))
		return;
	full.state = SEGMENT_SEALED;
	full.sealed_4k = full.size_4k;
	(void)!erasure_segment_add(s->erasure, &full);
}

/* Files that no row names go, but for what an open file has written and not published: it is read from there. Such segments
 * stay known until the next start. */
static void clean_up(struct meta_set *s)
{
	for (unsigned i = 0; i < s->retired.n; i++)
		erasure_segments_in_use(*VEC_AT(&s->retired, struct erasure_set *, i), take_over, s);
	reclaim_orphans(s);
	retired_free(s, false);
}

static void finish(struct meta_set *s, struct meta_set *t, struct index *old[])
{
	uint64_t since = clock_mono_ns();

	meta_drive(s);
	tell(s);
	while (!publish_drained(&s->pub, since))
		clock_sleep_ns(REST_STEP_NS);
	/* What a front read of the old state until now may have reached a kernel behind the first call. */
	tell(s);
	for (unsigned i = 0; i < s->n; i++)
		index_close(old[i]);
	attempt_free(t);
	clean_up(s);
}

int meta_set_revive(struct meta_set *s, struct drive *drives[SUPER_MAX_SLOTS], struct op_ctx *ctx)
{
	struct index *old[SUPER_MAX_SLOTS] = {NULL};
	MUTEX_GUARD(&s->checkpoint_lock);

	if (meta_writable(s))
		return 0;
	if (!healers_end(s))
		return op_fail(ctx, -QE_BUSY, "a heal has not ended yet");
	/* Late errors of the old cells are not those of the new ones. */
	erasure_on_slot_error(s->erasure, NULL, NULL);
	erasure_on_sealed(s->erasure, NULL, NULL);
	uint32_t stay = drives_rest(s, staying(s));
	struct meta_set *t = attempt_new(s, stay, drives);
	if (!t)
		return -ENOMEM;
	int rc = recover(s, t, ctx);
	note_lost(s, t, stay);
	uint64_t until = clock_mono_ns() + s->p.drive_timeout_ns;
	while (rc == 0 && !try_exchange(s, t, old)) {
		rc = clock_mono_ns() < until ? 0 : op_fail(ctx, -QE_BUSY, "a log file is still being made ready");
		clock_sleep_ns(REST_STEP_NS);
	}
	if (rc < 0) {
		attempt_free(t);
		return rc;
	}
	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++)
		for (unsigned j = 0; drives[i] && j < s->n; j++)
			if (s->slot[j].d == drives[i])
				drives[i] = NULL;
	retire(s, t);
	char text[SLOTS_TEXT];
	log_info("meta", "the set writes again epoch=%llu in=\"%d of %u (slots %s)\"", (unsigned long long)s->epoch,
		 __builtin_popcount(s->in_mask), s->n, slots_text(s->in_mask, text));
	finish(s, t, old);
	return 0;
}
