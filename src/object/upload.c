/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of multipart uploads: finding, deleting, parts.
 */
#include "object/upload.h"

#include "object/store_internal.h"

static int root_slot(struct path *p, struct str key, struct path_slot *ret)
{
	struct path_node root = {.id = p->bucket_info.upload_root};

	return path_slot_read(p, &root, key, false, ret);
}

int upload_root_seen(struct path *p, struct meta_batch *b)
{
	struct meta_row row;
	struct meta_key k;
	int rc;

	key_u64(&k, p->bucket_info.upload_root);
	rc = meta_get_k(p->view, TABLE_DIR, &k, &row);
	if (rc <= 0)
		return rc < 0 ? rc : -QE_CORRUPT;
	meta_batch_dir_seen(b, p->bucket_info.upload_root, &row);
	return 0;
}

int upload_each(struct meta_view *v, uint64_t key_id, int (*fn)(void *arg, const struct upload_row *u), void *arg)
{
	struct upload_row u;
	struct meta_iter *it;
	struct meta_key from;
	int rc;

	key_u64(&from, key_id);
	rc = meta_iter_open(v, TABLE_UPLOAD, &it);
	if (rc < 0)
		return rc;
	for (rc = meta_iter_seek(it, from.b, from.len, &u.row); rc == 1; rc = meta_iter_next(it, &u.row)) {
		if (u.row.key.len != 24 || be64_get(u.row.key.p) != key_id)
			break;
		u.initiated_ns = be64_get(u.row.key.p + 8);
		u.id = be64_get(u.row.key.p + 16);
		rc = row_upload_decode(u.row.body, &u.up);
		if (rc == 0)
			rc = fn(arg, &u);
		if (rc != 0)
			break;
	}
	meta_iter_close(it);
	return MIN(rc, 0);
}

struct finder {
	struct upload_ref *ret;
	uint64_t id;
	unsigned n;
	bool found;
};

static int find_one(void *arg, const struct upload_row *u)
{
	struct finder *f = arg;

	f->n++;
	if (u->id == f->id) {
		f->found = true;
		f->ret->initiated_ns = u->initiated_ns;
		f->ret->id = u->id;
		key_str(&f->ret->key, u->row.key);
	}
	return 0;
}

int upload_find(struct path *p, struct str key, uint64_t id, struct upload_ref *ret)
{
	struct finder f = {.ret = ret, .id = id};
	int rc;

	memset(ret, 0, sizeof *ret);
	rc = root_slot(p, key, &ret->slot);
	if (rc == 0 && !ret->slot.present)
		rc = -QE_NO_SUCH_UPLOAD;
	if (rc == 0)
		rc = upload_each(p->view, ret->slot.entry.key_id, find_one, &f);
	if (rc < 0)
		return rc;
	if (!f.found)
		return -QE_NO_SUCH_UPLOAD;
	ret->last = f.n == 1;
	/* Rows of an iterator do not outlive it. */
	rc = meta_get_k(p->view, TABLE_UPLOAD, &ret->key, &ret->row);
	if (rc <= 0)
		return rc < 0 ? rc : -QE_NO_SUCH_UPLOAD;
	return row_upload_decode(ret->row.body, &ret->up);
}

static void expect_bucket(struct path *p, struct meta_batch *b)
{
	meta_batch_expect(b, TABLE_BUCKETDIR, &p->bucketdir_key, &p->bucketdir_row, true);
}

int upload_delete(struct object_commit *c, struct path *p, struct meta_batch *b, struct upload_ref *u)
{
	int rc;

	commit_reap_parts(c, u->id);
	meta_batch_expect(b, TABLE_UPLOAD, &u->key, &u->row, true);
	meta_batch_del(b, TABLE_UPLOAD, &u->key);
	path_slot_expect(&u->slot, b);
	if (!u->last) {
		/* Two that delete the last two uploads of a key must not both leave its entry. */
		path_entry_put(b, &u->slot.key, &u->slot.entry, false);
		return 0;
	}
	rc = upload_root_seen(p, b);
	return rc < 0 ? rc : path_slot_del(p, &u->slot, b, -1);
}

