/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/pack_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"

#define BATCH_BLOBS 512
#define BATCH_STRIPES 32

struct moved {
	uint64_t blob, from;      /* from: its segment until now, 0: the journal */
	unsigned stripe;          /* in pack.stripes */
	uint32_t byte;
	uint8_t cell;
};
struct pack {
	struct meta_set *s;
	struct erasure_set *erasure;
	uint8_t *data;            /* the stripe being filled */
	uint32_t cell_len;
	unsigned cell;            /* being filled */
	uint32_t byte;
	struct vec moved;
	struct vec stripes;       /* struct erasure_blob, each of one stripe: written; the one being filled is not in it yet */
	struct packed done;
};

/* ---- The batch ---------------------------------------------------------------------------------------------------- */
static void put_blob(struct pack *p, struct meta_batch *b, const struct moved *m, const struct meta_row *seen,
		     struct row_blob *r)
{
	const struct erasure_blob *st = VEC_AT(&p->stripes, struct erasure_blob, m->stripe);
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
	if (m->from)
		batch_segment(b, &(struct segment_info){.id = m->from}, -(int64_t)r->stored_len, 0);
}

static bool is_there(const struct moved *m, const struct row_blob *r)
{
	return m->from ? r->place == BLOB_PACKED && r->segment == m->from : r->place == BLOB_JOURNAL;
}

/* Rows of blobs that are still where they were read; the others dropped out. */
static int fill_rows(struct pack *p, struct meta_batch *b, struct meta_view *v, bool used[], struct packed *ret)
{
	struct meta_row row;
	struct row_blob r;
	struct meta_key k;

	*ret = (struct packed){0};
	for (unsigned i = 0; i < p->moved.n; i++) {
		const struct moved *m = VEC_AT(&p->moved, struct moved, i);
		key_u64(&k, m->blob);
		int rc = meta_get_k(v, TABLE_BLOB, &k, &row);
		if (rc > 0)
			rc = row_blob_decode(row.body, &r) < 0 ? -QE_CORRUPT : is_there(m, &r);
		if (rc < 0)
			return rc;
		if (rc == 0)
			continue;
		put_blob(p, b, m, &row, &r);
		used[m->stripe] = true;
		ret->blobs++;
		ret->bytes += r.stored_len;
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

static int build(struct pack *p, struct meta_batch **ret, struct packed *ret_n)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	CLEANUP_FREE bool *used = calloc(p->stripes.n + 1, sizeof *used);
	struct meta_batch *b = meta_batch_new(p->s, META_DURABLE, OP_DESTAGE);
	int rc = b && used ? meta_view_open(p->s, &v) : -ENOMEM;

	if (rc == 0) {
		b->internal = true;
		meta_batch_view(b, v);
		rc = fill_rows(p, b, v, used, ret_n);
	}
	for (unsigned i = 0; rc == 0 && i < p->stripes.n; i++)
		if (used[i])
			rc = list_stripe(b, VEC_AT(&p->stripes, struct erasure_blob, i));
	if (rc < 0) {
		meta_batch_free(b);
		return rc;
	}
	*ret = b;
	return 0;
}

static void forget(struct pack *p)
{
	for (unsigned i = 0; i < p->stripes.n; i++)
		erasure_blob_free(VEC_AT(&p->stripes, struct erasure_blob, i));
	p->stripes.n = p->moved.n = 0;
}

/* Commits what lies in whole stripes. The answer means durable: cells and rows. */
static int commit(struct pack *p)
{
	int rc = -QE_CONFLICT;

	while (rc == -QE_CONFLICT && p->stripes.n) {
		struct meta_batch *b;
		struct packed n;
		rc = build(p, &b, &n);
		if (rc < 0)
			break;
		rc = n.blobs ? meta_commit(b) : 0;
		meta_batch_free(b);
		if (rc == 0) {
			p->done.blobs += n.blobs;
			p->done.bytes += n.bytes;
		}
	}
	forget(p);
	return rc == -QE_CONFLICT ? 0 : rc;
}

/* ---- Filling stripes ---------------------------------------------------------------------------------------------- */
static int write_stripe(struct pack *p)
{
	size_t used = p->cell * (size_t)p->cell_len + p->byte;
	struct erasure_blob *st;

	if (used == 0)
		return 0;
	st = vec_push(&p->stripes, sizeof *st);
	if (!st)
		return -ENOMEM;
	int rc = erasure_packed_write(p->erasure, p->data, st);
	if (rc < 0) {
		p->stripes.n--;
		return rc;
	}
	memset(p->data, 0, p->s->k * (size_t)p->cell_len);
	p->cell = 0;
	p->byte = 0;
	return p->moved.n >= BATCH_BLOBS || p->stripes.n >= BATCH_STRIPES ? commit(p) : 0;
}

int pack_add(struct pack *p, uint64_t blob, uint64_t from, const void *data, uint32_t len)
{
	if (len > p->cell_len)
		return -QE_CORRUPT;
	if (p->byte + len > p->cell_len) {
		p->byte = 0;
		if (++p->cell == p->s->k) {
			int rc = write_stripe(p);
			if (rc < 0)
				return rc;
		}
	}
	struct moved *m = vec_push(&p->moved, sizeof *m);
	if (!m)
		return -ENOMEM;
	*m = (struct moved){.blob = blob, .from = from, .stripe = p->stripes.n, .cell = (uint8_t)p->cell, .byte = p->byte};
	memcpy(p->data + p->cell * (size_t)p->cell_len + p->byte, data, len);
	p->byte = ALIGN_UP(p->byte + len, 8);
	return 0;
}

int pack_flush(struct pack *p)
{
	int rc = write_stripe(p);

	return rc < 0 ? rc : commit(p);
}

/* ---- Life --------------------------------------------------------------------------------------------------------- */
int pack_new(struct meta_set *s, struct erasure_set *e, struct pack **ret)
{
	size_t len = s->k * (size_t)ERASURE_PACKED_CELL;
	struct pack *p = calloc(1, sizeof *p);

	if (!p)
		return -ENOMEM;
	*p = (struct pack){.s = s, .erasure = e, .cell_len = ERASURE_PACKED_CELL, .data = aligned_alloc(DRIVE_BLOCK, len)};
	if (!p->data) {
		free(p);
		return -ENOMEM;
	}
	memset(p->data, 0, len);
	*ret = p;
	return 0;
}

struct pack *pack_free(struct pack *p)
{
	if (!p)
		return NULL;
	forget(p);
	vec_free(&p->moved);
	vec_free(&p->stripes);
	free(p->data);
	free(p);
	return NULL;
}

struct packed pack_done(const struct pack *p)
{
	return p->done;
}
