/* SPDX-License-Identifier: Apache-2.0
 *
 * Multipart uploads as S3 sees them: completion and listings.
 */
#include "object/store_internal.h"
#include "object/upload.h"
#include "object/walk.h"

/* ---- Complete ---------------------------------------------------------------------------------------------------------- */
struct complete_op {
	struct object_call call;
	struct arena arena;
	struct str bucket, key, checksum;
	uint64_t id;
	struct object_part *parts;
	unsigned n;
	struct object_cond cond;
	struct op_ctx *ctx;
	struct object_info *ret, info;
	uint64_t file_id, tail_blob;
	void *tail;      /* payload of a last part that lay in its row */
	struct str etag; /* of the object */
	/* Of the attempt: */
	struct row_extent *e;
	unsigned ne, cap_e;
	uint64_t size;
	struct buf sizes;
};

static void extent_add(struct complete_op *o, const struct row_extent *e)
{
	struct arena *a = &o->call.commit.arena;

	if (o->ne == o->cap_e) {
		unsigned cap = o->cap_e ? o->cap_e * 2 : 64;
		struct row_extent *more = arena_alloc(a, cap * sizeof *more);

		if (o->ne > 0)
			memcpy(more, o->e, o->ne * sizeof *more);
		o->e = more;
		o->cap_e = cap;
	}
	o->e[o->ne] = *e;
	o->e[o->ne++].off += o->size;
}

/* Bytes of a part that lie in its row go along as a blob: a map has no place for them. */
static int extent_from_row(struct complete_op *o, struct meta_batch *b, struct str inrow, struct row_extent *e)
{
	if (e->start + e->len > inrow.len)
		return -QE_CORRUPT;
	if (!o->tail)
		o->tail = meta_batch_payload(b, CONTENT_INROW_MAX); /* kept when the batch is built again */
	if (!o->tail)
		return -ENOMEM;
	memcpy(o->tail, inrow.p + e->start, (size_t)e->len);
	e->kind = EXTENT_BLOB;
	e->blob = o->tail_blob;
	e->start = 0;
	meta_batch_blob_inline(b, o->tail_blob, o->tail, (uint32_t)e->len, 1);
	return 0;
}

static int take_part(struct complete_op *o, struct meta_view *v, struct meta_batch *b, const struct object_part *want,
                     bool last)
{
	struct row_object obj;
	struct row_upart part;
	struct content l;
	struct meta_row row;
	struct meta_key k;
	int rc;

	key_upart(&k, o->id, (uint16_t)want->number);
	rc = meta_get_k(v, TABLE_UPART, &k, &row);
	if (rc <= 0)
		return rc < 0 ? rc : -QE_INVALID_PART;
	rc = row_upart_decode(row.body, &part);
	if (rc < 0)
		return rc;
	if (!str_eq_nocase(part.etag, want->etag) || (want->checksum.len > 0 && !str_eq(want->checksum, part.checksum)))
		return -QE_INVALID_PART;
	if (!last && part.size < OBJECT_PART_MIN)
		return -QE_ENTITY_TOO_SMALL;
	meta_batch_expect(b, TABLE_UPART, &k, &row, true);
	meta_batch_del(b, TABLE_UPART, &k);
	upload_part_object(&part, &obj);
	rc = content_load(v, &o->call.commit.arena, &obj, &l);
	if (rc == 0 && part.map) {
		/* Nothing shares the map of a part. Its references move with the extents. */
		rc = content_map_delete(v, b, part.map);
	}
	for (unsigned i = 0; rc == 0 && i < l.n; i++) {
		if (l.e[i].kind == EXTENT_INROW)
			rc = extent_from_row(o, b, part.inrow, &l.e[i]);
		if (rc == 0)
			extent_add(o, &l.e[i]);
	}
	o->size += part.size;
	buf_put_le64(&o->sizes, part.size);
	return rc;
}

