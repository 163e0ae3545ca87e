/* SPDX-License-Identifier: Apache-2.0
 *
 * The envelope of rows.
 */
#include "meta/envelope.h"

#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/err.h"

#define CRC_OFF 4
#define SEQ_OFF 8

/* The table and the key are part of the sum, so that a row that turns up in another place is found. */
static uint32_t row_crc(unsigned table, struct str key, const uint8_t *row, size_t len)
{
	static const uint8_t zero[4];
	uint8_t t = (uint8_t)table;
	uint32_t crc = checksum_crc32c(0, &t, 1);

	crc = checksum_crc32c(crc, key.p, key.len);
	crc = checksum_crc32c(crc, row, CRC_OFF);
	crc = checksum_crc32c(crc, zero, sizeof zero);
	return checksum_crc32c(crc, row + SEQ_OFF, len - SEQ_OFF);
}

void envelope_seal_parts(unsigned table, struct str key, uint64_t seq, unsigned pieces, void *row, size_t len)
{
	uint8_t *p = row;

	ASSERT(len >= ENVELOPE_BYTES && pieces <= UINT16_MAX);
	p[0] = ENVELOPE_FORMAT;
	p[1] = pieces ? ENVELOPE_MORE : 0;
	le16_put(p + 2, (uint16_t)pieces);
	le64_put(p + SEQ_OFF, seq);
	le32_put(p + CRC_OFF, row_crc(table, key, p, len));
}

void envelope_seal(unsigned table, struct str key, uint64_t seq, void *row, size_t len)
{
	envelope_seal_parts(table, key, seq, 0, row, len);
}

int envelope_check(unsigned table, struct str key, struct str row, uint64_t *ret_seq)
{
	const uint8_t *p = (const uint8_t *)row.p;

	if (row.len < ENVELOPE_BYTES || le32_get(p + CRC_OFF) != row_crc(table, key, p, row.len))
		return -QE_CORRUPT;
	if (p[0] != ENVELOPE_FORMAT || (p[1] & ~ENVELOPE_MORE))
		return -QE_DRIVE_FORMAT;
	if (!(p[1] & ENVELOPE_MORE) != !le16_get(p + 2))
		return -QE_CORRUPT;
	if (ret_seq)
		*ret_seq = le64_get(p + SEQ_OFF);
	return 0;
}

unsigned envelope_pieces(struct str row)
{
	return le16_get(row.p + 2);
}

uint64_t envelope_seq(struct str row)
{
	return le64_get(row.p + SEQ_OFF);
}
