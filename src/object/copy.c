/* SPDX-License-Identifier: Apache-2.0
 *
 * Copies by reference. CopyObject moves no byte. A part that is a copy needs the MD5 of its range: when the range is not
 * the whole of an object whose ETag is one, a worker reads it once.
 */
#include "base/checksum.h"
#include "object/store_internal.h"
#include "object/upload.h"

#define READ_CHUNK (1u << 20)

struct copy_op {
	struct object_call call;
	struct arena arena; /* strings of args, and of the result */
	struct object_copy_args a;
	struct op_ctx *ctx;
	struct object_info *ret;
	struct object_info info; /* of the result */
	uint64_t file_id;
	/* Parts: */
	struct object_handle *src;
	struct work work;
	uint64_t off, len;
	struct row_extent *e;
	unsigned n;
	struct str inrow, etag;
	struct content_crc {
		uint32_t c32;
		uint64_t c64;
	} crc;
};

static int src_cond(const struct copy_op *o, const struct object_info *src)
{
	int rc = object_cond_check(&o->a.src_cond, src, false);

	return rc == -QE_NOT_MODIFIED ? -QE_PRECONDITION : rc;
}

/* ---- Objects ------------------------------------------------------------------------------------------------------------ */
struct copy_src {
	struct path p;
	struct object_info info;
	struct row_object obj;
	struct row_attr attr;
	struct str xattrs;
	uint64_t id;
};

static int src_find(struct copy_op *o, struct meta_view *v, struct copy_src *ret)
{
	struct arena *a = &o->call.commit.arena;
	struct file_state f;
	struct path_node n;
	int rc = path_bucket(&ret->p, o->call.commit.store, v, a, o->a.src_bucket);

	if (rc == 0)
		rc = path_key(&ret->p, o->a.src_key);
	if (rc == 0)
		rc = info_from_path(&ret->p, &ret->info);
	if (rc <= 0)
		return rc < 0 ? rc : -QE_NO_SUCH_KEY;
	if (ret->p.slot.is_dir) {
		rc = path_load_dir(&ret->p, &ret->p.slot, &n);
		if (rc < 0)
			return rc;
		ret->obj = n.dir.marker ? n.dir.obj : (struct row_object){.flags = VERSION_HAS_CRC, .etag = ret->info.etag};
		ret->attr = n.dir.attr;
	} else {
		rc = file_load(v, &ret->p.slot.entry, &f);
		if (rc < 0)
			return rc;
		ret->obj = f.obj;
		ret->attr = f.attr;
		ret->xattrs = f.xattrs;
	}
	ret->id = ret->p.slot.entry.id;
	return src_cond(o, &ret->info);
}

static void copy_fields(struct copy_op *o, const struct copy_src *src, struct object_write *w)
{
	struct object_store *s = o->call.commit.store;
	uint64_t now = clock_wall_ns();

	w->obj = src->obj;
	w->obj.flags &= ~(uint32_t)(VERSION_DRAFT | VERSION_LOCKED | VERSION_DELETE_MARKER);
	if (o->a.replace_meta)
		w->obj.meta = o->a.meta;
	if (o->a.replace_tags)
		w->obj.tags = o->a.tags;
	w->obj.storage_class = o->a.storage_class;
	attr_from_meta(s, w->obj.meta, now, &w->attr);
	if (o->a.replace_meta || src->p.slot.is_dir)
		return;
	w->attr = src->attr;
	w->attr.ctime_ns = w->attr.btime_ns = now;
	w->xattrs = src->xattrs;
}

static int copy_attempt(struct object_commit *c, struct meta_view *v, struct meta_batch *b)
{
	struct copy_op *o = CONTAINER_OF(c, struct copy_op, call.commit);
	struct object_write w = {.file_id = o->file_id};
	struct object_info old;
	struct copy_src src;
	struct path p;
	int rc = src_find(o, v, &src);

	if (rc == 0)
		rc = path_bucket(&p, c->store, v, &c->arena, o->a.bucket);
	if (rc == 0)
		rc = path_key(&p, o->a.key);
	if (rc == 0)
		rc = info_from_path(&p, &old);
	if (rc >= 0)
		rc = object_cond_check(&o->a.cond, rc ? &old : NULL, true);
	if (rc < 0)
		return rc;
	path_slot_expect(&src.p.slot, b);
	copy_fields(o, &src, &w);
	if (p.slot.present && p.slot.entry.id == src.id)
		w.content_of = src.id;
	else
		rc = content_share(v, b, &w.obj);
	if (rc == 0)
		rc = object_write_attempt(c, &p, b, &w);
	if (rc < 0)
		return rc;
	o->info = src.info;
	o->info.mtime_ns = w.obj.mtime_ns;
	o->info.file_id = w.file_id;
	o->info.flags = w.obj.flags;
	o->info.meta = w.obj.meta;
	o->info.tags = w.obj.tags;
	o->info.storage_class = w.obj.storage_class;
	o->info.key = o->a.key;
	info_to_arena(&o->info, &c->arena);
	return 0;
}

