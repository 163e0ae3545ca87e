/* SPDX-License-Identifier: Apache-2.0
 *
 * Codec of the journal. Everything that is read is bounded by a struct str; nothing here trusts a length.
 */
#include "meta/record.h"

#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/err.h"
#include "meta/envelope.h"
#include "meta/tables.h"

#define RECORD_MAGIC 0x31524a51u /* "QJR1" */
#define LOG_MAGIC 0x474c4a51u    /* "QJLG" */
#define LOG_FORMAT 1
#define EPOCH_FIXED 36
#define CKPT_BYTES 54

/* ---- Heads -------------------------------------------------------------------------------------------------------- */
void record_head_encode(struct record_head *h, void *p)
{
	uint8_t *b = p;

	le32_put(b, RECORD_MAGIC);
	le16_put(b + 4, h->type);
	le16_put(b + 6, h->flags);
	le32_put(b + 8, h->len);
	le32_put(b + 12, h->nbatch);
	le64_put(b + 16, h->log);
	le64_put(b + 24, h->epoch);
	le64_put(b + 32, h->first_seq);
	le64_put(b + 40, h->durable_seq);
	le64_put(b + 48, h->wall_ns);
	le32_put(b + 56, h->prev_crc);
	le32_put(b + 60, h->body_crc);
	le32_put(b + 64, h->body_len);
	le16_put(b + 68, h->cells);
	le16_put(b + 70, 0);
	le32_put(b + 72, h->cell_len);
	h->head_crc = checksum_crc32c(0, b, 76);
	le32_put(b + 76, h->head_crc);
}

static bool lengths_fit(const struct record_head *h)
{
	if (h->len > RECORD_LEN_MAX || h->body_len > RECORD_LEN_MAX || h->cell_len > RECORD_LEN_MAX)
		return false;
	return h->cell_len % RECORD_CELL_ALIGN == 0 && h->len == record_len(h->body_len, h->cell_len);
}

int record_head_decode(const void *p, struct record_head *ret)
{
	const uint8_t *b = p;
	struct record_head h;

	if (le32_get(b) != RECORD_MAGIC || le32_get(b + 76) != checksum_crc32c(0, b, 76))
		return -QE_CORRUPT;
	h = (struct record_head){
		.type = le16_get(b + 4),
		.flags = le16_get(b + 6),
		.len = le32_get(b + 8),
		.nbatch = le32_get(b + 12),
		.log = le64_get(b + 16),
		.epoch = le64_get(b + 24),
		.first_seq = le64_get(b + 32),
		.durable_seq = le64_get(b + 40),
		.wall_ns = le64_get(b + 48),
		.prev_crc = le32_get(b + 56),
		.body_crc = le32_get(b + 60),
		.body_len = le32_get(b + 64),
		.cells = le16_get(b + 68),
		.cell_len = le32_get(b + 72),
		.head_crc = le32_get(b + 76),
	};
	if (h.type < RECORD_GROUP || h.type > RECORD_PAD || h.first_seq == 0 || !lengths_fit(&h))
		return -QE_CORRUPT;
	*ret = h;
	return 0;
}

uint64_t record_seqs(const struct record_head *h)
{
	if (h->type == RECORD_EPOCH)
		return 0;
	return MAX(h->nbatch, 1u);
}

uint32_t record_cell_crc(const void *body, uint32_t body_len, unsigned ncell, unsigned cell)
{
	return le32_get((const uint8_t *)body + body_len - 4 * (ncell - cell));
}

void log_head_encode(const struct log_head *h, void *block)
{
	uint8_t *b = block;

	memset(b, 0, LOG_HEAD_BYTES);
	le32_put(b, LOG_MAGIC);
	le16_put(b + 4, LOG_FORMAT);
	memcpy(b + 8, h->deployment, 16);
	le16_put(b + 24, h->set);
	le16_put(b + 26, h->slot);
	memcpy(b + 28, h->drive, 16);
	le64_put(b + 44, h->log);
	le64_put(b + 52, h->first_seq);
	le64_put(b + 60, h->prev_seq);
	le32_put(b + 68, h->prev_crc);
	le32_put(b + 72, checksum_crc32c(0, b, 72));
}

