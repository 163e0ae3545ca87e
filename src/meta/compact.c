/* SPDX-License-Identifier: Apache-2.0
 *
 * Compaction (STORAGE.md section 5): what lives of a segment that is mostly dead moves to others, and the segment is
 * reclaimed. Two questions are asked of a sealed segment. Its row tells how many bytes live; where these are few, the blobs
 * are looked up, and what they would take anew is compared with what the segment takes. The answers differ where blobs
 * fill cells badly: such a segment has nothing to give, and moving it would only make another one like it.
 *
 * The order is that of every new blob: cells are written and flushed with the record that puts the rows, each in its read
 * set, so one that was deleted or moved meanwhile stays out. Who reads the old place has a view from before, and reclaim
 * waits for it. Checksums are not made anew: what was read has been verified, and a large blob's cells are compared with
 * its row before they count.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "meta/heal_internal.h"
#include "meta/pack_internal.h"

#define RUN_SEGMENTS 64 /* of one run */

struct compaction {
	struct meta_healer *h;
	unsigned percent;
	struct segment_info found[RUN_SEGMENTS]; /* by id */
	unsigned n;
	struct pack *pack;
	uint8_t *buf; /* of a packed blob */
	struct meta_compacted *done;
};

/* ---- Candidates --------------------------------------------------------------------------------------------------- */
/* Of each drive, behind the header. */
static uint32_t taken_4k(const struct segment_info *i)
{
	return i->sealed_4k > i->punched_4k ? i->sealed_4k - i->punched_4k - 1 : 0;
}

static uint64_t data_bytes(const struct segment_info *i)
{
	return (uint64_t)taken_4k(i) * DRIVE_BLOCK * i->k;
}

static int note_candidate(struct meta_healer *h, void *arg, const struct meta_row *row)
{
	struct compaction *c = arg;
	struct segment_info info;

	if (row_segment_decode(row->body, &info) < 0)
		return -QE_CORRUPT;
	if (c->n == RUN_SEGMENTS || info.state != SEGMENT_SEALED || info.live_bytes == 0 ||
	    info.live_bytes >= data_bytes(&info) / 100 * c->percent || heal_failed_lately(h, info.id, SUPER_MAX_SLOTS) ||
	    erasure_segment_in_use(h->erasure, info.id))
		return 0;
	c->found[c->n++] = info;
	return 0;
}

static int find(struct compaction *c)
{
	struct meta_key k = {.len = 0};
	int rc;

	do
		rc = live_page(c->h, TABLE_SEGMENT, &k, note_candidate, c);
	while (rc > 0 && c->n < RUN_SEGMENTS);
	return MIN(rc, 0);
}

static int by_id(const void *key, const void *at)
{
	uint64_t id = *(const uint64_t *)key, other = ((const struct segment_info *)at)->id;

	return id < other ? -1 : id > other;
}

static bool is_candidate(void *arg, uint64_t segment)
{
	const struct compaction *c = arg;

	return bsearch(&segment, c->found, c->n, sizeof c->found[0], by_id);
}

/* ---- What would be gained ----------------------------------------------------------------------------------------- */
/* Units of 4 KiB on each drive. */
static uint64_t need_large(const struct segment_info *i, const struct live_blob *b, size_t n)
{
	uint64_t units = 0;

	for (size_t j = 0; j < n; j++)
		units += erasure_blob_units(i, b[j].len);
	return units;
}

static uint64_t need_packed(const struct segment_info *i, const struct live_blob *b, size_t n)
{
	uint64_t cells = 1, byte = 0;

	for (size_t j = 0; j < n; j++) {
		if (byte + b[j].len > ERASURE_PACKED_CELL) {
			cells++;
			byte = 0;
		}
		byte = ALIGN_UP(byte + b[j].len, (uint64_t)8);
	}
	return DIV_ROUND_UP(cells, i->k) * (ERASURE_PACKED_CELL / DRIVE_BLOCK);
}

static bool is_worth_it(const struct compaction *c, const struct segment_info *i, const struct live_blob *b, size_t n)
{
	uint64_t need = i->cls == SEGMENT_PACKED ? need_packed(i, b, n) : need_large(i, b, n);

	return need * 100 < (uint64_t)taken_4k(i) * c->percent;
}

