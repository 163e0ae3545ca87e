/* SPDX-License-Identifier: Apache-2.0
 *
 * Buckets: rows bucketdir (name), bucket, usage, the root of its names and the root of its uploads (dir rows).
 */
#include "object/store_internal.h"
#include "object/upload.h"

/* Leftovers that one DeleteBucket takes along (path_delete explains them). */
#define LEFTOVERS_MAX 4096

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
}

static bool looks_like_ip(struct str s)
{
	unsigned dots = 0;

	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == '.')
			dots++;
		else if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	}
	return dots == 3;
}

bool object_bucket_name_ok(struct str name)
{
	if (name.len < 3 || name.len > 63 || looks_like_ip(name))
		return false;
	for (size_t i = 0; i < name.len; i++) {
		bool edge = i == 0 || i + 1 == name.len;

		if (!name_char(name.p[i]))
			return false;
		if (edge && (name.p[i] == '-' || name.p[i] == '.'))
			return false;
		if (name.p[i] == '.' && !edge && (name.p[i + 1] == '.' || name.p[i + 1] == '-' || name.p[i - 1] == '-'))
			return false;
	}
	return !str_starts(name, STR_LIT("xn--")) && !str_ends(name, STR_LIT("-s3alias"));
}

static void put_roots(struct object_store *s, struct meta_batch *b, uint64_t bucket, const struct row_bucket *r)
{
	struct row_dir d = {.bucket = bucket, .flags = DIR_EXPLICIT};

	store_dir_attr(s, r->created_ns, &d.attr);
	path_dir_put(b, r->root_dir, &d, true);
	path_dir_put(b, r->upload_root, &d, true);
}

int bucket_create_attempt(struct object_commit *c, struct meta_view *v, struct meta_batch *b, struct str name)
{
	struct object_store *s = c->store;
	CLEANUP_BUF struct buf body = BUF_INIT;
	struct row_bucketdir bd = {.bucket = meta_new_id(s->set), .state = BUCKET_LIVE, .generation = 1};
	struct row_bucket r = {
		.root_dir = meta_new_id(s->set),
		.upload_root = meta_new_id(s->set),
		.created_ns = clock_wall_ns(),
		.name = name,
	};
	struct row_usage u = {0};
	struct meta_row row;
	struct meta_key k;
	int rc;

	if (!object_bucket_name_ok(name))
		return -QE_INVALID_BUCKET_NAME;
	key_str(&k, name);
	rc = meta_get_k(v, TABLE_BUCKETDIR, &k, &row);
	if (rc != 0)
		return rc < 0 ? rc : -QE_BUCKET_OWNED;
	meta_batch_expect(b, TABLE_BUCKETDIR, &k, &row, false);
	row_bucketdir_encode(&body, &bd);
	meta_batch_put(b, TABLE_BUCKETDIR, &k, buf_str(&body), 0);
	key_u64(&k, bd.bucket);
	buf_reset(&body);
	row_bucket_encode(&body, &r);
	meta_batch_put(b, TABLE_BUCKET, &k, buf_str(&body), 0);
	buf_reset(&body);
	row_usage_encode(&body, &u);
	meta_batch_put(b, TABLE_USAGE, &k, buf_str(&body), 0);
	put_roots(s, b, bd.bucket, &r);
	commit_notify_entry(c, NOTIFY_ENTRY, 1, name, 0);
	return 0;
}

/* Directories that are not shown and have nothing below: those whose long names the sequencer cannot remove, and
 * continuation rows. Deletes the rows of directory or continuation `id`; -QE_BUCKET_NOT_EMPTY when there is more than that. */
static int sweep_names(struct path *p, struct meta_batch *b, uint64_t id, unsigned depth, unsigned *budget)
{
	struct meta_iter *it;
	struct meta_row row;
	struct meta_key from, k;
	int rc;

	if (depth > OBJECT_KEY_MAX)
		return -QE_CORRUPT;
	key_u64(&from, id);
	rc = meta_iter_open(p->view, TABLE_ENTRY, &it);
	if (rc < 0)
		return rc;
	for (rc = meta_iter_seek(it, from.b, from.len, &row); rc == 1; rc = meta_iter_next(it, &row)) {
		struct row_entry e;

		if (row.key.len < from.len || memcmp(row.key.p, from.b, from.len) != 0)
			break;
		rc = row_entry_decode(row.body, &e);
		if (rc == 0 && (e.kind == ENTRY_OBJECT || *budget == 0))
			rc = -QE_BUCKET_NOT_EMPTY;
		if (rc == 0)
			rc = sweep_names(p, b, e.id, depth + 1, budget);
		if (rc < 0)
			break;
		--*budget;
		key_str(&k, row.key);
		meta_batch_del(b, TABLE_ENTRY, &k);
		key_u64(&k, e.id);
		if (e.kind == ENTRY_DIR)
			meta_batch_del(b, TABLE_DIR, &k);
	}
	meta_iter_close(it);
	return MIN(rc, 0);
}