int log_head_decode(const void *block, struct log_head *ret)
{
	const uint8_t *b = block;

	if (le32_get(b) != LOG_MAGIC || le16_get(b + 4) != LOG_FORMAT || le32_get(b + 72) != checksum_crc32c(0, b, 72))
		return -QE_CORRUPT;
	memcpy(ret->deployment, b + 8, 16);
	ret->set = le16_get(b + 24);
	ret->slot = le16_get(b + 26);
	memcpy(ret->drive, b + 28, 16);
	ret->log = le64_get(b + 44);
	ret->first_seq = le64_get(b + 52);
	ret->prev_seq = le64_get(b + 60);
	ret->prev_crc = le32_get(b + 68);
	return 0;
}

/* ---- Batches: writing --------------------------------------------------------------------------------------------- */
size_t record_batch_begin(struct buf *b)
{
	size_t at = b->len;

	buf_add_zero(b, BATCH_HEAD_BYTES);
	return at;
}

void record_batch_end(struct buf *b, size_t at, const struct record_batch *h)
{
	if (buf_err(b))
		return;
	uint8_t *p = (uint8_t *)b->data + at;
	le32_put(p, (uint32_t)(b->len - at));
	p[4] = h->promise;
	p[5] = h->origin;
	le16_put(p + 6, h->nops);
	le16_put(p + 8, h->ncells);
	le16_put(p + 10, h->flags);
	le32_put(p + 12, h->inline_len);
	le64_put(p + 16, h->seq);
	le64_put(p + 24, h->inline_off);
}

size_t record_stripe_bytes(const struct erasure_stripe *st)
{
	return ALIGN_UP(STRIPE_HEAD_BYTES + 4 * (size_t)st->ncell * st->blocks_per_cell, 8);
}

void record_stripe_put(struct buf *b, const struct erasure_stripe *st, uint16_t mask)
{
	size_t n = (size_t)st->ncell * st->blocks_per_cell;
	uint8_t *p = buf_reserve(b, record_stripe_bytes(st));

	if (!p)
		return;
	memset(p, 0, record_stripe_bytes(st));
	le64_put(p, st->segment);
	le32_put(p + 8, st->offset_4k);
	le16_put(p + 12, st->cell_4k);
	p[14] = st->ncell;
	p[15] = st->block_log2;
	le16_put(p + 16, mask);
	for (size_t i = 0; i < n; i++)
		le32_put(p + STRIPE_HEAD_BYTES + 4 * i, st->crc[i]);
	buf_commit(b, record_stripe_bytes(st));
}

size_t record_op_put(struct buf *b, const struct record_op *op)
{
	size_t n = ALIGN_UP(OP_HEAD_BYTES + op->key.len + op->value.len, 8);
	uint8_t *p = buf_reserve(b, n);

	if (!p)
		return 0;
	p[0] = op->table;
	p[1] = op->del ? 2 : 1;
	le16_put(p + 2, (uint16_t)op->key.len);
	le32_put(p + 4, (uint32_t)op->value.len);
	memcpy(p + OP_HEAD_BYTES, op->key.p, op->key.len);
	size_t at = OP_HEAD_BYTES + op->key.len;
	if (op->value.p)
		memcpy(p + at, op->value.p, op->value.len);
	memset(p + at + op->value.len, 0, n - at - op->value.len);
	at += b->len;
	buf_commit(b, n);
	return at;
}

/* ---- Batches: reading --------------------------------------------------------------------------------------------- */
/* Takes n bytes from the front of *rest; false when there are fewer. */
static bool take(struct str *rest, size_t n, struct str *ret)
{
	if (n > rest->len)
		return false;
	*ret = (struct str){rest->p, n};
	rest->p += n;
	rest->len -= n;
	return true;
}

static uint32_t blocks_per_cell(uint16_t cell_4k, uint8_t block_log2)
{
	return (uint32_t)((((uint64_t)cell_4k << 12) + (1u << block_log2) - 1) >> block_log2);
}

/* The length of the stripe at the front, padded; 0: damaged. */
static size_t stripe_len(struct str rest)
{
	const uint8_t *p = (const uint8_t *)rest.p;

	if (rest.len < STRIPE_HEAD_BYTES)
		return 0;
	uint16_t cell_4k = le16_get(p + 12);
	uint8_t ncell = p[14], log2 = p[15];
	if (cell_4k == 0 || ncell == 0 || ncell > ERASURE_MAX_CELLS || log2 < 12 || log2 > 16)
		return 0;
	return ALIGN_UP(STRIPE_HEAD_BYTES + 4 * (size_t)ncell * blocks_per_cell(cell_4k, log2), 8);
}

