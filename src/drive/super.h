/* SPDX-License-Identifier: Apache-2.0
 *
 * The superblock (STORAGE.md section 3): file `super`, two slots of 4 KiB. Every generation is written to both slots,
 * first over the one that is bad or older, each fsynced; what it promises counts as given only after the second.
 *
 * A slot, little-endian, packed: magic "QSB1", format u32, generation u64, deployment 16, drive 16, pool, set, slot, N,
 * K, M, W, log2 of the journal file size (u16 each), index state u8, index position u64, must-understand u64,
 * may-ignore u64, drive flags u32 (bit 0: member), promised epoch u64, start (log u64, off u32, first_seq u64, prev_crc
 * u32), ISR epoch u64, ISR seq u64, ISR body, durable_seq u64, number of epochs u16, per epoch (epoch u64, first_seq
 * u64, prev_crc u32), zeros, crc32c u32 of bytes 0..4091 in the last 4 bytes: this place no later format may change.
 */
#ifndef QUOIN_DRIVE_SUPER_H
#define QUOIN_DRIVE_SUPER_H

#include "base/buf.h"
#include "drive/drive.h"

#define SUPER_MAX_SLOTS 16
#define SUPER_MAX_EPOCHS 128
#define SUPER_FORMAT 1

enum isr_state { ISR_OUT = 0, ISR_JOINING = 1, ISR_IN = 2 };
/* BAD in superblocks only. */
enum isr_index { ISR_INDEX_NONE = 0, ISR_INDEX_BUILDING = 1, ISR_INDEX_GOOD = 2, ISR_INDEX_BAD = 3 };

/* The body of an ISR record (STORAGE.md section 3), without its batch. */
struct isr_body {
	uint8_t n, k, m, w;
	struct {
		uint8_t state;     /* enum isr_state */
		uint8_t index;     /* enum isr_index */
		uint8_t drive[16];
	} slot[SUPER_MAX_SLOTS];
	char reason[201];      /* empty in the superblock */
};

#define ISR_REASON_MAX 200
#define ISR_BODY_MAX (4 + SUPER_MAX_SLOTS * 20 + 2 + ISR_REASON_MAX)

/* Layout: n, k, m, w (u8 each); per slot (n of them) state u8, index u8, u16 0, drive id 16; u16 length + reason. */
void isr_body_encode(struct buf *b, const struct isr_body *isr, bool with_reason);
/* The number of bytes that the body takes (more may follow it), or -QE_CORRUPT. */
int isr_body_decode(const void *p, size_t len, struct isr_body *ret) WARN_UNUSED;

struct super_start {       /* where the journal begins */
	uint64_t log;
	uint32_t off;
	uint64_t first_seq;
	uint32_t prev_crc;     /* head_crc of the record before */
};

struct super_epoch {
	uint64_t epoch, first_seq;
	uint32_t prev_crc;
};

struct super {
	uint64_t generation;
	uint8_t deployment[16], drive[16];
	uint16_t pool, set, slot, n, k, m, w, log2_file;
	uint64_t promised;             /* epoch */
	struct super_start start;
	uint64_t isr_epoch, isr_seq;   /* of the record whose body follows; EPOCH: E, T */
	struct isr_body isr;
	uint64_t durable_seq;
	uint8_t index_state;           /* enum isr_index */
	uint64_t index_position;
	bool member;
	uint64_t must_understand, may_ignore;
	unsigned epochs;
	struct super_epoch epoch[SUPER_MAX_EPOCHS]; /* newest first */
};

/* Encodes or decodes one slot of DRIVE_BLOCK bytes. decode: 0, -QE_CORRUPT, -QE_DRIVE_FORMAT (newer, or a
 * must-understand flag that this version does not know). */
void super_encode(const struct super *s, void *block);
int super_decode(const void *block, struct super *ret) WARN_UNUSED;
/* The valid slot with the higher generation; where both differ the newer one is written again. read_only: it is not.
 * -QE_CORRUPT when neither slot is valid; -QE_DRIVE_FORMAT when either is of a format that is not known. */
int super_read(struct drive *d, bool read_only, struct super *ret) WARN_UNUSED;
/* Slots that are bad (at most one), whether both are good but differ; or the error of super_read. Reads only. */
int super_check(struct drive *d, bool *ret_differ) WARN_UNUSED;
/* generation += 1, then both slots. On an error the drive counts no more. */
int super_write(struct drive *d, struct super *s) WARN_UNUSED;
/* Makes the directories and the file with both slots on a blank drive; again until identity_format, then -EEXIST. */
int super_format(struct drive *d, struct super *s) WARN_UNUSED;

#endif