int bucket_delete_attempt(struct object_commit *c, struct meta_view *v, struct meta_batch *b, struct str name)
{
	unsigned budget = LEFTOVERS_MAX;
	struct row_usage u;
	struct meta_key k;
	struct path p;
	int rc;

	rc = path_bucket(&p, c->store, v, &c->arena, name);
	if (rc == 0)
		rc = path_usage(&p, &u);
	if (rc < 0)
		return rc;
	if (p.node[0].dir.live > 0 || (u.uploads > 0 && c->origin != OP_S3))
		return -QE_BUCKET_NOT_EMPTY;
	path_expect(&p, b);
	path_dir_expect(b, &p.node[0]);
	key_u64(&k, p.bucket);
	meta_batch_expect(b, TABLE_USAGE, &k, &p.usage_row, true);
	if (p.node[0].dir.children > 0)
		rc = sweep_names(&p, b, p.node[0].id, 0, &budget);
	if (rc == 0)
		rc = upload_abort_all(c, v, b, &p);
	if (rc < 0)
		return rc;
	meta_batch_del(b, TABLE_BUCKETDIR, &p.bucketdir_key);
	meta_batch_del(b, TABLE_BUCKET, &k);
	meta_batch_del(b, TABLE_USAGE, &k);
	key_u64(&k, p.bucket_info.root_dir);
	meta_batch_del(b, TABLE_DIR, &k);
	key_u64(&k, p.bucket_info.upload_root);
	meta_batch_del(b, TABLE_DIR, &k);
	commit_notify_entry(c, NOTIFY_ENTRY, 1, name, p.bucket_info.root_dir);
	return 0;
}

/* ---- Calls of the S3 face --------------------------------------------------------------------------------------------- */
struct bucket_op {
	struct object_call call;
	bool create;
	char name[64];
	size_t name_len;
};

static int bucket_attempt(struct object_commit *c, struct meta_view *v, struct meta_batch *b)
{
	struct bucket_op *o = CONTAINER_OF(c, struct bucket_op, call.commit);
	struct str name = {o->name, o->name_len};

	return o->create ? bucket_create_attempt(c, v, b, name) : bucket_delete_attempt(c, v, b, name);
}

static int bucket_call(struct object_store *s, struct op_ctx *ctx, struct str name, bool create, object_done_fn done,
                       void *arg)
{
	struct bucket_op *o;

	if (name.len >= sizeof o->name)
		return create ? -QE_INVALID_BUCKET_NAME : -QE_NO_SUCH_BUCKET;
	o = object_call_new(s, sizeof *o, bucket_attempt, NULL, done, arg);
	if (!o)
		return -ENOMEM;
	o->create = create;
	o->name_len = name.len;
	if (name.len > 0)
		memcpy(o->name, name.p, name.len);
	commit_lock_name(&o->call.commit, 1, (struct str){o->name, o->name_len});
	return object_call_run(&o->call);
}

int object_bucket_create(struct object_store *s, struct op_ctx *ctx, struct str name, object_done_fn done, void *arg)
{
	if (!object_bucket_name_ok(name))
		return op_fail(ctx, -QE_INVALID_BUCKET_NAME, "%s", "");
	return bucket_call(s, ctx, name, true, done, arg);
}

int object_bucket_delete(struct object_store *s, struct op_ctx *ctx, struct str name, object_done_fn done, void *arg)
{
	return bucket_call(s, ctx, name, false, done, arg);
}

int object_bucket_head(struct object_store *s, struct op_ctx *ctx, struct str name, struct object_bucket_info *ret,
                       uint64_t *seq)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct path p;
	int rc = meta_view_open(s->set, &v);

	if (rc < 0)
		return rc;
	rc = path_bucket_reading(&p, s, v, &ctx->arena, name);
	if (rc == 0) {
		*ret = (struct object_bucket_info){.name = name, .id = p.bucket, .created_ns = p.bucket_info.created_ns};
		rc = path_usage(&p, &ret->usage);
	}
	*seq = meta_view_consulted(v);
	return rc;
}

static int bucket_info_of(struct meta_view *v, const struct meta_row *row, struct arena *a,
                          struct object_bucket_info *ret)
{
	struct row_bucketdir bd;
	struct row_bucket r;
	struct meta_row br;
	struct meta_key k;
	int rc = row_bucketdir_decode(row->body, &bd);

	if (rc < 0)
		return rc;
	if (bd.state != BUCKET_LIVE)
		return 0;
	key_u64(&k, bd.bucket);
	rc = meta_get_k(v, TABLE_BUCKET, &k, &br);
	if (rc == 1)
		rc = row_bucket_decode(br.body, &r);
	else if (rc == 0)
		rc = -QE_CORRUPT;
	if (rc < 0)
		return rc;
	*ret = (struct object_bucket_info){.name = arena_str(a, row->key), .id = bd.bucket, .created_ns = r.created_ns};
	rc = meta_get_k(v, TABLE_USAGE, &k, &br);
	if (rc == 1)
		rc = row_usage_decode(br.body, &ret->usage);
	return rc < 0 ? rc : 1;
}

int object_bucket_list(struct object_store *s, struct op_ctx *ctx, struct object_bucket_info **ret, unsigned *ret_n,
                       uint64_t *seq)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct object_bucket_info *list = NULL;
	unsigned n = 0, cap = 0;
	struct meta_iter *it;
	struct meta_row row;
	int rc = meta_view_open(s->set, &v);

	if (rc == 0)
		rc = meta_iter_open(v, TABLE_BUCKETDIR, &it);
	if (rc < 0)
		return rc;
	for (rc = meta_iter_seek(it, "", 0, &row); rc == 1; rc = meta_iter_next(it, &row)) {
		if (n == cap) {
			struct object_bucket_info *more;

			cap = cap ? cap * 2 : 16;
			more = arena_alloc(&ctx->arena, cap * sizeof *more);
			if (n > 0)
				memcpy(more, list, n * sizeof *more);
			list = more;
		}
		rc = bucket_info_of(v, &row, &ctx->arena, &list[n]);
		if (rc < 0)
			break;
		n += (unsigned)rc;
	}
	meta_iter_close(it);
	*seq = meta_view_consulted(v);
	*ret = list;
	*ret_n = n;
	return MIN(rc, 0);
}
