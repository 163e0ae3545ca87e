/* SPDX-License-Identifier: Apache-2.0
 *
 * Building a batch. Rows are put into `ops` in their form on disk, with room for the envelope, so that the leader only
 * stamps and seals them; keys and bodies that the sequencer compares or starts from are kept beside.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/err.h"
#include "meta/set_internal.h"
#include "meta/view_struct_internal.h"

#define INLINE_BLOCK_LOG2 12
#define EMIT_ESTIMATE 192 /* of a row that the sequencer may emit, beside the body that was seen */

/* ---- Growing arrays ----------------------------------------------------------------------------------------------- */
void *vec_push(struct vec *v, size_t size)
{
	if (v->n == v->cap) {
		unsigned cap = v->cap ? 2 * v->cap : 8;
		void *p = realloc(v->p, cap * size);
		if (!p)
			return NULL;
		v->p = p;
		v->cap = cap;
	}
	void *at = (char *)v->p + v->n++ * size;
	memset(at, 0, size);
	return at;
}

void vec_free(struct vec *v)
{
	free(v->p);
	*v = (struct vec){0};
}

static void *push(struct meta_batch *b, struct vec *v, size_t size)
{
	void *p = b->err ? NULL : vec_push(v, size);

	if (!p && !b->err)
		b->err = -ENOMEM;
	return p;
}

static uint32_t keep_bytes(struct meta_batch *b, struct str s)
{
	uint32_t at = (uint32_t)b->bytes.len;

	buf_add_str(&b->bytes, s);
	return at;
}

/* ---- Payload ------------------------------------------------------------------------------------------------------ */
struct payload *payload_new(size_t len)
{
	struct payload *p;

	_Static_assert(sizeof(struct payload) == 64, "data is aligned");
	p = aligned_alloc(64, ALIGN_UP(sizeof *p + len, 64));
	if (!p)
		return NULL;
	p->inline_off = 0;
	p->len = len;
	return p;
}

void payload_release(void *data)
{
	free(payload_of(data));
}

static void free_chunks(struct meta_batch *b)
{
	for (unsigned i = 0; i < b->chunks.n; i++)
		free(*VEC_AT(&b->chunks, struct payload *, i));
	b->chunks.n = 0;
}

size_t batch_payload_len(const struct meta_batch *b)
{
	size_t len = 0;

	for (unsigned i = 0; i < b->chunks.n; i++)
		len += ALIGN_UP((*VEC_AT(&b->chunks, struct payload *, i))->len, 8);
	return len;
}

struct payload *batch_payload_join(struct meta_batch *b)
{
	size_t at = 0;

	if (b->chunks.n == 0)
		return NULL;
	struct payload *first = *VEC_AT(&b->chunks, struct payload *, 0);
	if (b->chunks.n == 1)
		return first;
	struct payload *all = payload_new(batch_payload_len(b));
	if (!all)
		return NULL;
	for (unsigned i = 0; i < b->chunks.n; i++) {
		struct payload *c = *VEC_AT(&b->chunks, struct payload *, i);
		memcpy(all->data + at, c->data, c->len);
		for (unsigned j = 0; j < b->inlines.n; j++) {
			struct batch_inline *in = VEC_AT(&b->inlines, struct batch_inline, j);
			if (in->chunk == i)
				in->off += (uint32_t)at;
		}
		memset(all->data + at + c->len, 0, ALIGN_UP(c->len, 8) - c->len);
		at += ALIGN_UP(c->len, 8);
	}
	for (unsigned j = 0; j < b->inlines.n; j++)
		VEC_AT(&b->inlines, struct batch_inline, j)->chunk = 0;
	free_chunks(b);
	*VEC_AT(&b->chunks, struct payload *, 0) = all;
	b->chunks.n = 1;
	return all;
}

void *meta_batch_payload(struct meta_batch *b, size_t len)
{
	if (len > META_BATCH_MAX && !b->err)
		b->err = -QE_ENTITY_TOO_LARGE;
	struct payload *p = b->err ? NULL : payload_new(len);
	struct payload **at = p ? push(b, &b->chunks, sizeof *at) : NULL;

	if (!at) {
		if (!b->err)
			b->err = -ENOMEM;
		free(p);
		return NULL;
	}
	*at = p;
	return p->data;
}

