/* SPDX-License-Identifier: Apache-2.0
 *
 * A set as a whole: opening, the background threads, what is told about it.
 *
 * qn-journal does what time asks for: the flush of ordered records, the PAD, drives that do not answer, log files made
 * ready ahead, and it waits for I/O when nobody else does. qn-checkpoint runs checkpoints.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fdio.h"
#include "base/log.h"
#include "base/thread.h"
#include "meta/set_internal.h"

#define TICK_NS (100 * NS_PER_MS)
#define PAD_NS (400 * NS_PER_MS)   /* STORAGE.md: a PAD within 1 s after the last record */
#define QUEUE_DEPTH 256
#define FULL_PATIENCE 6            /* times full_wait_ns, while a checkpoint is making room */
#define FULL_IDLE_NS (2 * NS_PER_S) /* as checkpoint_idle_ns, while deletes are to give space back */
#define RECLAIM_NS (30 * NS_PER_S)
#define REBUILD_NS (60 * NS_PER_S) /* between attempts to make an index copy anew */

/* A full segment was sealed: its row follows in the next record. */
void set_sealed(void *arg, const struct segment_info *info)
{
	struct meta_set *s = arg;
	struct meta_batch *b = meta_batch_new(s, META_ORDERED, OP_HEAL);

	if (!b)
		return; /* the next start seals it again */
	b->internal = true;
	batch_segment(b, info, 0, 0);
	meta_submit(b, NULL, NULL);
	set_kick(s);
}

static uint64_t set_epoch(void *arg)
{
	return __atomic_load_n(&((struct meta_set *)arg)->epoch, __ATOMIC_RELAXED);
}

/* ---- The background ----------------------------------------------------------------------------------------------- */
static void full_expired(struct meta_set *s, struct list *q)
{
	struct list keep = LIST_INIT(keep);
	struct list *n;

	mutex_lock(&s->queue_lock);
	list_splice_tail(&keep, q);
	mutex_unlock(&s->queue_lock);
	while ((n = list_pop(&keep)) != NULL)
		answer_batch(s, LIST_ENTRY(n, struct meta_batch, node), -QE_FULL);
}

static void queue_pad(struct meta_set *s)
{
	struct meta_batch *b = meta_batch_new(s, META_DURABLE, OP_ADMIN);

	if (!b)
		return;
	b->kind = BATCH_PAD;
	b->internal = true;
	meta_submit(b, NULL, NULL);
	s->last_is_pad = true;
}

/* (W) A PAD carries durable_seq, so what is before it is flushed first. */
static void tick_pad(struct meta_set *s, uint64_t now)
{
	if (s->last_is_pad || !list_empty(&s->unapplied) || s->round || now - s->last_record_ns < PAD_NS)
		return;
	if (meta_durable_seq(s) < publish_applied_seq(&s->pub))
		s->flush_wanted = true;
	else
		queue_pad(s);
}

static uint64_t full_wait(const struct meta_set *s)
{
	return s->p.full_wait_ns * (__atomic_load_n(&s->checkpointing, __ATOMIC_RELAXED) ? FULL_PATIENCE : 1);
}

/* (W) A call of somebody who only reads was given up, and took its drive out: nobody has told the set. */
static uint32_t slots_gone(struct meta_set *s)
{
	uint32_t gone = 0;

	for (uint32_t m = s->in_mask & ~s->fail_mask; m; m &= m - 1)
		if (drive_is_out(s->slot[__builtin_ctz(m)].d))
			gone |= m & -m;
	slots_note_failed(s, gone, "a call failed");
	return gone;
}

static void tick_writer(struct meta_set *s)
{
	uint64_t now = clock_mono_ns();

	mutex_lock(&s->writer);
	if (meta_writable(s)) {
		uint64_t timeout = s->p.drive_timeout_ns;
		uint32_t overdue = slots_overdue(s, now > timeout ? now - timeout : 0) & s->in_mask;
		slots_note(s, overdue, "no answer within drive.timeout");
		s->fail_mask |= overdue | slots_gone(s);
		if (s->dirty_since_ns && now - s->dirty_since_ns >= s->p.ordered_window_ns)
			s->flush_wanted = true;
		tick_pad(s, now);
		if (!s->full)
			s->full_since_ns = 0;
		else if (!s->full_since_ns)
			s->full_since_ns = now;
		else if (now - s->full_since_ns > full_wait(s)) {
			full_expired(s, &s->q_ordered);
			full_expired(s, &s->q_durable);
			s->full_since_ns = 0;
		}
	}
	writer_step(s);
	writer_unlock(s);
	answers_run(s);
}

