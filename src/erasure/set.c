/* SPDX-License-Identifier: Apache-2.0
 *
 * The set: what it is made of, and who waits for its I/O.
 *
 * All cell I/O goes through one drive_queue. Whoever must wait takes the lead if nobody has it, and reaps for all; the
 * others sleep until their own I/O is done or the lead is free. So a lone writer or reader is never woken by another
 * thread. While stripes are in flight the set's own thread looks in every TICK_NS: it reaps when nobody waits (buffers
 * are released while the writer does something else), and gives up cell writes that exceed the drive timeout.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/thread.h"
#include "erasure/erasure_internal.h"

#define TICK_NS (2 * NS_PER_MS)
#define LEAD_NS (50 * NS_PER_MS)
#define QUEUE_DEPTH 256
#define LARGE_STRIPE (1u << 20)
#define MAX_FILES 1024

/* ---- Checksums of blocks ----------------------------------------------------------------------------------------- */
void blocks_sum(const void *p, uint32_t len, unsigned block_log2, uint32_t *ret)
{
	const uint8_t *b = p;
	uint32_t block = 1u << block_log2;

	for (uint32_t at = 0; at < len; at += block)
		*ret++ = checksum_crc32c(0, b + at, MIN(block, len - at));
}

unsigned blocks_verify(const void *p, uint32_t len, unsigned block_log2, const uint32_t *crc)
{
	const uint8_t *b = p;
	uint32_t block = 1u << block_log2;
	unsigned bad = 0;

	for (uint32_t at = 0; at < len; at += block)
		bad += checksum_crc32c(0, b + at, MIN(block, len - at)) != *crc++;
	return bad;
}

/* ---- Waiting ----------------------------------------------------------------------------------------------------- */
void cell_waiter_init(struct cell_waiter *w)
{
	*w = (struct cell_waiter){0};
	list_init(&w->node);
	cond_init(&w->cond);
}

void cell_waiter_done(struct cell_waiter *w)
{
	ASSERT(!w->sleeping);
	cond_destroy(&w->cond);
}

void cell_wake(struct cell_waiter *w)
{
	if (w->sleeping && w->pending <= w->limit)
		cond_signal(&w->cond);
}

/* The lead is free: the first sleeper takes it. */
static void lead_pass(struct erasure_set *s)
{
	if (!s->leading && !list_empty(&s->waiters))
		cond_signal(&LIST_ENTRY(s->waiters.next, struct cell_waiter, node)->cond);
}

static void lead(struct erasure_set *s, uint64_t timeout_ns)
{
	s->leading = true;
	mutex_unlock(&s->lock);
	drive_queue_reap(s->queue, timeout_ns);
	mutex_lock(&s->lock);
	s->leading = false;
}

bool cell_wait(struct erasure_set *s, struct cell_waiter *w, unsigned limit, uint64_t deadline_ns)
{
	mutex_assert_held(&s->lock);
	w->limit = limit;
	while (w->pending > limit) {
		uint64_t now = clock_mono_ns();
		if (deadline_ns && now >= deadline_ns)
			break;
		if (!s->leading) {
			lead(s, deadline_ns ? MIN(deadline_ns - now, LEAD_NS) : LEAD_NS);
			continue;
		}
		w->sleeping = true;
		list_add_tail(&s->waiters, &w->node);
		if (deadline_ns)
			(void)cond_wait_until(&w->cond, &s->lock, deadline_ns);
		else
			cond_wait(&w->cond, &s->lock);
		list_del(&w->node);
		w->sleeping = false;
	}
	lead_pass(s);
	return w->pending <= limit;
}

void set_tick(struct erasure_set *s)
{
	if (s->tick_idle)
		cond_signal(&s->tick);
}

static bool set_busy(const struct erasure_set *s)
{
	return !list_empty(&s->jobs) || s->abandoned;
}