/* ---- Life --------------------------------------------------------------------------------------------------------- */
struct meta_batch *meta_batch_new(struct meta_set *s, enum meta_promise promise, enum op_origin origin)
{
	struct meta_batch *b = calloc(1, sizeof *b);

	if (!b)
		return NULL;
	list_init(&b->node);
	b->set = s;
	b->promise = (uint8_t)promise;
	b->origin = (uint8_t)origin;
	return b;
}

static void free_blobs(struct meta_batch *b)
{
	for (unsigned i = 0; i < b->blobs.n; i++)
		erasure_blob_free(VEC_AT(&b->blobs, struct erasure_blob, i));
	b->blobs.n = 0;
}

void meta_batch_free(struct meta_batch *b)
{
	if (!b)
		return;
	free_blobs(b);
	free_chunks(b);
	buf_free(&b->ops);
	buf_free(&b->bytes);
	struct vec *all[] = {&b->expects, &b->seen, &b->dirs, &b->usages, &b->refs, &b->inlines, &b->segments, &b->stamps,
			     &b->blobs, &b->chunks};
	for (unsigned i = 0; i < ARRAY_SIZE(all); i++)
		vec_free(all[i]);
	free(b);
}

void meta_batch_reset(struct meta_batch *b)
{
	free_blobs(b);
	buf_reset(&b->ops);
	buf_reset(&b->bytes);
	struct vec *all[] = {&b->expects, &b->seen, &b->dirs, &b->usages, &b->refs, &b->inlines, &b->segments, &b->stamps};
	for (unsigned i = 0; i < ARRAY_SIZE(all); i++)
		all[i]->n = 0;
	b->nops = 0;
	b->has_view = b->deletes = b->puts = b->unflushed = b->missing = false;
	b->err = b->rc = 0;
	b->seq = b->time = b->inline_off = b->view_seq = 0;
}

int meta_batch_err(const struct meta_batch *b)
{
	if (b->err)
		return b->err;
	return buf_err(&b->ops) ? buf_err(&b->ops) : buf_err(&b->bytes);
}

void meta_batch_set_user(struct meta_batch *b, void *user)
{
	b->user = user;
}

void *meta_batch_user(const struct meta_batch *b)
{
	return b->user;
}

uint64_t meta_batch_seq(const struct meta_batch *b)
{
	return b->seq;
}

uint64_t meta_batch_time(const struct meta_batch *b)
{
	return b->time;
}

/* ---- Rows --------------------------------------------------------------------------------------------------------- */
void meta_batch_view(struct meta_batch *b, const struct meta_view *v)
{
	b->view_seq = v->vouched == SEQ_DOUBT ? meta_view_seq(v) : SEQ_DOUBT;
	b->has_view = true;
}

void meta_batch_expect(struct meta_batch *b, enum meta_table t, const struct meta_key *k, const struct meta_row *seen,
		       bool present)
{
	struct batch_expect *e = push(b, &b->expects, sizeof *e);

	if (!e)
		return;
	*e = (struct batch_expect){
		.seq = seen ? seen->seq : 0,
		.key_off = keep_bytes(b, key_of(k)),
		.klen = k->len,
		.table = (uint8_t)t,
		.present = present,
	};
}

void batch_op(struct meta_batch *b, unsigned table, struct str key, bool del, struct str body)
{
	struct record_op op = {.table = (uint8_t)table, .del = del, .key = key};

	if (b->nops == UINT16_MAX && !b->err)
		b->err = -E2BIG;
	if (!del && !body.p && !b->err)
		b->err = -ENOMEM; /* no row is empty: there was no memory for it */
	if (b->err)
		return;
	if (!del)
		op.value.len = ENVELOPE_BYTES + body.len;
	size_t at = record_op_put(&b->ops, &op);
	if (buf_err(&b->ops))
		return;
	if (!del && body.len)
		memcpy(b->ops.data + at + ENVELOPE_BYTES, body.p, body.len);
	b->nops++;
	if (del)
		b->deletes = true;
	else
		b->puts = true;
}

