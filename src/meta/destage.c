/* SPDX-License-Identifier: Apache-2.0
 *
 * Destaging: the payload of live inline blobs of the frozen memtable moves from the journal to packed stripes. Each blob
 * lies whole within one data cell, 8-byte aligned. A batch puts the blob rows with their new place, each in its read set,
 * so a blob that was deleted or changed meanwhile drops out: the batch is then built again from what is left.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/log.h"
#include "meta/set_internal.h"

#define BATCH_BLOBS 512

struct moved {
	uint64_t blob;
	unsigned stripe;          /* in destage.stripes */
	uint32_t byte;
	uint8_t cell;
};
struct destage {
	struct meta_set *s;
	uint8_t *data;            /* the stripe being filled */
	uint32_t cell_len;
	unsigned cell;            /* being filled */
	uint32_t byte;
	struct vec moved;
	struct vec stripes;       /* struct erasure_blob, each of one stripe: written; the one being filled is not in it yet */
};

static int open_view(struct meta_set *s, struct meta_view **ret)
{
	return meta_view_open(s, ret);
}

/* ---- The batch ---------------------------------------------------------------------------------------------------- */
static void put_blob(struct destage *d, struct meta_batch *b, const struct moved *m, const struct meta_row *seen,
		     struct row_blob *r)
{
	const struct erasure_blob *st = VEC_AT(&d->stripes, struct erasure_blob, m->stripe);
	CLEANUP_BUF struct buf body = BUF_INIT;
	struct meta_key k;

	r->place = BLOB_PACKED;
	r->segment = st->segment;
	r->offset_4k = st->offset_4k;
	r->cell = m->cell;
	r->byte = m->byte;
	r->seq = 0;
	r->payload_off = 0;
	row_blob_encode(&body, r);
	key_u64(&k, m->blob);
	meta_batch_expect(b, TABLE_BLOB, &k, seen, true);
	meta_batch_put(b, TABLE_BLOB, &k, buf_str(&body), 0);
	batch_segment(b, &st->info, (int64_t)r->stored_len, st->offset_4k + st->stripes[0].cell_4k);
}

/* Rows of blobs that are still in the journal; the others dropped out. */
static int fill_rows(struct destage *d, struct meta_batch *b, struct meta_view *v, bool used[], unsigned *ret_n)
{
	struct meta_row row;
	struct row_blob r;
	struct meta_key k;

	*ret_n = 0;
	for (unsigned i = 0; i < d->moved.n; i++) {
		const struct moved *m = VEC_AT(&d->moved, struct moved, i);
		key_u64(&k, m->blob);
		int rc = meta_get_k(v, TABLE_BLOB, &k, &row);
		if (rc > 0)
			rc = row_blob_decode(row.body, &r) < 0 ? -QE_CORRUPT : r.place == BLOB_JOURNAL;
		if (rc < 0)
			return rc;
		if (rc == 0)
			continue;
		put_blob(d, b, m, &row, &r);
		used[m->stripe] = true;
		++*ret_n;
		STAT_ADD(d->s, destaged_bytes, r.stored_len);
	}
	return 0;
}

static int list_stripe(struct meta_batch *b, const struct erasure_blob *st)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	const struct erasure_stripe *cells = &st->stripes[0];
	struct erasure_blob copy;
	struct meta_key k;

	/* A copy: the batch frees what it lists, and it may have to be built again. */
	int rc = erasure_blob_copy(st, &copy);
	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < cells->ncell; i++)
		buf_put_le32(&body, cells->crc[i]);
	key_stripe(&k, st->segment, st->offset_4k);
	meta_batch_put(b, TABLE_STRIPE, &k, buf_str(&body), 0);
	batch_take_blob(b, &copy);
	return 0;
}

static int build(struct destage *d, struct meta_batch **ret, unsigned *ret_n)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	CLEANUP_FREE bool *used = calloc(d->stripes.n + 1, sizeof *used);
	struct meta_batch *b = meta_batch_new(d->s, META_DURABLE, OP_DESTAGE);
	int rc = b && used ? open_view(d->s, &v) : -ENOMEM;

	if (rc == 0) {
		b->internal = true;
		meta_batch_view(b, v);
		rc = fill_rows(d, b, v, used, ret_n);
	}
	for (unsigned i = 0; rc == 0 && i < d->stripes.n; i++)
		if (used[i])
			rc = list_stripe(b, VEC_AT(&d->stripes, struct erasure_blob, i));
	if (rc < 0) {
		meta_batch_free(b);
		return rc;
	}
	*ret = b;
	return 0;
}

