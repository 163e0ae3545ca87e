/* SPDX-License-Identifier: Apache-2.0
 *
 * A key gets a new object: the rows that PUT, Copy and Complete have in common.
 */
#include "object/store_internal.h"

static void usage_of(struct row_usage *u, const struct row_object *o, int64_t sign)
{
	u->bytes += (uint64_t)(sign * (int64_t)o->size);
	u->stored += (uint64_t)(sign * (int64_t)o->size);
}

static void usage_count(struct row_usage *u, int64_t n)
{
	u->objects += (uint64_t)n;
	u->versions += (uint64_t)n;
}

/* The file that had the name goes. A write whose content is that of the same file (metadata replaced in place by a copy onto
 * itself) takes it over as it is; everybody else's reference counts are right already. */
static int replace_old(struct object_commit *c, struct path *p, struct meta_batch *b, const struct file_state *old,
                       struct object_write *w, uint64_t now)
{
	if (w->content_of != 0 && w->content_of == old->id) {
		if (!old->linked && !store_drop_begin(c, old->id))
			return 0;
		int rc = content_share(p->view, b, &w->obj);

		if (rc < 0)
			return rc;
		/* The old file lives on under its other names, or as an orphan. */
		if (!old->linked || old->nlink == 1) {
			store_orphan_begin(c, old->id);
			file_orphan(c, b, p->bucket, old, now);
			return 0;
		}
	}
	return file_name_gone(c, p->view, b, p->bucket, old, now);
}

static int write_file(struct object_commit *c, struct path *p, struct meta_batch *b, struct object_write *w,
                      struct row_usage *u)
{
	struct path_slot *s = &p->slot;
	struct row_entry e = {.kind = ENTRY_OBJECT, .id = w->file_id, .attr = w->attr, .xattrs = w->xattrs};
	struct file_state old = {0};
	uint64_t now = clock_wall_ns();
	int rc;

	if (s->present) {
		rc = file_load(p->view, &s->entry, &old);
		if (rc == 0)
			rc = replace_old(c, p, b, &old, w, now);
		if (rc < 0)
			return rc;
		usage_of(u, &old.obj, -1);
		e.key_id = old.key_id;
		w->obj.mtime_ns = old.obj.mtime_ns + 1; /* Last-Modified never goes back within a key */
	} else {
		e.key_id = meta_new_id(p->store->set);
		w->obj.mtime_ns = 0;
		usage_count(u, 1);
	}
	e.obj = w->obj;
	path_slot_put(p, s, b, &e, s->present ? 0 : 1);
	commit_notify_entry(c, NOTIFY_ENTRY, s->dir, s->name, old.id);
	return 0;
}

/* `name/` as an object: the directory becomes explicit and carries it. */
static int write_marker(struct object_commit *c, struct path *p, struct meta_batch *b, struct object_write *w,
                        struct row_usage *u)
{
	struct path_slot *s = &p->slot;
	struct path_node n;
	struct row_dir d;
	bool was_shown;
	int rc;

	rc = path_load_dir(p, s, &n);
	if (rc < 0)
		return rc;
	d = n.dir;
	path_dir_expect(b, &n);
	was_shown = (d.flags & DIR_EXPLICIT) || d.live > 0;
	w->obj.mtime_ns = 0;
	if (d.marker) {
		w->obj.mtime_ns = d.obj.mtime_ns + 1;
		usage_of(u, &d.obj, -1);
		if (w->content_of == 0 || w->content_of != n.id) {
			rc = content_drop(p->view, p->arena, b, &d.obj);
			if (rc < 0)
				return rc;
		}
	}
	if (!(d.flags & DIR_EXPLICIT))
		usage_count(u, 1);
	d.flags |= DIR_EXPLICIT;
	d.marker = true;
	d.obj = w->obj;
	d.attr.mtime_ns = w->attr.mtime_ns;
	d.attr.ctime_ns = w->attr.ctime_ns;
	path_dir_put(b, n.id, &d, true);
	if (!was_shown) {
		meta_batch_dir_delta(b, s->dir, 1, 0, 0, 0);
		commit_notify_entry(c, NOTIFY_ENTRY, s->dir, s->name, 0);
	} else {
		commit_notify_inode(c, NOTIFY_ATTR, n.id, 0, 0);
	}
	w->file_id = n.id;
	return 0;
}

static void new_marker(struct object_commit *c, struct path *p, struct meta_batch *b, struct object_write *w,
                       struct row_usage *u)
{
	struct path_slot *s = &p->slot;
	struct row_entry e = {.kind = ENTRY_DIR, .id = w->file_id};
	struct row_dir d = {
		.parent = s->dir,
		.bucket = p->bucket,
		.flags = DIR_EXPLICIT,
		.marker = true,
		.obj = w->obj,
		.name = s->name,
	};

	d.obj.mtime_ns = 0;
	store_dir_attr(p->store, clock_wall_ns(), &d.attr);
	d.attr.mtime_ns = w->attr.mtime_ns;
	path_dir_put(b, w->file_id, &d, true);
	path_slot_put(p, s, b, &e, 1);
	usage_count(u, 1);
	commit_notify_entry(c, NOTIFY_ENTRY, s->dir, s->name, 0);
}

int object_write_attempt(struct object_commit *c, struct path *p, struct meta_batch *b, struct object_write *w)
{
	struct row_usage u = {0};
	int rc = 0;

	w->obj.flags |= VERSION_NULL;
	path_expect(p, b);
	path_make_parents(p, c, b);
	if (!p->slot.is_dir)
		rc = write_file(c, p, b, w, &u);
	else if (p->slot.present && p->slot.entry.id != 0)
		rc = write_marker(c, p, b, w, &u);
	else
		new_marker(c, p, b, w, &u);
	if (rc < 0)
		return rc;
	usage_of(&u, &w->obj, 1);
	return path_usage_add(p, b, &u);
}