/* ---- Parts -------------------------------------------------------------------------------------------------------------- */
static int part_attempt(struct object_commit *c, struct meta_view *v, struct meta_batch *b)
{
	struct copy_op *o = CONTAINER_OF(c, struct copy_op, call.commit);
	struct row_upart part = {
		.size = o->len,
		.mtime_ns = clock_wall_ns(),
		.etag = o->etag,
		.crc32c = o->crc.c32,
		.crc64nvme = o->crc.c64,
	};
	struct row_object obj = {.crc32c = o->crc.c32, .crc64nvme = o->crc.c64, .inrow = o->inrow};
	struct path p;
	int rc = path_bucket(&p, c->store, v, &c->arena, o->a.bucket);

	if (rc == 0)
		rc = content_ref(v, b, o->e, o->n, 1);
	if (rc < 0)
		return rc;
	content_store(c->store, b, o->e, o->n, o->len, &obj);
	o->info = (struct object_info){.size = o->len, .mtime_ns = part.mtime_ns, .etag = o->etag};
	return upload_part_put(c, &p, b, o->a.key, o->a.upload, o->a.part, &part, &obj);
}

/* CRCs of each extent and the MD5 of all, in one reading. */
static int part_read(struct copy_op *o)
{
	CLEANUP_FREE uint8_t *buf = malloc(READ_CHUNK);
	struct digest_ctx *d = digest_new();
	struct digest_values v = {0};
	char hex[2 * DIGEST_MD5_LEN + 1];
	uint64_t at = 0;
	int rc = buf && d ? 0 : -ENOMEM;

	if (rc == 0)
		digest_init(d, DIGEST_MD5);
	for (unsigned i = 0; rc == 0 && i <= o->n; i++) {
		/* Up to the extent's start there are zeros; behind the last one too. */
		uint64_t until[2] = {i < o->n ? o->e[i].off : o->len, i < o->n ? o->e[i].off + o->e[i].len : o->len};

		if (i < o->n)
			o->e[i].crc32c = 0, o->e[i].crc64nvme = 0;
		for (unsigned k = 0; k < 2; k++) {
			while (rc == 0 && at < until[k]) {
				size_t n = (size_t)MIN(until[k] - at, (uint64_t)READ_CHUNK);

				rc = object_read(o->src, o->off + at, n, buf, 0);
				if (rc < 0)
					break;
				digest_update(d, buf, n);
				if (k == 1) {
					o->e[i].crc32c = checksum_crc32c(o->e[i].crc32c, buf, n);
					o->e[i].crc64nvme = checksum_crc64nvme(o->e[i].crc64nvme, buf, n);
				}
				at += n;
			}
		}
	}
	if (rc == 0) {
		digest_final(d, &v);
		hex_encode(v.md5, DIGEST_MD5_LEN, hex);
		o->etag = arena_str(&o->arena, (struct str){hex, sizeof hex - 1});
	}
	digest_free(d);
	return rc;
}

static bool etag_is_md5(struct str etag)
{
	uint8_t md5[DIGEST_MD5_LEN];

	return etag.len == 2 * sizeof md5 && hex_decode(etag, md5, sizeof md5) == (int)sizeof md5;
}

static int part_prepare(struct copy_op *o)
{
	const struct object_info *src = object_handle_info(o->src);
	const struct content *l = object_handle_content(o->src);
	bool whole = o->len == src->size;
	int rc = 0;

	o->e = arena_alloc(&o->arena, MAX(l->n, 1u) * sizeof o->e[0]);
	o->n = content_cut(l, o->off, o->len, 0, o->e);
	if (whole && (src->flags & VERSION_HAS_CRC) && etag_is_md5(src->etag))
		o->etag = arena_str(&o->arena, src->etag);
	else
		rc = part_read(o);
	if (rc == 0 && o->n > 0 && o->e[0].kind == EXTENT_INROW) {
		char *p = arena_alloc(&o->arena, (size_t)o->len);

		rc = object_read(o->src, o->off, (size_t)o->len, p, 0);
		o->inrow = (struct str){p, (size_t)o->len};
		o->e[0].start = 0;
	}
	for (unsigned i = 0; i < o->n; i++)
		o->e[i].flags &= (uint8_t)~EXTENT_CUT;
	content_crcs(o->e, o->n, o->len, &o->crc.c32, &o->crc.c64);
	return rc;
}