static int take_parts(struct complete_op *o, struct meta_view *v, struct meta_batch *b)
{
	int rc = 0;

	o->ne = o->cap_e = 0;
	o->e = NULL;
	o->size = 0;
	buf_reset(&o->sizes);
	for (unsigned i = 0; rc == 0 && i < o->n; i++)
		rc = take_part(o, v, b, &o->parts[i], i + 1 == o->n);
	if (rc == 0 && o->size > OBJECT_MAX)
		rc = -QE_ENTITY_TOO_LARGE;
	return rc < 0 ? rc : buf_err(&o->sizes);
}

/* The upload is gone: completed before by this very request, whose answer was lost? */
static int completed_before(struct complete_op *o, struct path *p)
{
	int rc = path_key(p, o->key);

	if (rc == 0)
		rc = info_from_path(p, &o->info);
	if (rc < 0)
		return rc;
	if (rc == 0 || !(o->info.flags & VERSION_MULTIPART) || !str_eq(o->info.etag, o->etag))
		return -QE_NO_SUCH_UPLOAD;
	info_to_arena(&o->info, &o->call.commit.arena);
	return COMMIT_NOTHING;
}

static int complete_write(struct complete_op *o, struct path *p, struct meta_batch *b, const struct upload_ref *u)
{
	struct object_commit *c = &o->call.commit;
	struct object_write w = {.file_id = o->file_id};
	struct row_object *obj = &w.obj;
	int rc;

	obj->size = o->size;
	obj->flags = VERSION_MULTIPART | VERSION_HAS_CRC;
	obj->etag = o->etag;
	obj->checksum = o->checksum;
	obj->storage_class = u->up.storage_class;
	obj->meta = u->up.meta;
	obj->tags = u->up.tags;
	obj->parts = buf_str(&o->sizes);
	content_crcs(o->e, o->ne, o->size, &obj->crc32c, &obj->crc64nvme);
	content_store(c->store, b, o->e, o->ne, o->size, obj);
	attr_from_meta(c->store, obj->meta, clock_wall_ns(), &w.attr);
	rc = object_write_attempt(c, p, b, &w);
	if (rc < 0)
		return rc;
	o->info = (struct object_info){
		.key = o->key,
		.file_id = w.file_id,
		.size = o->size,
		.mtime_ns = obj->mtime_ns,
		.flags = obj->flags,
		.crc32c = obj->crc32c,
		.crc64nvme = obj->crc64nvme,
		.etag = o->etag,
		.checksum = o->checksum,
		.storage_class = obj->storage_class,
	};
	info_to_arena(&o->info, &c->arena);
	return 0;
}

static int complete_attempt(struct object_commit *c, struct meta_view *v, struct meta_batch *b)
{
	struct complete_op *o = CONTAINER_OF(c, struct complete_op, call.commit);
	struct row_usage usage = {.uploads = (uint64_t)-1};
	struct object_info old;
	struct upload_ref u;
	struct path p;
	int rc = path_bucket(&p, c->store, v, &c->arena, o->bucket);

	if (rc == 0)
		rc = upload_find(&p, o->key, o->id, &u);
	if (rc == -QE_NO_SUCH_UPLOAD)
		return completed_before(o, &p);
	if (rc == 0)
		rc = path_key(&p, o->key);
	if (rc == 0)
		rc = info_from_path(&p, &old);
	if (rc >= 0)
		rc = object_cond_check(&o->cond, rc ? &old : NULL, true);
	if (rc == 0)
		rc = take_parts(o, v, b);
	if (rc == 0)
		rc = upload_delete(c, &p, b, &u);
	if (rc == 0)
		rc = complete_write(o, &p, b, &u);
	return rc < 0 ? rc : path_usage_add(&p, b, &usage);
}