static void *set_thread(void *arg)
{
	struct erasure_set *s = arg;

	mutex_lock(&s->lock);
	while (!s->stop) {
		if (!set_busy(s)) {
			s->tick_idle = true;
			cond_wait(&s->tick, &s->lock);
			s->tick_idle = false;
			continue;
		}
		(void)cond_wait_until(&s->tick, &s->lock, clock_mono_ns() + TICK_NS);
		if (!s->leading) {
			lead(s, 0);
			lead_pass(s);
		}
		jobs_expire_locked(s);
	}
	mutex_unlock(&s->lock);
	return NULL;
}

/* ---- Slot errors ------------------------------------------------------------------------------------------------- */
bool slot_suspect_locked(struct erasure_set *s, unsigned slot)
{
	mutex_assert_held(&s->lock);
	bool first = !(s->suspect & 1u << slot);
	s->suspect |= 1u << slot;
	return first;
}

void slot_report(struct erasure_set *s, unsigned slot, int rc)
{
	STAT_ADD(s, slot_errors, 1);
	mutex_lock(&s->lock);
	void (*fn)(void *, unsigned, int) = s->slot_error;
	void *arg = s->slot_error_arg;
	mutex_unlock(&s->lock);
	if (fn)
		fn(arg, slot, rc);
}

void slot_failed(struct erasure_set *s, unsigned slot, int rc)
{
	mutex_lock(&s->lock);
	bool first = slot_suspect_locked(s, slot);
	mutex_unlock(&s->lock);
	if (first)
		slot_report(s, slot, rc);
}

void erasure_on_slot_error(struct erasure_set *s, void (*fn)(void *arg, unsigned slot, int rc), void *arg)
{
	mutex_lock(&s->lock);
	s->slot_error = fn;
	s->slot_error_arg = arg;
	mutex_unlock(&s->lock);
}

void erasure_on_sealed(struct erasure_set *s, void (*fn)(void *arg, const struct segment_info *info), void *arg)
{
	mutex_lock(&s->lock);
	s->sealed = fn;
	s->sealed_arg = arg;
	mutex_unlock(&s->lock);
}

/* ---- Drives ------------------------------------------------------------------------------------------------------ */
struct drive *slot_drive(struct erasure_set *s, unsigned slot)
{
	MUTEX_GUARD(&s->lock);

	return drive_hold(s->drives[slot]);
}

bool slot_there(struct erasure_set *s, unsigned slot)
{
	MUTEX_GUARD(&s->lock);

	return s->drives[slot] && !drive_is_out(s->drives[slot]);
}

void erasure_slot_detach(struct erasure_set *s, unsigned slot)
{
	mutex_lock(&s->lock);
	ASSERT(!(s->writers & 1u << slot));
	s->drives[slot] = NULL;
	mutex_unlock(&s->lock);
	segment_close_slot(s, slot, true);
}

void erasure_slot_attach(struct erasure_set *s, unsigned slot, struct drive *d)
{
	MUTEX_GUARD(&s->lock);

	ASSERT(slot < s->n && !s->drives[slot]);
	s->drives[slot] = d;
}

/* ---- The set ----------------------------------------------------------------------------------------------------- */
/* 1 GiB; on small drives 1/64 of the smallest, rounded down to a power of two, at least 64 MiB. */
static uint64_t default_segment_size(const struct erasure_set *s)
{
	uint64_t size = 1ull << 30, least = 64ull << 20;

	for (unsigned i = 0; i < s->n; i++) {
		struct drive_space space;
		if (!s->drives[i] || drive_space(s->drives[i], &space) < 0)
			continue;
		while (size > least && size > space.total_bytes / 64)
			size /= 2;
	}
	return size;
}

/* The largest 64 KiB * 2^n with k cells in 1 MiB, at least 64 KiB. */
static uint32_t large_cell(unsigned k)
{
	uint32_t cell = 65536;

	while (cell * 2 * k <= LARGE_STRIPE)
		cell *= 2;
	return cell;
}

