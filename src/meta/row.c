/* SPDX-License-Identifier: Apache-2.0
 *
 * Bodies of rows, as they lie on drives. Integers are little-endian; `0` is written as zero and not read.
 *
 * TLVs follow the fixed part: u16 tag, u16 length, bytes; length 0xffff: the length is the u32 behind it (>= 0xffff).
 * Tags ascend strictly, an empty value is not written, and a tag that is added later is larger than all before it, so
 * the unknown tags of a row are its end. One with bit 15 set must be understood, others are kept.
 *
 *   attr     48  mode u32, uid u32, gid u32, rdev u32, atime u64, mtime u64, ctime u64, btime u64 (ns)
 *   object   56  version id 16, mtime u64, size u64, flags u32, crc32c u32, crc64nvme u64, map u64;
 *                TLVs 2 etag, 3 checksum, 4 storage class, 5 meta, 6 tags, 7 parts, 8 extents, 9 in-row content
 *   extent   48  kind u8, flags u8, set u16, crc32c u32, blob u64, start u64, len u64, off u64, crc64nvme u64
 *
 *   entry    24  kind u8, flags u8, 0 u16, 0 u32, key id u64, id u64; then, of an object that is not linked,
 *                attr (at 24), object (at 72), its TLVs; 10 xattrs
 *   dir     104  parent u64, bucket u64, flags u32, marker u8, 0 3, live u64, children u64, locked u64, uploads u64,
 *                attr (at 56); object (at 104) when marker; TLVs 1 name, those of the object, 10 xattrs
 *   file    120  nlink u32, 0 u32, bucket u64, attr (at 16), object (at 64); TLVs of the object, 10 xattrs
 *   bucketdir 24 bucket u64, generation u64, home set u16, state u8, 0 5
 *   bucket   40  root u64, upload root u64, created u64, quota u64, versioning u8, lock u8, 0 6; 1 name
 *   usage    48  objects, versions, markers, bytes, stored, uploads: u64 each
 *   link      8  dir u64; 1 name
 *   map      32  head: base u64, length u64, users u64, depth u32, runs u32
 *             8  run: n u32, 0 u32, then n extents
 *   blob     72  place u8, block_log2 u8, encoding u8, frame_log2 u8, set u16, cell u8, 0 u8, refs u32, offset_4k u32,
 *                plain u64, stored u64, segment u64, seq u64, data key u64, byte u32, payload_off u32, ncrc_total u32,
 *                0 u32; 11 checksums (u32 each)
 *   segment  48  id u64, epoch u64, live u64, class u8, block_log2 u8, rotation u8, state u8, n u8, k u8, m u8, 0 u8,
 *                cell_4k u32, size_4k u32, sealed_4k u32, punched_4k u32
 *   missing   8  to_4k u32, reason u8, 0 3
 *   reclaim   8  len u64
 *   orphan   16  bucket u64, since u64
 *   upload    8  bucket u64; 1 key, 3 checksum, 4 storage class, 5 meta, 6 tags
 *   upart    40  size u64, mtime u64, crc64nvme u64, map u64, crc32c u32, 0 u32; 2 etag, 3 checksum, 8 extents,
 *                9 in-row content
 */
#include "meta/row_internal.h"

#include <string.h>

#include "base/bytes.h"
#include "base/err.h"

#define OBJECT_BYTES 56
#define OBJECT_MTIME_OFF 16
#define ENTRY_FIXED 24
#define ENTRY_OBJECT_OFF (ENTRY_FIXED + ROW_ATTR_BYTES)
#define FILE_FIXED 120
#define FILE_OBJECT_OFF 64

static const uint8_t *bytes(struct str s)
{
	return (const uint8_t *)s.p;
}

static struct str behind(struct str body, size_t fixed)
{
	return str_sub(body, fixed, body.len - fixed);
}

static void object_put(uint8_t *p, const struct row_object *o)
{
	memcpy(p, o->version_id, 16);
	le64_put(p + OBJECT_MTIME_OFF, o->mtime_ns);
	le64_put(p + 24, o->size);
	le32_put(p + 32, o->flags);
	le32_put(p + 36, o->crc32c);
	le64_put(p + 40, o->crc64nvme);
	le64_put(p + 48, o->map);
}

static void object_get(const uint8_t *p, struct row_object *ret)
{
	memcpy(ret->version_id, p, 16);
	ret->mtime_ns = le64_get(p + OBJECT_MTIME_OFF);
	ret->size = le64_get(p + 24);
	ret->flags = le32_get(p + 32);
	ret->crc32c = le32_get(p + 36);
	ret->crc64nvme = le64_get(p + 40);
	ret->map = le64_get(p + 48);
}

