/* SPDX-License-Identifier: Apache-2.0
 *
 * Names on the mount: lookup, making and removing.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "base/codec.h"
#include "object/fs_internal.h"

/* ---- Shared ------------------------------------------------------------------------------------------------ */
void change_init(struct fs_change *ch, struct fs *f, struct op_ctx *ctx, struct fs_node *dir, commit_attempt_fn attempt)
{
	memset(ch, 0, sizeof *ch);
	commit_init(&ch->c, f->s, META_ORDERED, OP_FUSE, attempt);
	ch->c.mount = f->mount;
	ch->fs = f;
	ch->ctx = ctx;
	ch->dir = dir;
}

int change_path(struct fs_change *ch, struct meta_view *v, const struct fs_node *dir, struct path *ret)
{
	return path_dir(ret, ch->c.store, v, &ch->c.arena, dir->ino);
}

int change_slot(struct path *p, struct meta_batch *b, const struct fs_shown *name, struct path_slot *ret)
{
	int rc;

	if (!name->object_only) {
		rc = path_slot_read(p, path_last(p), name->name, true, ret);
		if (rc < 0)
			return rc;
		path_slot_expect(ret, b);
		if (ret->present && ret->entry.id)
			return 0;
	}
	rc = path_slot_read(p, path_last(p), name->name, false, ret);
	if (rc == 0)
		path_slot_expect(ret, b);
	return rc;
}

int change_explicit(struct path *p, struct meta_batch *b)
{
	struct row_dir *d = &path_last(p)->dir;

	if (d->flags & DIR_EXPLICIT)
		return 0;
	d->flags |= DIR_EXPLICIT;
	/* It is shown already, by what is below it: nothing to count but the key that S3 now lists for it. */
	return dir_usage(p, b, d, 1);
}

int change_keep_dir(struct path *p, struct meta_batch *b)
{
	struct path_node *n = path_last(p);
	int rc;

	if (n->dir.parent == 0 || (n->dir.flags & DIR_EXPLICIT) || n->dir.live > 1)
		return 0;
	path_dir_expect(b, n);
	rc = change_explicit(p, b);
	path_dir_put(b, n->id, &n->dir, false);
	return rc;
}

void fill_etag(struct object_store *s, struct arena *a, struct row_object *o)
{
	/* Well formed like that of a multipart upload, so that nobody takes it for an MD5; ids never come twice. */
	o->etag = str_of(
		arena_printf(a, "%016llx%016llx-1", (unsigned long long)random_u64(), (unsigned long long)meta_new_id(s->set)));
}

void fill_inrow(struct object_store *s, struct row_object *o, struct str bytes)
{
	o->size = bytes.len;
	o->inrow = bytes;
	o->extents = 1;
	o->map = 0;
	o->extent[0] = (struct row_extent){
		.kind = EXTENT_INROW,
		.blob = meta_new_id(s->set),
		.len = bytes.len,
		.crc32c = checksum_crc32c(0, bytes.p, bytes.len),
		.crc64nvme = checksum_crc64nvme(0, bytes.p, bytes.len),
	};
	o->crc32c = o->extent[0].crc32c;
	o->crc64nvme = o->extent[0].crc64nvme;
}

int object_usage(struct path *p, struct meta_batch *b, int count, int64_t bytes)
{
	struct row_usage d = {
		.objects = (uint64_t)(int64_t)count,
		.versions = (uint64_t)(int64_t)count,
		.bytes = (uint64_t)bytes,
		.stored = (uint64_t)bytes,
	};

	return path_usage_add(p, b, &d);
}

int dir_usage(struct path *p, struct meta_batch *b, const struct row_dir *d, int count)
{
	return object_usage(p, b, count, count * (int64_t)(d->marker ? d->obj.size : 0));
}

int bytes_usage(struct meta_view *v, struct meta_batch *b, uint64_t bucket, int64_t bytes)
{
	struct row_usage d = {.bytes = (uint64_t)bytes, .stored = (uint64_t)bytes};
	struct meta_row row;
	struct meta_key k;
	int rc;

	if (bytes == 0)
		return 0;
	key_u64(&k, bucket);
	rc = meta_get_k(v, TABLE_USAGE, &k, &row);
	if (rc <= 0)
		return rc < 0 ? rc : -QE_CORRUPT;
	meta_batch_usage_delta(b, bucket, &row, &d);
	return 0;
}

