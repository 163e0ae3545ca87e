/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing stripes. A push sums and encodes in the caller's thread, registers a job, and submits one write per cell; the
 * job lives until its last write has returned, the writer's interest in it ends earlier when a drive takes too long.
 * The slots are chosen and the job registered under one lock, so that whoever takes a slot from the writers sees every
 * cell that may still go to it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "erasure/erasure_internal.h"

#define STRIPES_IN_FLIGHT 4

static uint32_t stripe_cell_len(const struct erasure_set *s, enum segment_class cls, uint32_t len)
{
	if (len == erasure_stripe_bytes(s, cls))
		return s->cell_len[cls];
	return ALIGN_UP(DIV_ROUND_UP(len, s->k), DRIVE_BLOCK);
}

static uint32_t run_len_4k(const struct erasure_set *s, enum segment_class cls, uint64_t len)
{
	uint32_t stripe = erasure_stripe_bytes(s, cls);
	uint32_t rest = (uint32_t)(len % stripe);

	return (uint32_t)(len / stripe) * (s->cell_len[cls] / DRIVE_BLOCK) + stripe_cell_len(s, cls, rest) / DRIVE_BLOCK;
}

/* ---- The job of one stripe --------------------------------------------------------------------------------------- */
static unsigned mask_cells(const struct erasure_set *s, const struct segment *seg, uint32_t slots)
{
	unsigned n = 0;

	for (unsigned c = 0; c < s->ncell; c++)
		n += slots >> segment_slot_of(seg, c) & 1;
	return n;
}

/* The writer has its result: what is written now. Under lock. */
static void job_settle(struct stripe_job *job)
{
	struct erasure_writer *w = job->writer;

	if (!w)
		return;
	job->writer = NULL;
	w->stripes[job->index].slot_mask = (uint16_t)job->ok;
	if (w->rc == 0 && mask_cells(w->set, job->seg, job->ok) < set_need(w->set))
		w->rc = job->full ? -QE_FULL : -QE_QUORUM_WRITE;
	w->wait.pending--;
	cell_wake(&w->wait);
}

static void job_free(struct stripe_job *job)
{
	struct erasure_set *s = job->set;

	if (job->parity)
		pool_put(s->parity, job->parity);
	if (job->release)
		job->release(job->arg);
	pool_put(s->ops, job);
}

static void job_finish_locked(struct stripe_job *job)
{
	job_settle(job);
	list_del(&job->node);
	segment_unpin_locked(job->seg);
}

static void cell_written(struct drive_io *io)
{
	struct stripe_job *job = io->owner;
	struct erasure_set *s = job->set;
	unsigned slot = segment_slot_of(job->seg, (unsigned)(io - job->io));
	int rc = io->result;
	bool report = false;

	drive_file_unref(io->file);
	mutex_lock(&s->lock);
	job->pending &= ~(1u << slot);
	if (rc < 0) {
		flush_note(&job->seg->slot[slot].failed, job->offset_4k);
		job->full |= rc == -ENOSPC;
		report = slot_suspect_locked(s, slot);
	} else {
		job->ok |= 1u << slot;
		flush_returned_locked(s, job->seg, slot, job->offset_4k);
	}
	bool last = job->pending == 0;
	if (last && report) {
		/* Report before the writer hears of its stripe, so that nobody learns of a short mask earlier. */
		mutex_unlock(&s->lock);
		slot_report(s, slot, rc);
		report = false;
		mutex_lock(&s->lock);
	}
	if (last)
		job_finish_locked(job);
	mutex_unlock(&s->lock);
	if (report)
		slot_report(s, slot, rc);
	if (last)
		job_free(job);
}

/* Notes the slots that did not answer in time as failed. */
static uint32_t job_expire(struct erasure_set *s, struct stripe_job *job)
{
	uint32_t report = 0;

	for (uint32_t b = job->pending; b; b &= b - 1) {
		unsigned slot = (unsigned)__builtin_ctz(b);
		flush_note(&job->seg->slot[slot].failed, job->offset_4k);
		if (slot_suspect_locked(s, slot))
			report |= 1u << slot;
	}
	job_settle(job);
	return report;
}