static void tick_prepare(struct meta_set *s)
{
	struct journal *j = &s->journal;
	uint32_t failed = 0;

	mutex_lock(&s->writer);
	bool wanted = meta_writable(s) && j->cur && j->off > j->file_size / 4 && journal_room(j) > journal_reserve(j);
	uint64_t next = j->cur ? j->cur->log + 1 : 0;
	s->preparing += wanted;
	mutex_unlock(&s->writer);
	if (!wanted)
		return;
	if (journal_prepare(j, next, &failed) == 0 && failed) {
		slots_note_failed(s, failed, "a log file cannot be made");
		__atomic_fetch_or(&s->slot_errors, failed, __ATOMIC_SEQ_CST);
		set_kick(s);
	}
	mutex_lock(&s->writer);
	s->preparing--;
	writer_unlock(s);
}

void meta_tick(struct meta_set *s)
{
	if (__atomic_load_n(&s->killed, __ATOMIC_ACQUIRE))
		return;
	if (s->lane)
		drive_queue_watch(s->lane, s->p.drive_timeout_ns / 4);
	tick_writer(s);
	tick_prepare(s);
}

static void *journal_main(void *arg)
{
	struct meta_set *s = arg;
	uint64_t next = clock_mono_ns() + TICK_NS;

	mutex_lock(&s->bg_lock);
	while (!s->stop) {
		bool pending = s->bg_pending || cond_wait_until(&s->bg_cond, &s->bg_lock, next);
		s->bg_pending = false;
		mutex_unlock(&s->bg_lock);
		while (pending && background_pilot(s) && clock_mono_ns() < next)
			;
		if (clock_mono_ns() >= next) {
			meta_tick(s);
			background_pilot(s);
			next = clock_mono_ns() + TICK_NS;
		}
		mutex_lock(&s->bg_lock);
		s->bg_pending |= pending && drive_queue_inflight(s->queue) && !__atomic_load_n(&s->has_loop, __ATOMIC_SEQ_CST);
	}
	mutex_unlock(&s->bg_lock);
	return NULL;
}

static bool checkpoint_due(struct meta_set *s)
{
	uint64_t first = __atomic_load_n(&s->memtable_first_ns, __ATOMIC_RELAXED);

	if (!meta_writable(s) || __atomic_load_n(&s->hold_checkpoint, __ATOMIC_RELAXED) || join_holds(s))
		return false;
	uint64_t now = clock_mono_ns();
	mutex_lock(&s->writer);
	uint32_t lacking = s->in_mask & index_homes(s), bad = __atomic_load_n(&s->index_bad, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < s->n; i++)
		if (s->slot[i].index && !(bad & 1u << i))
			lacking &= ~(1u << i);
	/* A drive that has no good copy gets one behind a checkpoint: soon, but not again and again. */
	bool rebuild = lacking && now >= s->rebuild_ns;
	if (rebuild)
		s->rebuild_ns = now + REBUILD_NS;
	bool due = rebuild || s->full || s->journal.nused > s->journal.max_files / 2 ||
		   memtable_bytes(publish_active(&s->pub)) > s->p.memtable_bytes ||
		   (first && now > first && now - first > (space_low(s) ? FULL_IDLE_NS : s->p.checkpoint_idle_ns));
	writer_unlock(s);
	return due;
}

/* What becomes free without a checkpoint: when a reader or an old state is gone, and what the last process left behind. */
static void tidy(struct meta_set *s, uint64_t *reclaim_at_ns)
{
	uint64_t now = clock_mono_ns();

	if (!mutex_trylock(&s->checkpoint_lock))
		return;
	retired_free(s, false);
	if (now >= *reclaim_at_ns && meta_writable(s) && !__atomic_load_n(&s->joining, __ATOMIC_ACQUIRE)) {
		reclaim_run(s);
		*reclaim_at_ns = now + RECLAIM_NS;
	}
	mutex_unlock(&s->checkpoint_lock);
}

