/* SPDX-License-Identifier: Apache-2.0
 *
 * Objects as S3 sees them: buckets, keys, versions (null versions in this release), multipart uploads.
 *
 * Calls that change state take (done, arg): with done they return at once and call it exactly once, from whichever
 * thread leads the commit, when the change is durable and notified; without done (NULL) they block until then. A
 * negative return value of the call itself means that done is not called. Calls that read are done when they return;
 * they never block but where it is said (cold index pages aside), and tell in `seq` what the answer must wait for
 * (object_wait).
 */
#ifndef QUOIN_OBJECT_OBJECT_H
#define QUOIN_OBJECT_OBJECT_H

#include "crypto/digest.h"
#include "object/store.h"

#define OBJECT_KEY_MAX 1024
#define OBJECT_PUT_MAX (5ull << 30)
#define OBJECT_MAX (5ull << 40)
#define OBJECT_PART_MIN (5ull << 20)
#define OBJECT_PARTS 10000

typedef void (*object_done_fn)(void *arg, int rc);

/* ---- Buckets -------------------------------------------------------------------------------------------------------- */
struct object_bucket_info { struct str name; uint64_t id, created_ns; struct row_usage usage; };
bool object_bucket_name_ok(struct str name);
int object_bucket_create(struct object_store *s, struct op_ctx *ctx, struct str name, object_done_fn done, void *arg) WARN_UNUSED;
int object_bucket_delete(struct object_store *s, struct op_ctx *ctx, struct str name, object_done_fn done, void *arg) WARN_UNUSED;
int object_bucket_head(struct object_store *s, struct op_ctx *ctx, struct str name, struct object_bucket_info *ret, uint64_t *seq) WARN_UNUSED;
/* In name order; strings in ctx->arena. */
int object_bucket_list(struct object_store *s, struct op_ctx *ctx, struct object_bucket_info **ret, unsigned *ret_n, uint64_t *seq) WARN_UNUSED;

/* ---- Reading -------------------------------------------------------------------------------------------------------- */
struct object_info {          /* strings live in ctx->arena or in the handle */
	struct str key;
	uint64_t file_id, size, mtime_ns;
	uint32_t flags;           /* enum version_flags */
	uint32_t crc32c;
	uint64_t crc64nvme;
	struct str etag, checksum, storage_class, meta, tags, parts;
	struct row_attr attr;
	struct str xattrs;
	bool is_prefix;           /* listings: a common prefix (key ends with the delimiter) */
};

struct object_cond {          /* conditional headers; unset: NULL p, 0 */
	struct str if_match, if_none_match;       /* as sent: list of quoted tags, or * */
	uint64_t if_modified_since_ns, if_unmodified_since_ns;
	bool has_modified_since, has_unmodified_since;
};
/* 0, -QE_PRECONDITION, -QE_NOT_MODIFIED; info NULL: there is no object. for_write: If-None-Match fails with 412. */
int object_cond_check(const struct object_cond *c, const struct object_info *info, bool for_write) WARN_UNUSED;

struct object_handle;         /* one version, pinned: its bytes stay readable whatever happens to the name */
/* version: "" newest, "null" the null version. -QE_NO_SUCH_BUCKET, _KEY, _VERSION. */
int object_open(struct object_store *s, struct op_ctx *ctx, struct str bucket, struct str key, struct str version,
		struct object_handle **ret, uint64_t *seq) WARN_UNUSED;
const struct object_info *object_handle_info(const struct object_handle *h);
/* [off, off + len) must lie in the object. flags: DRIVE_NOWAIT -> -EAGAIN (call again from a worker). Thread safe. */
int object_read(struct object_handle *h, uint64_t off, size_t len, void *dst, unsigned flags) WARN_UNUSED;
void object_close(struct object_handle *h); /* accepts NULL */

/* ---- Writing -------------------------------------------------------------------------------------------------------- */
/* enum object_digest of crypto/digest.h; CRC32C and CRC64NVME are always computed, and MD5. */
struct object_digests {
	uint8_t md5[16], sha256[32], sha1[20];
	uint32_t crc32, crc32c;
	uint64_t crc64nvme;
};

struct object_put_args {
	struct str bucket, key;
	uint64_t size;            /* of the body; UINT64_MAX: unknown (chunked) */
	unsigned digests;         /* enum object_digest, to be computed on the way */
	struct str meta, tags, storage_class;
	struct object_cond cond;  /* checked at commit, under the name's lock */
	/* Part of a multipart upload instead of an object: */
	uint64_t upload;          /* 0: none */
	unsigned part;
};

struct object_put;
/* Resolves nothing yet but the bucket and, for parts, the upload. The strings of args are copied. */
int object_put_begin(struct object_store *s, struct op_ctx *ctx, const struct object_put_args *a, struct object_put **ret) WARN_UNUSED;
/* Where the next body bytes may be received: up to *ret_len bytes at the returned address; NULL with *ret_len = 0: wait
 * (resume is called once, from any thread, when there is room again, also before this returns; never when there was
 * room), NULL with an error in *ret_len < 0. */
void *object_put_room(struct object_put *p, ssize_t *ret_len, void (*resume)(void *arg), void *arg);
int object_put_filled(struct object_put *p, size_t len) WARN_UNUSED; /* that many bytes were put there */
/* The body is complete: digests become known. done may come from a worker (large bodies) or at once inside the call. */
int object_put_end(struct object_put *p, object_done_fn done, void *arg) WARN_UNUSED; /* -QE_INCOMPLETE_BODY */
const struct object_digests *object_put_digests(const struct object_put *p);  /* after end */
uint64_t object_put_size(const struct object_put *p);                        /* bytes received so far */
/* Commits; etag text as it shall be kept (NULL p: MD5 hex); checksum as in row_object. ret_info (may be NULL) is filled
 * before done: etag, mtime, checksum; its strings live in p. p stays until object_put_free. */
