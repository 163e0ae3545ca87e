/* SPDX-License-Identifier: Apache-2.0
 *
 * R6: the kept history becomes the same on every drive that counts, and is flushed there, before EPOCH names it. A drive
 * that was out or joining is completed like the others; its `missing` rows stand.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/checksum.h"
#include "base/err.h"
#include "base/log.h"
#include "meta/recovery_internal.h"

/* ---- Journal files of a slot -------------------------------------------------------------------------------------- */
static int ensure_file(struct recovery *r, unsigned slot, uint64_t log, struct found_file **ret)
{
	struct drive *d = r->s->slot[slot].d;
	uint64_t size = r->s->journal.file_size;
	struct found_file *f = scan_file(r, slot, log);
	char name[40];
	int rc;

	if (f && f->f->size == size) {
		*ret = f;
		return 0;
	}
	journal_file_name(log, name, sizeof name);
	if (f) { /* of another size: nothing of ours is in it */
		drive_file_unref(f->f);
		f->f = NULL;
		rc = drive_unlink(d, name);
		if (rc < 0)
			return rc;
	} else {
		f = vec_push(&r->files[slot], sizeof *f);
		if (!f)
			return -ENOMEM;
	}
	*f = (struct found_file){.log = log};
	rc = journal_make_file(d, log, size, &f->f);
	*ret = f;
	return rc;
}

/* The header of the file that the record opens. */
static int ensure_head(struct recovery *r, unsigned slot, struct found_file *file, const struct found_record *first)
{
	struct meta_set *s = r->s;
	struct log_head h = {
		.set = s->p.set,
		.slot = (uint16_t)slot,
		.log = file->log,
		.first_seq = first->head.first_seq,
		.prev_seq = first->head.first_seq - 1,
		.prev_crc = first->head.prev_crc,
	};
	void *block;

	if (file->head_ok)
		return 0;
	if (posix_memalign(&block, DRIVE_BLOCK, DRIVE_BLOCK) != 0)
		return -ENOMEM;
	memcpy(h.deployment, s->deployment, 16);
	memcpy(h.drive, s->slot[slot].id.drive, 16);
	log_head_encode(&h, block);
	int rc = drive_pwrite(file->f, block, DRIVE_BLOCK, 0, 0);
	free(block);
	file->head_ok = rc == 0;
	return rc;
}

int repair_zero_block(struct drive_file *f, uint32_t off)
{
	static const uint8_t zeros[DRIVE_BLOCK] __attribute__((aligned(DRIVE_BLOCK)));

	return off + (uint64_t)DRIVE_BLOCK <= f->size ? drive_pwrite(f, zeros, DRIVE_BLOCK, off, 0) : 0;
}

/* ---- Records ------------------------------------------------------------------------------------------------------ */
struct image {                    /* a record as each drive should have it */
	uint8_t *head_body;       /* head, body, padding up to the cell */
	uint8_t *cell[ERASURE_MAX_CELLS];
	uint8_t *cells;
	bool whole;               /* the cells are there */
};

static void image_free(struct image *im)
{
	free(im->head_body);
	free(im->cells);
}

static int image_make(struct recovery *r, struct found_record *f, struct image *im)
{
	struct meta_set *s = r->s;
	struct record_head h = f->head;
	uint32_t cell_at = h.cell_len ? record_cell_off(h.body_len) : h.len;
	const uint8_t *body = record_body_of(r, f);

	*im = (struct image){.head_body = calloc(1, cell_at)};
	if (!im->head_body || !body)
		return body ? -ENOMEM : -QE_CORRUPT;
	record_head_encode(&h, im->head_body);
	memcpy(im->head_body + RECORD_HEAD_BYTES, body, h.body_len);
	if (!h.cell_len)
		return 0;
	im->cells = aligned_alloc(64, (size_t)s->ncell * h.cell_len);
	if (!im->cells)
		return -ENOMEM;
	for (unsigned c = 0; c < s->ncell; c++)
		im->cell[c] = im->cells + (size_t)c * h.cell_len;
	im->whole = record_cells_of(r, f, im->cell);
	return 0;
}

static int write_copy(struct recovery *r, const struct found_record *f, const struct image *im, unsigned slot, struct drive_file *file)
{
	unsigned cell = record_slot_cell(slot, f->head.first_seq, r->s->n);
	uint8_t *buf = calloc(1, f->head.len);

	if (!buf)
		return -ENOMEM;
	memcpy(buf, im->head_body, f->head.cell_len ? record_cell_off(f->head.body_len) : f->head.len);
	if (f->head.cell_len && im->whole && cell < r->s->ncell)
		memcpy(buf + record_cell_off(f->head.body_len), im->cell[cell], f->head.cell_len);
	int rc = drive_pwrite(file, buf, f->head.len, f->off, 0);
	free(buf);
	return rc;
}