static void object_tlvs(struct buf *b, const struct row_object *o)
{
	row_tlv_add(b, TAG_ETAG, o->etag);
	row_tlv_add(b, TAG_CHECKSUM, o->checksum);
	row_tlv_add(b, TAG_STORAGE_CLASS, o->storage_class);
	row_tlv_add(b, TAG_META, o->meta);
	row_tlv_add(b, TAG_TAGS, o->tags);
	row_tlv_add(b, TAG_PARTS, o->parts);
	row_extents_tlv(b, o->extent, o->extents);
	row_tlv_add(b, TAG_INROW, o->inrow);
}

/* The TLVs of an object and what may be around them; name and xattrs belong to the row. */
static int object_tlvs_read(struct str tlvs, struct row_object *o, struct str *name, struct str *xattrs,
                            struct str *rest)
{
	struct str extents;
	const struct row_field f[] = {
		{TAG_NAME, name},
		{TAG_ETAG, &o->etag},
		{TAG_CHECKSUM, &o->checksum},
		{TAG_STORAGE_CLASS, &o->storage_class},
		{TAG_META, &o->meta},
		{TAG_TAGS, &o->tags},
		{TAG_PARTS, &o->parts},
		{TAG_EXTENTS, &extents},
		{TAG_INROW, &o->inrow},
		{TAG_XATTRS, xattrs},
	};
	unsigned skip = name ? 0 : 1;
	int rc = row_tlv_read(tlvs, f + skip, ARRAY_SIZE(f) - skip, rest);

	return rc < 0 ? rc : row_extents_of(extents, o->extent, ROW_INLINE_EXTENTS, &o->extents);
}

void row_entry_encode(struct buf *b, const struct row_entry *e, uint16_t *ret_stamp_off)
{
	uint8_t f[ENTRY_OBJECT_OFF + OBJECT_BYTES] = {0};
	bool whole = e->kind == ENTRY_OBJECT && !(e->flags & ENTRY_LINKED);

	f[0] = e->kind;
	f[1] = e->flags;
	le64_put(f + 8, e->key_id);
	le64_put(f + 16, e->id);
	if (whole) {
		row_attr_put(f + ENTRY_FIXED, &e->attr);
		object_put(f + ENTRY_OBJECT_OFF, &e->obj);
	}
	buf_add(b, f, whole ? sizeof f : ENTRY_FIXED);
	if (whole) {
		object_tlvs(b, &e->obj);
		row_tlv_add(b, TAG_XATTRS, e->xattrs);
	}
	buf_add_str(b, e->rest);
	if (ret_stamp_off)
		*ret_stamp_off = whole ? ENTRY_OBJECT_OFF + OBJECT_MTIME_OFF : 0;
}

int row_entry_decode(struct str body, struct row_entry *ret)
{
	const uint8_t *f = bytes(body);

	memset(ret, 0, sizeof *ret);
	if (body.len < ENTRY_FIXED || f[0] < ENTRY_OBJECT || f[0] > ENTRY_CONT)
		return -QE_CORRUPT;
	ret->kind = f[0];
	ret->flags = f[1];
	ret->key_id = le64_get(f + 8);
	ret->id = le64_get(f + 16);
	if (ret->kind != ENTRY_OBJECT || (ret->flags & ENTRY_LINKED))
		return row_tlv_read(behind(body, ENTRY_FIXED), NULL, 0, &ret->rest);
	if (body.len < ENTRY_OBJECT_OFF + OBJECT_BYTES)
		return -QE_CORRUPT;
	row_attr_get(f + ENTRY_FIXED, &ret->attr);
	object_get(f + ENTRY_OBJECT_OFF, &ret->obj);
	return object_tlvs_read(behind(body, ENTRY_OBJECT_OFF + OBJECT_BYTES), &ret->obj, NULL, &ret->xattrs, &ret->rest);
}

