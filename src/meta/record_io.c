/* SPDX-License-Identifier: Apache-2.0
 *
 * Records and flush rounds on drives. All of it runs under the writer lock; done() calls come from the reap in
 * writer_step, under it too.
 *
 * A record that is the first of its file is written together with the file's header: one write, so one flush covers
 * both.
 */
#include <string.h>

#include "base/checksum.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "meta/set_internal.h"

#define ROUND_SEGMENTS 256
#define KEEP_BYTES (1u << 20) /* buffers above this are given back with their record */

/* ---- Records: memory ---------------------------------------------------------------------------------------------- */
struct wrec *wrec_get(struct meta_set *s)
{
	struct list *n = list_pop(&s->idle_wrecs);
	struct wrec *r = n ? LIST_ENTRY(n, struct wrec, node) : calloc(1, sizeof *r);

	ASSERT(r);
	list_init(&r->node);
	list_init(&r->batches);
	r->waiting = 0;
	r->inflight = 0;
	r->dsync = r->detached = r->control = false;
	return r;
}

void wrec_free(struct wrec *r)
{
	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++)
		free(r->buf[i]);
	free(r);
}

void wrec_put(struct meta_set *s, struct wrec *r)
{
	r->detached = true;
	if (r->inflight)
		return; /* a hung write still reads the buffer: the last done frees it */
	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++) {
		if (r->cap[i] <= KEEP_BYTES)
			continue;
		free(r->buf[i]);
		r->buf[i] = NULL;
		r->cap[i] = 0;
	}
	list_add_tail(&s->idle_wrecs, &r->node);
}

static uint8_t *wrec_room(struct wrec *r, unsigned slot, size_t len)
{
	if (r->cap[slot] >= len)
		return r->buf[slot];
	free(r->buf[slot]);
	r->buf[slot] = NULL;
	r->cap[slot] = ALIGN_UP(MAX(len, (size_t)65536), 65536);
	void *p;
	if (posix_memalign(&p, DRIVE_BLOCK, r->cap[slot]) != 0)
		r->cap[slot] = 0;
	else
		r->buf[slot] = p;
	return r->buf[slot];
}

/* ---- Records: place and bytes ------------------------------------------------------------------------------------- */
int record_place(struct meta_set *s, uint32_t len, bool control)
{
	struct journal *j = &s->journal;
	uint32_t failed;

	if (journal_fits(j, len))
		return 0;
	if (len > RECORD_LEN_MAX || len > j->file_size - LOG_HEAD_BYTES)
		return -QE_ENTITY_TOO_LARGE;
	if (!control && journal_room(j) <= journal_reserve(j))
		return -QE_FULL;
	int rc = journal_prepare(j, j->cur ? j->cur->log + 1 : s->start.log, &failed);
	slots_note_failed(s, failed, "a log file cannot be made");
	s->fail_mask |= failed & s->in_mask;
	if (failed & s->join_mask)
		isr_joiner_fails(s, "making a log file", -EIO);
	if (rc == 0)
		journal_roll(j);
	return rc;
}

static void cell_pieces(uint8_t *const cells[], size_t cell_len, uint64_t at, const uint8_t *p, size_t len)
{
	while (len) {
		size_t in = (size_t)(at % cell_len), n = MIN(len, cell_len - in);
		if (p)
			memcpy(cells[at / cell_len] + in, p, n);
		else
			memset(cells[at / cell_len] + in, 0, n);
		at += n;
		len -= n;
		p = p ? p + n : NULL;
	}
}

static void fill_cells(struct meta_set *s, struct wrec *r, uint8_t *cells[], size_t cell_len)
{
	uint64_t end = 0;

	LIST_FOREACH(it, &r->batches) {
		const struct meta_batch *b = LIST_ENTRY(it, struct meta_batch, node);
		if (b->chunks.n == 0 || b->kind == BATCH_BARRIER)
			continue;
		struct payload *p = *VEC_AT(&b->chunks, struct payload *, 0);
		p->inline_off = b->inline_off;
		cell_pieces(cells, cell_len, b->inline_off, p->data, p->len);
		end = b->inline_off + p->len;
		cell_pieces(cells, cell_len, end, NULL, ALIGN_UP(end, 8) - end);
		end = ALIGN_UP(end, 8);
	}
	cell_pieces(cells, cell_len, end, NULL, s->k * cell_len - end);
	erasure_encode(erasure_set_coder(s->erasure), cell_len, (void *const *)cells);
}