/* ---- Lookup ------------------------------------------------------------------------------------------------ */
struct found {
	uint64_t id;
	enum fs_kind kind;
	struct str name; /* of the entry */
};

static int find_bucket(struct meta_view *v, struct str name, struct found *ret)
{
	struct row_bucketdir bd;
	struct row_bucket bk;
	struct meta_row row;
	struct meta_key k;
	int rc;

	if (name.len == 0 || name.len > META_KEY_MAX)
		return -ENOENT;
	key_str(&k, name);
	rc = meta_get_k(v, TABLE_BUCKETDIR, &k, &row);
	if (rc <= 0)
		return rc < 0 ? rc : -ENOENT;
	rc = row_bucketdir_decode(row.body, &bd);
	if (rc < 0 || bd.state != BUCKET_LIVE)
		return rc < 0 ? rc : -ENOENT;
	key_u64(&k, bd.bucket);
	rc = meta_get_k(v, TABLE_BUCKET, &k, &row);
	if (rc <= 0)
		return rc < 0 ? rc : -ENOENT;
	rc = row_bucket_decode(row.body, &bk);
	if (rc < 0)
		return rc;
	*ret = (struct found){.id = bk.root_dir, .kind = FS_DIR, .name = name};
	return 0;
}

static int find_slot(struct fs *f, struct meta_view *v, struct arena *a, uint64_t dir, struct str name, bool is_dir,
                     struct found *ret)
{
	struct path p = {.store = f->s, .view = v, .arena = a};
	struct path_node at = {.id = dir};
	struct path_slot s;
	int rc = path_slot_read(&p, &at, name, is_dir, &s);

	if (rc < 0)
		return rc;
	if (!s.present || !s.entry.id)
		return -ENOENT;
	*ret = (struct found){.id = s.entry.id, .kind = is_dir ? FS_DIR : FS_OBJECT, .name = name};
	return 0;
}

static int find_name(struct fs *f, struct meta_view *v, struct arena *a, struct fs_node *dir,
                     const struct fs_shown *name, struct found *ret)
{
	int rc = -ENOENT;

	if (dir->kind == FS_ROOT)
		return find_bucket(v, name->name, ret);
	if (name->id) {
		ret->id = name->id;
		return find_by_id(f, v, a, dir->ino, name->id, &ret->name, &ret->kind);
	}
	if (!name->object_only)
		rc = find_slot(f, v, a, dir->ino, name->name, true, ret);
	if (rc == -ENOENT)
		rc = find_slot(f, v, a, dir->ino, name->name, false, ret);
	return rc;
}

int fs_lookup(struct fs *f, struct op_ctx *ctx, struct fs_node *dir, struct str name, struct fs_node **ret,
              struct stat *st)
{
	struct fs_shown shown;
	int rc = alias_decode(name, &shown);

	if (rc < 0)
		return rc == -EILSEQ ? -ENOENT : rc;
	return lookup_shown(f, ctx, dir, &shown, ret, st);
}

int lookup_shown(struct fs *f, struct op_ctx *ctx, struct fs_node *dir, const struct fs_shown *shown,
                 struct fs_node **ret, struct stat *st)
{
	struct found at;
	struct fs_node *n;

	if (dir->kind == FS_OBJECT)
		return -ENOTDIR;
	/* The node is registered, then its state is read: when it was replaced in between, the name is looked at again. */
	for (unsigned tries = 0; tries < 100; tries++) {
		CLEANUP_VIEW struct meta_view *v = NULL;
		int rc = meta_view_open(f->set, &v);

		if (rc == 0)
			rc = find_name(f, v, &ctx->arena, dir, shown, &at);
		if (rc == -QE_CONFLICT)
			continue;
		if (rc < 0)
			return rc;
		n = node_get(f, at.id, at.kind, dir->ino, at.name, meta_view_seq(v));
		if (!n)
			return -ENOMEM;
		rc = node_stat(n, st);
		if (rc == 0 && st->st_nlink > 0) {
			*ret = n;
			return 0;
		}
		node_unref(n);
		if (rc < 0 && rc != -ESTALE)
			return rc;
	}
	return -EIO;
}

