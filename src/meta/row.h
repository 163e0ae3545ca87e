/* SPDX-License-Identifier: Apache-2.0
 *
 * Bodies of the rows (STORAGE.md section 6): a fixed part, then TLVs `u16 tag, u16 len` (lengths above 65534: 0xffff and
 * a u32). Decoded structures borrow from the row's bytes. Encoders append to a buf. An unknown tag with the top bit set
 * makes decode fail with -QE_DRIVE_FORMAT; any other unknown tag is kept in `rest` and written again by encode.
 * The envelope (format, seq, crc) is not here: meta adds and checks it.
 */
#ifndef QUOIN_META_ROW_H
#define QUOIN_META_ROW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "erasure/set.h"
#include "meta/tables.h"

/* ---- Keys: each sets all of k ------------------------------------------------------------------------------------- */
#define META_NAME_PIECE 400 /* a name component of this length or more continues in another row */

struct meta_key {
	uint16_t len;
	uint8_t b[META_KEY_MAX + 1];
};
static inline struct str key_of(const struct meta_key *k)
{
	return (struct str){(const char *)k->b, k->len};
}
void key_u64(struct meta_key *k, uint64_t a);
void key_u64_u64(struct meta_key *k, uint64_t a, uint64_t b);
void key_u64_u64_u64(struct meta_key *k, uint64_t a, uint64_t b, uint64_t c);
/* s.len <= 503; a row of more than ROW_PLAIN_MAX bytes needs a key of at most ROW_PIECES_KEY_MAX. */
void key_u64_str(struct meta_key *k, uint64_t a, struct str s);
void key_str(struct meta_key *k, struct str s);                   /* s.len <= 511 */
#define ROW_PLAIN_MAX 1500
#define ROW_PIECES_KEY_MAX (META_KEY_MAX - 3)
void key_bsum(struct meta_key *k, uint64_t blob, uint8_t kind, uint32_t n);
void key_stripe(struct meta_key *k, uint64_t segment, uint32_t offset_4k);
void key_missing(struct meta_key *k, uint8_t slot, uint64_t segment, uint32_t from_4k);
void key_reclaim(struct meta_key *k, uint64_t seq, uint64_t segment, uint32_t from_4k);
void key_map(struct meta_key *k, uint64_t map, uint8_t kind, uint64_t offset); /* kind 0: head (no offset), 1: run */
void key_upart(struct meta_key *k, uint64_t upload, uint16_t part);

/* ---- Shared pieces ------------------------------------------------------------------------------------------------- */
struct row_attr {             /* POSIX attributes */
	uint32_t mode;            /* with the file type */
	uint32_t uid, gid, rdev;
	uint64_t atime_ns, mtime_ns, ctime_ns, btime_ns;
};

enum extent_kind { EXTENT_BLOB = 1, EXTENT_INROW = 2, EXTENT_HOLE = 3 };
struct row_extent {           /* 48 bytes on disk */
	uint8_t kind, flags;
	uint16_t set;             /* payload set */
	uint32_t crc32c;          /* of the plain bytes */
	uint64_t blob;            /* blob id (for inrow: an id as well) */
	uint64_t start;           /* within the blob */
	uint64_t len;
	uint64_t off;             /* within the file */
	uint64_t crc64nvme;       /* of the plain bytes */
};
#define ROW_EXTENT_BYTES 48
#define ROW_INLINE_EXTENTS 2
#define ROW_MAP_RUN 30        /* extents of one map row */

enum version_flags {
	VERSION_DELETE_MARKER = 1, VERSION_NULL = 2, VERSION_DRAFT = 4, VERSION_LOCKED = 8, VERSION_ENCRYPTED = 16,
	VERSION_MOUNT = 32,       /* content written through the mount: opaque ETag */
	VERSION_MULTIPART = 64,
	VERSION_HAS_CRC = 128     /* crc32c and crc64nvme are valid */
};
struct row_object {           /* a version with its content: in entry, dir (marker), file, upload history rows */
	uint8_t version_id[16];   /* zero: null version */
	uint64_t mtime_ns;        /* Last-Modified; filled by the sequencer's stamp */
	uint64_t size;
	uint32_t flags;           /* enum version_flags */
	uint32_t crc32c;          /* of the whole content */
	uint64_t crc64nvme;
	struct str etag;          /* text without quotes, <= 48 */
	struct str checksum;      /* what the client asked to keep: "CRC32C:FULL_OBJECT:base64", "" if nothing */
	struct str storage_class; /* "" is STANDARD */
	struct str meta;          /* kv list: lower-case header names: content-type, cache-control, x-amz-meta-*, ... */
	struct str tags;          /* kv list */
	struct str parts;         /* multipart: le64 size per part, for partNumber reads */
	struct str inrow;         /* content of an EXTENT_INROW extent */
	uint64_t map;             /* map id when there are more than ROW_INLINE_EXTENTS extents, else 0 */
	unsigned extents;
	struct row_extent extent[ROW_INLINE_EXTENTS];
};