static void complete_finish(struct object_call *k, int rc)
{
	struct complete_op *o = CONTAINER_OF(k, struct complete_op, call);

	if (rc == 0 && o->ret) {
		o->info.mtime_ns = MAX(o->info.mtime_ns, k->commit.time_ns);
		info_to_arena(&o->info, &o->ctx->arena);
		*o->ret = o->info;
	}
	buf_free(&o->sizes);
	arena_free(&o->arena);
}

/* MD5 of the parts' MD5s, and their number. */
static int composite_etag(struct complete_op *o)
{
	CLEANUP_BUF struct buf md5s = BUF_INIT;
	struct digest_values v = {0};
	char hex[2 * DIGEST_MD5_LEN + 1];

	for (unsigned i = 0; i < o->n; i++) {
		uint8_t md5[DIGEST_MD5_LEN];

		if (i > 0 && o->parts[i].number <= o->parts[i - 1].number)
			return -QE_INVALID_PART_ORDER;
		if (o->parts[i].number < 1 || o->parts[i].number > OBJECT_PARTS)
			return -QE_INVALID_PART;
		if (o->parts[i].etag.len != 2 * sizeof md5 || hex_decode(o->parts[i].etag, md5, sizeof md5) != (int)sizeof md5)
			return -QE_INVALID_PART;
		buf_add(&md5s, md5, sizeof md5);
	}
	if (buf_err(&md5s))
		return buf_err(&md5s);
	digest_once(DIGEST_MD5, md5s.data, md5s.len, &v);
	hex_encode(v.md5, DIGEST_MD5_LEN, hex);
	o->etag = str_of(arena_printf(&o->arena, "%s-%u", hex, o->n));
	return 0;
}

static void complete_args(struct complete_op *o, struct str bucket, struct str key, const struct object_part *parts,
                          unsigned n, struct str checksum, const struct object_cond *cond)
{
	struct arena *a = &o->arena;

	o->bucket = arena_str(a, bucket);
	o->key = arena_str(a, key);
	o->checksum = arena_str(a, checksum);
	o->parts = arena_dup(a, parts, n * sizeof parts[0]);
	o->n = n;
	for (unsigned i = 0; i < n; i++) {
		o->parts[i].etag = arena_str(a, parts[i].etag);
		o->parts[i].checksum = arena_str(a, parts[i].checksum);
	}
	if (!cond)
		return;
	o->cond = *cond;
	if (cond->if_match.p)
		o->cond.if_match = arena_str(a, cond->if_match);
	if (cond->if_none_match.p)
		o->cond.if_none_match = arena_str(a, cond->if_none_match);
}

int object_upload_complete(struct object_store *s, struct op_ctx *ctx, struct str bucket, struct str key, uint64_t id,
                           const struct object_part *parts, unsigned n, struct str checksum,
                           const struct object_cond *cond, struct object_info *ret, object_done_fn done, void *arg)
{
	struct complete_op *o;
	int rc = object_key_check(key);

	if (rc < 0)
		return rc;
	if (n == 0 || n > OBJECT_PARTS)
		return -QE_MALFORMED_XML;
	o = object_call_new(s, sizeof *o, complete_attempt, complete_finish, done, arg);
	if (!o)
		return -ENOMEM;
	complete_args(o, bucket, key, parts, n, checksum, cond);
	o->id = id;
	o->ctx = ctx;
	o->ret = ret;
	o->file_id = meta_new_id(s->set);
	o->tail_blob = meta_new_id(s->set);
	rc = composite_etag(o);
	if (rc < 0) {
		o->call.done = NULL;
		object_call_end(&o->call, rc);
		return rc;
	}
	commit_lock_name(&o->call.commit, hash_bytes(bucket.p, bucket.len), o->key);
	return object_call_run(&o->call);
}

/* ---- What there is ------------------------------------------------------------------------------------------------------ */
static void info_from_upload(const struct row_upload *u, uint64_t id, uint64_t initiated_ns, struct arena *a,
                             struct object_upload_info *ret)
{
	*ret = (struct object_upload_info){
		.id = id,
		.initiated_ns = initiated_ns,
		.key = arena_str(a, u->key),
		.meta = arena_str(a, u->meta),
		.tags = arena_str(a, u->tags),
		.storage_class = arena_str(a, u->storage_class),
		.checksum = arena_str(a, u->checksum),
	};
}

