/* SPDX-License-Identifier: Apache-2.0
 *
 * Files behind entries: where attributes and content lie, and what happens when a name goes.
 */
#include "object/content.h"
#include "object/store_internal.h"

int file_load(struct meta_view *v, const struct row_entry *e, struct file_state *ret)
{
	struct meta_key k;
	int rc;

	memset(ret, 0, sizeof *ret);
	ret->id = e->id;
	ret->key_id = e->key_id;
	if (!(e->flags & ENTRY_LINKED)) {
		ret->attr = e->attr;
		ret->obj = e->obj;
		ret->xattrs = e->xattrs;
		ret->nlink = 1;
		return 0;
	}
	ret->linked = true;
	key_u64(&k, e->id);
	rc = meta_get_k(v, TABLE_FILE, &k, &ret->file_row);
	if (rc <= 0)
		return rc < 0 ? rc : -QE_CORRUPT;
	rc = row_file_decode(ret->file_row.body, &ret->file);
	if (rc < 0)
		return rc;
	ret->attr = ret->file.attr;
	ret->obj = ret->file.obj;
	ret->xattrs = ret->file.xattrs;
	ret->nlink = ret->file.nlink;
	return 0;
}

static void row_put(struct meta_batch *b, uint64_t id, const struct row_file *f)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	struct meta_key k;
	uint16_t off;

	row_file_encode(&body, f, &off);
	key_u64(&k, id);
	meta_batch_put(b, TABLE_FILE, &k, buf_str(&body), 0);
}

void file_put(struct meta_batch *b, const struct file_state *f, const struct row_file *row)
{
	struct meta_key k;

	ASSERT(f->linked);
	key_u64(&k, f->id);
	meta_batch_expect(b, TABLE_FILE, &k, &f->file_row, true);
	row_put(b, f->id, row);
}

/* The file without a name: attributes and content move to a file row, an orphan row remembers it over a restart. */
static void make_orphan(struct meta_batch *b, uint64_t bucket, const struct file_state *f, uint64_t ctime_ns)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	struct row_file r = {.bucket = bucket, .attr = f->attr, .obj = f->obj, .xattrs = f->xattrs, .rest = f->file.rest};
	struct row_orphan o = {.bucket = bucket, .since_ns = ctime_ns};
	struct meta_key k;

	r.attr.ctime_ns = ctime_ns;
	row_put(b, f->id, &r);
	key_u64(&k, f->id);
	row_orphan_encode(&body, &o);
	meta_batch_put(b, TABLE_ORPHAN, &k, buf_str(&body), 0);
}

static void expect_file_row(struct meta_batch *b, const struct file_state *f)
{
	struct meta_key k;

	if (!f->linked)
		return;
	key_u64(&k, f->id);
	meta_batch_expect(b, TABLE_FILE, &k, &f->file_row, true);
	key_u64_u64(&k, f->id, f->key_id);
	meta_batch_del(b, TABLE_LINK, &k);
}

int file_name_gone(struct object_commit *c, struct meta_view *v, struct meta_batch *b, uint64_t bucket,
                   const struct file_state *f, uint64_t ctime_ns)
{
	struct meta_key k;
	int rc;

	expect_file_row(b, f);
	if (f->nlink > 1) {
		struct row_file r = f->file;

		r.nlink--;
		r.attr.ctime_ns = ctime_ns;
		row_put(b, f->id, &r);
		return 0;
	}
	if (store_drop_begin(c, f->id)) {
		make_orphan(b, bucket, f, ctime_ns);
		return 0;
	}
	rc = content_drop(v, &c->arena, b, &f->obj);
	if (rc == -E2BIG) {
		/* Too much for one batch: its content goes behind, piece by piece. */
		make_orphan(b, bucket, f, ctime_ns);
		store_orphan_begin(c, f->id);
		return 0;
	}
	if (rc < 0)
		return rc;
	if (f->linked) {
		key_u64(&k, f->id);
		meta_batch_del(b, TABLE_FILE, &k);
	}
	return 0;
}

void file_orphan(struct object_commit *c, struct meta_batch *b, uint64_t bucket, const struct file_state *f,
                 uint64_t ctime_ns)
{
	expect_file_row(b, f);
	make_orphan(b, bucket, f, ctime_ns);
}