void jobs_expire_locked(struct erasure_set *s)
{
	uint64_t now = clock_mono_ns();
	uint32_t report = 0;

	LIST_FOREACH (it, &s->jobs) {
		struct stripe_job *job = LIST_ENTRY(it, struct stripe_job, node);
		if (now < job->submit_ns + s->timeout_ns)
			break;
		if (job->writer)
			report |= job_expire(s, job);
	}
	if (!report)
		return;
	mutex_unlock(&s->lock);
	for (uint32_t b = report; b; b &= b - 1)
		slot_report(s, (unsigned)__builtin_ctz(b), -ETIMEDOUT);
	mutex_lock(&s->lock);
}

/* ---- Push -------------------------------------------------------------------------------------------------------- */
/* Sums and encodes; fills the io of every cell but for its file. */
static void job_encode(struct stripe_job *job, struct erasure_stripe *st, uint8_t *data, uint32_t cell_len)
{
	struct erasure_set *s = job->set;
	void *cells[ERASURE_MAX_CELLS];

	for (unsigned c = 0; c < s->ncell; c++)
		cells[c] = c < s->k ? data + (size_t)c * cell_len : (uint8_t *)job->parity + (size_t)(c - s->k) * cell_len;
	erasure_encode(s->coder, cell_len, cells);
	for (unsigned c = 0; c < s->ncell; c++) {
		blocks_sum(cells[c], cell_len, st->block_log2, st->crc + (size_t)c * st->blocks_per_cell);
		job->io[c] = (struct drive_io){
			.op = DRIVE_IO_WRITE,
			.flags = DRIVE_DIRECT,
			.buf = cells[c],
			.len = cell_len,
			.done = cell_written,
			.owner = job,
		};
	}
}

/* Chooses the slots and enters the job; returns their mask, 0 when there are too few. */
static uint32_t job_enter(struct erasure_writer *w, struct stripe_job *job, struct erasure_stripe *st)
{
	struct erasure_set *s = w->set;
	struct segment *seg = w->run.seg;
	uint32_t slots = s->writers & ~s->suspect & seg->slots, mask = 0;

	for (unsigned c = 0; c < s->ncell; c++) {
		unsigned slot = segment_slot_of(seg, c);
		if ((slots & 1u << slot) && seg->file[slot]) {
			mask |= 1u << slot;
			job->io[c].file = drive_file_ref(seg->file[slot]);
			job->io[c].off = BYTES_4K(w->run.pos_4k);
		}
	}
	if (mask_cells(s, seg, mask) < set_need(s)) {
		for (unsigned c = 0; c < s->ncell; c++)
			drive_file_unref(job->io[c].file);
		return 0;
	}
	st->segment = seg->info.id;
	st->departures = s->departures;
	st->offset_4k = job->offset_4k = w->run.pos_4k;
	w->run.pos_4k += st->cell_4k;
	job->seg = seg;
	job->pending = mask;
	job->submit_ns = clock_mono_ns();
	seg->pins++;
	list_add_tail(&s->jobs, &job->node);
	w->wait.pending++;
	w->nstripes++;
	set_tick(s);
	return mask;
}

static void job_submit(struct erasure_set *s, struct stripe_job *job, uint32_t mask)
{
	const struct segment *seg = job->seg;
	struct drive_io *io[ERASURE_MAX_CELLS];
	unsigned n = 0;

	for (unsigned c = 0; c < s->ncell; c++)
		if (mask & 1u << segment_slot_of(seg, c))
			io[n++] = &job->io[c];
	/* From the last one on the job may be gone. */
	for (unsigned i = 0; i < n; i++)
		drive_queue_submit(s->queue, io[i]);
	drive_queue_flush(s->queue);
}

