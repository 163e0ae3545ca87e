/* SPDX-License-Identifier: Apache-2.0
 *
 * The 16 byte envelope of every row: u8 format (1), u8 flags (bit 0: more pieces), u16 pieces, u32 crc, u64 seq, then
 * the body. crc = CRC32C(table u8, key, row with crc = 0).
 */
#ifndef QUOIN_META_ENVELOPE_H
#define QUOIN_META_ENVELOPE_H

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "base/str.h"

#define ENVELOPE_BYTES 16
#define ENVELOPE_FORMAT 1
#define ENVELOPE_MORE 1

/* row: ENVELOPE_BYTES of room followed by the body; fills the envelope. */
void envelope_seal(unsigned table, struct str key, uint64_t seq, void *row, size_t len);
/* The same for a row that continues in `pieces` piece rows (index only; 0: none). */
void envelope_seal_parts(unsigned table, struct str key, uint64_t seq, unsigned pieces, void *row, size_t len);
/* 0, -QE_CORRUPT, -QE_DRIVE_FORMAT (unknown format). ret_seq may be NULL. */
int envelope_check(unsigned table, struct str key, struct str row, uint64_t *ret_seq) WARN_UNUSED;
/* Of a checked row. */
unsigned envelope_pieces(struct str row);
uint64_t envelope_seq(struct str row);

#endif