/* ---- Making ------------------------------------------------------------------------------------------------ */
static int check_new(struct fs_node *dir, struct str name, struct fs_shown *ret)
{
	int rc;

	if (dir->kind == FS_OBJECT)
		return -ENOTDIR;
	rc = alias_decode(name, ret);
	if (rc == -ENOENT || (rc == 0 && (ret->id || ret->name.len == 0)))
		return -EINVAL; /* would be an alias of nothing */
	return rc;
}

/* Nothing may be there; the slot to be filled. */
static int new_slot(struct fs_change *ch, struct meta_view *v, struct meta_batch *b, bool is_dir, struct path *p,
                    struct path_slot *ret)
{
	int rc = change_path(ch, v, ch->dir, p);

	if (rc == 0)
		rc = change_slot(p, b, &ch->name, ret);
	if (rc < 0)
		return rc;
	if (ret->present)
		return -EEXIST;
	path_nodes_seen(p, b);
	if (is_dir)
		rc = path_slot_read(p, path_last(p), ch->name.name, true, ret);
	return rc;
}

static int mkdir_attempt(struct object_commit *c, struct meta_view *v, struct meta_batch *b)
{
	struct fs_change *ch = change_of(c);
	struct row_entry e = {.kind = ENTRY_DIR};
	struct row_dir d = {.flags = DIR_EXPLICIT};
	struct path_slot slot;
	struct path p;
	int rc;

	if (ch->name.object_only)
		return -EINVAL;
	rc = new_slot(ch, v, b, true, &p, &slot);
	if (rc < 0)
		return rc;
	if (!ch->id)
		ch->id = meta_new_id(c->store->set);
	e.id = ch->id;
	d.parent = path_last(&p)->id;
	d.bucket = p.bucket;
	d.name = ch->name.name;
	attr_new(ch->ctx, &path_last(&p)->dir, S_IFDIR | (ch->mode & 07777), &d.attr);
	ch->attr = d.attr;
	path_dir_put(b, e.id, &d, false);
	path_slot_put(&p, &slot, b, &e, 1);
	commit_notify_entry(c, NOTIFY_ENTRY, d.parent, ch->name.name, 0);
	return dir_usage(&p, b, &d, 1);
}

/* Zero bytes of content, or the target of a symlink in the row. */
static int object_attempt(struct object_commit *c, struct meta_view *v, struct meta_batch *b)
{
	struct fs_change *ch = change_of(c);
	struct row_entry e = {.kind = ENTRY_OBJECT};
	struct path_slot slot;
	struct path p;
	int rc = new_slot(ch, v, b, false, &p, &slot);

	if (rc < 0)
		return rc;
	if (!ch->id2)
		ch->id2 = meta_new_id(c->store->set);
	e.key_id = ch->id2;
	e.id = ch->id;
	attr_new(ch->ctx, &path_last(&p)->dir, ch->mode, &e.attr);
	e.attr.rdev = (uint32_t)ch->rdev;
	e.obj.flags = VERSION_NULL | VERSION_MOUNT | VERSION_HAS_CRC;
	fill_etag(c->store, &c->arena, &e.obj);
	if (ch->target.len)
		fill_inrow(c->store, &e.obj, ch->target);
	ch->attr = e.attr;
	path_slot_put(&p, &slot, b, &e, 1);
	commit_notify_entry(c, NOTIFY_ENTRY, path_last(&p)->id, ch->name.name, 0);
	return object_usage(&p, b, 1, (int64_t)e.obj.size);
}

static int make_object(struct fs_change *ch, struct fs_node **ret, struct stat *st)
{
	struct fs *f = ch->fs;
	struct fs_node *n;
	int rc;

	ch->id = meta_new_id(f->set);
	n = node_get(f, ch->id, FS_OBJECT, ch->dir->ino, ch->name.name, 0);
	if (!n)
		return -ENOMEM;
	atomic_store(&n->told, true);
	commit_lock_name(&ch->c, ch->dir->ino, ch->name.name);
	rc = commit_run(&ch->c);
	if (rc < 0) {
		node_unref(n);
		return rc;
	}
	stat_of_attr(&ch->attr, ch->id, st);
	st->st_size = (off_t)ch->target.len;
	*ret = n;
	return 0;
}

