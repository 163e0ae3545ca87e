/* SPDX-License-Identifier: Apache-2.0
 *
 * PUT of an object or of a part: the body, then the commit.
 *
 *   small (at most inline_max):  received into the batch's payload (into the row up to CONTENT_INROW_MAX), digests at the end
 *   unknown size:                received into memory of its own until it turns out to be large
 *   large:                       large.h
 */
#include "base/checksum.h"
#include "object/large.h"
#include "object/store_internal.h"
#include "object/upload.h"

enum put_state { PUT_SMALL, PUT_LARGE };

struct object_put {
	struct object_store *store;
	struct arena arena; /* strings of args, etag, results */
	struct object_put_args a;
	enum put_state state;
	uint64_t received;
	int rc; /* sticky */

	struct meta_batch *batch; /* small, known size: holds the payload */
	uint8_t *small;           /* where small bytes go */
	uint8_t *own;             /* small, when it is not the batch's */
	size_t cap;
	struct large *large;

	object_done_fn done; /* of end, then of commit */
	void *done_arg;
	struct object_digests digests;

	struct object_commit commit;
	bool has_commit;
	struct str etag, checksum;
	struct object_info *ret_info;
	uint64_t blob, file_id;
	uint64_t mtime_ns;
	struct row_extent *extents;
	unsigned nextents;
};

/* ---- Begin ------------------------------------------------------------------------------------------------------------ */
static void copy_args(struct object_put *p, const struct object_put_args *a)
{
	struct object_put_args *t = &p->a;
	struct str *s[] = {
		&t->bucket, &t->key, &t->meta, &t->tags, &t->storage_class, &t->cond.if_match, &t->cond.if_none_match};

	*t = *a;
	t->digests |= DIGEST_MD5;
	for (unsigned i = 0; i < ARRAY_SIZE(s); i++) {
		if (s[i]->p)
			*s[i] = arena_str(&p->arena, *s[i]);
	}
}

int object_key_check(struct str key)
{
	if (key.len == 0)
		return -QE_INVALID_REQUEST;
	if (key.len > OBJECT_KEY_MAX)
		return -QE_KEY_TOO_LONG;
	return str_is_utf8(key) ? 0 : -QE_INVALID_KEY;
}

static int check_target(struct object_put *p)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct upload_ref u;
	struct path path;
	int rc = meta_view_open(p->store->set, &v);

	if (rc == 0)
		rc = path_bucket_reading(&path, p->store, v, &p->arena, p->a.bucket);
	if (rc == 0 && p->a.upload)
		rc = upload_find(&path, p->a.key, p->a.upload, &u);
	return rc;
}

static int small_room(struct object_put *p)
{
	uint32_t max = MAX(meta_inline_max(p->store->set), (uint32_t)CONTENT_INROW_MAX);

	p->state = PUT_SMALL;
	if (p->a.size != UINT64_MAX && p->a.size > CONTENT_INROW_MAX) {
		p->cap = (size_t)p->a.size;
		p->batch = meta_batch_new(p->store->set, META_DURABLE, OP_S3);
		p->small = p->batch ? meta_batch_payload(p->batch, p->cap) : NULL;
		return p->small ? 0 : -ENOMEM;
	}
	p->cap = p->a.size == UINT64_MAX ? max : (size_t)p->a.size;
	p->small = p->own = malloc(MAX(p->cap, (size_t)1));
	return p->own ? 0 : -ENOMEM;
}

int object_put_begin(struct object_store *s, struct op_ctx *ctx, const struct object_put_args *a,
                     struct object_put **ret)
{
	struct object_put *p;
	int rc = object_key_check(a->key);

	if (rc < 0)
		return rc;
	if (a->size != UINT64_MAX && a->size > OBJECT_PUT_MAX)
		return -QE_ENTITY_TOO_LARGE;
	if (!meta_writable(s->set))
		return -QE_QUORUM_WRITE;
	p = calloc(1, sizeof *p);
	if (!p)
		return -ENOMEM;
	p->store = s;
	copy_args(p, a);
	rc = check_target(p);
	if (rc == 0 &&
	    (p->a.size == UINT64_MAX || p->a.size <= MAX(meta_inline_max(s->set), (uint32_t)CONTENT_INROW_MAX))) {
		rc = small_room(p);
	} else if (rc == 0) {
		p->state = PUT_LARGE;
		p->large = large_new(s, p->a.size, p->a.digests);
		rc = p->large ? 0 : -ENOMEM;
	}
	if (rc < 0) {
		object_put_free(p);
		return rc;
	}
	*ret = p;
	return 0;
}