/* kv list: u16 name length, u32 value length, name, value; in any order, names unique. */
void row_kv_add(struct buf *b, struct str name, struct str value);
bool row_kv_next(struct str *rest, struct str *ret_name, struct str *ret_value); /* false at the end or on damage */
bool row_kv_get(struct str kv, struct str name, struct str *ret_value);

/* ---- Rows ---------------------------------------------------------------------------------------------------------- */
enum entry_kind { ENTRY_OBJECT = 1, ENTRY_DIR = 2, ENTRY_CONT = 3 };
enum entry_flags { ENTRY_LINKED = 1 /* attributes and content are in the file row */ };
struct row_entry {
	uint8_t kind, flags;
	uint64_t key_id;          /* object: the version stack */
	uint64_t id;              /* object: file id; directory: dir id (0: only history); continuation: its id */
	struct row_attr attr;     /* object, not linked */
	struct row_object obj;    /* object, not linked */
	struct str xattrs;        /* kv list of xattrs other than user.* that S3 shows as metadata */
	struct str rest;
};
/* ret_stamp_off (may be NULL): where in the body 8 bytes of modification time lie, for meta_batch_put (0: none). It is
 * that of the object; of a directory without marker it is attr.mtime_ns. */
void row_entry_encode(struct buf *b, const struct row_entry *e, uint16_t *ret_stamp_off);
int row_entry_decode(struct str body, struct row_entry *ret) WARN_UNUSED;

enum dir_flags { DIR_EXPLICIT = 1 };
/* Offsets in the body, for what the sequencer changes in place. le64 each, flags le32. */
#define ROW_DIR_PARENT_OFF 0
#define ROW_DIR_FLAGS_OFF 16
#define ROW_DIR_LIVE_OFF 24
#define ROW_DIR_CHILDREN_OFF 32
#define ROW_DIR_LOCKED_OFF 40
#define ROW_DIR_UPLOADS_OFF 48
#define ROW_DIR_MTIME_OFF 80
#define ROW_DIR_CTIME_OFF 88
#define ROW_DIR_FIXED 104
struct row_dir {
	uint64_t parent;          /* dir id; 0 for the root of a bucket */
	uint64_t bucket;
	uint32_t flags;
	/* Counters, changed by deltas only; at fixed offsets of the body (ROW_DIR_*). */
	uint64_t live, children, locked, uploads;
	struct row_attr attr;
	bool marker;              /* the S3 object `name/` has metadata or a body of its own: obj is valid */
	struct row_object obj;
	struct str name;          /* its own name, without `/` */
	struct str xattrs;
	struct str rest;
};
void row_dir_encode(struct buf *b, const struct row_dir *d, uint16_t *ret_stamp_off);
int row_dir_decode(struct str body, struct row_dir *ret) WARN_UNUSED;

/* Kinds of documents: the last byte of a doc row's key. Those of bucket 0 are the set's. */
enum meta_doc { META_DOC_SCRUB = 1, META_DOC_HEAL = 2 };

struct row_bucketdir { uint64_t bucket; uint16_t home_set; uint8_t state; uint64_t generation; };
enum bucket_state { BUCKET_CREATING = 0, BUCKET_LIVE = 1, BUCKET_DELETING = 2 };
void row_bucketdir_encode(struct buf *b, const struct row_bucketdir *r);
int row_bucketdir_decode(struct str body, struct row_bucketdir *ret) WARN_UNUSED;

struct row_bucket { uint64_t root_dir, upload_root, created_ns; uint8_t versioning, lock; uint64_t quota; struct str name, rest; };
void row_bucket_encode(struct buf *b, const struct row_bucket *r);
int row_bucket_decode(struct str body, struct row_bucket *ret) WARN_UNUSED;

/* The body is exactly these, le64 each, in this order. */
#define ROW_USAGE_FIELDS 6
struct row_usage { uint64_t objects, versions, markers, bytes, stored, uploads; };
void row_usage_encode(struct buf *b, const struct row_usage *r);
int row_usage_decode(struct str body, struct row_usage *ret) WARN_UNUSED;

