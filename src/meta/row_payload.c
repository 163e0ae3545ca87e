/* SPDX-License-Identifier: Apache-2.0
 *
 * Bodies of the rows about payload: maps, blobs, segments, parts. Layouts: atop row.c.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "meta/row_internal.h"

#define MAP_FIXED 32
#define RUN_FIXED 8
#define BLOB_FIXED 72
#define SEGMENT_FIXED 48
#define MISSING_FIXED 8
#define UPART_FIXED 40

static const uint8_t *bytes(struct str s)
{
	return (const uint8_t *)s.p;
}

static struct str behind(struct str body, size_t fixed)
{
	return str_sub(body, fixed, body.len - fixed);
}

void row_map_head_encode(struct buf *b, const struct row_map_head *r)
{
	buf_put_le64(b, r->base);
	buf_put_le64(b, r->length);
	buf_put_le64(b, r->users);
	buf_put_le32(b, r->depth);
	buf_put_le32(b, r->runs);
}

int row_map_head_decode(struct str body, struct row_map_head *ret)
{
	const uint8_t *f = bytes(body);

	memset(ret, 0, sizeof *ret);
	if (body.len < MAP_FIXED)
		return -QE_CORRUPT;
	ret->base = le64_get(f);
	ret->length = le64_get(f + 8);
	ret->users = le64_get(f + 16);
	ret->depth = le32_get(f + 24);
	ret->runs = le32_get(f + 28);
	return row_tlv_read(behind(body, MAP_FIXED), NULL, 0, NULL);
}

void row_extents_encode(struct buf *b, const struct row_extent *e, unsigned n)
{
	buf_put_le32(b, n);
	buf_put_le32(b, 0);
	for (unsigned i = 0; i < n; i++) {
		uint8_t raw[ROW_EXTENT_BYTES];

		row_extent_put(raw, e + i);
		buf_add(b, raw, sizeof raw);
	}
}

int row_extents_decode(struct str body, struct row_extent *ret, unsigned max)
{
	size_t n;
	unsigned count;
	int rc;

	if (body.len < RUN_FIXED)
		return -QE_CORRUPT;
	n = le32_get(body.p);
	body = behind(body, RUN_FIXED);
	if (n > max || n > INT32_MAX || body.len / ROW_EXTENT_BYTES < n)
		return -QE_CORRUPT;
	rc = row_extents_of(str_sub(body, 0, n * ROW_EXTENT_BYTES), ret, max, &count);
	if (rc == 0)
		rc = row_tlv_read(behind(body, n * ROW_EXTENT_BYTES), NULL, 0, NULL);
	return rc < 0 ? rc : (int)count;
}

void row_blob_encode(struct buf *b, const struct row_blob *r)
{
	uint8_t f[BLOB_FIXED] = {0};

	ASSERT(r->ncrc <= ROW_BLOB_CRCS && r->ncrc <= r->ncrc_total);
	f[0] = r->place;
	f[1] = r->block_log2;
	f[2] = r->encoding;
	f[3] = r->frame_log2;
	le16_put(f + 4, r->set);
	f[6] = r->cell;
	le32_put(f + ROW_BLOB_REFS_OFF, r->refs);
	le32_put(f + 12, r->offset_4k);
	le64_put(f + 16, r->plain_len);
	le64_put(f + 24, r->stored_len);
	le64_put(f + 32, r->segment);
	le64_put(f + 40, r->seq);
	le64_put(f + 48, r->data_key);
	le32_put(f + 56, r->byte);
	le32_put(f + 60, r->payload_off);
	le32_put(f + 64, r->ncrc_total);
	buf_add(b, f, sizeof f);
	row_tlv_add(b, TAG_CRCS, (struct str){(const char *)r->crcs, (size_t)r->ncrc * 4});
	buf_add_str(b, r->rest);
}

int row_blob_decode(struct str body, struct row_blob *ret)
{
	const uint8_t *f = bytes(body);
	struct str crcs;
	const struct row_field field = {TAG_CRCS, &crcs};
	int rc;

	memset(ret, 0, sizeof *ret);
	if (body.len < BLOB_FIXED || f[0] < BLOB_JOURNAL || f[0] > BLOB_PACKED)
		return -QE_CORRUPT;
	ret->place = f[0];
	ret->block_log2 = f[1];
	ret->encoding = f[2];
	ret->frame_log2 = f[3];
	ret->set = le16_get(f + 4);
	ret->cell = f[6];
	ret->refs = le32_get(f + ROW_BLOB_REFS_OFF);
	ret->offset_4k = le32_get(f + 12);
	ret->plain_len = le64_get(f + 16);
	ret->stored_len = le64_get(f + 24);
	ret->segment = le64_get(f + 32);
	ret->seq = le64_get(f + 40);
	ret->data_key = le64_get(f + 48);
	ret->byte = le32_get(f + 56);
	ret->payload_off = le32_get(f + 60);
	ret->ncrc_total = le32_get(f + 64);
	rc = row_tlv_read(behind(body, BLOB_FIXED), &field, 1, &ret->rest);
	if (rc < 0)
		return rc;
	ret->ncrc = (uint32_t)(crcs.len / 4);
	ret->crcs = bytes(crcs);
	if (crcs.len % 4 || crcs.len / 4 > ROW_BLOB_CRCS || ret->ncrc > ret->ncrc_total || ret->block_log2 > 30 ||
	    ret->frame_log2 > 30 || ret->plain_len > INT64_MAX || ret->stored_len > INT64_MAX)
		return -QE_CORRUPT;
	return 0;
}

void row_segment_encode(struct buf *b, const struct segment_info *r)
{
	uint8_t f[SEGMENT_FIXED] = {0};

	le64_put(f, r->id);
	le64_put(f + 8, r->epoch);
	le64_put(f + ROW_SEGMENT_LIVE_OFF, r->live_bytes);
	f[24] = r->cls;
	f[25] = r->block_log2;
	f[26] = r->rotation;
	f[27] = r->state;
	f[28] = r->n;
	f[29] = r->k;
	f[30] = r->m;
	le32_put(f + 32, r->cell_4k);
	le32_put(f + 36, r->size_4k);
	le32_put(f + 40, r->sealed_4k);
	le32_put(f + 44, r->punched_4k);
	buf_add(b, f, sizeof f);
}

int row_segment_decode(struct str body, struct segment_info *ret)
{
	const uint8_t *f = bytes(body);

	memset(ret, 0, sizeof *ret);
	if (body.len < SEGMENT_FIXED)
		return -QE_CORRUPT;
	ret->id = le64_get(f);
	ret->epoch = le64_get(f + 8);
	ret->live_bytes = le64_get(f + ROW_SEGMENT_LIVE_OFF);
	ret->cls = f[24];
	ret->block_log2 = f[25];
	ret->rotation = f[26];
	ret->state = f[27];
	ret->n = f[28];
	ret->k = f[29];
	ret->m = f[30];
	ret->cell_4k = le32_get(f + 32);
	ret->size_4k = le32_get(f + 36);
	ret->sealed_4k = le32_get(f + 40);
	ret->punched_4k = le32_get(f + 44);
	/* What readers divide and shift by. */
	if (ret->cls < SEGMENT_LARGE || ret->cls > SEGMENT_PACKED || ret->state > SEGMENT_DEAD || !ret->k ||
	    !ret->cell_4k || ret->k + ret->m > ret->n || ret->block_log2 > 30)
		return -QE_CORRUPT;
	return row_tlv_read(behind(body, SEGMENT_FIXED), NULL, 0, NULL);
}