/* ---- Create ------------------------------------------------------------------------------------------------------------ */
struct create_op {
	struct object_call call;
	struct arena arena;
	struct object_upload_args a;
	uint64_t id, *ret_id;
};

static int create_attempt(struct object_commit *c, struct meta_view *v, struct meta_batch *b)
{
	struct create_op *o = CONTAINER_OF(c, struct create_op, call.commit);
	CLEANUP_BUF struct buf body = BUF_INIT;
	struct row_usage u = {.uploads = 1};
	struct row_entry e = {.kind = ENTRY_OBJECT};
	struct path_slot slot;
	struct meta_key k;
	struct path p;
	int rc = path_bucket(&p, c->store, v, &c->arena, o->a.bucket);

	if (rc == 0)
		rc = root_slot(&p, o->a.key, &slot);
	if (rc == 0)
		rc = upload_root_seen(&p, b);
	if (rc < 0)
		return rc;
	expect_bucket(&p, b);
	path_slot_expect(&slot, b);
	e.key_id = slot.present ? slot.entry.key_id : meta_new_id(c->store->set);
	e.id = e.key_id;
	path_slot_put(&p, &slot, b, &e, slot.present ? 0 : 1);
	row_upload_encode(&body, &(struct row_upload){
								 .bucket = p.bucket,
								 .key = o->a.key,
								 .meta = o->a.meta,
								 .tags = o->a.tags,
								 .storage_class = o->a.storage_class,
								 .checksum = o->a.checksum,
							 });
	key_u64_u64_u64(&k, e.key_id, clock_wall_ns(), o->id);
	meta_batch_put(b, TABLE_UPLOAD, &k, buf_str(&body), 0);
	return path_usage_add(&p, b, &u);
}

static void create_finish(struct object_call *k, int rc)
{
	struct create_op *o = CONTAINER_OF(k, struct create_op, call);

	if (rc == 0)
		*o->ret_id = o->id;
	arena_free(&o->arena);
}

int object_upload_create(struct object_store *s, struct op_ctx *ctx, const struct object_upload_args *a,
                         uint64_t *ret_id, object_done_fn done, void *arg)
{
	struct create_op *o;
	int rc = object_key_check(a->key);

	if (rc < 0)
		return rc;
	o = object_call_new(s, sizeof *o, create_attempt, create_finish, done, arg);
	if (!o)
		return -ENOMEM;
	o->a = (struct object_upload_args){
		.bucket = arena_str(&o->arena, a->bucket),
		.key = arena_str(&o->arena, a->key),
		.meta = arena_str(&o->arena, a->meta),
		.tags = arena_str(&o->arena, a->tags),
		.storage_class = arena_str(&o->arena, a->storage_class),
		.checksum = arena_str(&o->arena, a->checksum),
	};
	o->id = meta_new_id(s->set);
	o->ret_id = ret_id;
	return object_call_run(&o->call);
}

/* ---- Parts ------------------------------------------------------------------------------------------------------------- */
void upload_part_object(const struct row_upart *r, struct row_object *ret)
{
	memset(ret, 0, sizeof *ret);
	ret->size = r->size;
	ret->map = r->map;
	ret->extents = r->extents;
	memcpy(ret->extent, r->extent, sizeof ret->extent);
	ret->inrow = r->inrow;
}

int upload_part_put(struct object_commit *c, struct path *p, struct meta_batch *b, struct str key, uint64_t id,
                    unsigned part, struct row_upart *r, const struct row_object *o)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	struct upload_ref u;
	struct row_upart old;
	struct row_object old_obj;
	struct meta_row row;
	struct meta_key k;
	int rc;

	if (part < 1 || part > OBJECT_PARTS)
		return -QE_INVALID_ARGUMENT;
	rc = upload_find(p, key, id, &u);
	if (rc < 0)
		return rc;
	expect_bucket(p, b);
	meta_batch_expect(b, TABLE_UPLOAD, &u.key, &u.row, true);
	key_upart(&k, id, (uint16_t)part);
	rc = meta_get_k(p->view, TABLE_UPART, &k, &row);
	if (rc < 0)
		return rc;
	meta_batch_expect(b, TABLE_UPART, &k, &row, rc == 1);
	if (rc == 1) {
		rc = row_upart_decode(row.body, &old);
		if (rc < 0)
			return rc;
		upload_part_object(&old, &old_obj);
		rc = content_drop(p->view, p->arena, b, &old_obj);
		if (rc < 0)
			return rc;
	}
	r->crc32c = o->crc32c;
	r->crc64nvme = o->crc64nvme;
	r->map = o->map;
	r->extents = o->extents;
	memcpy(r->extent, o->extent, sizeof r->extent);
	r->inrow = o->inrow;
	row_upart_encode(&body, r);
	meta_batch_put(b, TABLE_UPART, &k, buf_str(&body), 0);
	return 0;
}