static size_t op_len(struct str rest)
{
	const uint8_t *p = (const uint8_t *)rest.p;

	if (rest.len < OP_HEAD_BYTES)
		return 0;
	if (p[0] == 0 || p[0] >= TABLE_END || p[1] < 1 || p[1] > 2)
		return 0;
	uint16_t klen = le16_get(p + 2);
	uint32_t vlen = le32_get(p + 4);
	if (klen > META_KEY_MAX || vlen > RECORD_LEN_MAX || (p[1] == 1 ? vlen < ENVELOPE_BYTES : vlen != 0))
		return 0;
	return ALIGN_UP(OP_HEAD_BYTES + (size_t)klen + vlen, 8);
}

static bool take_many(struct str *rest, unsigned n, size_t (*len)(struct str), struct str *ret)
{
	struct str part;

	*ret = (struct str){rest->p, 0};
	for (unsigned i = 0; i < n; i++) {
		size_t one = len(*rest);
		if (one == 0 || !take(rest, one, &part))
			return false;
		ret->len += one;
	}
	return true;
}

int record_batch_next(struct str *rest, struct record_batch *ret)
{
	struct str b;
	struct record_batch h;

	if (rest->len == 0)
		return 0;
	if (rest->len < BATCH_HEAD_BYTES)
		return -QE_CORRUPT;
	const uint8_t *p = (const uint8_t *)rest->p;
	uint32_t len = le32_get(p);
	if (len < BATCH_HEAD_BYTES || len % 8 != 0 || !take(rest, len, &b))
		return -QE_CORRUPT;
	h = (struct record_batch){
		.promise = p[4],
		.origin = p[5],
		.nops = le16_get(p + 6),
		.ncells = le16_get(p + 8),
		.flags = le16_get(p + 10),
		.inline_len = le32_get(p + 12),
		.seq = le64_get(p + 16),
		.inline_off = le64_get(p + 24),
	};
	b = str_sub(b, BATCH_HEAD_BYTES, len - BATCH_HEAD_BYTES);
	if (!take_many(&b, h.ncells, stripe_len, &h.cells) || !take_many(&b, h.nops, op_len, &h.ops) || b.len != 0)
		return -QE_CORRUPT;
	*ret = h;
	return 1;
}

int record_stripe_next(struct str *rest, struct arena *a, struct erasure_stripe *ret)
{
	struct str s;
	size_t len = rest->len ? stripe_len(*rest) : 0;

	if (rest->len == 0)
		return 0;
	if (len == 0 || !take(rest, len, &s))
		return -QE_CORRUPT;
	const uint8_t *p = (const uint8_t *)s.p;
	*ret = (struct erasure_stripe){
		.segment = le64_get(p),
		.offset_4k = le32_get(p + 8),
		.cell_4k = le16_get(p + 12),
		.ncell = p[14],
		.block_log2 = p[15],
		.slot_mask = le16_get(p + 16),
		.blocks_per_cell = (uint16_t)blocks_per_cell(le16_get(p + 12), p[15]),
	};
	size_t n = (size_t)ret->ncell * ret->blocks_per_cell;
	ret->crc = arena_alloc(a, 4 * n);
	for (size_t i = 0; i < n; i++)
		ret->crc[i] = le32_get(p + STRIPE_HEAD_BYTES + 4 * i);
	return 1;
}

int record_op_next(struct str *rest, struct record_op *ret)
{
	struct str s;
	size_t len = rest->len ? op_len(*rest) : 0;

	if (rest->len == 0)
		return 0;
	if (len == 0 || !take(rest, len, &s))
		return -QE_CORRUPT;
	const uint8_t *p = (const uint8_t *)s.p;
	uint16_t klen = le16_get(p + 2);
	*ret = (struct record_op){
		.table = p[0],
		.del = p[1] == 2,
		.key = str_sub(s, OP_HEAD_BYTES, klen),
		.value = str_sub(s, OP_HEAD_BYTES + (size_t)klen, le32_get(p + 4)),
	};
	return 1;
}

