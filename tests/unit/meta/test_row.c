/* SPDX-License-Identifier: Apache-2.0
 *
 * Codecs of rows, keys and envelopes: what is encoded is decoded again; no bytes make a decoder misbehave (the address
 * sanitizer watches: every input is an allocation of its exact size).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "base/err.h"
#include "meta/envelope.h"
#include "meta/row.h"
#include "unit/meta/rnd.h"

static char text[80000];

static struct str some_text(void)
{
	static const size_t lens[] = {0, 0, 0, 1, 7, 48, 400, 65534, 65535, 65536};
	size_t len = lens[rnd_below(100) == 0 ? rnd_below(ARRAY_SIZE(lens)) : rnd_below(7)];

	return (struct str){text + rnd_below(1000), len};
}

static struct row_extent some_extent(void)
{
	struct row_extent e;

	rnd_bytes(&e, sizeof e);
	e.kind = (uint8_t)(1 + rnd_below(3));
	e.len >>= 3;
	e.start >>= 3;
	e.off >>= 3;
	return e;
}

static void some_attr(struct row_attr *a)
{
	rnd_bytes(a, sizeof *a);
}

static void some_object(struct row_object *o)
{
	memset(o, 0, sizeof *o);
	rnd_bytes(o->version_id, 16);
	o->mtime_ns = rnd();
	o->size = rnd();
	o->flags = (uint32_t)rnd();
	o->crc32c = (uint32_t)rnd();
	o->crc64nvme = rnd();
	o->etag = some_text();
	o->checksum = some_text();
	o->storage_class = some_text();
	o->meta = some_text();
	o->tags = some_text();
	o->parts = some_text();
	o->inrow = some_text();
	o->map = rnd();
	o->extents = rnd_below(ROW_INLINE_EXTENTS + 1);
	for (unsigned i = 0; i < o->extents; i++)
		o->extent[i] = some_extent();
}

static void same_extent(const struct row_extent *a, const struct row_extent *b)
{
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->set, b->set);
	assert_int_equal(a->crc32c, b->crc32c);
	assert_int_equal(a->blob, b->blob);
	assert_int_equal(a->start, b->start);
	assert_int_equal(a->len, b->len);
	assert_int_equal(a->off, b->off);
	assert_int_equal(a->crc64nvme, b->crc64nvme);
}

static void same_str(struct str a, struct str b)
{
	assert_true(str_eq(a, b));
}

static void same_object(const struct row_object *a, const struct row_object *b)
{
	assert_memory_equal(a->version_id, b->version_id, 16);
	assert_int_equal(a->mtime_ns, b->mtime_ns);
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->crc32c, b->crc32c);
	assert_int_equal(a->crc64nvme, b->crc64nvme);
	same_str(a->etag, b->etag);
	same_str(a->checksum, b->checksum);
	same_str(a->storage_class, b->storage_class);
	same_str(a->meta, b->meta);
	same_str(a->tags, b->tags);
	same_str(a->parts, b->parts);
	same_str(a->inrow, b->inrow);
	assert_int_equal(a->map, b->map);
	assert_int_equal(a->extents, b->extents);
	for (unsigned i = 0; i < a->extents; i++)
		same_extent(&a->extent[i], &b->extent[i]);
}

/* Any decoder, and encode what it took: used on damaged input. */
union any {
	struct row_entry entry;
	struct row_dir dir;
	struct row_file file;
	struct row_bucketdir bucketdir;
	struct row_bucket bucket;
	struct row_usage usage;
	struct row_link link;
	struct row_map_head head;
	struct {
		struct row_extent e[ROW_MAP_RUN];
		int n;
	} run;
	struct row_blob blob;
	struct segment_info segment;
	struct row_missing missing;
	struct row_reclaim reclaim;
	struct row_orphan orphan;
	struct row_upload upload;
	struct row_upart upart;
};
enum {
	ENTRY,
	DIR_,
	FILE_,
	BUCKETDIR,
	BUCKET,
	USAGE,
	LINK,
	HEAD,
	RUN,
	BLOB,
	SEGMENT,
	MISSING,
	RECLAIM,
	ORPHAN,
	UPLOAD,
	UPART,
	KINDS
};