/* The payload stripe: cells straight into the buffers of their slots, their checksums behind the body. */
static void build_payload(struct meta_set *s, struct wrec *r, size_t head_room, uint32_t cell_len)
{
	uint32_t body_len = (uint32_t)s->body.len + 4 * s->ncell;
	size_t at = head_room + record_cell_off(body_len);
	uint8_t *cells[ERASURE_MAX_CELLS];

	for (unsigned c = 0; c < s->ncell; c++) {
		unsigned slot = record_cell_slot(c, r->head.first_seq, s->n);
		cells[c] = r->buf[slot] + at;
		if ((s->in_mask | s->join_mask) & 1u << slot)
			r->head.cells |= (uint16_t)(1u << slot);
	}
	fill_cells(s, r, cells, cell_len);
	for (unsigned c = 0; c < s->ncell; c++)
		buf_put_le32(&s->body, checksum_crc32c(0, cells[c], cell_len));
}

static void put_log_head(struct meta_set *s, const struct wrec *r, unsigned slot)
{
	struct log_head h = {
		.set = s->p.set,
		.slot = (uint16_t)slot,
		.log = r->head.log,
		.first_seq = r->head.first_seq,
		.prev_seq = r->head.first_seq - 1,
		.prev_crc = r->head.prev_crc,
	};

	memcpy(h.deployment, s->deployment, 16);
	memcpy(h.drive, s->slot[slot].id.drive, 16);
	log_head_encode(&h, r->buf[slot]);
}

static void build_slot(struct meta_set *s, struct wrec *r, unsigned slot, size_t head_room, const uint8_t *head)
{
	uint8_t *p = r->buf[slot] + head_room;
	size_t used = RECORD_HEAD_BYTES + s->body.len;

	if (head_room)
		put_log_head(s, r, slot);
	memcpy(p, head, RECORD_HEAD_BYTES);
	if (s->body.len)
		memcpy(p + RECORD_HEAD_BYTES, s->body.data, s->body.len);
	if (r->head.cell_len) {
		size_t cell = record_cell_off((uint32_t)s->body.len);
		memset(p + used, 0, cell - used);
		if (!(r->head.cells & 1u << slot))
			memset(p + cell, 0, r->head.cell_len);
		used = cell + r->head.cell_len;
	}
	memset(p + used, 0, r->head.len - used);
}

int record_build(struct meta_set *s, struct wrec *r, enum record_type type, uint32_t nbatch, size_t payload)
{
	struct journal *j = &s->journal;
	uint32_t cell_len = payload ? record_payload_cell(payload, s->k) : 0;
	uint32_t body_len = (uint32_t)s->body.len + (cell_len ? 4 * s->ncell : 0);
	uint32_t len = record_len(body_len, cell_len);
	uint8_t head[RECORD_HEAD_BYTES];
	int rc = buf_err(&s->body) ? buf_err(&s->body) : record_place(s, len, r->control);

	if (rc < 0)
		return rc;
	size_t head_room = j->off == LOG_HEAD_BYTES ? LOG_HEAD_BYTES : 0;
	for (unsigned i = 0; i < s->n; i++)
		if ((cell_len || ((s->in_mask | s->join_mask) & 1u << i)) && !wrec_room(r, i, head_room + len))
			return -ENOMEM;
	r->head = (struct record_head){
		.type = (uint16_t)type,
		.len = len,
		.nbatch = nbatch,
		.log = j->cur->log,
		.epoch = __atomic_load_n(&s->epoch, __ATOMIC_RELAXED),
		.first_seq = s->next_seq,
		.durable_seq = type == RECORD_EPOCH ? s->next_seq - 1 : meta_durable_seq(s),
		.wall_ns = clock_wall_ns(),
		.prev_crc = s->head_crc,
		.body_len = body_len,
		.cell_len = cell_len,
	};
	if (cell_len)
		build_payload(s, r, head_room, cell_len);
	r->head.body_crc = checksum_crc32c(0, s->body.data, s->body.len);
	record_head_encode(&r->head, head);
	for (unsigned i = 0; i < s->n; i++)
		if ((s->in_mask | s->join_mask) & 1u << i)
			build_slot(s, r, i, head_room, head);
	r->len = head_room + len;
	r->log = j->cur;
	r->off = j->off - (uint32_t)head_room;
	r->last_seq = record_last_seq(&r->head);
	s->head_crc = r->head.head_crc;
	s->next_seq += record_seqs(&r->head);
	j->off += len;
	j->cur->last_seq = r->last_seq;
	STAT_ADD(s, records, 1);
	STAT_ADD(s, journal_bytes, r->len * (unsigned)__builtin_popcount(s->in_mask));
	return 0;
}