static int make_bucket(struct fs *f, struct op_ctx *ctx, struct str name, mode_t mode, struct fs_node **ret,
                       struct stat *st);

int fs_mkdir(struct fs *f, struct op_ctx *ctx, struct fs_node *dir, struct str name, mode_t mode, struct fs_node **ret,
             struct stat *st)
{
	struct fs_change ch;
	struct fs_node *n;
	int rc;

	if (dir->kind == FS_ROOT)
		return make_bucket(f, ctx, name, mode, ret, st);
	change_init(&ch, f, ctx, dir, mkdir_attempt);
	ch.mode = mode;
	rc = check_new(dir, name, &ch.name);
	if (rc == 0) {
		commit_lock_name(&ch.c, dir->ino, ch.name.name);
		rc = commit_run(&ch.c);
	}
	if (rc == 0) {
		n = node_get(f, ch.id, FS_DIR, dir->ino, ch.name.name, ch.c.seq);
		rc = n ? node_stat(n, st) : -ENOMEM;
		*ret = n;
	}
	commit_fini(&ch.c);
	return rc;
}

int fs_mknod(struct fs *f, struct op_ctx *ctx, struct fs_node *dir, struct str name, mode_t mode, dev_t rdev,
             struct fs_node **ret, struct stat *st)
{
	struct fs_change ch;
	int rc;

	if (dir->kind == FS_ROOT)
		return -EPERM; /* only buckets live here */
	change_init(&ch, f, ctx, dir, object_attempt);
	ch.mode = mode & S_IFMT ? mode : mode | S_IFREG;
	ch.rdev = S_ISCHR(mode) || S_ISBLK(mode) ? rdev : 0;
	rc = check_new(dir, name, &ch.name);
	if (rc == 0)
		rc = make_object(&ch, ret, st);
	commit_fini(&ch.c);
	return rc;
}

int fs_symlink(struct fs *f, struct op_ctx *ctx, struct fs_node *dir, struct str name, struct str target,
               struct fs_node **ret, struct stat *st)
{
	struct fs_change ch;
	int rc;

	if (dir->kind == FS_ROOT)
		return -EPERM;
	if (target.len == 0 || target.len > 4095)
		return target.len ? -ENAMETOOLONG : -ENOENT;
	change_init(&ch, f, ctx, dir, object_attempt);
	ch.mode = S_IFLNK | 0777;
	ch.target = target;
	rc = check_new(dir, name, &ch.name);
	if (rc == 0)
		rc = make_object(&ch, ret, st);
	commit_fini(&ch.c);
	return rc;
}

int fs_readlink(struct fs *f, struct op_ctx *ctx, struct fs_node *n, struct str *ret)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct fs_where w;
	struct content l;
	char *p;
	int rc = n->kind == FS_OBJECT ? node_view(n, &v, &w) : -EINVAL;

	if (rc < 0)
		return rc;
	if (!S_ISLNK(w.file.attr.mode))
		return -EINVAL;
	if (w.file.obj.size > 4095)
		return -ENAMETOOLONG;
	p = arena_alloc(&ctx->arena, w.file.obj.size + 1);
	rc = content_load(v, &ctx->arena, &w.file.obj, &l);
	if (rc == 0)
		rc = content_read(v, &l, w.file.obj.inrow, 0, w.file.obj.size, p, 0);
	p[w.file.obj.size] = '\0';
	*ret = (struct str){p, w.file.obj.size};
	return rc;
}

int fs_create(struct fs *f, struct op_ctx *ctx, struct fs_node *dir, struct str name, mode_t mode, int flags,
              struct fs_node **ret, struct fs_file **ret_file, struct stat *st)
{
	struct fs_change ch;
	int rc;

	if (dir->kind == FS_ROOT)
		return -EPERM;
	change_init(&ch, f, ctx, dir, object_attempt);
	ch.mode = S_IFREG | (mode & 07777);
	rc = check_new(dir, name, &ch.name);
	if (rc == 0)
		rc = make_object(&ch, ret, st);
	commit_fini(&ch.c);
	if (rc == 0)
		flags &= ~O_TRUNC; /* there is nothing to cut: close(2) need not publish */
	if (rc == -EEXIST && !(flags & O_EXCL)) {
		rc = fs_lookup(f, ctx, dir, name, ret, st);
		if (rc < 0)
			return rc;
		if ((*ret)->kind != FS_OBJECT) {
			node_unref(*ret);
			return -EISDIR;
		}
	}
	if (rc < 0)
		return rc;
	rc = fs_open(f, ctx, *ret, flags & ~(O_CREAT | O_EXCL), ret_file);
	if (rc < 0)
		node_unref(*ret);
	return rc;
}