static int decode(int kind, struct str body, union any *u)
{
	switch (kind) {
	case ENTRY:
		return row_entry_decode(body, &u->entry);
	case DIR_:
		return row_dir_decode(body, &u->dir);
	case FILE_:
		return row_file_decode(body, &u->file);
	case BUCKETDIR:
		return row_bucketdir_decode(body, &u->bucketdir);
	case BUCKET:
		return row_bucket_decode(body, &u->bucket);
	case USAGE:
		return row_usage_decode(body, &u->usage);
	case LINK:
		return row_link_decode(body, &u->link);
	case HEAD:
		return row_map_head_decode(body, &u->head);
	case RUN:
		return u->run.n = row_extents_decode(body, u->run.e, ROW_MAP_RUN);
	case BLOB:
		return row_blob_decode(body, &u->blob);
	case SEGMENT:
		return row_segment_decode(body, &u->segment);
	case MISSING:
		return row_missing_decode(body, &u->missing);
	case RECLAIM:
		return row_reclaim_decode(body, &u->reclaim);
	case ORPHAN:
		return row_orphan_decode(body, &u->orphan);
	case UPLOAD:
		return row_upload_decode(body, &u->upload);
	default:
		return row_upart_decode(body, &u->upart);
	}
}

static void encode(int kind, struct buf *b, const union any *u, uint16_t *stamp)
{
	*stamp = 0;
	switch (kind) {
	case ENTRY:
		row_entry_encode(b, &u->entry, stamp);
		break;
	case DIR_:
		row_dir_encode(b, &u->dir, stamp);
		break;
	case FILE_:
		row_file_encode(b, &u->file, stamp);
		break;
	case BUCKETDIR:
		row_bucketdir_encode(b, &u->bucketdir);
		break;
	case BUCKET:
		row_bucket_encode(b, &u->bucket);
		break;
	case USAGE:
		row_usage_encode(b, &u->usage);
		break;
	case LINK:
		row_link_encode(b, &u->link);
		break;
	case HEAD:
		row_map_head_encode(b, &u->head);
		break;
	case RUN:
		row_extents_encode(b, u->run.e, (unsigned)u->run.n);
		break;
	case BLOB:
		row_blob_encode(b, &u->blob);
		break;
	case SEGMENT:
		row_segment_encode(b, &u->segment);
		break;
	case MISSING:
		row_missing_encode(b, &u->missing);
		break;
	case RECLAIM:
		row_reclaim_encode(b, &u->reclaim);
		break;
	case ORPHAN:
		row_orphan_encode(b, &u->orphan);
		break;
	case UPLOAD:
		row_upload_encode(b, &u->upload);
		break;
	default:
		row_upart_encode(b, &u->upart);
		break;
	}
}

static uint8_t crcs[ROW_BLOB_CRCS * 4];