/* ---- Records: writing --------------------------------------------------------------------------------------------- */
static void slot_fails(struct meta_set *s, unsigned slot, const char *what, int rc)
{
	if (s->join_mask & 1u << slot)
		isr_joiner_fails(s, what, rc);
	if ((s->fail_mask | ~s->in_mask) & 1u << slot)
		return;
	s->fail_mask |= 1u << slot;
	/* One that another call took out fails here for no reason of its own. */
	if (drive_is_out(s->slot[slot].d))
		slots_note_failed(s, 1u << slot, "a call failed");
	slot_note(s, slot, "%s: %s", what, drive_err_text(rc));
}

/* Now, not when it was submitted: a flush that began before the write had returned does not cover it. */
static void written_plainly(struct meta_set *s, struct wrec *r, unsigned slot)
{
	r->log->dirty |= 1u << slot;
	if (!s->dirty_since_ns)
		s->dirty_since_ns = clock_mono_ns();
}

static void record_done(struct drive_io *io)
{
	struct slot_io *si = CONTAINER_OF(io, struct slot_io, io);
	struct wrec *r = si->owner;

	drive_file_unref(io->file);
	r->waiting &= ~(1u << si->slot);
	r->inflight--;
	r->s->join_inflight -= si->joins;
	if (io->result < 0 && (si->joins || !r->detached))
		slot_fails(r->s, si->slot, "write", io->result);
	if (!si->joins && !r->detached && !r->dsync)
		written_plainly(r->s, r, si->slot);
	if (r->detached && r->inflight == 0)
		wrec_put(r->s, r);
}

static void submit_slot(struct drive_queue *q, struct meta_set *s, struct wrec *r, unsigned slot, unsigned flags)
{
	r->s = s;
	r->io[slot] = (struct slot_io){
		.io = {
			.file = drive_file_ref(r->log->file[slot]),
			.op = DRIVE_IO_WRITE,
			.flags = flags,
			.buf = r->buf[slot],
			.len = r->len,
			.off = r->off,
			.done = record_done,
		},
		.owner = r,
		.slot = slot,
	};
	r->inflight++;
	drive_queue_submit(q, &r->io[slot].io);
}

/* Never waited for: neither a write nor a flush of a joining drive delays anybody. */
static void submit_joiner(struct meta_set *s, struct wrec *r)
{
	for (unsigned i = 0; i < s->n; i++) {
		if (!(s->join_mask & 1u << i))
			continue;
		if (!r->log->file[i]) {
			isr_joiner_fails(s, "open", -EIO);
			continue;
		}
		r->log->dirty |= 1u << i;
		s->join_inflight++;
		submit_slot(s->queue, s, r, i, 0);
		r->io[i].joins = true;
	}
	drive_queue_flush(s->queue);
}

void record_write_sync(struct meta_set *s, struct wrec *r)
{
	for (unsigned i = 0; i < s->n; i++) {
		if (!(s->in_mask & ~s->fail_mask & 1u << i))
			continue;
		int rc = r->log->file[i] ? drive_pwrite(r->log->file[i], r->buf[i], r->len, r->off, 0) : -EIO;
		if (rc < 0)
			slot_fails(s, i, "write", rc);
		r->log->dirty |= 1u << i;
	}
	if (!s->dirty_since_ns)
		s->dirty_since_ns = clock_mono_ns();
	if (s->join_mask)
		submit_joiner(s, r);
}

void record_submit(struct meta_set *s, struct wrec *r)
{
	struct drive_queue *q = r->dsync ? s->queue : s->lane;

	if (!q) {
		record_write_sync(s, r);
		return;
	}
	r->begun_ns = clock_mono_ns();
	for (unsigned i = 0; i < s->n; i++) {
		if (!(s->in_mask & ~s->fail_mask & 1u << i))
			continue;
		if (!r->log->file[i]) {
			slot_fails(s, i, "open", -EIO);
			continue;
		}
		r->waiting |= 1u << i;
		submit_slot(q, s, r, i, r->dsync ? DRIVE_DIRECT | DRIVE_DSYNC : 0);
	}
	drive_queue_flush(q);
	if (s->join_mask)
		submit_joiner(s, r);
}

/* ---- Flush rounds ------------------------------------------------------------------------------------------------- */
bool journal_dirty(const struct meta_set *s)
{
	LIST_FOREACH(it, &s->journal.used)
		if (LIST_ENTRY(it, struct log_file, node)->dirty & s->in_mask)
			return true;
	return false;
}

static void round_free(struct round *r)
{
	struct list *n;

	while ((n = list_pop(&r->ios)) != NULL)
		free(LIST_ENTRY(n, struct slot_io, node));
	erasure_set_unhold(r->erasure);
	free(r);
}