void meta_batch_put(struct meta_batch *b, enum meta_table t, const struct meta_key *k, struct str body, uint16_t stamp_off)
{
	size_t before = b->ops.len;

	batch_op(b, t, key_of(k), false, body);
	if (!stamp_off || meta_batch_err(b))
		return;
	uint32_t *at = push(b, &b->stamps, sizeof *at);
	if (at)
		*at = (uint32_t)(before + OP_HEAD_BYTES + k->len + ENVELOPE_BYTES + stamp_off);
}

void meta_batch_del(struct meta_batch *b, enum meta_table t, const struct meta_key *k)
{
	batch_op(b, t, key_of(k), true, (struct str){NULL, 0});
}

int meta_batch_pending(const struct meta_batch *b, enum meta_table t, const struct meta_key *k, struct str *ret_body)
{
	struct str ops = buf_str(&b->ops);
	struct record_op op;
	int rc = -ENOENT;

	while (record_op_next(&ops, &op) > 0) {
		if (op.table != t || !str_eq(op.key, key_of(k)))
			continue;
		rc = !op.del;
		if (rc)
			*ret_body = str_sub(op.value, ENVELOPE_BYTES, op.value.len - ENVELOPE_BYTES);
	}
	return rc;
}

/* ---- Deltas ------------------------------------------------------------------------------------------------------- */
static void add_seen(struct meta_batch *b, unsigned table, uint64_t id, const struct meta_row *row)
{
	struct batch_seen *s = push(b, &b->seen, sizeof *s);

	if (!s)
		return;
	bool present = row && row->body.p != NULL && row->body.len > 0;
	*s = (struct batch_seen){
		.id = id,
		.seq = row ? row->seq : 0,
		.off = present ? keep_bytes(b, row->body) : 0,
		.len = present ? (uint32_t)row->body.len : 0,
		.table = (uint8_t)table,
		.present = present,
	};
}

void meta_batch_dir_seen(struct meta_batch *b, uint64_t dir, const struct meta_row *seen)
{
	add_seen(b, TABLE_DIR, dir, seen);
}

void meta_batch_dir_delta(struct meta_batch *b, uint64_t dir, int live, int children, int locked, int uploads)
{
	struct batch_dir *d = push(b, &b->dirs, sizeof *d);

	if (d)
		*d = (struct batch_dir){dir, live, children, locked, uploads};
}

void meta_batch_usage_delta(struct meta_batch *b, uint64_t bucket, const struct meta_row *seen, const struct row_usage *delta)
{
	add_seen(b, TABLE_USAGE, bucket, seen);
	struct batch_usage *u = push(b, &b->usages, sizeof *u);

	if (u)
		*u = (struct batch_usage){bucket, *delta};
}

void meta_batch_blob_ref(struct meta_batch *b, uint64_t blob, const struct meta_row *seen, int delta)
{
	add_seen(b, TABLE_BLOB, blob, seen);
	struct batch_ref *r = push(b, &b->refs, sizeof *r);

	if (r)
		*r = (struct batch_ref){blob, delta};
}

void batch_segment(struct meta_batch *b, const struct segment_info *info, int64_t live, uint32_t end_4k)
{
	struct batch_segment *g = push(b, &b->segments, sizeof *g);

	if (g)
		*g = (struct batch_segment){*info, live, end_4k};
}

/* ---- Blobs -------------------------------------------------------------------------------------------------------- */
static bool find_chunk(struct meta_batch *b, const uint8_t *p, uint32_t len, struct batch_inline *ret)
{
	for (unsigned i = 0; i < b->chunks.n; i++) {
		struct payload *c = *VEC_AT(&b->chunks, struct payload *, i);
		if (p < c->data || p > c->data + c->len || len > (size_t)(c->data + c->len - p))
			continue;
		ret->chunk = i;
		ret->off = (uint32_t)(p - c->data);
		return true;
	}
	return false;
}