void row_dir_encode(struct buf *b, const struct row_dir *d, uint16_t *ret_stamp_off)
{
	uint8_t f[ROW_DIR_FIXED + OBJECT_BYTES] = {0};

	le64_put(f + ROW_DIR_PARENT_OFF, d->parent);
	le64_put(f + 8, d->bucket);
	le32_put(f + ROW_DIR_FLAGS_OFF, d->flags);
	f[20] = d->marker;
	le64_put(f + ROW_DIR_LIVE_OFF, d->live);
	le64_put(f + ROW_DIR_CHILDREN_OFF, d->children);
	le64_put(f + ROW_DIR_LOCKED_OFF, d->locked);
	le64_put(f + ROW_DIR_UPLOADS_OFF, d->uploads);
	row_attr_put(f + 56, &d->attr);
	if (d->marker)
		object_put(f + ROW_DIR_FIXED, &d->obj);
	buf_add(b, f, d->marker ? sizeof f : ROW_DIR_FIXED);
	row_tlv_add(b, TAG_NAME, d->name);
	if (d->marker)
		object_tlvs(b, &d->obj);
	row_tlv_add(b, TAG_XATTRS, d->xattrs);
	buf_add_str(b, d->rest);
	if (ret_stamp_off)
		*ret_stamp_off = d->marker ? ROW_DIR_FIXED + OBJECT_MTIME_OFF : ROW_DIR_MTIME_OFF;
}

int row_dir_decode(struct str body, struct row_dir *ret)
{
	const uint8_t *f = bytes(body);
	const struct row_field fields[] = {{TAG_NAME, &ret->name}, {TAG_XATTRS, &ret->xattrs}};

	memset(ret, 0, sizeof *ret);
	if (body.len < ROW_DIR_FIXED || f[20] > 1)
		return -QE_CORRUPT;
	ret->parent = le64_get(f + ROW_DIR_PARENT_OFF);
	ret->bucket = le64_get(f + 8);
	ret->flags = le32_get(f + ROW_DIR_FLAGS_OFF);
	ret->marker = f[20];
	ret->live = le64_get(f + ROW_DIR_LIVE_OFF);
	ret->children = le64_get(f + ROW_DIR_CHILDREN_OFF);
	ret->locked = le64_get(f + ROW_DIR_LOCKED_OFF);
	ret->uploads = le64_get(f + ROW_DIR_UPLOADS_OFF);
	row_attr_get(f + 56, &ret->attr);
	if (!ret->marker)
		return row_tlv_read(behind(body, ROW_DIR_FIXED), fields, ARRAY_SIZE(fields), &ret->rest);
	if (body.len < ROW_DIR_FIXED + OBJECT_BYTES)
		return -QE_CORRUPT;
	object_get(f + ROW_DIR_FIXED, &ret->obj);
	return object_tlvs_read(behind(body, ROW_DIR_FIXED + OBJECT_BYTES), &ret->obj, &ret->name, &ret->xattrs,
	                        &ret->rest);
}

void row_file_encode(struct buf *b, const struct row_file *r, uint16_t *ret_stamp_off)
{
	uint8_t f[FILE_FIXED] = {0};

	le32_put(f, r->nlink);
	le64_put(f + 8, r->bucket);
	row_attr_put(f + 16, &r->attr);
	object_put(f + FILE_OBJECT_OFF, &r->obj);
	buf_add(b, f, sizeof f);
	object_tlvs(b, &r->obj);
	row_tlv_add(b, TAG_XATTRS, r->xattrs);
	buf_add_str(b, r->rest);
	if (ret_stamp_off)
		*ret_stamp_off = FILE_OBJECT_OFF + OBJECT_MTIME_OFF;
}

int row_file_decode(struct str body, struct row_file *ret)
{
	const uint8_t *f = bytes(body);

	memset(ret, 0, sizeof *ret);
	if (body.len < FILE_FIXED)
		return -QE_CORRUPT;
	ret->nlink = le32_get(f);
	ret->bucket = le64_get(f + 8);
	row_attr_get(f + 16, &ret->attr);
	object_get(f + FILE_OBJECT_OFF, &ret->obj);
	return object_tlvs_read(behind(body, FILE_FIXED), &ret->obj, NULL, &ret->xattrs, &ret->rest);
}

#define BUCKETDIR_FIXED 24

void row_bucketdir_encode(struct buf *b, const struct row_bucketdir *r)
{
	uint8_t f[BUCKETDIR_FIXED] = {0};

	le64_put(f, r->bucket);
	le64_put(f + 8, r->generation);
	le16_put(f + 16, r->home_set);
	f[18] = r->state;
	buf_add(b, f, sizeof f);
}

int row_bucketdir_decode(struct str body, struct row_bucketdir *ret)
{
	const uint8_t *f = bytes(body);

	memset(ret, 0, sizeof *ret);
	if (body.len < BUCKETDIR_FIXED || f[18] > BUCKET_DELETING)
		return -QE_CORRUPT;
	ret->bucket = le64_get(f);
	ret->generation = le64_get(f + 8);
	ret->home_set = le16_get(f + 16);
	ret->state = f[18];
	return row_tlv_read(behind(body, BUCKETDIR_FIXED), NULL, 0, NULL);
}