struct row_file {             /* with links, or without an entry (orphan) */
	uint32_t nlink;
	uint64_t bucket;
	struct row_attr attr;
	struct row_object obj;
	struct str xattrs, rest;
};
void row_file_encode(struct buf *b, const struct row_file *f, uint16_t *ret_stamp_off);
int row_file_decode(struct str body, struct row_file *ret) WARN_UNUSED;

struct row_link { uint64_t dir; struct str name; };                 /* key: file id, key id */
void row_link_encode(struct buf *b, const struct row_link *r);
int row_link_decode(struct str body, struct row_link *ret) WARN_UNUSED;

struct row_map_head { uint64_t base, length, users; uint32_t depth, runs; };
void row_map_head_encode(struct buf *b, const struct row_map_head *r);
int row_map_head_decode(struct str body, struct row_map_head *ret) WARN_UNUSED;
void row_extents_encode(struct buf *b, const struct row_extent *e, unsigned n);
int row_extents_decode(struct str body, struct row_extent *ret, unsigned max); /* number, or < 0 */

enum blob_place { BLOB_JOURNAL = 1, BLOB_LARGE = 2, BLOB_PACKED = 3 };
struct row_blob {
	uint8_t place, block_log2, encoding, frame_log2;
	uint16_t set;
	uint32_t refs;            /* extents that name it */
	uint64_t plain_len, stored_len;
	uint64_t segment;         /* large, packed */
	uint32_t offset_4k, byte; /* byte: packed */
	uint8_t cell;             /* packed */
	uint64_t seq;             /* journal: of the batch */
	uint32_t payload_off;     /* journal: offset in the payload of the record that contains it */
	uint64_t data_key;        /* 0: none */
	uint32_t ncrc;            /* checksums in this row; more in bsum rows when ncrc_total > ROW_BLOB_CRCS */
	uint32_t ncrc_total;
	const uint8_t *crcs;      /* le32 each */
	struct str rest;
};
#define ROW_BLOB_REFS_OFF 8     /* le32 */
#define ROW_BLOB_CRCS 64
#define ROW_BSUM_RUN 256
void row_blob_encode(struct buf *b, const struct row_blob *r);
int row_blob_decode(struct str body, struct row_blob *ret) WARN_UNUSED;

#define ROW_SEGMENT_LIVE_OFF 16 /* le64 */
void row_segment_encode(struct buf *b, const struct segment_info *r);
int row_segment_decode(struct str body, struct segment_info *ret) WARN_UNUSED;
/* Why: the slot left, or was not in when the segment was born, or recovery found it so, or its drive was replaced. */
enum missing_reason {
	MISSING_LEFT = 1, MISSING_BORN = 2, MISSING_RECOVERY = 3, MISSING_REPLACED = 4, MISSING_ON_ITS_WAY = 5,
	MISSING_LOST = 6          /* the file is not there */
};
struct row_missing { uint32_t to_4k; uint8_t reason; };
void row_missing_encode(struct buf *b, const struct row_missing *r);
int row_missing_decode(struct str body, struct row_missing *ret) WARN_UNUSED;
struct row_reclaim { uint64_t len; };
void row_reclaim_encode(struct buf *b, const struct row_reclaim *r);
int row_reclaim_decode(struct str body, struct row_reclaim *ret) WARN_UNUSED;
struct row_orphan { uint64_t bucket, since_ns; };
void row_orphan_encode(struct buf *b, const struct row_orphan *r);
int row_orphan_decode(struct str body, struct row_orphan *ret) WARN_UNUSED;

struct row_upload {           /* key: upload key id 8, initiated_ns 8, upload id 8 */
	uint64_t bucket;
	struct str key;           /* the object's key */
	struct str meta, tags, storage_class, checksum; /* checksum: "CRC64NVME:FULL_OBJECT", ... */
	struct str rest;
};
void row_upload_encode(struct buf *b, const struct row_upload *r);
int row_upload_decode(struct str body, struct row_upload *ret) WARN_UNUSED;

#define ROW_UPART_MTIME_OFF 8   /* le64: stamp */
struct row_upart {
	uint64_t size, mtime_ns;
	struct str etag, checksum;
	uint32_t crc32c;
	uint64_t crc64nvme;
	uint64_t map;
	unsigned extents;
	struct row_extent extent[ROW_INLINE_EXTENTS];
	struct str inrow, rest;
};
void row_upart_encode(struct buf *b, const struct row_upart *r);
int row_upart_decode(struct str body, struct row_upart *ret) WARN_UNUSED;

#endif