/* ---- Bodies ------------------------------------------------------------------------------------------------------- */
void record_isr_put(struct buf *b, const struct isr_body *isr)
{
	isr_body_encode(b, isr, true);
	buf_pad(b, 8);
}

void record_epoch_put(struct buf *b, const struct record_epoch *e)
{
	buf_put_le64(b, e->epoch);
	buf_put_le64(b, e->last_seq);
	buf_put_le32(b, e->last_crc);
	buf_add(b, e->boot, 16);
	isr_body_encode(b, &e->isr, true);
	buf_pad(b, 8);
}

void record_ckpt_put(struct buf *b, const struct record_ckpt *c)
{
	buf_put_le64(b, c->position);
	buf_put_le64(b, c->start.log);
	buf_put_le32(b, c->start.off);
	buf_put_le64(b, c->start.first_seq);
	buf_put_le16(b, c->mask);
	buf_put_le64(b, c->rows);
	buf_add(b, c->sum, 16);
}

static int ckpt_decode(struct str s, struct record_ckpt *ret)
{
	const uint8_t *p = (const uint8_t *)s.p;

	if (s.len != CKPT_BYTES)
		return -QE_CORRUPT;
	ret->position = le64_get(p);
	ret->start = (struct super_start){.log = le64_get(p + 8), .off = le32_get(p + 16), .first_seq = le64_get(p + 20)};
	ret->mask = le16_get(p + 28);
	ret->rows = le64_get(p + 30);
	memcpy(ret->sum, p + 38, 16);
	return 0;
}

static int isr_decode(struct str *s, size_t fixed, struct isr_body *ret)
{
	struct str skipped;

	if (s->len < fixed)
		return -QE_CORRUPT;
	int n = isr_body_decode(s->p + fixed, s->len - fixed, ret);
	if (n < 0)
		return n;
	return take(s, ALIGN_UP(fixed + (size_t)n, 8), &skipped) ? 0 : -QE_CORRUPT;
}

static int epoch_decode(struct str *s, struct record_epoch *ret)
{
	const uint8_t *p = (const uint8_t *)s->p;

	if (s->len < EPOCH_FIXED)
		return -QE_CORRUPT;
	ret->epoch = le64_get(p);
	ret->last_seq = le64_get(p + 8);
	ret->last_crc = le32_get(p + 16);
	memcpy(ret->boot, p + 20, 16);
	return isr_decode(s, EPOCH_FIXED, &ret->isr);
}

/* Number, sequences and payload places of the batches are those that the head tells. */
static int batches_check(const struct record_head *h, struct str rest, uint64_t room)
{
	struct record_batch b;
	uint64_t seq = h->type == RECORD_EPOCH ? h->first_seq - 1 : h->first_seq;
	uint32_t n = 0;
	int rc;

	while ((rc = record_batch_next(&rest, &b)) > 0) {
		if (b.seq != seq + n || b.inline_off > room || b.inline_len > room - b.inline_off)
			return -QE_CORRUPT;
		n++;
	}
	/* A PAD has none, however many sequences it takes. */
	return rc < 0 || (h->type != RECORD_PAD && n != h->nbatch) ? -QE_CORRUPT : 0;
}

int record_body_decode(const struct record_head *h, const void *body, unsigned ncell, struct record_body *ret)
{
	struct str s = {body, h->body_len};
	int rc = 0;

	memset(ret, 0, sizeof *ret);
	switch ((enum record_type)h->type) {
	case RECORD_GROUP:
		if (h->cell_len) {
			if (s.len < 4 * (size_t)ncell)
				return -QE_CORRUPT;
			s.len -= 4 * (size_t)ncell;
		}
		break;
	case RECORD_EPOCH:
		rc = epoch_decode(&s, &ret->epoch);
		if (rc == 0 && (ret->epoch.epoch != h->epoch || ret->epoch.last_seq + 1 != h->first_seq))
			rc = -QE_CORRUPT;
		break;
	case RECORD_ISR:
		rc = isr_decode(&s, 0, &ret->epoch.isr);
		break;
	case RECORD_CKPT:
		rc = ckpt_decode(s, &ret->ckpt);
		s.len = 0;
		break;
	case RECORD_PAD:
		rc = s.len ? -QE_CORRUPT : 0;
		break;
	}
	if (rc < 0)
		return rc;
	ret->batches = s;
	return batches_check(h, s, (uint64_t)h->cell_len * ncell);
}
