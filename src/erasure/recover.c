/* SPDX-License-Identifier: Apache-2.0
 *
 * What recovery and heal need of cells: is it there, write it anew, settle a drive. All reads are O_DIRECT: a page left
 * behind by a failed flush says nothing about the drive.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "erasure/erasure_internal.h"

static int listed_crcs(void *arg, unsigned cell, unsigned first, unsigned n, uint32_t *ret)
{
	const struct erasure_stripe *st = arg;

	memcpy(ret, st->crc + (size_t)cell * st->blocks_per_cell + first, n * sizeof *ret);
	return 0;
}

bool listed_fits(const struct erasure_set *s, const struct segment_info *i, const struct erasure_stripe *st)
{
	return st->ncell == s->ncell && st->block_log2 >= 12 && st->block_log2 <= 16 && st->cell_4k > 0 &&
	       BYTES_4K(st->cell_4k) <= s->cell_max && st->offset_4k > 0 && st->offset_4k < i->size_4k &&
	       st->cell_4k <= i->size_4k - st->offset_4k &&
	       st->blocks_per_cell == DIV_ROUND_UP(BYTES_4K(st->cell_4k), 1ull << st->block_log2);
}

int listed_begin(struct erasure_set *s, const struct erasure_stripe *st, struct stripe *t)
{
	struct segment *seg = segment_pin(s, st->segment);

	if (!seg)
		return -QE_CORRUPT;
	if (!listed_fits(s, &seg->info, st)) {
		segment_unpin(s, seg);
		return -QE_CORRUPT;
	}
	*t = (struct stripe){
		.set = s,
		.seg = seg,
		.offset_4k = st->offset_4k,
		.cell_len = (uint32_t)BYTES_4K(st->cell_4k),
		.block_log2 = st->block_log2,
		.flags = DRIVE_DIRECT,
		.missing = erasure_missing_mask(s, st->segment, st->offset_4k, st->offset_4k + st->cell_4k),
		.lo = 0,
		.hi = (uint32_t)BYTES_4K(st->cell_4k),
		.crcs = listed_crcs,
		.arg = (void *)st,
	};
	return 0;
}

static int check_cell(struct erasure_set *s, const struct erasure_stripe *st, const struct stripe *t, unsigned slot)
{
	unsigned cell = segment_cell_of(t->seg, slot), tag;
	uint8_t *p = NULL;

	if (cell >= s->ncell)
		return 1;
	struct cell_batch *b = cell_batch_new(s);
	if (!b)
		return -ENOMEM;
	int rc = cell_batch_add(b, t->seg, slot, BYTES_4K(st->offset_4k), t->cell_len, DRIVE_DIRECT, 0);
	if (rc == 0) {
		cell_batch_run(b);
		rc = cell_batch_take(b, 0, &tag, &p);
	}
	cell_batch_free(b);
	if (rc < 0)
		return rc == -ENOENT || rc == -QE_END_OF_FILE ? 0 : rc;
	const uint32_t *crc = st->crc + (size_t)cell * st->blocks_per_cell;
	unsigned bad = blocks_verify(p, t->cell_len, st->block_log2, crc);
	pool_put(s->cells, p);
	if (bad)
		STAT_ADD(s, bad_blocks, bad);
	return bad == 0;
}

bool header_fits(const struct erasure_set *s, const struct segment *seg, unsigned slot, const void *block)
{
	const struct segment_info *i = &seg->info;
	struct segment_header h;

	return segment_header_decode(block, &h) == 0 && h.info.id == i->id && h.set == s->set && h.slot == slot &&
	       h.info.rotation == i->rotation && h.info.cell_4k == i->cell_4k && h.info.size_4k == i->size_4k;
}

static int check_header(struct erasure_set *s, const struct segment *seg, unsigned slot, struct drive_file *f)
{
	void *block;
	int rc;

	if (posix_memalign(&block, DRIVE_BLOCK, DRIVE_BLOCK) != 0)
		return -ENOMEM;
	rc = drive_pread(f, block, DRIVE_BLOCK, 0, DRIVE_DIRECT);
	if (rc == -QE_END_OF_FILE || (rc == 0 && !header_fits(s, seg, slot, block)))
		rc = -QE_CORRUPT;
	free(block);
	return rc;
}

int erasure_file_check(struct erasure_set *s, uint64_t segment, unsigned slot, uint32_t end_4k)
{
	CLEANUP_DRIVE struct drive *d = slot_drive(s, slot);
	char name[SEGMENT_NAME_MAX];
	struct drive_file *f;

	if (!d)
		return -ENOENT;
	if (erasure_missing_mask(s, segment, 0, 1) & 1u << slot)
		return ERASURE_FILE_MISSING;
	struct segment *seg = segment_pin(s, segment);
	if (!seg)
		return -QE_CORRUPT;
	segment_name(segment, name);
	int rc = drive_open(d, name, 0, 0, &f);
	if (rc == 0) {
		bool cut = f->size < BYTES_4K(end_4k) && !(erasure_missing_mask(s, segment, 0, end_4k) & 1u << slot);
		rc = check_header(s, seg, slot, f);
		if (rc == 0 && cut)
			rc = ERASURE_FILE_CUT;
		drive_file_unref(f);
	}
	segment_unpin(s, seg);
	return rc;
}

int erasure_cell_check(struct erasure_set *s, const struct erasure_stripe *st, unsigned slot)
{
	struct stripe t;
	int rc = listed_begin(s, st, &t);

	if (rc < 0)
		return rc;
	rc = check_cell(s, st, &t, slot);
	segment_unpin(s, t.seg);
	return rc;
}

static int repair_slot(struct erasure_set *s, struct stripe *t, unsigned slot)
{
	unsigned cell = segment_cell_of(t->seg, slot);
	struct drive_file *f;

	int rc = segment_file(s, t->seg, slot, 0, true, &f);
	if (rc < 0)
		return rc;
	rc = drive_pwrite(f, t->buf[cell], t->cell_len, BYTES_4K(t->offset_4k), DRIVE_DIRECT);
	drive_file_unref(f);
	mutex_lock(&s->lock);
	if (rc < 0)
		flush_note(&t->seg->slot[slot].failed, t->offset_4k);
	else
		flush_returned_locked(s, t->seg, slot, t->offset_4k);
	mutex_unlock(&s->lock);
	return MIN(rc, 0);
}

int erasure_cell_repair(struct erasure_set *s, const struct erasure_stripe *st, uint32_t slot_mask)
{
	struct stripe t;
	uint32_t want = 0;
	int rc = listed_begin(s, st, &t);

	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < s->n; i++)
		if ((slot_mask & 1u << i) && segment_cell_of(t.seg, i) < s->ncell)
			want |= 1u << segment_cell_of(t.seg, i);
	rc = want ? stripe_need(&t, want) : 0;
	if (rc == 0)
		for (uint32_t m = want; m; m &= m - 1) {
			int one = repair_slot(s, &t, segment_slot_of(t.seg, (unsigned)__builtin_ctz(m)));
			if (one < 0 && rc == 0)
				rc = one;
		}
	stripe_done(&t);
	segment_unpin(s, t.seg);
	return rc;
}

/* ---- R3 ---------------------------------------------------------------------------------------------------------- */
static int settle_file(void *arg, const char *name)
{
	struct drive *d = arg;
	struct drive_file *f;
	char path[300];
	size_t len = strlen(name);

	if (len < 4 || strcmp(name + len - 4, ".seg") != 0 || len > sizeof path - 8)
		return 0;
	memcpy(path, "seg/", 4);
	memcpy(path + 4, name, len + 1);
	int rc = drive_open(d, path, 0, 0, &f);
	if (rc < 0)
		return rc;
	rc = drive_sync(f);
	if (rc >= 0)
		rc = drive_drop_clean(f);
	drive_file_unref(f);
	return MIN(rc, 0);
}

int erasure_slot_settle(struct erasure_set *s, unsigned slot)
{
	CLEANUP_DRIVE struct drive *d = slot < s->n ? slot_drive(s, slot) : NULL;

	if (!d)
		return -ENODEV;
	segment_close_slot(s, slot, false);
	int rc = drive_list(d, "seg", settle_file, d);
	if (rc < 0)
		return rc;
	flush_settled(s, slot);
	return 0;
}