/* Slots whose copy or payload cell of the record is to be written. */
static uint32_t record_needs(const struct recovery *r, const struct found_record *f, uint32_t slots)
{
	uint32_t cells = 0;

	for (unsigned i = 0; f->head.cell_len && i < r->s->n; i++)
		if (record_slot_cell(i, f->head.first_seq, r->s->n) < r->s->ncell)
			cells |= 1u << i;
	uint32_t bad_cells = (unsigned)__builtin_popcount(f->cells_ok) >= r->s->k ? cells & ~f->cells_ok : 0;
	return slots & (~f->copies | bad_cells);
}

/* Returns the slots that failed. */
static uint32_t repair_record(struct recovery *r, struct found_record *f, uint32_t slots, uint32_t needs)
{
	uint32_t failed = 0;
	bool opens = f->off == LOG_HEAD_BYTES;
	struct image im = {0};

	if (needs && image_make(r, f, &im) < 0) {
		image_free(&im);
		return slots;
	}
	for (unsigned i = 0; i < r->s->n; i++) {
		struct found_file *file;
		if (!(slots & 1u << i) || (!(needs & 1u << i) && !opens))
			continue;
		int rc = r->ends && __atomic_load_n(r->ends, __ATOMIC_ACQUIRE) ? -ECANCELED : ensure_file(r, i, f->log, &file);
		if (rc == 0 && opens)
			rc = ensure_head(r, i, file, f);
		if (rc == 0 && (needs & 1u << i))
			rc = write_copy(r, f, &im, i, file->f);
		if (rc < 0)
			failed |= 1u << i;
		else if (needs & 1u << i) {
			f->copies |= 1u << i;
			f->cells_ok |= im.whole ? 1u << i : 0;
			r->win[i].len = 0; /* what was read there is old */
		}
	}
	image_free(&im);
	return failed;
}

/* ---- Segment cells of (D, T] -------------------------------------------------------------------------------------- */
static void note_missing(struct recovery *r, uint64_t segment, uint32_t from_4k, uint32_t slots)
{
	for (unsigned i = 0; i < r->s->n; i++) {
		struct found_missing *m = NULL;
		if (!(slots & 1u << i))
			continue;
		for (unsigned j = 0; j < r->missing.n && !m; j++) {
			struct found_missing *at = VEC_AT(&r->missing, struct found_missing, j);
			if (at->slot == i && at->segment == segment)
				m = at;
		}
		if (!m) {
			m = vec_push(&r->missing, sizeof *m);
			ASSERT(m); /* a hole that is not told would count as whole */
			*m = (struct found_missing){segment, from_4k, i};
		}
		m->from_4k = MIN(m->from_4k, from_4k);
	}
}

/* Every slot of the mask whose cell is not known to be flushed when EPOCH is: those that do not take part, and those
 * whose cell nobody can rebuild now. */
static void repair_stripe(struct recovery *r, const struct erasure_stripe *st, uint32_t slots)
{
	uint32_t bad = 0;

	for (unsigned i = 0; i < r->s->n; i++)
		if ((slots & st->slot_mask & 1u << i) && erasure_cell_check(r->s->erasure, st, i) <= 0)
			bad |= 1u << i;
	if (bad && erasure_cell_repair(r->s->erasure, st, bad) == 0)
		bad = 0;
	note_missing(r, st->segment, st->offset_4k, bad | (st->slot_mask & ~slots));
}

static void repair_stripes(struct recovery *r, struct found_record *f, uint32_t slots)
{
	const uint8_t *body = f->head.nbatch ? record_body_of(r, f) : NULL;
	struct record_body dec;
	struct record_batch b;
	struct erasure_stripe st;

	if (!body || record_body_decode(&f->head, body, r->s->ncell, &dec) < 0)
		return;
	while (record_batch_next(&dec.batches, &b) > 0)
		while (record_stripe_next(&b.cells, &r->arena, &st) > 0)
			repair_stripe(r, &st, slots);
}

/* ---- The end, and the flush --------------------------------------------------------------------------------------- */
static bool kept_log(const struct recovery *r, uint64_t log)
{
	return log >= r->start.log && log <= r->kept->log;
}