static void forget(struct destage *d)
{
	for (unsigned i = 0; i < d->stripes.n; i++)
		erasure_blob_free(VEC_AT(&d->stripes, struct erasure_blob, i));
	d->stripes.n = d->moved.n = 0;
}

/* Commits what lies in whole stripes. The answer means durable: cells and rows. */
static int commit(struct destage *d)
{
	int rc = -QE_CONFLICT;

	while (rc == -QE_CONFLICT && d->stripes.n) {
		struct meta_batch *b;
		unsigned n;
		rc = build(d, &b, &n);
		if (rc < 0)
			break;
		rc = n ? meta_commit(b) : 0;
		meta_batch_free(b);
		if (rc == 0)
			STAT_ADD(d->s, destaged_blobs, n);
	}
	forget(d);
	return rc == -QE_CONFLICT ? 0 : rc;
}

/* ---- Filling stripes ---------------------------------------------------------------------------------------------- */
static int write_stripe(struct destage *d)
{
	size_t used = d->cell * (size_t)d->cell_len + d->byte;
	struct erasure_blob *st;

	if (used == 0)
		return 0;
	st = vec_push(&d->stripes, sizeof *st);
	if (!st)
		return -ENOMEM;
	int rc = erasure_packed_write(d->s->erasure, d->data, st);
	if (rc < 0) {
		d->stripes.n--;
		return rc;
	}
	memset(d->data, 0, d->s->k * (size_t)d->cell_len);
	d->cell = 0;
	d->byte = 0;
	return d->moved.n >= BATCH_BLOBS || d->stripes.n >= 32 ? commit(d) : 0;
}

static int add_blob(struct destage *d, uint64_t blob, const struct row_blob *r, const struct payload *p)
{
	uint32_t len = (uint32_t)r->stored_len;
	uint64_t off = r->payload_off - p->inline_off;

	if (len > d->cell_len || off > p->len || len > p->len - off)
		return -QE_CORRUPT;
	if (d->byte + len > d->cell_len) {
		d->byte = 0;
		if (++d->cell == d->s->k) {
			d->cell = d->s->k;
			int rc = write_stripe(d);
			if (rc < 0)
				return rc;
		}
	}
	struct moved *m = vec_push(&d->moved, sizeof *m);
	if (!m)
		return -ENOMEM;
	*m = (struct moved){.blob = blob, .stripe = d->stripes.n, .cell = (uint8_t)d->cell, .byte = d->byte};
	memcpy(d->data + d->cell * (size_t)d->cell_len + d->byte, p->data + off, len);
	d->byte = ALIGN_UP(d->byte + len, 8);
	return 0;
}

/* A blob row of the frozen memtable: still in the journal, as far as it is known now? */
static int visit(struct destage *d, const struct memtable_row *row)
{
	struct meta_set *s = d->s;
	struct memtable_row newest;
	struct row_blob r;
	size_t len;

	if (row->deleted || row->key.len != 8)
		return 0;
	mutex_lock(&s->writer);
	bool found = publish_newest(&s->pub, TABLE_BLOB, row->key, &newest);
	int rc = 0;
	const struct payload *p = NULL;
	if (found && !newest.deleted)
		rc = row_blob_decode(str_sub(newest.row, ENVELOPE_BYTES, newest.row.len - ENVELOPE_BYTES), &r);
	if (found && !newest.deleted && rc == 0 && r.place == BLOB_JOURNAL) {
		const void *data = memtable_payload(publish_frozen(&s->pub), r.seq, &len);
		p = data ? payload_of(data) : NULL;
		rc = data ? 0 : -QE_QUORUM_READ;
	}
	/* The frozen memtable, and with it the payload, stays until this checkpoint ends. */
	writer_unlock(s);
	return rc < 0 || !p ? rc : add_blob(d, be64_get(row->key.p), &r, p);
}

int destage_run(struct meta_set *s)
{
	struct destage d = {.s = s, .cell_len = ERASURE_PACKED_CELL};
	const struct memtable *frozen = publish_frozen(&s->pub);
	struct memtable_row row;
	int rc = 0;

	d.data = aligned_alloc(DRIVE_BLOCK, s->k * (size_t)d.cell_len);
	if (!d.data)
		return -ENOMEM;
	memset(d.data, 0, s->k * (size_t)d.cell_len);
	for (const void *at = memtable_seek(frozen, TABLE_BLOB, (struct str){"", 0}, UINT64_MAX, &row); rc == 0 && at;
	     at = memtable_next(frozen, at, UINT64_MAX, &row))
		rc = visit(&d, &row);
	if (rc == 0)
		rc = write_stripe(&d);
	if (rc == 0)
		rc = commit(&d);
	forget(&d);
	vec_free(&d.moved);
	vec_free(&d.stripes);
	free(d.data);
	return rc;
}
