/* SPDX-License-Identifier: Apache-2.0
 *
 * The superblock (STORAGE.md section 3): file `super`, two slots of 4 KiB. Every generation is written to both slots,
 * first over the one that is bad or older, each fsynced; what it promises counts as given only after the second.
 */
#ifndef QUOIN_DRIVE_SUPER_H
#define QUOIN_DRIVE_SUPER_H

#include "drive/drive.h"

#define SUPER_MAX_SLOTS 16
#define SUPER_MAX_EPOCHS 128
#define SUPER_FORMAT 1

enum isr_state { ISR_OUT = 0, ISR_JOINING = 1, ISR_IN = 2 };
enum isr_index { ISR_INDEX_NONE = 0, ISR_INDEX_BUILDING = 1, ISR_INDEX_GOOD = 2 };

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

/* Encodes or decodes one slot of DRIVE_BLOCK bytes. decode: 0, -QE_CORRUPT, -QE_DRIVE_FORMAT (newer or unknown). */
void super_encode(const struct super *s, void *block);
int super_decode(const void *block, struct super *ret) WARN_UNUSED;
/* The valid slot with the higher generation; where both differ the newer one is written again. read_only: it is not.
 * -QE_CORRUPT when neither slot is valid. */
int super_read(struct drive *d, bool read_only, struct super *ret) WARN_UNUSED;
/* generation += 1, then both slots. On an error the drive counts no more. */
int super_write(struct drive *d, struct super *s) WARN_UNUSED;
/* Creates the file on a blank drive with both slots. */
int super_format(struct drive *d, struct super *s) WARN_UNUSED;

#endif