/* What lies behind the last kept record on this drive must not be read as its successor. */
static int truncate_slot(struct recovery *r, unsigned slot)
{
	uint32_t end = r->kept->off + r->kept->head.len;

	for (unsigned i = 0; i < r->files[slot].n; i++) {
		struct found_file *f = VEC_AT(&r->files[slot], struct found_file, i);
		int rc = 0;
		if (f->log == r->kept->log)
			rc = repair_zero_block(f->f, end);
		else if (!kept_log(r, f->log) && f->first.len) {
			rc = repair_zero_block(f->f, LOG_HEAD_BYTES);
			f->first.len = 0;
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int flush_segments(struct recovery *r, unsigned slot)
{
	struct erasure_flush ef[64];
	unsigned n;
	int rc = 0;

	do {
		n = erasure_flush_begin(r->s->erasure, slot, ef, ARRAY_SIZE(ef));
		for (unsigned i = 0; i < n; i++) {
			int one = drive_sync(ef[i].file);
			erasure_flush_done(r->s->erasure, &ef[i], one == 0);
			rc = one < 0 ? one : rc;
		}
	} while (n == ARRAY_SIZE(ef) && rc == 0);
	return rc;
}

static int finish_slot(void *arg, unsigned slot)
{
	struct recovery *r = arg;
	int rc = truncate_slot(r, slot);

	for (unsigned i = 0; rc == 0 && i < r->files[slot].n; i++)
		rc = drive_sync(VEC_AT(&r->files[slot], struct found_file, i)->f);
	return rc ? rc : flush_segments(r, slot);
}

uint32_t repair_records(struct recovery *r, const struct found_record *last, uint32_t slots, uint32_t *ret_written)
{
	uint32_t left = slots, written = 0;

	for (struct found_record *f = r->root; f != last;) {
		f = f->next;
		uint32_t needs = record_needs(r, f, left);
		written |= needs;
		left &= ~repair_record(r, f, left, needs);
	}
	if (ret_written)
		*ret_written = written;
	return slots & ~left;
}

uint32_t repair_drives(struct recovery *r)
{
	uint32_t slots = r->counted & ~repair_records(r, r->kept, r->counted, NULL);

	/* Nothing behind the start: the file that the next record goes to must be there. */
	for (unsigned i = 0; r->kept == r->root && i < r->s->n; i++) {
		struct found_file *file;
		if ((slots & 1u << i) && ensure_file(r, i, r->start.log, &file) < 0)
			slots &= ~(1u << i);
	}
	for (struct found_record *f = r->root->next; r->kept != r->root && f; f = f->next) {
		if (found_last_seq(f) > r->durable)
			repair_stripes(r, f, slots);
		if (f == r->kept)
			break;
	}
	return slots & ~slots_parallel(slots, finish_slot, r, NULL);
}

/* ---- The writer takes over the files ------------------------------------------------------------------------------ */
static struct log_file *adopt(struct recovery *r, uint64_t log, uint32_t slots)
{
	struct log_file *lf = calloc(1, sizeof *lf);

	ASSERT(lf);
	lf->log = lf->named = log;
	for (unsigned i = 0; i < r->s->n; i++) {
		struct found_file *f = slots & 1u << i ? scan_file(r, i, log) : NULL;
		if (f)
			lf->file[i] = drive_file_ref(f->f);
	}
	return lf;
}

/* Files that every drive has under one name are kept to be used again, others go. */
static bool on_all(struct recovery *r, uint64_t log, uint32_t slots)
{
	for (unsigned i = 0; i < r->s->n; i++) {
		struct found_file *f = slots & 1u << i ? scan_file(r, i, log) : NULL;
		if ((slots & 1u << i) && (!f || f->f->size != r->s->journal.file_size))
			return false;
	}
	return true;
}

static void adopt_free(struct recovery *r, unsigned lead, uint32_t slots)
{
	struct journal *j = &r->s->journal;

	for (unsigned i = 0; i < r->files[lead].n; i++) {
		struct found_file *f = VEC_AT(&r->files[lead], struct found_file, i);
		if (kept_log(r, f->log) || !on_all(r, f->log, slots) || j->nused + j->nfree >= j->max_files)
			continue;
		struct log_file *lf = adopt(r, f->log, slots);
		lf->log = 0;
		list_add_tail(&j->free, &lf->node);
		j->nfree++;
	}
}

static bool is_free(const struct journal *j, uint64_t named)
{
	LIST_FOREACH(it, &j->free)
		if (LIST_ENTRY(it, struct log_file, node)->named == named)
			return true;
	return false;
}

static int drop_others(struct recovery *r, unsigned slot)
{
	char name[40];

	for (unsigned i = 0; i < r->files[slot].n; i++) {
		struct found_file *f = VEC_AT(&r->files[slot], struct found_file, i);
		if (kept_log(r, f->log) || is_free(&r->s->journal, f->log))
			continue;
		journal_file_name(f->log, name, sizeof name);
		int rc = drive_unlink(r->s->slot[slot].d, name);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* The slots that failed. */
uint32_t journal_adopt(struct recovery *r, uint32_t slots)
{
	struct journal *j = &r->s->journal;
	uint32_t failed = 0;

	for (unsigned i = 0; i < r->s->n; i++)
		j->drive[i] = slots & 1u << i ? r->s->slot[i].d : NULL;
	for (uint64_t log = r->start.log; log <= r->kept->log; log++) {
		struct log_file *lf = adopt(r, log, slots);
		list_add_tail(&j->used, &lf->node);
		j->nused++;
		j->cur = lf;
	}
	j->off = r->kept->off + r->kept->head.len;
	adopt_free(r, (unsigned)__builtin_ctz(slots), slots);
	for (unsigned i = 0; i < r->s->n; i++)
		if ((slots & 1u << i) && drop_others(r, i) < 0)
			failed |= 1u << i;
	return failed;
}