/* ---- Removing ---------------------------------------------------------------------------------------------- */
int change_entry_gone(struct fs_change *ch, struct meta_view *v, struct meta_batch *b, struct path *p,
                      const struct path_slot *slot)
{
	struct file_state file;
	int rc = file_load(v, &slot->entry, &file);

	if (rc == 0)
		rc = file_name_gone(&ch->c, v, b, p->bucket, &file, clock_wall_ns());
	if (rc < 0)
		return rc;
	if (file.nlink <= 1)
		ch->gone = file.id;
	else
		commit_notify_inode(&ch->c, NOTIFY_ATTR, file.id, 0, 0);
	return object_usage(p, b, -1, -(int64_t)file.obj.size);
}

static int unlink_attempt(struct object_commit *c, struct meta_view *v, struct meta_batch *b)
{
	struct fs_change *ch = change_of(c);
	struct path_slot slot;
	struct path p;
	int rc = change_path(ch, v, ch->dir, &p);

	ch->gone = 0;
	if (rc == 0)
		rc = change_slot(&p, b, &ch->name, &slot);
	if (rc < 0)
		return rc;
	if (!slot.present)
		return -ENOENT;
	if (slot.is_dir)
		return -EISDIR;
	path_nodes_seen(&p, b);
	rc = change_entry_gone(ch, v, b, &p, &slot);
	if (rc == 0)
		rc = change_keep_dir(&p, b);
	if (rc == 0)
		rc = path_slot_del(&p, &slot, b, -1);
	commit_notify_entry(c, NOTIFY_ENTRY, path_last(&p)->id, ch->name.name, slot.entry.id);
	return rc;
}

static int resolve_name(struct fs *f, struct op_ctx *ctx, struct fs_node *dir, struct fs_shown *name)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct found at;
	int rc;

	if (!name->id)
		return 0;
	rc = meta_view_open(f->set, &v);
	if (rc == 0)
		rc = find_name(f, v, &ctx->arena, dir, name, &at);
	if (rc < 0)
		return rc;
	name->name = arena_str(&ctx->arena, at.name);
	name->object_only = at.kind == FS_OBJECT;
	return 0;
}

int change_old_name(struct fs *f, struct op_ctx *ctx, struct fs_node *dir, struct str name, struct fs_shown *ret)
{
	int rc;

	if (dir->kind == FS_OBJECT)
		return -ENOTDIR;
	rc = alias_decode(name, ret);
	if (rc == 0)
		FS_AGAIN(rc, resolve_name(f, ctx, dir, ret));
	return rc;
}

int fs_unlink(struct fs *f, struct op_ctx *ctx, struct fs_node *dir, struct str name)
{
	struct fs_change ch;
	int rc;

	if (dir->kind == FS_ROOT)
		return -EISDIR;
	change_init(&ch, f, ctx, dir, unlink_attempt);
	rc = change_old_name(f, ctx, dir, name, &ch.name);
	if (rc == 0) {
		commit_lock_name(&ch.c, dir->ino, ch.name.name);
		rc = commit_run(&ch.c);
	}
	if (rc == 0 && ch.gone)
		node_gone(f, ch.gone, NULL);
	commit_fini(&ch.c);
	return rc;
}

/* The directory behind the slot goes: it must be empty. */
int change_dir_gone(struct fs_change *ch, struct meta_batch *b, struct path *p, const struct path_slot *slot)
{
	struct path_node n;
	struct meta_key k;
	int rc = path_load_dir(p, slot, &n);

	if (rc < 0)
		return rc;
	if (n.dir.children > 0 || n.dir.uploads > 0)
		return -ENOTEMPTY;
	path_dir_expect(b, &n);
	key_u64(&k, n.id);
	meta_batch_del(b, TABLE_DIR, &k);
	rc = content_drop(p->view, p->arena, b, &n.dir.obj);
	if (rc < 0)
		return rc;
	ch->gone = n.id;
	ch->gone_dir = true;
	ch->gone_attr = n.dir.attr;
	return n.dir.flags & DIR_EXPLICIT ? dir_usage(p, b, &n.dir, -1) : 0;
}