static void *checkpoint_main(void *arg)
{
	struct meta_set *s = arg;
	uint64_t reclaim_at_ns = 0;

	mutex_lock(&s->checkpoint_lock);
	reclaim_orphans(s);
	mutex_unlock(&s->checkpoint_lock);
	mutex_lock(&s->bg_lock);
	while (!s->stopping) {
		(void)cond_wait_until(&s->ckpt_cond, &s->bg_lock, clock_mono_ns() + TICK_NS);
		if (s->stopping)
			break;
		mutex_unlock(&s->bg_lock);
		space_look(s);
		if (ids_low(s) && meta_writable(s) && !__atomic_load_n(&s->joining, __ATOMIC_ACQUIRE)) {
			MUTEX_GUARD(&s->checkpoint_lock);
			int rc = epoch_in_place(s);
			if (rc < 0)
				log_warn("meta", "no new epoch yet: %s", err_text(rc));
		}
		tidy(s, &reclaim_at_ns);
		if (checkpoint_due(s)) {
			int rc = meta_checkpoint(s);
			if (rc < 0)
				log_warn("meta", "checkpoint failed, it is tried again: %s", err_text(rc));
			if (rc < 0)
				clock_sleep_ns(TICK_NS);
		}
		mutex_lock(&s->bg_lock);
	}
	mutex_unlock(&s->bg_lock);
	return NULL;
}

static int threads_start(struct meta_set *s)
{
	if (s->p.no_background)
		return 0;
	int rc = thread_start(&s->journal_thread, "qn-journal", journal_main, s);
	if (rc < 0)
		return rc;
	s->has_threads = true;
	rc = thread_start(&s->checkpoint_thread, "qn-checkpoint", checkpoint_main, s);
	s->has_checkpoint_thread = rc == 0;
	return rc;
}

void set_checkpoints_stop(struct meta_set *s)
{
	mutex_lock(&s->bg_lock);
	__atomic_store_n(&s->stopping, true, __ATOMIC_RELAXED);
	cond_broadcast(&s->ckpt_cond);
	mutex_unlock(&s->bg_lock);
	if (s->has_checkpoint_thread)
		thread_join(s->checkpoint_thread);
	s->has_checkpoint_thread = false;
}

void set_threads_stop(struct meta_set *s)
{
	set_checkpoints_stop(s);
	mutex_lock(&s->bg_lock);
	s->stop = true;
	cond_broadcast(&s->bg_cond);
	mutex_unlock(&s->bg_lock);
	if (s->has_threads)
		thread_join(s->journal_thread);
	s->has_threads = false;
}

/* ---- Opening ------------------------------------------------------------------------------------------------------ */
static void defaults(struct meta_params *p)
{
	p->log2_journal_file = p->log2_journal_file ? p->log2_journal_file : 26;
	p->inline_max = p->inline_max ? MIN(p->inline_max, LARGE_INLINE_MAX) : 32768;
	p->memtable_bytes = p->memtable_bytes ? p->memtable_bytes : 512u << 20;
	p->ordered_window_ns = p->ordered_window_ns ? p->ordered_window_ns : 5 * NS_PER_S;
	p->drive_timeout_ns = p->drive_timeout_ns ? p->drive_timeout_ns : 5 * NS_PER_S;
	p->full_wait_ns = p->full_wait_ns ? p->full_wait_ns : 5 * NS_PER_S;
	p->checkpoint_idle_ns = p->checkpoint_idle_ns ? p->checkpoint_idle_ns : 60 * NS_PER_S;
	p->index_map_bytes = p->index_map_bytes ? p->index_map_bytes : 1ull << 40;
}

struct meta_set *set_alloc(const struct meta_params *p)
{
	struct meta_set *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	s->p = *p;
	defaults(&s->p);
	s->epfd = s->kick_fd = -1;
	mutex_init(&s->writer, LOCK_WRITER);
	mutex_init(&s->queue_lock, LOCK_SEQUENCER);
	mutex_init(&s->answer_lock, LOCK_QUEUE);
	mutex_init(&s->bg_lock, LOCK_QUEUE);
	mutex_init(&s->heal_lock, LOCK_QUEUE);
	mutex_init(&s->checkpoint_lock, LOCK_CHECKPOINT);
	mutex_init(&s->drives_lock, LOCK_DRIVE);
	cond_init(&s->bg_cond);
	cond_init(&s->ckpt_cond);
	struct list *lists[] = {&s->idle_wrecs, &s->unapplied, &s->barriers, &s->wait_durable, &s->q_control, &s->q_ordered,
				&s->q_durable, &s->answers, &s->due, &s->waiters, &s->blocked};
	for (unsigned i = 0; i < ARRAY_SIZE(lists); i++)
		list_init(lists[i]);
	hash_init(&s->segments);
	group_init(&s->group, s);
	return s;
}