int object_upload_info(struct object_store *s, struct op_ctx *ctx, struct str bucket, struct str key, uint64_t id,
                       struct object_upload_info *ret, uint64_t *seq)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct upload_ref u;
	struct path p;
	int rc = object_key_check(key);

	*seq = 0;
	if (rc == 0)
		rc = meta_view_open(s->set, &v);
	if (rc < 0)
		return rc;
	rc = path_bucket_reading(&p, s, v, &ctx->arena, bucket);
	if (rc == 0)
		rc = upload_find(&p, key, id, &u);
	if (rc == 0)
		info_from_upload(&u.up, u.id, u.initiated_ns, &ctx->arena, ret);
	*seq = meta_view_consulted(v);
	return rc;
}

static int part_info(const struct meta_row *row, struct arena *a, struct object_part *ret)
{
	struct row_upart r;
	int rc = row_upart_decode(row->body, &r);

	if (rc < 0)
		return rc;
	*ret = (struct object_part){
		.number = be16_get(row->key.p + 8),
		.size = r.size,
		.mtime_ns = r.mtime_ns,
		.etag = arena_str(a, r.etag),
		.checksum = arena_str(a, r.checksum),
		.crc32c = r.crc32c,
		.crc64nvme = r.crc64nvme,
	};
	return 0;
}

static int parts_of(struct meta_view *v, struct arena *a, uint64_t id, unsigned after, unsigned max,
                    struct object_part *list, unsigned *ret_n, bool *ret_truncated)
{
	struct meta_iter *it;
	struct meta_row row;
	struct meta_key k;
	unsigned n = 0;
	int rc;

	key_upart(&k, id, (uint16_t)MIN(after + 1, 65535u));
	rc = meta_iter_open(v, TABLE_UPART, &it);
	if (rc < 0)
		return rc;
	for (rc = meta_iter_seek(it, k.b, k.len, &row); rc == 1; rc = meta_iter_next(it, &row)) {
		if (row.key.len != 10 || be64_get(row.key.p) != id)
			break;
		if (n == max) {
			*ret_truncated = true;
			break;
		}
		rc = part_info(&row, a, &list[n]);
		if (rc < 0)
			break;
		n++;
	}
	meta_iter_close(it);
	*ret_n = n;
	return MIN(rc, 0);
}

int object_part_list(struct object_store *s, struct op_ctx *ctx, struct str bucket, struct str key, uint64_t id,
                     unsigned after, unsigned max, struct object_part **ret, unsigned *ret_n, bool *ret_truncated,
                     uint64_t *seq)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct upload_ref u;
	struct path p;
	int rc = object_key_check(key);

	*seq = 0;
	*ret_n = 0;
	*ret_truncated = false;
	if (rc == 0)
		rc = meta_view_open(s->set, &v);
	if (rc < 0)
		return rc;
	max = MIN(max, (unsigned)OBJECT_PARTS);
	rc = path_bucket_reading(&p, s, v, &ctx->arena, bucket);
	if (rc == 0)
		rc = upload_find(&p, key, id, &u);
	if (rc == 0) {
		*ret = arena_alloc(&ctx->arena, MAX(max, 1u) * sizeof **ret);
		rc = parts_of(v, &ctx->arena, id, after, max, *ret, ret_n, ret_truncated);
	}
	*seq = meta_view_consulted(v);
	return rc;
}

/* ---- Uploads of a bucket -------------------------------------------------------------------------------------------------- */
struct upload_lister {
	const struct object_upload_list_args *a;
	struct object_upload_list *ret;
	struct arena *arena;
	bool full;
};

static bool lister_room(struct upload_lister *l)
{
	if (l->ret->n + l->ret->nprefixes < l->a->max)
		return true;
	l->ret->truncated = true;
	l->full = true;
	return false;
}