int object_put_commit(struct object_put *p, struct op_ctx *ctx, struct str etag, struct str checksum,
		      struct object_info *ret_info, object_done_fn done, void *arg) WARN_UNUSED;
/* Accepts NULL; uncommitted data is dropped. Not while an end or a commit that was begun has not called its done. */
void object_put_free(struct object_put *p);

struct object_copy_args {
	struct str src_bucket, src_key, src_version;
	struct object_cond src_cond;
	struct str bucket, key;
	bool replace_meta, replace_tags;
	struct str meta, tags, storage_class;
	bool has_range;           /* UploadPartCopy */
	uint64_t first, last;
	uint64_t upload;
	unsigned part;
	struct object_cond cond;
};
/* By reference: no bytes move. ret (strings in ctx->arena) is filled before done; ctx must live until then. */
int object_copy(struct object_store *s, struct op_ctx *ctx, const struct object_copy_args *a, struct object_info *ret,
		object_done_fn done, void *arg) WARN_UNUSED;

/* Deleting what is not there is success. ret_existed may be NULL. */
int object_delete(struct object_store *s, struct op_ctx *ctx, struct str bucket, struct str key, struct str version,
		  bool *ret_existed, object_done_fn done, void *arg) WARN_UNUSED;
struct object_delete_item { struct str key, version; int rc; };
/* Each item gets its rc; one commit for all that fit. */
int object_delete_many(struct object_store *s, struct op_ctx *ctx, struct str bucket, struct object_delete_item *items, unsigned n,
		       object_done_fn done, void *arg) WARN_UNUSED;
/* Replaces tags (GetObjectTagging reads them from object_info). */
int object_set_tags(struct object_store *s, struct op_ctx *ctx, struct str bucket, struct str key, struct str tags, object_done_fn done,
		    void *arg) WARN_UNUSED;

/* ---- Listing -------------------------------------------------------------------------------------------------------- */
struct object_list_args {
	struct str bucket, prefix, delimiter; /* delimiter: "", "/" or any other string */
	struct str start_after;               /* keys > this */
	unsigned max;                         /* 1 .. 1000 */
	bool versions;                        /* ListObjectVersions: with its own marker rules */
	struct str version_marker;
};
struct object_list {
	struct object_info *items;  /* in byte order, objects and common prefixes mixed */
	unsigned n;
	bool truncated;
	struct str next;            /* last key or common prefix returned */
};
int object_list(struct object_store *s, struct op_ctx *ctx, const struct object_list_args *a, struct object_list *ret, uint64_t *seq) WARN_UNUSED;

/* ---- Multipart ------------------------------------------------------------------------------------------------------ */
struct object_upload_info { uint64_t id, initiated_ns; struct str key, meta, tags, storage_class, checksum; };
struct object_upload_args { struct str bucket, key, meta, tags, storage_class, checksum; };
int object_upload_create(struct object_store *s, struct op_ctx *ctx, const struct object_upload_args *a, uint64_t *ret_id, object_done_fn done,
			 void *arg) WARN_UNUSED;
/* -QE_NO_SUCH_UPLOAD also when it belongs to another key. */
int object_upload_info(struct object_store *s, struct op_ctx *ctx, struct str bucket, struct str key, uint64_t id,
		       struct object_upload_info *ret, uint64_t *seq) WARN_UNUSED;
struct object_part { unsigned number; uint64_t size, mtime_ns; struct str etag, checksum; uint32_t crc32c; uint64_t crc64nvme; };
int object_part_list(struct object_store *s, struct op_ctx *ctx, struct str bucket, struct str key, uint64_t id, unsigned after, unsigned max,
		     struct object_part **ret, unsigned *ret_n, bool *ret_truncated, uint64_t *seq) WARN_UNUSED;
struct object_upload_list_args { struct str bucket, prefix, delimiter, key_marker; uint64_t id_marker; unsigned max; };
struct object_upload_list {
	struct object_upload_info *items; unsigned n;
	struct str *prefixes; unsigned nprefixes;
	bool truncated; struct str next_key; uint64_t next_id;
};
int object_upload_list(struct object_store *s, struct op_ctx *ctx, const struct object_upload_list_args *a, struct object_upload_list *ret,
		       uint64_t *seq) WARN_UNUSED;
int object_upload_abort(struct object_store *s, struct op_ctx *ctx, struct str bucket, struct str key, uint64_t id, object_done_fn done, void *arg) WARN_UNUSED;
/* parts: number and etag (hex, no quotes) in the client's order; checksum, if given, is compared with the part's.
 * checksum: the object's own, as in row_object ("" none); the composite ETag is made here. */
int object_upload_complete(struct object_store *s, struct op_ctx *ctx, struct str bucket, struct str key, uint64_t id,
			   const struct object_part *parts, unsigned n, struct str checksum, const struct object_cond *cond, struct object_info *ret, object_done_fn done,
			   void *arg) WARN_UNUSED;

/* ---- For those who look after the payload --------------------------------------------------------------------------- */
/* Blob ids (le64 each) of all content below a prefix, one page: of the keys behind *key, which becomes the last one that was
 * looked at; empty: from the beginning. 1: there is more, 0: that is all, < 0. Memory of a page is in ctx->arena. */
int object_blobs(struct object_store *s, struct op_ctx *ctx, struct str bucket, struct str prefix, struct buf *key,
                 struct buf *ret_blobs, unsigned *ret_objects) WARN_UNUSED;

#endif