static bool set_alloc(struct erasure_set *s)
{
	s->coder = erasure_coder_new(s->k, s->m);
	s->cells = pool_new(s->cell_max, 2 * s->ncell, 0);
	s->parity = s->m ? pool_new((size_t)s->m * s->cell_max, 8, 0) : NULL;
	s->blocks = pool_new(65536, 32, 0);
	s->ops = pool_new(ALIGN_UP(sizeof(struct stripe_job) + 1024, POOL_ALIGN), 32, 0);
	s->queue = drive_queue_new(QUEUE_DEPTH, false);
	if (!s->coder || !s->cells || (s->m && !s->parity) || !s->blocks || !s->ops || !s->queue)
		return false;
	s->thread_on = thread_start(&s->thread, "qn-cells", set_thread, s) == 0;
	return s->thread_on;
}

uint64_t erasure_segment_size(const struct erasure_set *s)
{
	return s->segment_size;
}

struct erasure_set *erasure_set_new(const struct erasure_params *p)
{
	ASSERT(p->k >= 1 && p->k + p->m <= p->n && p->n <= ERASURE_MAX_CELLS);
	struct erasure_set *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->n = p->n;
	s->k = p->k;
	s->m = p->m;
	s->ncell = p->k + p->m;
	s->need = p->need;
	s->set = p->set;
	s->new_id = p->new_id;
	s->epoch = p->epoch;
	s->reserve = p->reserve;
	s->arg = p->arg;
	memcpy(s->drives, p->drives, sizeof s->drives);
	s->timeout_ns = p->drive_timeout_ns ? p->drive_timeout_ns : 5 * NS_PER_S;
	s->spares = p->spares;
	s->segment_size = p->segment_size ? ALIGN_UP(p->segment_size, DRIVE_BLOCK) : default_segment_size(s);
	s->cell_len[SEGMENT_LARGE] = large_cell(s->k);
	s->cell_len[SEGMENT_PACKED] = ERASURE_PACKED_CELL;
	s->cell_max = s->cell_len[SEGMENT_LARGE];
	s->max_files = MAX_FILES;
	mutex_init(&s->lock, LOCK_SEGMENT);
	hash_init(&s->segments);
	hash_init(&s->missing);
	list_init(&s->lru);
	list_init(&s->dirty);
	list_init(&s->jobs);
	list_init(&s->waiters);
	cond_init(&s->made);
	cond_init(&s->tick);
	for (unsigned i = 0; i < s->n; i++)
		s->writers |= s->drives[i] ? 1u << i : 0;
	return set_alloc(s) ? s : erasure_set_free(s);
}

static bool free_segment(struct hash_node *n, void *arg)
{
	struct erasure_set *s = arg;
	struct segment *seg = CONTAINER_OF(n, struct segment, node);

	ASSERT(seg->pins == 0 && list_empty(&seg->runs));
	hash_remove(&s->segments, n);
	segment_free(seg);
	return false;
}

static void set_drain(struct erasure_set *s)
{
	mutex_lock(&s->lock);
	while (set_busy(s)) {
		if (!s->leading)
			lead(s, LEAD_NS);
		else
			(void)cond_wait_until(&s->made, &s->lock, clock_mono_ns() + TICK_NS);
	}
	s->stop = true;
	cond_signal(&s->tick);
	mutex_unlock(&s->lock);
}

struct erasure_set *erasure_set_free(struct erasure_set *s)
{
	if (!s)
		return NULL;
	if (s->thread_on) {
		set_drain(s);
		thread_join(s->thread);
	}
	if (s->queue)
		drive_queue_free(s->queue);
	hash_each(&s->segments, free_segment, s);
	hash_done(&s->segments);
	missing_free(s);
	if (s->cells)
		pool_free(s->cells);
	if (s->parity)
		pool_free(s->parity);
	if (s->blocks)
		pool_free(s->blocks);
	if (s->ops)
		pool_free(s->ops);
	erasure_coder_free(s->coder);
	cond_destroy(&s->made);
	cond_destroy(&s->tick);
	mutex_destroy(&s->lock);
	free(s);
	return NULL;
}

struct erasure_set *erasure_set_hold(struct erasure_set *s)
{
	__atomic_fetch_add(&s->users, 1, __ATOMIC_RELAXED);
	return s;
}