static void some_row(int kind, union any *u)
{
	memset(u, 0, sizeof *u);
	switch (kind) {
	case ENTRY:
		u->entry.kind = (uint8_t)(1 + rnd_below(3));
		u->entry.flags = (uint8_t)rnd_below(2);
		u->entry.key_id = rnd();
		u->entry.id = rnd();
		if (u->entry.kind == ENTRY_OBJECT && !u->entry.flags) {
			some_attr(&u->entry.attr);
			some_object(&u->entry.obj);
			u->entry.xattrs = some_text();
		}
		break;
	case DIR_:
		rnd_bytes(&u->dir, offsetof(struct row_dir, attr));
		some_attr(&u->dir.attr);
		u->dir.marker = rnd_below(2);
		if (u->dir.marker)
			some_object(&u->dir.obj);
		u->dir.name = some_text();
		u->dir.xattrs = some_text();
		break;
	case FILE_:
		u->file.nlink = (uint32_t)rnd();
		u->file.bucket = rnd();
		some_attr(&u->file.attr);
		some_object(&u->file.obj);
		u->file.xattrs = some_text();
		break;
	case BUCKETDIR:
		u->bucketdir = (struct row_bucketdir){rnd(), (uint16_t)rnd(), (uint8_t)rnd_below(3), rnd()};
		break;
	case BUCKET:
		u->bucket = (struct row_bucket){rnd(), rnd(), rnd(), (uint8_t)rnd(), (uint8_t)rnd(), rnd(), some_text(), {0}};
		break;
	case USAGE:
		rnd_bytes(&u->usage, sizeof u->usage);
		break;
	case LINK:
		u->link = (struct row_link){rnd(), some_text()};
		break;
	case HEAD:
		rnd_bytes(&u->head, sizeof u->head);
		break;
	case RUN:
		u->run.n = (int)rnd_below(ROW_MAP_RUN + 1);
		for (int i = 0; i < u->run.n; i++)
			u->run.e[i] = some_extent();
		break;
	case BLOB:
		rnd_bytes(&u->blob, offsetof(struct row_blob, crcs));
		u->blob.place = (uint8_t)(1 + rnd_below(3));
		u->blob.block_log2 %= 31;
		u->blob.frame_log2 %= 31;
		u->blob.plain_len >>= 1;
		u->blob.stored_len >>= 1;
		u->blob.ncrc = rnd_below(ROW_BLOB_CRCS + 1);
		u->blob.ncrc_total |= ROW_BLOB_CRCS;
		u->blob.crcs = crcs;
		break;
	case SEGMENT:
		rnd_bytes(&u->segment, sizeof u->segment);
		u->segment.cls = (uint8_t)(1 + rnd_below(2));
		u->segment.state = (uint8_t)rnd_below(3);
		u->segment.block_log2 %= 31;
		u->segment.k = 4, u->segment.m = 2, u->segment.n = 6;
		u->segment.cell_4k |= 1;
		break;
	case MISSING:
		u->missing = (struct row_missing){(uint32_t)rnd(), (uint8_t)rnd()};
		break;
	case RECLAIM:
		u->reclaim.len = rnd();
		break;
	case ORPHAN:
		u->orphan = (struct row_orphan){rnd(), rnd()};
		break;
	case UPLOAD:
		u->upload = (struct row_upload){rnd(), some_text(), some_text(), some_text(), some_text(), some_text(), {0}};
		break;
	default:
		u->upart = (struct row_upart){.size = rnd(),
		                              .mtime_ns = rnd(),
		                              .etag = some_text(),
		                              .checksum = some_text(),
		                              .crc32c = (uint32_t)rnd(),
		                              .crc64nvme = rnd(),
		                              .map = rnd(),
		                              .extents = 2,
		                              .extent = {some_extent(), some_extent()},
		                              .inrow = some_text()};
		break;
	}
}

static void row_survives_decode_and_encode(void **state)
{
	for (int round = 0; round < 4000; round++) {
		int kind = round % KINDS;
		union any in, out;
		struct buf a = BUF_INIT, b = BUF_INIT;
		uint16_t stamp, stamp2;

		some_row(kind, &in);
		encode(kind, &a, &in, &stamp);
		assert_int_equal(buf_err(&a), 0);
		assert_true(decode(kind, buf_str(&a), &out) >= 0);
		encode(kind, &b, &out, &stamp2);
		same_str(buf_str(&a), buf_str(&b));
		assert_int_equal(stamp, stamp2);
		buf_free(&a);
		buf_free(&b);
	}
}