void row_missing_encode(struct buf *b, const struct row_missing *r)
{
	uint8_t f[MISSING_FIXED] = {0};

	le32_put(f, r->to_4k);
	f[4] = r->reason;
	buf_add(b, f, sizeof f);
}

int row_missing_decode(struct str body, struct row_missing *ret)
{
	memset(ret, 0, sizeof *ret);
	if (body.len < MISSING_FIXED)
		return -QE_CORRUPT;
	ret->to_4k = le32_get(body.p);
	ret->reason = bytes(body)[4];
	return row_tlv_read(behind(body, MISSING_FIXED), NULL, 0, NULL);
}

void row_reclaim_encode(struct buf *b, const struct row_reclaim *r)
{
	buf_put_le64(b, r->len);
}

int row_reclaim_decode(struct str body, struct row_reclaim *ret)
{
	memset(ret, 0, sizeof *ret);
	if (body.len < 8)
		return -QE_CORRUPT;
	ret->len = le64_get(body.p);
	return row_tlv_read(behind(body, 8), NULL, 0, NULL);
}

void row_upart_encode(struct buf *b, const struct row_upart *r)
{
	uint8_t f[UPART_FIXED] = {0};

	le64_put(f, r->size);
	le64_put(f + ROW_UPART_MTIME_OFF, r->mtime_ns);
	le64_put(f + 16, r->crc64nvme);
	le64_put(f + 24, r->map);
	le32_put(f + 32, r->crc32c);
	buf_add(b, f, sizeof f);
	row_tlv_add(b, TAG_ETAG, r->etag);
	row_tlv_add(b, TAG_CHECKSUM, r->checksum);
	row_extents_tlv(b, r->extent, r->extents);
	row_tlv_add(b, TAG_INROW, r->inrow);
	buf_add_str(b, r->rest);
}

int row_upart_decode(struct str body, struct row_upart *ret)
{
	const uint8_t *f = bytes(body);
	struct str extents;
	const struct row_field fields[] = {
		{TAG_ETAG, &ret->etag},
		{TAG_CHECKSUM, &ret->checksum},
		{TAG_EXTENTS, &extents},
		{TAG_INROW, &ret->inrow},
	};
	int rc;

	memset(ret, 0, sizeof *ret);
	if (body.len < UPART_FIXED)
		return -QE_CORRUPT;
	ret->size = le64_get(f);
	ret->mtime_ns = le64_get(f + ROW_UPART_MTIME_OFF);
	ret->crc64nvme = le64_get(f + 16);
	ret->map = le64_get(f + 24);
	ret->crc32c = le32_get(f + 32);
	rc = row_tlv_read(behind(body, UPART_FIXED), fields, ARRAY_SIZE(fields), &ret->rest);
	return rc < 0 ? rc : row_extents_of(extents, ret->extent, ROW_INLINE_EXTENTS, &ret->extents);
}