static int lister_upload(void *arg, const struct upload_row *u)
{
	struct upload_lister *l = arg;
	struct object_upload_info *i;

	if (str_eq(u->up.key, l->a->key_marker) && u->id <= l->a->id_marker)
		return 0;
	if (!lister_room(l))
		return 1;
	i = &l->ret->items[l->ret->n++];
	info_from_upload(&u->up, u->id, u->initiated_ns, l->arena, i);
	l->ret->next_key = i->key;
	l->ret->next_id = i->id;
	return 0;
}

static struct str upload_start(struct upload_lister *l)
{
	const struct object_upload_list_args *a = l->a;

	if (a->key_marker.len == 0 || str_cmp(a->key_marker, a->prefix) < 0)
		return a->prefix;
	if (a->delimiter.len > 0 && str_starts(a->key_marker, a->prefix) && str_ends(a->key_marker, a->delimiter))
		return key_behind_prefix(l->arena, a->key_marker);
	if (a->id_marker)
		return a->key_marker;
	char *p = arena_zalloc(l->arena, a->key_marker.len + 1);

	memcpy(p, a->key_marker.p, a->key_marker.len);
	return (struct str){p, a->key_marker.len + 1};
}

static int upload_list_run(struct upload_lister *l, struct meta_view *v, struct walk *w)
{
	const struct object_upload_list_args *a = l->a;
	struct walk_item it;
	int rc = 0;

	while (!l->full && (rc = walk_next(w, &it)) == 1) {
		const char *hit = NULL;

		if (!str_starts(it.key, a->prefix)) {
			if (str_cmp(it.key, a->prefix) < 0)
				continue;
			return 0;
		}
		if (a->delimiter.len > 0)
			hit = memmem(it.key.p + a->prefix.len, it.key.len - a->prefix.len, a->delimiter.p, a->delimiter.len);
		if (!hit) {
			rc = upload_each(v, it.entry.key_id, lister_upload, l);
			if (rc < 0)
				return rc;
			continue;
		}
		if (!lister_room(l))
			return 0;
		struct str cp = arena_str(l->arena, str_sub(it.key, 0, (size_t)(hit - it.key.p) + a->delimiter.len));
		struct str next = key_behind_prefix(l->arena, cp);

		l->ret->prefixes[l->ret->nprefixes++] = cp;
		l->ret->next_key = cp;
		l->ret->next_id = 0;
		rc = next.p ? walk_seek(w, next) : 0;
		if (rc < 0 || !next.p)
			return rc;
	}
	return l->full ? 0 : rc;
}

int object_upload_list(struct object_store *s, struct op_ctx *ctx, const struct object_upload_list_args *a,
                       struct object_upload_list *ret, uint64_t *seq)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct upload_lister l = {.a = a, .ret = ret, .arena = &ctx->arena};
	struct str start;
	struct walk w;
	struct path p;
	int rc = meta_view_open(s->set, &v);

	memset(ret, 0, sizeof *ret);
	*seq = 0;
	if (rc < 0)
		return rc;
	ret->items = arena_alloc(&ctx->arena, MAX(a->max, 1u) * sizeof ret->items[0]);
	ret->prefixes = arena_alloc(&ctx->arena, MAX(a->max, 1u) * sizeof ret->prefixes[0]);
	rc = path_bucket(&p, s, v, &ctx->arena, a->bucket);
	start = upload_start(&l);
	if (rc == 0 && (start.p || a->prefix.len == 0)) {
		rc = walk_open(&w, v, p.bucket_info.upload_root);
		if (rc == 0) {
			w.flat = true;
			rc = walk_seek(&w, start);
			if (rc == 0)
				rc = upload_list_run(&l, v, &w);
			walk_close(&w);
		}
	}
	*seq = meta_view_consulted(v);
	return MIN(rc, 0);
}