static int writer_stripe(struct erasure_writer *w, struct stripe_job *job, uint8_t *buf, uint32_t len)
{
	struct erasure_set *s = w->set;
	uint32_t cell_len = stripe_cell_len(s, w->cls, len);
	struct erasure_stripe *st = &w->stripes[w->nstripes];

	*st = (struct erasure_stripe){
		.cell_4k = (uint16_t)(cell_len / DRIVE_BLOCK),
		.ncell = (uint8_t)s->ncell,
		.block_log2 = ERASURE_LARGE_BLOCK_LOG2,
		.blocks_per_cell = (uint16_t)DIV_ROUND_UP(cell_len, 1u << ERASURE_LARGE_BLOCK_LOG2),
	};
	st->crc = calloc((size_t)s->ncell * st->blocks_per_cell, sizeof *st->crc);
	job->parity = s->m ? pool_get(s->parity) : NULL;
	if (!st->crc || (s->m && !job->parity))
		return -ENOMEM;
	memset(buf + len, 0, (size_t)s->k * cell_len - len);
	job->index = w->nstripes;
	job_encode(job, st, buf, cell_len);
	mutex_lock(&s->lock);
	(void)cell_wait(s, &w->wait, STRIPES_IN_FLIGHT - 1, 0);
	int rc = w->rc;
	uint32_t mask = rc < 0 ? 0 : job_enter(w, job, st);
	if (rc == 0 && mask == 0)
		rc = w->rc = -QE_QUORUM_WRITE;
	mutex_unlock(&s->lock);
	if (rc < 0)
		return rc;
	STAT_ADD(s, bytes_written, len);
	job_submit(s, job, mask);
	return 0;
}

static int push_check(struct erasure_writer *w, const void *buf, uint32_t len)
{
	struct erasure_set *s = w->set;

	ASSERT(((uintptr_t)buf & (DRIVE_BLOCK - 1)) == 0);
	mutex_lock(&s->lock);
	int rc = w->rc;
	mutex_unlock(&s->lock);
	if (rc < 0)
		return rc;
	if (len == 0 || len > erasure_stripe_bytes(s, w->cls) || w->ended || w->nstripes == w->cap)
		return -EINVAL;
	if (w->run.pos_4k + stripe_cell_len(s, w->cls, len) / DRIVE_BLOCK > w->run.end_4k)
		return -EINVAL;
	return 0;
}

int erasure_writer_push(struct erasure_writer *w, void *buf, uint32_t len, void (*release)(void *arg), void *arg)
{
	struct erasure_set *s = w->set;
	struct stripe_job *job = NULL;
	int rc = push_check(w, buf, len);

	if (rc == 0 && !(job = pool_get(s->ops)))
		rc = -ENOMEM;
	if (rc == 0) {
		*job = (struct stripe_job){.set = s, .writer = w, .release = release, .arg = arg};
		list_init(&job->node);
		rc = writer_stripe(w, job, buf, len);
	}
	if (rc == 0) {
		w->ended = len < erasure_stripe_bytes(s, w->cls);
		w->stored_len += len;
		return 0;
	}
	mutex_lock(&s->lock);
	if (w->rc == 0)
		w->rc = rc;
	mutex_unlock(&s->lock);
	if (job)
		job_free(job);
	else if (release)
		release(arg);
	return rc;
}

/* ---- The writer -------------------------------------------------------------------------------------------------- */
int writer_open(struct erasure_set *s, enum segment_class cls, uint64_t max_len, struct erasure_writer **ret)
{
	if (max_len == 0 || max_len > ERASURE_BLOB_MAX)
		return -EINVAL;
	struct erasure_writer *w = calloc(1, sizeof *w);
	if (!w)
		return -ENOMEM;
	w->set = erasure_set_hold(s);
	w->cls = cls;
	w->cap = (unsigned)DIV_ROUND_UP(max_len, erasure_stripe_bytes(s, cls));
	w->stripes = calloc(w->cap, sizeof *w->stripes);
	cell_waiter_init(&w->wait);
	int rc = w->stripes ? run_reserve(s, cls, run_len_4k(s, cls, max_len), &w->run) : -ENOMEM;
	if (rc < 0) {
		writer_free(w);
		return rc;
	}
	*ret = w;
	return 0;
}