/* The test above finds no field that both sides forget. */
static void every_field_is_kept(void **state)
{
	struct buf b = BUF_INIT;
	union any in, out;
	uint16_t stamp;

	for (int round = 0; round < 200; round++) {
		do
			some_row(ENTRY, &in);
		while (in.entry.kind != ENTRY_OBJECT || in.entry.flags);
		buf_reset(&b);
		encode(ENTRY, &b, &in, &stamp);
		assert_int_equal(decode(ENTRY, buf_str(&b), &out), 0);
		assert_int_equal(in.entry.key_id, out.entry.key_id);
		assert_int_equal(in.entry.id, out.entry.id);
		assert_memory_equal(&in.entry.attr, &out.entry.attr, sizeof in.entry.attr);
		same_object(&in.entry.obj, &out.entry.obj);
		same_str(in.entry.xattrs, out.entry.xattrs);
		assert_int_equal(le64_get(b.data + stamp), in.entry.obj.mtime_ns);

		some_row(DIR_, &in);
		buf_reset(&b);
		encode(DIR_, &b, &in, &stamp);
		assert_int_equal(decode(DIR_, buf_str(&b), &out), 0);
		assert_int_equal(in.dir.parent, out.dir.parent);
		assert_int_equal(in.dir.bucket, out.dir.bucket);
		assert_int_equal(in.dir.flags, le32_get(b.data + ROW_DIR_FLAGS_OFF));
		assert_int_equal(in.dir.flags, out.dir.flags);
		assert_int_equal(in.dir.live, le64_get(b.data + ROW_DIR_LIVE_OFF));
		assert_int_equal(in.dir.live, out.dir.live);
		assert_int_equal(in.dir.children, le64_get(b.data + ROW_DIR_CHILDREN_OFF));
		assert_int_equal(in.dir.children, out.dir.children);
		assert_int_equal(in.dir.locked, le64_get(b.data + ROW_DIR_LOCKED_OFF));
		assert_int_equal(in.dir.uploads, le64_get(b.data + ROW_DIR_UPLOADS_OFF));
		assert_int_equal(in.dir.attr.mtime_ns, le64_get(b.data + ROW_DIR_MTIME_OFF));
		assert_int_equal(in.dir.attr.ctime_ns, le64_get(b.data + ROW_DIR_CTIME_OFF));
		assert_memory_equal(&in.dir.attr, &out.dir.attr, sizeof in.dir.attr);
		same_str(in.dir.name, out.dir.name);
		same_object(&in.dir.obj, &out.dir.obj);
		assert_int_equal(le64_get(b.data + stamp), in.dir.marker ? in.dir.obj.mtime_ns : in.dir.attr.mtime_ns);

		some_row(FILE_, &in);
		buf_reset(&b);
		encode(FILE_, &b, &in, &stamp);
		assert_int_equal(decode(FILE_, buf_str(&b), &out), 0);
		assert_int_equal(in.file.nlink, out.file.nlink);
		assert_int_equal(in.file.bucket, out.file.bucket);
		assert_memory_equal(&in.file.attr, &out.file.attr, sizeof in.file.attr);
		same_object(&in.file.obj, &out.file.obj);
		assert_int_equal(le64_get(b.data + stamp), in.file.obj.mtime_ns);

		some_row(BLOB, &in);
		buf_reset(&b);
		encode(BLOB, &b, &in, &stamp);
		assert_int_equal(decode(BLOB, buf_str(&b), &out), 0);
		assert_int_equal(in.blob.refs, out.blob.refs);
		assert_int_equal(in.blob.refs, le32_get(b.data + ROW_BLOB_REFS_OFF));
		assert_int_equal(in.blob.plain_len, out.blob.plain_len);
		assert_int_equal(in.blob.stored_len, out.blob.stored_len);
		assert_int_equal(in.blob.segment, out.blob.segment);
		assert_int_equal(in.blob.offset_4k, out.blob.offset_4k);
		assert_int_equal(in.blob.byte, out.blob.byte);
		assert_int_equal(in.blob.cell, out.blob.cell);
		assert_int_equal(in.blob.set, out.blob.set);
		assert_int_equal(in.blob.seq, out.blob.seq);
		assert_int_equal(in.blob.payload_off, out.blob.payload_off);
		assert_int_equal(in.blob.data_key, out.blob.data_key);
		assert_int_equal(in.blob.ncrc, out.blob.ncrc);
		assert_int_equal(in.blob.ncrc_total, out.blob.ncrc_total);
		if (in.blob.ncrc)
			assert_memory_equal(crcs, out.blob.crcs, in.blob.ncrc * 4);

		some_row(SEGMENT, &in);
		buf_reset(&b);
		encode(SEGMENT, &b, &in, &stamp);
		assert_int_equal(decode(SEGMENT, buf_str(&b), &out), 0);
		assert_int_equal(in.segment.id, out.segment.id);
		assert_int_equal(in.segment.epoch, out.segment.epoch);
		assert_int_equal(in.segment.live_bytes, le64_get(b.data + ROW_SEGMENT_LIVE_OFF));
		assert_int_equal(in.segment.live_bytes, out.segment.live_bytes);
		assert_int_equal(in.segment.sealed_4k, out.segment.sealed_4k);
		assert_int_equal(in.segment.punched_4k, out.segment.punched_4k);

		some_row(UPART, &in);
		buf_reset(&b);
		encode(UPART, &b, &in, &stamp);
		assert_int_equal(decode(UPART, buf_str(&b), &out), 0);
		assert_int_equal(in.upart.mtime_ns, le64_get(b.data + ROW_UPART_MTIME_OFF));
		assert_int_equal(in.upart.size, out.upart.size);
		assert_int_equal(in.upart.crc64nvme, out.upart.crc64nvme);
		assert_int_equal(in.upart.crc32c, out.upart.crc32c);
		assert_int_equal(in.upart.map, out.upart.map);
		same_str(in.upart.etag, out.upart.etag);
		same_extent(&in.upart.extent[1], &out.upart.extent[1]);
	}
	buf_free(&b);
}