/* ---- Small blobs -------------------------------------------------------------------------------------------------- */
/* 1: its bytes are in c->buf, 0: it is not there any more. */
static int load_small(struct compaction *c, const struct live_blob *b, uint32_t *ret_len)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct row_blob r;
	int rc = meta_view_open(c->h->s, &v);

	if (rc == 0)
		rc = blob_row_get(v, b->blob, &r);
	if (rc <= 0 || r.place != BLOB_PACKED || r.segment != b->segment)
		return MIN(rc, 0);
	if (r.stored_len > ERASURE_PACKED_CELL)
		return -QE_CORRUPT;
	*ret_len = (uint32_t)r.stored_len;
	rc = meta_blob_read_row(v, b->blob, &r, 0, r.stored_len, c->buf, 0);
	return rc < 0 ? rc : 1;
}

static int move_small(struct compaction *c, const struct live_blob *b)
{
	uint32_t len;
	int rc = load_small(c, b, &len);

	return rc > 0 ? pack_add(c->pack, b->blob, b->segment, c->buf, len) : rc;
}

/* ---- Large blobs -------------------------------------------------------------------------------------------------- */
static int push_all(struct compaction *c, const struct live_blob *b, struct erasure_writer *w)
{
	uint32_t stripe = erasure_stripe_bytes(c->h->erasure, SEGMENT_LARGE);
	int rc = 0;

	for (uint32_t at = 0; rc == 0 && at < b->len; at += stripe) {
		uint32_t n = MIN(b->len - at, stripe);
		void *buf = aligned_alloc(DRIVE_BLOCK, stripe);
		if (!buf)
			return -ENOMEM;
		rc = meta_blob_read_now(c->h->s, b->blob, at, n, buf, 0);
		if (rc == 0)
			rc = erasure_writer_push(w, buf, n, free, buf);
		else
			free(buf);
	}
	return rc;
}

static int copy_large(struct compaction *c, const struct live_blob *b, struct erasure_blob *ret)
{
	struct erasure_writer *w;
	int rc = erasure_writer_open(c->h->erasure, b->len, &w);

	if (rc < 0)
		return rc;
	rc = push_all(c, b, w);
	if (rc == 0)
		return erasure_writer_finish(w, ret);
	erasure_writer_abort(w);
	return rc;
}

/* What was written is what the row says, parity too. */
static int compare_crcs(struct meta_view *v, uint64_t blob, const struct row_blob *r, const struct erasure_blob *eb)
{
	uint64_t first = 0;

	for (unsigned i = 0; i < eb->nstripes; i++) {
		unsigned n = (unsigned)eb->stripes[i].ncell * eb->stripes[i].blocks_per_cell;
		CLEANUP_FREE uint32_t *crc = malloc(n * sizeof *crc);
		int rc = crc ? blob_crcs_get(v, blob, r, first, n, crc) : -ENOMEM;
		if (rc < 0)
			return rc;
		if (memcmp(crc, eb->stripes[i].crc, n * sizeof *crc) != 0)
			return -QE_CORRUPT;
		first += n;
	}
	return first == r->ncrc_total && eb->block_log2 == r->block_log2 ? 0 : -QE_CORRUPT;
}

static void put_large(struct meta_batch *b, const struct meta_key *k, const struct meta_row *seen, struct row_blob *r,
		      struct erasure_blob *eb)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	const struct erasure_stripe *last = &eb->stripes[eb->nstripes - 1];

	batch_segment(b, &(struct segment_info){.id = r->segment}, -(int64_t)r->stored_len, 0);
	batch_segment(b, &eb->info, (int64_t)r->stored_len, last->offset_4k + last->cell_4k);
	r->segment = eb->segment;
	r->offset_4k = eb->offset_4k;
	row_blob_encode(&body, r);
	meta_batch_expect(b, TABLE_BLOB, k, seen, true);
	meta_batch_put(b, TABLE_BLOB, k, buf_str(&body), 0);
	batch_take_blob(b, eb);
}

/* NULL in *ret: the blob is not where it was. */
static int build_large(struct compaction *c, const struct live_blob *old, struct erasure_blob *eb, struct meta_batch **ret)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct meta_row row;
	struct row_blob r;
	struct meta_key k;
	int rc = meta_view_open(c->h->s, &v);

	*ret = NULL;
	key_u64(&k, old->blob);
	if (rc == 0)
		rc = meta_get_k(v, TABLE_BLOB, &k, &row);
	if (rc > 0)
		rc = row_blob_decode(row.body, &r) < 0 ? -QE_CORRUPT : r.place == BLOB_LARGE && r.segment == old->segment;
	if (rc > 0)
		rc = compare_crcs(v, old->blob, &r, eb) < 0 ? -QE_CORRUPT : 1;
	if (rc <= 0)
		return rc;
	*ret = meta_batch_new(c->h->s, META_DURABLE, OP_HEAL);
	if (!*ret)
		return -ENOMEM;
	(*ret)->internal = true;
	meta_batch_view(*ret, v);
	put_large(*ret, &k, &row, &r, eb);
	return 0;
}

