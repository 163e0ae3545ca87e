/* SPDX-License-Identifier: Apache-2.0
 *
 * Hard links. With the second name, attributes and content move from the entry to a `file` row; each entry then says
 * ENTRY_LINKED and has a `link` row that tells its name.
 */
#include <stdlib.h>

#include "object/fs_internal.h"

#define LINK_MAX_NAMES 65000u

static void link_put(struct meta_batch *b, uint64_t file, uint64_t key_id, uint64_t dir, struct str name)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	struct row_link l = {.dir = dir, .name = name};
	struct meta_key k;

	row_link_encode(&body, &l);
	key_u64_u64(&k, file, key_id);
	meta_batch_put(b, TABLE_LINK, &k, buf_str(&body), 0);
}

static void file_row_put(struct meta_batch *b, uint64_t id, const struct row_file *r)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	struct meta_key k;

	row_file_encode(&body, r, NULL);
	key_u64(&k, id);
	meta_batch_put(b, TABLE_FILE, &k, buf_str(&body), 0);
}

/* The only name so far: its entry gives attributes and content away. */
static void first_link(struct meta_batch *b, struct fs_where *w, uint64_t bucket, uint64_t now_ns)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	struct row_file r = {
		.nlink = 2, .bucket = bucket, .attr = w->file.attr, .obj = w->file.obj, .xattrs = w->file.xattrs};
	struct row_entry e = {.kind = ENTRY_OBJECT,
	                      .flags = ENTRY_LINKED,
	                      .key_id = w->entry.key_id,
	                      .id = w->entry.id,
	                      .rest = w->entry.rest};

	r.attr.ctime_ns = MAX(now_ns, r.attr.ctime_ns);
	file_row_put(b, w->file.id, &r);
	row_entry_encode(&body, &e, NULL);
	meta_batch_expect(b, TABLE_ENTRY, &w->key, &w->row, true);
	meta_batch_put(b, TABLE_ENTRY, &w->key, buf_str(&body), 0);
	link_put(b, w->file.id, w->entry.key_id, w->dir, (struct str){w->name, w->name_len});
}

static void next_link(struct meta_batch *b, struct fs_where *w, uint64_t now_ns)
{
	struct row_file r = w->file.file;
	struct meta_key k;

	key_u64(&k, w->file.id);
	meta_batch_expect(b, TABLE_FILE, &k, &w->file.file_row, true);
	r.nlink++;
	r.attr.ctime_ns = MAX(now_ns, r.attr.ctime_ns);
	file_row_put(b, w->file.id, &r);
}

static int link_attempt(struct object_commit *c, struct meta_view *v, struct meta_batch *b)
{
	struct fs_change *ch = change_of(c);
	struct row_entry e = {.kind = ENTRY_OBJECT, .flags = ENTRY_LINKED};
	uint64_t now = clock_wall_ns();
	struct path_slot slot;
	struct fs_where w;
	struct path p;
	int rc = change_path(ch, v, ch->dir, &p);

	if (rc == 0)
		rc = node_where(ch->node, v, &w);
	if (rc == 0)
		rc = where_bucket(v, &w);
	if (rc == 0)
		rc = change_slot(&p, b, &ch->name, &slot);
	if (rc < 0)
		return rc;
	if (slot.present)
		return -EEXIST;
	if (w.bucket != p.bucket)
		return -EXDEV;
	if (w.file.linked && w.file.nlink == 0)
		return -ENOENT; /* an orphan does not come back */
	if (w.file.linked && w.file.nlink >= LINK_MAX_NAMES)
		return -EMLINK;
	path_nodes_seen(&p, b);
	if (w.file.linked)
		next_link(b, &w, now);
	else
		first_link(b, &w, p.bucket, now);
	if (!ch->id2)
		ch->id2 = meta_new_id(c->store->set);
	e.key_id = ch->id2;
	e.id = w.file.id;
	path_slot_put(&p, &slot, b, &e, 1);
	link_put(b, e.id, e.key_id, path_last(&p)->id, ch->name.name);
	commit_notify_entry(c, NOTIFY_ENTRY, path_last(&p)->id, ch->name.name, 0);
	commit_notify_inode(c, NOTIFY_ATTR, e.id, 0, 0);
	return object_usage(&p, b, 1, (int64_t)w.file.obj.size);
}

int fs_link(struct fs *f, struct op_ctx *ctx, struct fs_node *n, struct fs_node *dir, struct str name, struct stat *st)
{
	struct fs_change ch;
	int rc;

	if (dir->kind == FS_ROOT || n->kind != FS_OBJECT)
		return -EPERM;
	change_init(&ch, f, ctx, dir, link_attempt);
	ch.node = n;
	rc = change_old_name(f, ctx, dir, name, &ch.name);
	if (rc == 0) {
		commit_lock_name(&ch.c, dir->ino, ch.name.name);
		rc = node_run(&ch.c);
		if (rc == -ESTALE)
			rc = -ENOENT;
	}
	if (rc == 0)
		rc = node_stat(n, st);
	if (rc == 0)
		node_ref(n);
	commit_fini(&ch.c);
	return rc;
}