static int rmdir_attempt(struct object_commit *c, struct meta_view *v, struct meta_batch *b)
{
	struct fs_change *ch = change_of(c);
	struct path_slot slot;
	struct path p;
	int rc = change_path(ch, v, ch->dir, &p);

	ch->gone = 0;
	if (rc == 0)
		rc = change_slot(&p, b, &ch->name, &slot);
	if (rc < 0)
		return rc;
	if (!slot.present)
		return -ENOENT;
	if (!slot.is_dir)
		return -ENOTDIR;
	path_nodes_seen(&p, b);
	rc = change_dir_gone(ch, b, &p, &slot);
	if (rc == 0)
		rc = change_keep_dir(&p, b);
	if (rc == 0)
		rc = path_slot_del(&p, &slot, b, -1);
	commit_notify_entry(c, NOTIFY_ENTRY, path_last(&p)->id, ch->name.name, slot.entry.id);
	return rc;
}

static int remove_bucket(struct fs *f, struct op_ctx *ctx, struct str name);

int fs_rmdir(struct fs *f, struct op_ctx *ctx, struct fs_node *dir, struct str name)
{
	struct fs_change ch;
	int rc;

	if (dir->kind == FS_ROOT)
		return remove_bucket(f, ctx, name);
	change_init(&ch, f, ctx, dir, rmdir_attempt);
	rc = change_old_name(f, ctx, dir, name, &ch.name);
	if (rc == 0) {
		commit_lock_name(&ch.c, dir->ino, ch.name.name);
		rc = commit_run(&ch.c);
	}
	if (rc == 0 && ch.gone)
		node_gone(f, ch.gone, &ch.gone_attr);
	commit_fini(&ch.c);
	return rc;
}

/* ---- Buckets ----------------------------------------------------------------------------------------------- */
static int bucket_attempt(struct object_commit *c, struct meta_view *v, struct meta_batch *b)
{
	return bucket_create_attempt(c, v, b, change_of(c)->name.name);
}

static int bucket_gone_attempt(struct object_commit *c, struct meta_view *v, struct meta_batch *b)
{
	return bucket_delete_attempt(c, v, b, change_of(c)->name.name);
}

static int make_bucket(struct fs *f, struct op_ctx *ctx, struct str name, mode_t mode, struct fs_node **ret,
                       struct stat *st)
{
	struct fs_shown shown = {.name = name};
	struct stat want = {.st_mode = mode, .st_uid = ctx->uid, .st_gid = ctx->gid};
	struct fs_change ch;
	int rc;

	if (!object_bucket_name_ok(name))
		return -EINVAL;
	change_init(&ch, f, ctx, NULL, bucket_attempt);
	ch.name = shown;
	rc = commit_run(&ch.c);
	commit_fini(&ch.c);
	if (rc < 0)
		return err_errno(rc) == EEXIST ? -EEXIST : rc;
	rc = lookup_shown(f, ctx, f->root, &shown, ret, st);
	if (rc < 0)
		return rc;
	/* A bucket made by S3 belongs to the configured owner, one made here to the caller. */
	rc = fs_setattr(f, ctx, *ret, &want, FS_SET_MODE | FS_SET_UID | FS_SET_GID, st);
	if (rc < 0)
		node_unref(*ret);
	return rc;
}

static int remove_bucket(struct fs *f, struct op_ctx *ctx, struct str name)
{
	struct fs_node *n;
	struct fs_change ch;
	struct stat st;
	int rc = fs_lookup(f, ctx, f->root, name, &n, &st);

	if (rc < 0)
		return rc;
	change_init(&ch, f, ctx, NULL, bucket_gone_attempt);
	ch.name.name = name;
	rc = commit_run(&ch.c);
	commit_fini(&ch.c);
	if (rc == 0)
		node_gone(f, n->ino, &(struct row_attr){.mode = st.st_mode, .uid = st.st_uid, .gid = st.st_gid});
	node_unref(n);
	return rc;
}