void erasure_set_unhold(struct erasure_set *s)
{
	if (s)
		__atomic_fetch_sub(&s->users, 1, __ATOMIC_RELEASE);
}

bool erasure_set_quiet(struct erasure_set *s)
{
	bool quiet = __atomic_load_n(&s->users, __ATOMIC_ACQUIRE) == 0;
	MUTEX_GUARD(&s->lock);

	LIST_FOREACH (it, &s->lru)
		quiet &= LIST_ENTRY(it, struct segment, lru)->pins == 0;
	return quiet && !set_busy(s);
}

struct erasure_coder *erasure_set_coder(struct erasure_set *s)
{
	return s->coder;
}

uint32_t erasure_stripe_bytes(const struct erasure_set *s, enum segment_class cls)
{
	return s->k * s->cell_len[cls];
}

void erasure_set_writers(struct erasure_set *s, uint32_t slot_mask)
{
	mutex_lock(&s->lock);
	for (unsigned i = 0; i < ERASURE_MAX_CELLS; i++)
		ASSERT(!(slot_mask & 1u << i) || (i < s->n && s->drives[i]));
	uint32_t gone = s->writers & ~slot_mask;
	s->departures += gone != 0;
	for (uint32_t m = gone; m; m &= m - 1)
		s->departed[__builtin_ctz(m)] = s->departures;
	s->writers = slot_mask;
	s->suspect = 0;
	mutex_unlock(&s->lock);
}

uint32_t erasure_stripe_lacks(struct erasure_set *s, const struct erasure_stripe *st)
{
	MUTEX_GUARD(&s->lock);
	const struct segment *seg = segment_find_locked(s, st->segment);
	uint32_t lacks = 0;

	for (unsigned c = 0; seg && c < s->ncell; c++) {
		unsigned slot = segment_slot_of(seg, c);
		if (!(st->slot_mask & 1u << slot) || s->departed[slot] > st->departures)
			lacks |= 1u << slot;
	}
	return lacks;
}

void erasure_set_need(struct erasure_set *s, unsigned need)
{
	ASSERT(need >= s->k && need <= s->ncell);
	__atomic_store_n(&s->need, need, __ATOMIC_RELAXED);
}

uint32_t erasure_set_writer_mask(const struct erasure_set *s)
{
	struct erasure_set *w = (struct erasure_set *)s; /* its lock only */

	mutex_lock(&w->lock);
	uint32_t mask = s->writers;
	mutex_unlock(&w->lock);
	return mask;
}

uint32_t erasure_set_suspects(struct erasure_set *s)
{
	MUTEX_GUARD(&s->lock);

	return s->writers & s->suspect;
}

unsigned erasure_slot_inflight(struct erasure_set *s, unsigned slot)
{
	unsigned n = __atomic_load_n(&s->hung[slot], __ATOMIC_RELAXED);

	mutex_lock(&s->lock);
	LIST_FOREACH (it, &s->jobs)
		n += LIST_ENTRY(it, struct stripe_job, node)->pending >> slot & 1;
	mutex_unlock(&s->lock);
	return n;
}

void erasure_set_stats(struct erasure_set *s, struct erasure_stats *ret)
{
	*ret = (struct erasure_stats){
		.bytes_written = __atomic_load_n(&s->stats.bytes_written, __ATOMIC_RELAXED),
		.bytes_read = __atomic_load_n(&s->stats.bytes_read, __ATOMIC_RELAXED),
		.cold_reads = __atomic_load_n(&s->stats.cold_reads, __ATOMIC_RELAXED),
		.degraded_reads = __atomic_load_n(&s->stats.degraded_reads, __ATOMIC_RELAXED),
		.bad_blocks = __atomic_load_n(&s->stats.bad_blocks, __ATOMIC_RELAXED),
		.slot_errors = __atomic_load_n(&s->stats.slot_errors, __ATOMIC_RELAXED),
	};
	mutex_lock(&s->lock);
	ret->segments = s->segments.count;
	ret->open_files = s->open_files;
	mutex_unlock(&s->lock);
}