/* ---- Body ------------------------------------------------------------------------------------------------------------- */
/* An unknown size has outgrown small: what is there moves to the first stripe buffer. */
static int become_large(struct object_put *p, ssize_t *ret_len, void (*resume)(void *arg), void *arg)
{
	void *room;
	int rc;

	if (!p->large) {
		p->large = large_new(p->store, UINT64_MAX, p->a.digests);
		if (!p->large)
			return -ENOMEM;
	}
	room = large_room(p->large, ret_len, resume, arg);
	if (!room)
		return 0;
	ASSERT((size_t)*ret_len >= p->cap);
	memcpy(room, p->small, p->cap);
	rc = large_filled(p->large, p->cap);
	if (rc < 0)
		return rc;
	p->state = PUT_LARGE;
	free(p->own);
	p->own = p->small = NULL;
	return 1;
}

void *object_put_room(struct object_put *p, ssize_t *ret_len, void (*resume)(void *arg), void *arg)
{
	if (p->state == PUT_SMALL) {
		if (p->received < p->cap) {
			*ret_len = (ssize_t)(p->cap - p->received);
			return p->small + p->received;
		}
		if (p->a.size != UINT64_MAX) {
			*ret_len = -QE_INVALID_REQUEST; /* more than was announced */
			return NULL;
		}
		int rc = become_large(p, ret_len, resume, arg);

		if (rc <= 0) {
			if (rc < 0)
				*ret_len = rc;
			return NULL;
		}
	}
	if (p->received >= OBJECT_PUT_MAX) {
		*ret_len = -QE_ENTITY_TOO_LARGE;
		return NULL;
	}
	return large_room(p->large, ret_len, resume, arg);
}

int object_put_filled(struct object_put *p, size_t len)
{
	p->received += len;
	return p->state == PUT_SMALL ? 0 : large_filled(p->large, len);
}

uint64_t object_put_size(const struct object_put *p)
{
	return p->received;
}

const struct object_digests *object_put_digests(const struct object_put *p)
{
	return &p->digests;
}

static void take_values(struct object_put *p, const struct digest_values *v)
{
	struct object_digests *d = &p->digests;

	memcpy(d->md5, v->md5, sizeof d->md5);
	memcpy(d->sha256, v->sha256, sizeof d->sha256);
	memcpy(d->sha1, v->sha1, sizeof d->sha1);
	d->crc32 = v->crc32;
}

static int small_end(struct object_put *p)
{
	size_t len = (size_t)p->received;
	struct digest_values v = {0};

	digest_once(p->a.digests, p->small, len, &v);
	take_values(p, &v);
	p->digests.crc32c = checksum_crc32c(0, p->small, len);
	p->digests.crc64nvme = checksum_crc64nvme(0, p->small, len);
	if (p->batch || len <= CONTENT_INROW_MAX)
		return 0;
	/* Only what came goes into the journal. */
	p->batch = meta_batch_new(p->store->set, META_DURABLE, OP_S3);
	p->small = p->batch ? meta_batch_payload(p->batch, len) : NULL;
	if (!p->small)
		return -ENOMEM;
	memcpy(p->small, p->own, len);
	return 0;
}

static void large_ended(void *arg, int rc)
{
	struct object_put *p = arg;
	struct large_blob *b;

	if (rc == 0) {
		take_values(p, large_digests(p->large));
		b = large_blobs(p->large, &p->nextents);
		p->extents = arena_alloc(&p->arena, MAX(p->nextents, 1u) * sizeof p->extents[0]);
		for (unsigned i = 0; i < p->nextents; i++)
			p->extents[i] = b[i].extent;
		content_crcs(p->extents, p->nextents, p->received, &p->digests.crc32c, &p->digests.crc64nvme);
	}
	p->rc = rc;
	p->done(p->done_arg, rc);
}

int object_put_end(struct object_put *p, object_done_fn done, void *arg)
{
	if (p->a.size != UINT64_MAX && p->received != p->a.size)
		return -QE_INCOMPLETE_BODY;
	p->done = done;
	p->done_arg = arg;
	if (p->state == PUT_LARGE) {
		large_end(p->large, large_ended, p);
		return 0;
	}
	p->rc = small_end(p);
	if (p->rc < 0)
		return p->rc;
	done(arg, 0);
	return 0;
}

/* ---- Commit ----------------------------------------------------------------------------------------------------------- */
/* The content of the body into a row_object and the batch. */
static int put_content(struct object_put *p, struct meta_batch *b, struct row_object *o)
{
	struct row_extent *e = &o->extent[0];

	o->size = p->received;
	o->crc32c = p->digests.crc32c;
	o->crc64nvme = p->digests.crc64nvme;
	o->flags |= VERSION_HAS_CRC;
	if (p->received == 0)
		return 0;
	if (p->state == PUT_LARGE) {
		int rc = large_put_blobs(p->large, b);

		content_store(p->store, b, p->extents, p->nextents, p->received, o);
		return rc;
	}
	*e = (struct row_extent){
		.kind = p->received <= CONTENT_INROW_MAX ? EXTENT_INROW : EXTENT_BLOB,
		.crc32c = o->crc32c,
		.blob = p->blob,
		.len = p->received,
		.crc64nvme = o->crc64nvme,
	};
	o->extents = 1;
	if (e->kind == EXTENT_INROW)
		o->inrow = (struct str){(const char *)p->small, (size_t)p->received};
	else
		meta_batch_blob_inline(b, p->blob, p->small, (uint32_t)p->received, 1);
	return 0;
}