void meta_batch_blob_inline(struct meta_batch *b, uint64_t blob, const void *payload, uint32_t len, uint32_t refs)
{
	if (b->err)
		return;
	struct batch_inline in = {.blob = blob, .len = len, .refs = refs};
	ASSERT(len > 0 && len <= LARGE_INLINE_MAX && find_chunk(b, payload, len, &in));
	for (uint32_t i = 0, at = 0; at < len; i++, at += 1u << INLINE_BLOCK_LOG2)
		in.crc[i] = checksum_crc32c(0, (const uint8_t *)payload + at, MIN(len - at, 1u << INLINE_BLOCK_LOG2));
	struct batch_inline *at = push(b, &b->inlines, sizeof *at);
	if (at)
		*at = in;
}

static void put_blob_row(struct meta_batch *b, uint64_t blob, const struct erasure_blob *eb, uint32_t refs, const uint8_t *crcs,
			 unsigned total)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	struct meta_key k;
	struct row_blob r = {
		.place = BLOB_LARGE,
		.block_log2 = eb->block_log2,
		.set = b->set->p.set,
		.refs = refs,
		.plain_len = eb->stored_len,
		.stored_len = eb->stored_len,
		.segment = eb->segment,
		.offset_4k = eb->offset_4k,
		.ncrc = total <= ROW_BLOB_CRCS ? total : 0,
		.ncrc_total = total,
		.crcs = crcs,
	};

	row_blob_encode(&body, &r);
	key_u64(&k, blob);
	batch_op(b, TABLE_BLOB, key_of(&k), false, buf_str(&body));
	/* Beyond ROW_BLOB_CRCS all of them are in bsum rows, so that a change of refs never rewrites them. */
	for (unsigned n = 0; r.ncrc == 0 && n * ROW_BSUM_RUN < total; n++) {
		unsigned count = MIN(total - n * ROW_BSUM_RUN, (unsigned)ROW_BSUM_RUN);
		key_bsum(&k, blob, 1, n);
		batch_op(b, TABLE_BSUM, key_of(&k), false, (struct str){(const char *)crcs + 4 * n * ROW_BSUM_RUN, 4 * count});
	}
	if (buf_err(&body) && !b->err)
		b->err = buf_err(&body);
}

void batch_take_blob(struct meta_batch *b, struct erasure_blob *eb)
{
	struct erasure_blob *at = push(b, &b->blobs, sizeof *at);

	if (at)
		*at = *eb;
	else
		erasure_blob_free(eb);
	memset(eb, 0, sizeof *eb);
}

void meta_batch_blob_large(struct meta_batch *b, uint64_t blob, struct erasure_blob *eb, uint32_t refs)
{
	CLEANUP_BUF struct buf crcs = BUF_INIT;
	unsigned total = 0;

	for (unsigned i = 0; i < eb->nstripes; i++) {
		const struct erasure_stripe *st = &eb->stripes[i];
		unsigned n = (unsigned)st->ncell * st->blocks_per_cell;
		for (unsigned j = 0; j < n; j++)
			buf_put_le32(&crcs, st->crc[j]);
		total += n;
	}
	if (!buf_err(&crcs))
		put_blob_row(b, blob, eb, refs, (const uint8_t *)crcs.data, total);
	else if (!b->err)
		b->err = buf_err(&crcs);
	const struct erasure_stripe *last = eb->nstripes ? &eb->stripes[eb->nstripes - 1] : NULL;
	batch_segment(b, &eb->info, (int64_t)eb->stored_len, last ? last->offset_4k + last->cell_4k : 0);
	batch_take_blob(b, eb);
}

size_t batch_estimate(const struct meta_batch *b)
{
	size_t n = BATCH_HEAD_BYTES + b->ops.len + b->bytes.len;

	n += EMIT_ESTIMATE * (size_t)(b->seen.n + b->refs.n + b->segments.n + b->inlines.n);
	for (unsigned i = 0; i < b->blobs.n; i++) {
		const struct erasure_blob *eb = VEC_AT(&b->blobs, struct erasure_blob, i);
		for (unsigned j = 0; j < eb->nstripes; j++)
			n += record_stripe_bytes(&eb->stripes[j]);
	}
	return n;
}