static void part_work(struct work *w)
{
	struct copy_op *o = CONTAINER_OF(w, struct copy_op, work);
	int rc = part_prepare(o);

	if (rc < 0)
		object_call_end(&o->call, rc);
	else {
		o->call.commit.on_worker = true;
		object_call_run(&o->call);
	}
}

static int part_open(struct copy_op *o)
{
	struct object_store *s = o->call.commit.store;
	const struct object_info *i;
	struct op_ctx ctx;
	uint64_t seq;
	int rc;

	op_ctx_init(&ctx, OP_S3);
	rc = object_open(s, &ctx, o->a.src_bucket, o->a.src_key, o->a.src_version, &o->src, &seq);
	op_ctx_done(&ctx);
	if (rc < 0)
		return rc;
	i = object_handle_info(o->src);
	rc = src_cond(o, i);
	if (rc < 0)
		return rc;
	o->len = i->size;
	if (o->a.has_range) {
		if (o->a.first > o->a.last || o->a.last >= i->size)
			return -QE_INVALID_RANGE;
		o->off = o->a.first;
		o->len = o->a.last - o->a.first + 1;
	}
	return o->len > OBJECT_PUT_MAX ? -QE_ENTITY_TOO_LARGE : 0;
}

/* ---- Calls -------------------------------------------------------------------------------------------------------------- */
static void copy_finish(struct object_call *k, int rc)
{
	struct copy_op *o = CONTAINER_OF(k, struct copy_op, call);

	if (rc == 0 && o->ret) {
		o->info.mtime_ns = MAX(o->info.mtime_ns, k->commit.time_ns);
		info_to_arena(&o->info, &o->ctx->arena);
		*o->ret = o->info;
	}
	object_close(o->src);
	arena_free(&o->arena);
}

static void copy_args(struct copy_op *o, const struct object_copy_args *a)
{
	struct object_copy_args *t = &o->a;
	struct str *s[] = {
		&t->src_bucket,
		&t->src_key,
		&t->src_version,
		&t->bucket,
		&t->key,
		&t->meta,
		&t->tags,
		&t->storage_class,
		&t->src_cond.if_match,
		&t->src_cond.if_none_match,
		&t->cond.if_match,
		&t->cond.if_none_match,
	};

	*t = *a;
	for (unsigned i = 0; i < ARRAY_SIZE(s); i++) {
		if (s[i]->p)
			*s[i] = arena_str(&o->arena, *s[i]);
	}
}

int object_copy(struct object_store *s, struct op_ctx *ctx, const struct object_copy_args *a, struct object_info *ret,
                object_done_fn done, void *arg)
{
	struct copy_op *o;
	int rc = object_key_check(a->key);

	if (rc == 0)
		rc = object_key_check(a->src_key);
	if (rc < 0)
		return rc;
	if (a->src_version.len > 0 && !str_eqc(a->src_version, "null"))
		return -QE_NO_SUCH_VERSION;
	o = object_call_new(s, sizeof *o, a->upload ? part_attempt : copy_attempt, copy_finish, done, arg);
	if (!o)
		return -ENOMEM;
	o->call.commit.reveals = true;
	copy_args(o, a);
	o->ctx = ctx;
	o->ret = ret;
	o->file_id = meta_new_id(s->set);
	if (!a->upload) {
		commit_lock_name(&o->call.commit, hash_bytes(a->bucket.p, a->bucket.len), o->a.key);
		return object_call_run(&o->call);
	}
	rc = part_open(o);
	if (rc == 0 && done) {
		o->work.run = part_work;
		workq_push(s->workers, &o->work);
		return 0;
	}
	if (rc == 0)
		rc = part_prepare(o);
	if (rc < 0) {
		o->call.done = NULL;
		object_call_end(&o->call, rc);
		return rc;
	}
	return object_call_run(&o->call);
}