static int put_object_attempt(struct object_put *p, struct path *path, struct meta_batch *b)
{
	struct object_info old;
	struct object_write w = {.file_id = p->file_id};
	int rc = path_key(path, p->a.key);

	if (rc == 0)
		rc = info_from_path(path, &old);
	if (rc >= 0)
		rc = object_cond_check(&p->a.cond, rc ? &old : NULL, true);
	if (rc < 0)
		return rc;
	w.obj.etag = p->etag;
	w.obj.checksum = p->checksum;
	w.obj.storage_class = p->a.storage_class;
	w.obj.meta = p->a.meta;
	w.obj.tags = p->a.tags;
	attr_from_meta(p->store, p->a.meta, clock_wall_ns(), &w.attr);
	rc = put_content(p, b, &w.obj);
	if (rc == 0)
		rc = object_write_attempt(&p->commit, path, b, &w);
	p->mtime_ns = w.obj.mtime_ns;
	return rc;
}

static int put_part_attempt(struct object_put *p, struct path *path, struct meta_batch *b)
{
	struct row_upart part = {
		.size = p->received, .mtime_ns = clock_wall_ns(), .etag = p->etag, .checksum = p->checksum};
	struct row_object o = {0};
	int rc = put_content(p, b, &o);

	if (rc < 0)
		return rc;
	p->mtime_ns = part.mtime_ns;
	return upload_part_put(&p->commit, path, b, p->a.key, p->a.upload, p->a.part, &part, &o);
}

static int put_attempt(struct object_commit *c, struct meta_view *v, struct meta_batch *b)
{
	struct object_put *p = CONTAINER_OF(c, struct object_put, commit);
	struct path path;
	int rc = path_bucket(&path, p->store, v, &c->arena, p->a.bucket);

	if (rc < 0)
		return rc;
	return p->a.upload ? put_part_attempt(p, &path, b) : put_object_attempt(p, &path, b);
}

static void put_result(struct object_put *p)
{
	struct object_info *i = p->ret_info;

	if (!i)
		return;
	memset(i, 0, sizeof *i);
	i->key = p->a.key;
	i->file_id = p->file_id;
	i->size = p->received;
	i->mtime_ns = MAX(p->commit.time_ns, p->mtime_ns);
	i->flags = VERSION_NULL | VERSION_HAS_CRC;
	i->crc32c = p->digests.crc32c;
	i->crc64nvme = p->digests.crc64nvme;
	i->etag = p->etag;
	i->checksum = p->checksum;
	i->storage_class = p->a.storage_class;
}

static void put_committed(struct object_commit *c, int rc)
{
	struct object_put *p = CONTAINER_OF(c, struct object_put, commit);

	if (rc == 0)
		put_result(p);
	p->done(p->done_arg, rc);
}

int object_put_commit(struct object_put *p, struct op_ctx *ctx, struct str etag, struct str checksum,
                      struct object_info *ret_info, object_done_fn done, void *arg)
{
	char hex[2 * DIGEST_MD5_LEN + 1];
	int rc;

	if (p->rc < 0)
		return p->rc;
	if (!etag.p) {
		hex_encode(p->digests.md5, DIGEST_MD5_LEN, hex);
		etag = (struct str){hex, sizeof hex - 1};
	}
	p->etag = arena_str(&p->arena, etag);
	p->checksum = arena_str(&p->arena, checksum);
	p->ret_info = ret_info;
	p->file_id = meta_new_id(p->store->set);
	p->blob = meta_new_id(p->store->set);
	if (p->has_commit)
		commit_fini(&p->commit);
	commit_init(&p->commit, p->store, META_DURABLE, OP_S3, put_attempt);
	p->has_commit = true;
	p->commit.batch = p->batch;
	p->batch = NULL;
	if (!p->a.upload)
		commit_lock_name(&p->commit, hash_bytes(p->a.bucket.p, p->a.bucket.len), p->a.key);
	if (done) {
		p->done = done;
		p->done_arg = arg;
		p->commit.done = put_committed;
		commit_start(&p->commit);
		return 0;
	}
	rc = commit_run(&p->commit);
	if (rc == 0)
		put_result(p);
	return rc;
}

void object_put_free(struct object_put *p)
{
	if (!p)
		return;
	if (p->has_commit)
		commit_fini(&p->commit);
	meta_batch_free(p->batch);
	large_free(p->large);
	free(p->own);
	arena_free(&p->arena);
	free(p);
}