static int move_large(struct compaction *c, const struct live_blob *b)
{
	struct erasure_blob eb;
	struct meta_batch *batch;
	int rc = copy_large(c, b, &eb);

	if (rc < 0)
		return rc;
	rc = build_large(c, b, &eb, &batch);
	if (rc == 0 && batch) {
		rc = meta_commit(batch);
		c->done->blobs += rc == 0;
		c->done->bytes += rc == 0 ? b->len : 0;
		rc = rc == -QE_CONFLICT ? 0 : rc; /* it was changed: another time */
	}
	meta_batch_free(batch);
	erasure_blob_free(&eb);
	return rc;
}

/* ---- Segments ----------------------------------------------------------------------------------------------------- */
/* 0: all of it moved; -QE_BUSY: told to end. */
static int compact_segment(struct compaction *c, const struct segment_info *info)
{
	size_t n;
	const struct live_blob *b = live_blobs(c->h, info->id, &n);
	int rc = 0;

	if (!is_worth_it(c, info, b, n)) {
		heal_note_failed(c->h, info->id, SUPER_MAX_SLOTS, "it is not worth it");
		return 0;
	}
	for (size_t i = 0; rc == 0 && i < n; i++) {
		rc = info->cls == SEGMENT_PACKED ? move_small(c, &b[i]) : move_large(c, &b[i]);
		if (rc == 0 && !heal_may_go_on(c->h, b[i].len))
			rc = -QE_BUSY;
	}
	c->done->segments += rc == 0;
	return rc;
}

/* Something in it cannot be read or is not to be moved; the others are. */
static bool is_of_segment(int rc)
{
	return rc == -QE_QUORUM_READ || rc == -QE_CORRUPT || rc == -QE_NOT_IMPLEMENTED;
}

static int compact_all(struct compaction *c)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < c->n && c->found[i].id <= c->h->blob_upto; i++) {
		rc = compact_segment(c, &c->found[i]);
		if (is_of_segment(rc)) {
			log_debug("meta", "segment %016llx is not compacted: %s", (unsigned long long)c->found[i].id, err_text(rc));
			heal_note_failed(c->h, c->found[i].id, SUPER_MAX_SLOTS, err_text(rc));
			rc = 0;
		}
		/* No room for a large one; packed ones may use what is kept free. */
		if (rc == -QE_FULL && c->found[i].cls == SEGMENT_LARGE)
			rc = 0;
	}
	int end = pack_flush(c->pack);
	c->done->blobs += pack_done(c->pack).blobs;
	c->done->bytes += pack_done(c->pack).bytes;
	return rc < 0 && rc != -QE_BUSY ? rc : end < 0 ? end : rc;
}

static int run(struct compaction *c)
{
	int rc = find(c);

	if (rc < 0 || c->n == 0)
		return rc < 0 ? rc : 1;
	uint64_t begun = clock_mono_ns();
	rc = live_collect(c->h, 0, LIVE_LARGE | LIVE_PACKED, is_candidate, c);
	c->done->collect_ns += clock_mono_ns() - begun;
	if (rc == 0)
		rc = pack_new(c->h->s, c->h->erasure, &c->pack);
	if (rc < 0)
		return rc == -QE_BUSY ? 0 : rc;
	rc = compact_all(c);
	c->pack = pack_free(c->pack);
	return MIN(rc, 0) == -QE_BUSY ? 0 : rc;
}

int meta_compact(struct meta_healer *h, struct meta_compacted *ret)
{
	struct compaction *c = calloc(1, sizeof *c);
	int rc;

	if (!c)
		return -ENOMEM;
	*c = (struct compaction){.h = h, .percent = space_compact_percent(h->s), .buf = malloc(ERASURE_PACKED_CELL), .done = ret};
	rc = c->buf ? heal_begin(h) : -ENOMEM;
	if (rc == 0) {
		rc = run(c);
		heal_end(h);
	}
	free(c->buf);
	free(c);
	return rc;
}