/* ---- Abort ------------------------------------------------------------------------------------------------------------- */
struct abort_op {
	struct object_call call;
	struct arena arena;
	struct str bucket, key;
	uint64_t id;
};

static int abort_attempt(struct object_commit *c, struct meta_view *v, struct meta_batch *b)
{
	struct abort_op *o = CONTAINER_OF(c, struct abort_op, call.commit);
	struct row_usage u = {.uploads = (uint64_t)-1};
	struct upload_ref up;
	struct path p;
	int rc = path_bucket(&p, c->store, v, &c->arena, o->bucket);

	if (rc == 0)
		rc = upload_find(&p, o->key, o->id, &up);
	if (rc == 0)
		rc = upload_delete(c, &p, b, &up);
	if (rc < 0)
		return rc;
	expect_bucket(&p, b);
	return path_usage_add(&p, b, &u);
}

static void abort_finish(struct object_call *k, int rc)
{
	arena_free(&CONTAINER_OF(k, struct abort_op, call)->arena);
}

int object_upload_abort(struct object_store *s, struct op_ctx *ctx, struct str bucket, struct str key, uint64_t id,
                        object_done_fn done, void *arg)
{
	struct abort_op *o;
	int rc = object_key_check(key);

	if (rc < 0)
		return rc;
	o = object_call_new(s, sizeof *o, abort_attempt, abort_finish, done, arg);
	if (!o)
		return -ENOMEM;
	o->bucket = arena_str(&o->arena, bucket);
	o->key = arena_str(&o->arena, key);
	o->id = id;
	return object_call_run(&o->call);
}

/* ---- All of a bucket, with the bucket ----------------------------------------------------------------------------------- */
struct abort_all {
	struct object_commit *c;
	struct meta_batch *b;
	unsigned n;
};

static int abort_row(void *arg, const struct upload_row *u)
{
	struct abort_all *a = arg;
	struct meta_key k;

	if (++a->n > UPLOADS_OF_BUCKET_MAX)
		return -QE_BUCKET_NOT_EMPTY;
	key_str(&k, u->row.key);
	meta_batch_expect(a->b, TABLE_UPLOAD, &k, &u->row, true);
	meta_batch_del(a->b, TABLE_UPLOAD, &k);
	commit_reap_parts(a->c, u->id);
	return 0;
}

static int abort_below(struct abort_all *a, struct meta_view *v, uint64_t id)
{
	struct meta_iter *it;
	struct meta_row row;
	struct meta_key from, k;
	int rc;

	key_u64(&from, id);
	rc = meta_iter_open(v, TABLE_ENTRY, &it);
	if (rc < 0)
		return rc;
	for (rc = meta_iter_seek(it, from.b, from.len, &row); rc == 1; rc = meta_iter_next(it, &row)) {
		struct row_entry e;

		if (row.key.len < 8 || be64_get(row.key.p) != id)
			break;
		rc = row_entry_decode(row.body, &e);
		if (rc == 0)
			rc = e.kind == ENTRY_CONT ? abort_below(a, v, e.id) : upload_each(v, e.key_id, abort_row, a);
		if (rc < 0)
			break;
		key_str(&k, row.key);
		meta_batch_del(a->b, TABLE_ENTRY, &k);
	}
	meta_iter_close(it);
	return MIN(rc, 0);
}

int upload_abort_all(struct object_commit *c, struct meta_view *v, struct meta_batch *b, struct path *p)
{
	struct abort_all a = {.c = c, .b = b};

	return abort_below(&a, v, p->bucket_info.upload_root);
}
