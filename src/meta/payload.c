/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes of blobs, wherever they are: in the memtable while their record is not destaged, else on the drives. Every block
 * is verified, in memory too: what the record carried is what the blob row says.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/err.h"
#include "meta/set_internal.h"
#include "meta/view_struct_internal.h"

struct crc_source {
	struct meta_view *v;
	uint64_t blob;
	const struct row_blob *r;
};

int blob_crcs_get(struct meta_view *v, uint64_t blob, const struct row_blob *r, uint64_t first, unsigned n, uint32_t *ret)
{
	struct meta_row row;
	struct meta_key k;

	if (first + n > r->ncrc_total)
		return -QE_CORRUPT;
	if (r->ncrc == r->ncrc_total) {
		for (unsigned i = 0; i < n; i++)
			ret[i] = le32_get(r->crcs + 4 * (first + i));
		return 0;
	}
	for (unsigned i = 0; i < n;) {
		uint32_t run = (uint32_t)((first + i) / ROW_BSUM_RUN), at = (uint32_t)((first + i) % ROW_BSUM_RUN);
		key_bsum(&k, blob, 1, run);
		int rc = meta_get_k(v, TABLE_BSUM, &k, &row);
		if (rc < 0)
			return rc;
		unsigned have = rc ? (unsigned)(row.body.len / 4) : 0;
		if (at >= have)
			return -QE_CORRUPT;
		for (; i < n && at < have; i++, at++)
			ret[i] = le32_get(row.body.p + 4 * at);
	}
	return 0;
}

static int blob_crcs(void *arg, uint64_t first, unsigned n, uint32_t *ret)
{
	const struct crc_source *c = arg;

	return blob_crcs_get(c->v, c->blob, c->r, first, n, ret);
}

static int stripe_crcs(void *arg, uint32_t *ret)
{
	const struct crc_source *c = arg;
	struct meta_row row;
	struct meta_key k;

	key_stripe(&k, c->r->segment, c->r->offset_4k);
	int rc = meta_get_k(c->v, TABLE_STRIPE, &k, &row);
	if (rc <= 0)
		return rc < 0 ? rc : -QE_CORRUPT;
	for (size_t i = 0; i < row.body.len / 4; i++)
		if (i < ERASURE_MAX_CELLS)
			ret[i] = le32_get(row.body.p + 4 * i);
	return 0;
}

static int read_memory(struct meta_view *v, const struct row_blob *r, uint64_t start, size_t len, void *dst)
{
	size_t have, block = (size_t)1 << r->block_log2;
	const uint8_t *p = view_payload(v, r->seq, &have);

	if (!p)
		return -QE_QUORUM_READ; /* its record has too few valid cells */
	uint64_t off = r->payload_off - payload_of(p)->inline_off;
	if (off > have || r->stored_len > have - off || r->ncrc < DIV_ROUND_UP(r->stored_len, block))
		return -QE_CORRUPT;
	p += off;
	for (uint64_t at = start / block * block; at < start + len; at += block) {
		size_t n = (size_t)MIN((uint64_t)block, r->stored_len - at);
		if (checksum_crc32c(0, p + at, n) != le32_get(r->crcs + 4 * (at / block)))
			return -QE_CORRUPT;
	}
	memcpy(dst, p + start, len);
	return 0;
}

int meta_blob_read_row(struct meta_view *v, uint64_t blob, const struct row_blob *r, uint64_t start, size_t len, void *dst,
		       unsigned flags)
{
	struct meta_set *s = CONTAINER_OF(v->p, struct meta_set, pub);
	struct crc_source c = {v, blob, r};
	struct erasure_read met = {0};

	if (start > r->stored_len || len > r->stored_len - start)
		return -EINVAL;
	if (r->encoding)
		return -QE_NOT_IMPLEMENTED;
	if (len == 0)
		return 0;
	if (r->place == BLOB_JOURNAL)
		return read_memory(v, r, start, len, dst);
	struct erasure_place at = {
		.packed = r->place == BLOB_PACKED,
		.segment = r->segment,
		.offset_4k = r->offset_4k,
		.cell = r->cell,
		.byte = r->byte,
		.stored_len = r->stored_len,
		.block_log2 = r->block_log2,
		.crcs = blob_crcs,
		.stripe_crcs = stripe_crcs,
		.arg = &c,
	};
	int rc = erasure_read(v->erasure, &at, start, len, dst, flags, &met);
	if (met.degraded)
		STAT_ADD(s, degraded_reads, 1);
	if (rc == 0 && met.damaged_to_4k)
		damage_note(s, r->segment, at.packed ? 0 : blob, met.damaged_from_4k, met.damaged_to_4k);
	return rc;
}

int blob_row_get(struct meta_view *v, uint64_t blob, struct row_blob *ret)
{
	struct meta_row row;
	struct meta_key k;

	key_u64(&k, blob);
	int rc = meta_get_k(v, TABLE_BLOB, &k, &row);
	if (rc <= 0)
		return rc;
	rc = row_blob_decode(row.body, ret);
	return rc < 0 ? rc : 1;
}

int meta_blob_read(struct meta_view *v, uint64_t blob, uint64_t start, size_t len, void *dst, unsigned flags)
{
	struct row_blob r;
	int rc = blob_row_get(v, blob, &r);

	if (rc <= 0)
		return rc < 0 ? rc : -QE_CORRUPT;
	return meta_blob_read_row(v, blob, &r, start, len, dst, flags);
}

int meta_blob_read_now(struct meta_set *s, uint64_t blob, uint64_t start, size_t len, void *dst, unsigned flags)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	int rc = meta_view_open(s, &v);

	return rc < 0 ? rc : meta_blob_read(v, blob, start, len, dst, flags);
}