#define BUCKET_FIXED 40

void row_bucket_encode(struct buf *b, const struct row_bucket *r)
{
	uint8_t f[BUCKET_FIXED] = {0};

	le64_put(f, r->root_dir);
	le64_put(f + 8, r->upload_root);
	le64_put(f + 16, r->created_ns);
	le64_put(f + 24, r->quota);
	f[32] = r->versioning;
	f[33] = r->lock;
	buf_add(b, f, sizeof f);
	row_tlv_add(b, TAG_NAME, r->name);
	buf_add_str(b, r->rest);
}

int row_bucket_decode(struct str body, struct row_bucket *ret)
{
	const uint8_t *f = bytes(body);
	const struct row_field name = {TAG_NAME, &ret->name};

	memset(ret, 0, sizeof *ret);
	if (body.len < BUCKET_FIXED)
		return -QE_CORRUPT;
	ret->root_dir = le64_get(f);
	ret->upload_root = le64_get(f + 8);
	ret->created_ns = le64_get(f + 16);
	ret->quota = le64_get(f + 24);
	ret->versioning = f[32];
	ret->lock = f[33];
	return row_tlv_read(behind(body, BUCKET_FIXED), &name, 1, &ret->rest);
}

#define USAGE_FIXED (8 * ROW_USAGE_FIELDS)

void row_usage_encode(struct buf *b, const struct row_usage *r)
{
	buf_put_le64(b, r->objects);
	buf_put_le64(b, r->versions);
	buf_put_le64(b, r->markers);
	buf_put_le64(b, r->bytes);
	buf_put_le64(b, r->stored);
	buf_put_le64(b, r->uploads);
}

int row_usage_decode(struct str body, struct row_usage *ret)
{
	const uint8_t *f = bytes(body);

	memset(ret, 0, sizeof *ret);
	if (body.len < USAGE_FIXED)
		return -QE_CORRUPT;
	ret->objects = le64_get(f);
	ret->versions = le64_get(f + 8);
	ret->markers = le64_get(f + 16);
	ret->bytes = le64_get(f + 24);
	ret->stored = le64_get(f + 32);
	ret->uploads = le64_get(f + 40);
	return row_tlv_read(behind(body, USAGE_FIXED), NULL, 0, NULL);
}

void row_link_encode(struct buf *b, const struct row_link *r)
{
	buf_put_le64(b, r->dir);
	row_tlv_add(b, TAG_NAME, r->name);
}

int row_link_decode(struct str body, struct row_link *ret)
{
	const struct row_field name = {TAG_NAME, &ret->name};

	memset(ret, 0, sizeof *ret);
	if (body.len < 8)
		return -QE_CORRUPT;
	ret->dir = le64_get(body.p);
	return row_tlv_read(behind(body, 8), &name, 1, NULL);
}

void row_orphan_encode(struct buf *b, const struct row_orphan *r)
{
	buf_put_le64(b, r->bucket);
	buf_put_le64(b, r->since_ns);
}

int row_orphan_decode(struct str body, struct row_orphan *ret)
{
	memset(ret, 0, sizeof *ret);
	if (body.len < 16)
		return -QE_CORRUPT;
	ret->bucket = le64_get(body.p);
	ret->since_ns = le64_get(body.p + 8);
	return row_tlv_read(behind(body, 16), NULL, 0, NULL);
}

void row_upload_encode(struct buf *b, const struct row_upload *r)
{
	buf_put_le64(b, r->bucket);
	row_tlv_add(b, TAG_NAME, r->key);
	row_tlv_add(b, TAG_CHECKSUM, r->checksum);
	row_tlv_add(b, TAG_STORAGE_CLASS, r->storage_class);
	row_tlv_add(b, TAG_META, r->meta);
	row_tlv_add(b, TAG_TAGS, r->tags);
	buf_add_str(b, r->rest);
}

int row_upload_decode(struct str body, struct row_upload *ret)
{
	const struct row_field f[] = {
		{TAG_NAME, &ret->key},  {TAG_CHECKSUM, &ret->checksum}, {TAG_STORAGE_CLASS, &ret->storage_class},
		{TAG_META, &ret->meta}, {TAG_TAGS, &ret->tags},
	};

	memset(ret, 0, sizeof *ret);
	if (body.len < 8)
		return -QE_CORRUPT;
	ret->bucket = le64_get(body.p);
	return row_tlv_read(behind(body, 8), f, ARRAY_SIZE(f), &ret->rest);
}