static unsigned journal_files(const struct meta_set *s)
{
	uint64_t least = UINT64_MAX;
	struct drive_space space;

	if (s->p.journal_files)
		return MAX(s->p.journal_files, (unsigned)JOURNAL_MIN_FILES);
	for (unsigned i = 0; i < s->n; i++)
		if (s->slot[i].d && drive_space(s->slot[i].d, &space) == 0)
			least = MIN(least, space.total_bytes / 32 >> s->p.log2_journal_file);
	return (unsigned)MAX(MIN(least, (uint64_t)16), (uint64_t)JOURNAL_MIN_FILES);
}

static int erasure_open(struct meta_set *s, struct meta_set *owner)
{
	struct erasure_params ep = {
		.n = s->n,
		.k = s->k,
		.m = s->m,
		.pool = s->p.pool,
		.set = s->p.set,
		.need = s->w,
		.segment_size = s->p.segment_size,
		.spares = s->p.spares,
		.drive_timeout_ns = s->p.drive_timeout_ns,
		.new_id = set_new_id,
		.epoch = set_epoch,
		.reserve = space_reserve,
		.arg = owner,
	};

	for (unsigned i = 0; i < s->n; i++)
		ep.drives[i] = s->slot[i].d;
	s->erasure = erasure_set_new(&ep);
	if (!s->erasure)
		return -ENOMEM;
	erasure_on_slot_error(s->erasure, isr_slot_error, owner);
	erasure_on_sealed(s->erasure, set_sealed, owner);
	return 0;
}

/* Layers below report what is not of this set's parameters when they read the superblocks (recovery). */
int set_recover(struct meta_set *s, struct meta_set *owner, struct op_ctx *ctx)
{
	s->queue = drive_queue_new(QUEUE_DEPTH, s->p.queue_threads);
	if (!s->queue)
		return -ENOMEM;
	int rc = events_open(s);
	if (rc == 0)
		rc = supers_find(s, ctx);
	if (rc == 0)
		rc = erasure_open(s, owner);
	if (rc < 0)
		return rc;
	journal_init(&s->journal, s->n, s->p.log2_journal_file, journal_files(s));
	s->has_journal = true;
	return recovery_run(s, ctx);
}

static int set_start(struct meta_set *s, struct op_ctx *ctx)
{
	int rc = drives_find(s, ctx);

	if (rc == 0)
		rc = set_recover(s, s, ctx);
	if (rc == 0)
		heal_progress_load(s);
	/* Of one drive all wait anyway. */
	if (rc == 0 && s->n > 1) {
		s->lane = drive_queue_new_lane(lane_finished, s);
		rc = s->lane ? 0 : -ENOMEM;
	}
	return rc < 0 ? rc : threads_start(s);
}

int set_open(const struct meta_params *p, struct fsck *f, struct op_ctx *ctx, struct meta_set **ret)
{
	struct meta_set *s = set_alloc(p);

	if (!s)
		return -ENOMEM;
	s->fsck = f;
	int rc = set_start(s, ctx);
	if (rc < 0) {
		(void)!set_end(s); /* what hangs keeps it */
		return rc;
	}
	*ret = s;
	return 0;
}

int meta_set_open(const struct meta_params *p, struct op_ctx *ctx, struct meta_set **ret)
{
	return set_open(p, NULL, ctx, ret);
}

/* ---- Views and numbers -------------------------------------------------------------------------------------------- */
int meta_view_open(struct meta_set *s, struct meta_view **ret)
{
	return view_open(&s->pub, ret);
}

int meta_recount(struct meta_set *s, bool (*step)(void *arg, uint64_t rows), void *arg, struct buf *ret)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	int rc = meta_view_open(s, &v);

	return rc < 0 ? rc : recount_view(v, step, arg, ret);
}

const uint8_t *meta_deployment_id(const struct meta_set *s)
{
	return s->deployment;
}