/* On an allocation of its own, so that one byte too far is seen. */
static void try_bytes(int kind, const void *p, size_t len)
{
	char *copy = malloc(len ? len : 1);
	struct buf b = BUF_INIT;
	uint16_t stamp;
	union any u;

	assert_non_null(copy);
	memcpy(copy, p, len);
	if (decode(kind, (struct str){copy, len}, &u) >= 0) {
		encode(kind, &b, &u, &stamp);
		assert_true(decode(kind, buf_str(&b), &u) >= 0);
	}
	buf_free(&b);
	free(copy);
}

static void damaged_row_is_decoded_safely(void **state)
{
	for (int round = 0; round < 40 * KINDS; round++) {
		int kind = round % KINDS;
		struct buf b = BUF_INIT;
		uint16_t stamp;
		union any u;

		some_row(kind, &u);
		encode(kind, &b, &u, &stamp);
		if (b.len < 4000) {
			for (size_t len = 0; len < b.len; len++)
				try_bytes(kind, b.data, len);
			for (int i = 0; i < 200 && b.len; i++) {
				size_t at = rnd() % b.len;
				char old = b.data[at];

				b.data[at] = (char)(rnd_below(3) ? rnd() : 0xff);
				try_bytes(kind, b.data, b.len);
				b.data[at] = old;
			}
		}
		for (int i = 0; i < 20; i++) {
			char noise[256];
			size_t len = rnd_below(sizeof noise);

			rnd_bytes(noise, len);
			if (len)
				noise[0] = (char)(1 + rnd_below(3));
			try_bytes(kind, noise, len);
		}
		buf_free(&b);
	}
}

static void unknown_tag_is_kept_or_refused(void **state)
{
	struct buf b = BUF_INIT, c = BUF_INIT;
	struct row_entry e = {.kind = ENTRY_OBJECT, .key_id = 1, .id = 2, .obj = {.etag = STR_LIT("x")}}, d;
	uint16_t stamp;

	row_entry_encode(&b, &e, &stamp);
	buf_put_le16(&b, 900);
	buf_put_le16(&b, 3);
	buf_add_c(&b, "new");
	buf_put_le16(&b, 901);
	buf_put_le16(&b, 0);
	assert_int_equal(row_entry_decode(buf_str(&b), &d), 0);
	assert_int_equal(d.rest.len, 11);
	row_entry_encode(&c, &d, NULL);
	same_str(buf_str(&b), buf_str(&c));
	buf_put_le16(&b, 0x8001);
	buf_put_le16(&b, 0);
	assert_int_equal(row_entry_decode(buf_str(&b), &d), -QE_DRIVE_FORMAT);
	/* A known tag behind an unknown one, or twice. */
	buf_put_le16(&c, 2);
	buf_put_le16(&c, 0);
	assert_int_equal(row_entry_decode(buf_str(&c), &d), -QE_CORRUPT);
	buf_free(&b);
	buf_free(&c);
}

