/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes of a journal (STORAGE.md section 3): file headers, records, batches. Encoders append to a buf; decoders take
 * any bytes and never read outside of them.
 *
 *   file    header block | record | record | ... zeros            every record starts on 4 KiB
 *   record  head 80 | body | pad to 64 | payload cell of this drive | pad to 4 KiB
 *   body    GROUP: batches, then (with payload) u32 crc of each of the K + M payload cells
 *           ISR:   ISR body, pad to 8, one batch
 *           EPOCH: epoch u64, T u64, head_crc u32, boot id 16, ISR body, pad to 8, one batch
 *           CKPT:  position u64, log u64, off u32, first_seq u64, mask u16, rows u64, sum 16
 *           PAD:   empty; nbatch > 1: so many sequences are passed over (meta/revive.c)
 *   batch   head 32 | stripes, each padded to 8 | ops, each padded to 8
 */
#ifndef QUOIN_META_RECORD_H
#define QUOIN_META_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/macros.h"
#include "base/str.h"
#include "drive/super.h"
#include "erasure/set.h"

#define RECORD_HEAD_BYTES 80
#define RECORD_LEN_MAX (16u << 20)
#define RECORD_CELL_ALIGN 64
#define LOG_HEAD_BYTES DRIVE_BLOCK
#define BATCH_HEAD_BYTES 32
#define STRIPE_HEAD_BYTES 20
#define OP_HEAD_BYTES 8

enum record_type { RECORD_GROUP = 1, RECORD_EPOCH = 2, RECORD_ISR = 3, RECORD_CKPT = 4, RECORD_PAD = 5 };

struct record_head {
	uint16_t type, flags;
	uint32_t len;           /* with padding */
	uint32_t nbatch;
	uint64_t log, epoch, first_seq, durable_seq, wall_ns;
	uint32_t prev_crc, body_crc, body_len;
	uint16_t cells;         /* slots that the writer gave a payload cell */
	uint32_t cell_len;
	uint32_t head_crc;      /* set by encode and decode */
};

void record_head_encode(struct record_head *h, void *p);
/* 0, or -QE_CORRUPT: magic, head_crc, type or lengths are not those of a record. */
int record_head_decode(const void *p, struct record_head *ret) WARN_UNUSED;
/* Sequences that it takes: max(nbatch, 1), none for EPOCH. */
uint64_t record_seqs(const struct record_head *h);
/* The last sequence that is applied when the record is. EPOCH: its T. */
static inline uint64_t record_last_seq(const struct record_head *h)
{
	return h->first_seq + record_seqs(h) - 1;
}
static inline uint32_t record_cell_off(uint32_t body_len)
{
	return ALIGN_UP(RECORD_HEAD_BYTES + body_len, RECORD_CELL_ALIGN);
}
static inline uint32_t record_len(uint32_t body_len, uint32_t cell_len)
{
	return ALIGN_UP(cell_len ? record_cell_off(body_len) + cell_len : RECORD_HEAD_BYTES + body_len, DRIVE_BLOCK);
}

/* ---- The payload stripe ------------------------------------------------------------------------------------------- */
/* Length of each cell for `bytes` of payload. */
static inline uint32_t record_payload_cell(uint64_t bytes, unsigned k)
{
	return (uint32_t)ALIGN_UP(DIV_ROUND_UP(bytes, k), RECORD_CELL_ALIGN);
}
static inline unsigned record_cell_slot(unsigned cell, uint64_t first_seq, unsigned n)
{
	return (unsigned)((cell + first_seq) % n);
}
/* The cell that lies on the slot; >= K + M: none. */
static inline unsigned record_slot_cell(unsigned slot, uint64_t first_seq, unsigned n)
{
	return (unsigned)((slot + n - first_seq % n) % n);
}
/* The crc of a cell from a GROUP's body; the body must be checked (record_body_check). */
uint32_t record_cell_crc(const void *body, uint32_t body_len, unsigned ncell, unsigned cell);

/* ---- File header -------------------------------------------------------------------------------------------------- */
struct log_head {
	uint8_t deployment[16], drive[16];
	uint16_t set, slot;
	uint64_t log, first_seq, prev_seq;
	uint32_t prev_crc;
};
void log_head_encode(const struct log_head *h, void *block);
int log_head_decode(const void *block, struct log_head *ret) WARN_UNUSED; /* 0 or -QE_CORRUPT */

/* ---- Batches ------------------------------------------------------------------------------------------------------ */
struct record_batch {
	uint8_t promise, origin;
	uint16_t nops, ncells, flags;
	uint32_t inline_len;
	uint64_t seq, inline_off;
	struct str cells, ops;  /* to be walked by record_stripe_next, record_op_next */
};
struct record_op {
	uint8_t table;
	bool del;
	struct str key, value;  /* value: whole row with its envelope */
};
/* Where a batch begins in b, for record_batch_end, which fills its head once its parts are there. */
size_t record_batch_begin(struct buf *b);
void record_batch_end(struct buf *b, size_t at, const struct record_batch *h);
void record_stripe_put(struct buf *b, const struct erasure_stripe *st, uint16_t mask);
size_t record_stripe_bytes(const struct erasure_stripe *st);
/* Returns where the value's bytes lie in b (value.p may be NULL: room only). */
size_t record_op_put(struct buf *b, const struct record_op *op);

/* The batches of a GROUP, ISR or EPOCH body: *rest starts with record_batches. 1, 0 at the end, -QE_CORRUPT. */
int record_batch_next(struct str *rest, struct record_batch *ret) WARN_UNUSED;
int record_stripe_next(struct str *rest, struct arena *a, struct erasure_stripe *ret) WARN_UNUSED;
int record_op_next(struct str *rest, struct record_op *ret) WARN_UNUSED;

/* ---- Bodies ------------------------------------------------------------------------------------------------------- */
struct record_epoch {
	uint64_t epoch, last_seq; /* T */
	uint32_t last_crc;        /* head_crc of the record that ends at T */
	uint8_t boot[16];
	struct isr_body isr;
};
struct record_ckpt {
	uint64_t position;
	struct super_start start; /* prev_crc is not in the record */
	uint16_t mask;
	uint64_t rows;
	uint8_t sum[16];
};
void record_isr_put(struct buf *b, const struct isr_body *isr);     /* then one batch */
void record_epoch_put(struct buf *b, const struct record_epoch *e); /* then one batch */
void record_ckpt_put(struct buf *b, const struct record_ckpt *c);

/* A body that passed its crc, taken apart. All of it is checked: batches, stripes, ops, lengths, sequences. */
struct record_body {
	struct record_epoch epoch; /* EPOCH; ISR: isr only */
	struct record_ckpt ckpt;
	struct str batches;
};
int record_body_decode(const struct record_head *h, const void *body, unsigned ncell, struct record_body *ret) WARN_UNUSED;

#endif
