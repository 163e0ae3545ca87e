/* SPDX-License-Identifier: Apache-2.0
 *
 * Which blobs hold the content below a prefix.
 */
#include "object/object.h"

#include <string.h>

#include "base/err.h"
#include "object/content.h"
#include "object/path.h"
#include "object/walk.h"

#define PAGE_BLOBS 256

struct page {
	struct op_ctx *ctx;
	struct meta_view *view;
	struct buf *blobs;
	unsigned nblobs;
};

static int take_content(struct page *p, const struct row_object *o)
{
	struct content c;
	int rc = content_load(p->view, &p->ctx->arena, o, &c);

	for (unsigned i = 0; rc == 0 && i < c.n; i++)
		if (c.e[i].kind == EXTENT_BLOB) {
			buf_put_le64(p->blobs, c.e[i].blob);
			p->nblobs++;
		}
	return rc < 0 ? rc : buf_err(p->blobs);
}

/* The object `name/`, if the directory has one. */
static int take_marker(struct page *p, uint64_t dir)
{
	struct meta_row row;
	struct meta_key k;
	struct row_dir d;

	key_u64(&k, dir);
	int rc = dir ? meta_get_k(p->view, TABLE_DIR, &k, &row) : 0;
	if (rc <= 0)
		return rc;
	rc = row_dir_decode(row.body, &d);
	return rc == 0 && d.marker ? take_content(p, &d.obj) : rc;
}

static int take_item(struct page *p, const struct walk_item *it)
{
	struct file_state f;

	if (it->is_dir)
		return take_marker(p, it->entry.id);
	int rc = file_load(p->view, &it->entry, &f);
	return rc < 0 ? rc : take_content(p, &f.obj);
}

/* 1: there is more behind the last key. */
static int walk_page(struct page *p, struct walk *w, struct str prefix, struct buf *key, unsigned *ret_objects)
{
	struct walk_item it;
	int rc;

	while ((rc = walk_next(w, &it)) > 0) {
		if (!str_starts(it.key, prefix))
			return 0;
		int bad = take_item(p, &it);
		if (bad < 0)
			return bad;
		*ret_objects += !it.is_dir;
		buf_reset(key);
		buf_add_str(key, it.key);
		if (p->nblobs >= PAGE_BLOBS)
			return buf_err(key) ? buf_err(key) : 1;
	}
	return rc;
}

int object_blobs(struct object_store *s, struct op_ctx *ctx, struct str bucket, struct str prefix, struct buf *key,
                 struct buf *ret_blobs, unsigned *ret_objects)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct page page = {.ctx = ctx, .blobs = ret_blobs};
	struct path path;
	struct walk w;
	int rc = meta_view_open(object_store_set(s), &v);

	*ret_objects = 0;
	if (rc < 0)
		return rc;
	page.view = v;
	rc = path_bucket(&path, s, v, &ctx->arena, bucket);
	if (rc == 0)
		rc = walk_open(&w, v, path.bucket_info.root_dir);
	if (rc < 0)
		return rc;
	if (key->len)
		buf_add(key, "", 1); /* behind it */
	rc = walk_seek(&w, key->len ? buf_str(key) : prefix);
	if (rc == 0)
		rc = walk_page(&page, &w, prefix, key, ret_objects);
	walk_close(&w);
	return rc;
}