struct erasure_set *meta_erasure_hold(struct meta_set *s)
{
	MUTEX_GUARD(&s->pub.lock);

	return erasure_set_hold(s->pub.erasure);
}

bool meta_epoch_taken(struct meta_set *s, uint64_t epoch)
{
	return epoch >= __atomic_load_n(&s->reign_epoch, __ATOMIC_RELAXED);
}

uint32_t meta_inline_max(const struct meta_set *s)
{
	return s->p.inline_max;
}

uint64_t meta_durable_seq(const struct meta_set *s)
{
	return __atomic_load_n(&s->durable_seq, __ATOMIC_SEQ_CST);
}

uint64_t meta_applied_seq(const struct meta_set *s)
{
	return publish_applied_seq(&s->pub);
}

bool meta_writable(const struct meta_set *s)
{
	return __atomic_load_n(&s->writable, __ATOMIC_SEQ_CST);
}

/* (W) */
static enum isr_state state_now(struct meta_set *s, unsigned slot)
{
	MUTEX_GUARD(&s->drives_lock);
	const struct drive *d = s->slot[slot].d;
	bool there = d && !drive_is_out(d);

	return there || s->isr.slot[slot].state != ISR_IN ? s->isr.slot[slot].state : ISR_OUT;
}

void meta_stats(struct meta_set *s, struct meta_stats *ret)
{
	const struct meta_stats *st = &s->st;
	const uint64_t *from[] = {&st->records, &st->batches, &st->rejected, &st->flush_rounds, &st->journal_bytes,
				  &st->checkpoints, &st->destaged_blobs, &st->destaged_bytes, &st->checkpoint_rows,
				  &st->checkpoint_row_bytes, &st->index_bytes,
				  &st->degraded_reads, &st->unavailable_blobs, &st->checkpoint_ended_ns, &st->checkpoint_took_ns,
				  &st->reclaimed_segments, &st->reclaimed_bytes};
	uint64_t *to[] = {&ret->records, &ret->batches, &ret->rejected, &ret->flush_rounds, &ret->journal_bytes,
			  &ret->checkpoints, &ret->destaged_blobs, &ret->destaged_bytes, &ret->checkpoint_rows,
			  &ret->checkpoint_row_bytes, &ret->index_bytes,
			  &ret->degraded_reads, &ret->unavailable_blobs, &ret->checkpoint_ended_ns, &ret->checkpoint_took_ns,
			  &ret->reclaimed_segments, &ret->reclaimed_bytes};

	memset(ret, 0, sizeof *ret);
	for (unsigned i = 0; i < ARRAY_SIZE(to); i++)
		*to[i] = __atomic_load_n(from[i], __ATOMIC_RELAXED);
	ret->n = s->n;
	ret->k = s->k;
	ret->m = s->m;
	ret->w = __atomic_load_n(&s->w, __ATOMIC_RELAXED);
	ret->writable = meta_writable(s);
	ret->has_loop = __atomic_load_n(&s->has_loop, __ATOMIC_RELAXED);
	ret->epoch = set_epoch(s);
	ret->applied_seq = meta_applied_seq(s);
	ret->durable_seq = meta_durable_seq(s);
	ret->checkpointing = __atomic_load_n(&s->checkpointing, __ATOMIC_RELAXED);
	ret->checkpoint_seq = __atomic_load_n(&s->checkpoint_seq, __ATOMIC_RELAXED);
	mutex_lock(&s->writer);
	struct memtable *frozen = publish_frozen(&s->pub);
	ret->isr = s->isr;
	flush_time_tell(&s->flush_time, &ret->flush);
	ret->memtable_bytes = memtable_bytes(publish_active(&s->pub));
	ret->memtable_rows = memtable_rows(publish_active(&s->pub));
	ret->frozen_bytes = frozen ? memtable_bytes(frozen) : 0;
	ret->journal_files = s->journal.max_files;
	ret->journal_free = journal_room(&s->journal);
	ret->missing_ranges = s->missing_ranges;
	ret->index_bad = __atomic_load_n(&s->index_bad, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < s->n; i++) {
		ret->state[i] = state_now(s, i);
		ret->missing_of[i] = erasure_missing_count(s->erasure, i);
	}
	ret->full = erasure_full_slots(s->erasure);
	writer_unlock(s);
}