struct erasure_writer *writer_free(struct erasure_writer *w)
{
	if (w->stripes)
		for (unsigned i = 0; i < w->cap; i++)
			free(w->stripes[i].crc);
	free(w->stripes);
	cell_waiter_done(&w->wait);
	erasure_set_unhold(w->set);
	free(w);
	return NULL;
}

int erasure_writer_open(struct erasure_set *s, uint64_t max_len, struct erasure_writer **ret)
{
	return writer_open(s, SEGMENT_LARGE, max_len, ret);
}

static void blob_fill(struct erasure_writer *w, struct erasure_blob *ret)
{
	*ret = (struct erasure_blob){
		.segment = w->run.seg->info.id,
		.offset_4k = w->stripes[0].offset_4k,
		.block_log2 = ERASURE_LARGE_BLOCK_LOG2,
		.stored_len = w->stored_len,
		.nstripes = w->nstripes,
		.stripes = w->stripes,
		.info = w->run.seg->info,
		.claim = segment_claim_add(w->run.seg->claim),
	};
	w->stripes = NULL;
}

int writer_settle(struct erasure_writer *w)
{
	struct erasure_set *s = w->set;

	mutex_lock(&s->lock);
	(void)cell_wait(s, &w->wait, 0, 0);
	int rc = w->rc;
	mutex_unlock(&s->lock);
	return rc;
}

int erasure_writer_finish(struct erasure_writer *w, struct erasure_blob *ret)
{
	struct erasure_set *s = w->set;
	int rc = writer_settle(w);

	if (rc == 0 && w->nstripes == 0)
		rc = -EINVAL;
	if (rc < 0) {
		erasure_writer_abort(w);
		return rc;
	}
	mutex_lock(&s->lock);
	blob_fill(w, ret);
	mutex_unlock(&s->lock);
	run_release(s, &w->run, true);
	writer_free(w);
	return 0;
}

uint64_t erasure_writer_epoch(const struct erasure_writer *w)
{
	return w->run.seg->info.epoch;
}

/* Only of stripes whose writes have all returned the room may be used again. */
void erasure_writer_abort(struct erasure_writer *w)
{
	struct erasure_set *s = w->set;
	bool late = false;

	mutex_lock(&s->lock);
	(void)cell_wait(s, &w->wait, 0, 0);
	LIST_FOREACH (it, &s->jobs) {
		const struct stripe_job *job = LIST_ENTRY(it, struct stripe_job, node);
		late |= job->seg == w->run.seg && job->offset_4k < w->run.end_4k && w->nstripes &&
		        job->offset_4k >= w->stripes[0].offset_4k;
	}
	if (!late && w->nstripes)
		w->run.pos_4k = w->stripes[0].offset_4k;
	mutex_unlock(&s->lock);
	run_release(s, &w->run, true);
	writer_free(w);
}

void erasure_blob_free(struct erasure_blob *b)
{
	for (unsigned i = 0; b->stripes && i < b->nstripes; i++)
		free(b->stripes[i].crc);
	free(b->stripes);
	segment_claim_drop(b->claim);
	b->stripes = NULL;
	b->claim = NULL;
	b->nstripes = 0;
}

int erasure_blob_copy(const struct erasure_blob *from, struct erasure_blob *ret)
{
	*ret = *from;
	ret->claim = segment_claim_add(from->claim);
	ret->stripes = calloc(MAX(from->nstripes, 1u), sizeof *ret->stripes);
	for (unsigned i = 0; ret->stripes && i < from->nstripes; i++) {
		const struct erasure_stripe *st = &from->stripes[i];
		size_t n = (size_t)st->ncell * st->blocks_per_cell * sizeof st->crc[0];

		ret->stripes[i] = *st;
		ret->stripes[i].crc = malloc(n);
		if (!ret->stripes[i].crc) {
			erasure_blob_free(ret);
			return -ENOMEM;
		}
		memcpy(ret->stripes[i].crc, st->crc, n);
	}
	if (ret->stripes)
		return 0;
	erasure_blob_free(ret);
	return -ENOMEM;
}