static void sync_done(struct drive_io *io)
{
	struct slot_io *si = CONTAINER_OF(io, struct slot_io, io);
	struct round *r = si->owner;
	int rc = io->result;

	if (si->ef.file)
		erasure_flush_done(r->erasure, &si->ef, rc == 0);
	else
		drive_file_unref(io->file);
	if (rc < 0 && !r->detached)
		slot_fails(r->s, si->slot, "flush", rc);
	if (--r->pending[si->slot] == 0)
		r->waiting &= ~(1u << si->slot);
	if (--r->inflight == 0 && r->detached)
		round_free(r);
}

static void round_add(struct meta_set *s, struct round *r, unsigned slot, struct drive_file *file, const struct erasure_flush *ef)
{
	struct slot_io *si = calloc(1, sizeof *si);

	ASSERT(si);
	si->io = (struct drive_io){.file = file, .op = DRIVE_IO_SYNC, .done = sync_done};
	si->owner = r;
	si->slot = slot;
	if (ef)
		si->ef = *ef;
	list_add_tail(&r->ios, &si->node);
	r->pending[slot]++;
	r->waiting |= 1u << slot;
	r->inflight++;
}

static void round_slot(struct meta_set *s, struct round *r, unsigned slot, bool cells)
{
	struct erasure_flush ef[ROUND_SEGMENTS];

	LIST_FOREACH(it, &s->journal.used) {
		struct log_file *lf = LIST_ENTRY(it, struct log_file, node);
		if (!(lf->dirty & 1u << slot))
			continue;
		lf->dirty &= ~(1u << slot);
		if (lf->file[slot])
			round_add(s, r, slot, drive_file_ref(lf->file[slot]), NULL);
	}
	if (!cells)
		return;
	unsigned n = erasure_flush_begin(s->erasure, slot, ef, ROUND_SEGMENTS);
	for (unsigned i = 0; i < n; i++)
		round_add(s, r, slot, ef[i].file, &ef[i]);
	r->partial |= n == ROUND_SEGMENTS;
}

static struct round *round_new(struct meta_set *s)
{
	struct round *r = calloc(1, sizeof *r);

	if (!r)
		return NULL;
	r->s = s;
	r->erasure = erasure_set_hold(s->erasure);
	r->seq = publish_applied_seq(&s->pub);
	r->begun_ns = clock_mono_ns();
	list_init(&r->ios);
	return r;
}

static void round_submit(struct meta_set *s, struct round *r)
{
	LIST_FOREACH_SAFE(it, &r->ios)
		drive_queue_submit(s->queue, &LIST_ENTRY(it, struct slot_io, node)->io);
	drive_queue_flush(s->queue);
}

/* Covers every record that is applied. True: there is a round (perhaps with nothing to wait for). */
bool round_begin(struct meta_set *s)
{
	struct round *r = round_new(s);

	if (!r)
		return false;
	for (unsigned i = 0; i < s->n; i++)
		if (s->in_mask & ~s->fail_mask & 1u << i)
			round_slot(s, r, i, s->cells_dirty);
	s->cells_dirty = r->partial;
	s->dirty_since_ns = 0;
	s->flush_wanted = false;
	s->round = r;
	STAT_ADD(s, flush_rounds, 1);
	round_submit(s, r);
	return true;
}

void round_begin_joiner(struct meta_set *s)
{
	struct round *r = round_new(s);

	ASSERT(!s->join_round && s->join_mask);
	if (!r) {
		isr_joiner_fails(s, "flush", -ENOMEM);
		return;
	}
	round_slot(s, r, (unsigned)__builtin_ctz(s->join_mask), true);
	s->join_round = r;
	round_submit(s, r);
}

void round_release(struct round **at)
{
	struct round *r = *at;

	*at = NULL;
	if (!r)
		return;
	r->detached = true;
	if (r->inflight == 0)
		round_free(r);
}

uint32_t slots_overdue(const struct meta_set *s, uint64_t before_ns)
{
	uint32_t mask = 0;

	LIST_FOREACH(it, &s->unapplied) {
		const struct wrec *r = LIST_ENTRY(it, struct wrec, node);
		for (unsigned i = 0; i < s->n; i++)
			if ((r->waiting & 1u << i) && __atomic_load_n(&r->io[i].io.submit_ns, __ATOMIC_RELAXED) < before_ns)
				mask |= 1u << i;
	}
	if (s->round && s->round->begun_ns < before_ns)
		mask |= s->round->waiting;
	return mask;
}