static void kv_list_is_read_back(void **state)
{
	struct buf b = BUF_INIT;
	struct str rest, n, v;

	row_kv_add(&b, STR_LIT("content-type"), STR_LIT("text/plain"));
	row_kv_add(&b, STR_LIT("x"), STR_LIT(""));
	assert_true(row_kv_get(buf_str(&b), STR_LIT("x"), &v));
	assert_int_equal(v.len, 0);
	assert_true(row_kv_get(buf_str(&b), STR_LIT("content-type"), &v));
	assert_true(str_eqc(v, "text/plain"));
	assert_false(row_kv_get(buf_str(&b), STR_LIT("content"), &v));
	for (size_t len = 0; len < b.len; len++) {
		char *copy = malloc(len + 1);

		memcpy(copy, b.data, len);
		rest = (struct str){copy, len};
		while (row_kv_next(&rest, &n, &v))
			assert_true(v.p + v.len <= copy + len);
		free(copy);
	}
	buf_free(&b);
}

static void keys_sort_as_numbers(void **state)
{
	struct meta_key a, b;

	key_u64_u64(&a, 255, 1);
	key_u64_u64(&b, 256, 0);
	assert_true(str_cmp(key_of(&a), key_of(&b)) < 0);
	key_missing(&a, 1, 2, 3);
	assert_int_equal(a.len, 13);
	key_bsum(&a, 1, 1, 7);
	assert_int_equal(a.len, 13);
	key_map(&a, 9, 0, 5);
	key_map(&b, 9, 1, 0);
	assert_int_equal(a.len, 9);
	assert_int_equal(b.len, 17);
	assert_true(str_cmp(key_of(&a), key_of(&b)) < 0);
	key_upart(&a, 1, 2);
	assert_int_equal(a.len, 10);
	key_u64_str(&a, 1, (struct str){text, 503});
	assert_int_equal(a.len, META_KEY_MAX);
	assert_string_equal(meta_table_name(TABLE_ENTRY), "entry");
	assert_string_equal(meta_table_name(0), "?");
	assert_string_equal(meta_table_name(TABLE_END), "?");
}

static void envelope_binds_place_and_bytes(void **state)
{
	char row[100];
	struct str key = STR_LIT("key"), r = {row, sizeof row};
	uint64_t seq;

	rnd_bytes(row, sizeof row);
	envelope_seal(TABLE_DIR, key, 77, row, sizeof row);
	assert_int_equal(envelope_check(TABLE_DIR, key, r, &seq), 0);
	assert_int_equal(seq, 77);
	assert_int_equal(envelope_seq(r), 77);
	assert_int_equal(envelope_check(TABLE_ENTRY, key, r, NULL), -QE_CORRUPT);
	assert_int_equal(envelope_check(TABLE_DIR, STR_LIT("kez"), r, NULL), -QE_CORRUPT);
	for (size_t i = 0; i < sizeof row * 8; i++) {
		row[i / 8] ^= (char)(1 << i % 8);
		assert_int_equal(envelope_check(TABLE_DIR, key, r, NULL), -QE_CORRUPT);
		row[i / 8] ^= (char)(1 << i % 8);
	}
	for (size_t len = 0; len < sizeof row; len++)
		assert_int_equal(envelope_check(TABLE_DIR, key, str_sub(r, 0, len), NULL), -QE_CORRUPT);
	envelope_seal_parts(TABLE_DIR, key, 77, 3, row, sizeof row);
	assert_int_equal(envelope_check(TABLE_DIR, key, r, NULL), 0);
	assert_int_equal(envelope_pieces(r), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(row_survives_decode_and_encode), cmocka_unit_test(every_field_is_kept),
		cmocka_unit_test(damaged_row_is_decoded_safely),  cmocka_unit_test(unknown_tag_is_kept_or_refused),
		cmocka_unit_test(kv_list_is_read_back),           cmocka_unit_test(keys_sort_as_numbers),
		cmocka_unit_test(envelope_binds_place_and_bytes),
	};

	rnd_init(1);
	rnd_bytes(text, sizeof text);
	rnd_bytes(crcs, sizeof crcs);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
