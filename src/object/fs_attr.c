/* SPDX-License-Identifier: Apache-2.0
 *
 * Attributes: of rows, of unpublished content, and changing them.
 */
#include <stdlib.h>
#include <sys/sysmacros.h>

#include "object/fs_internal.h"

static struct timespec ts_of(uint64_t ns)
{
	return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
}

static uint64_t ns_of(const struct timespec *ts)
{
	/* Times before 1970 are kept as 1970: rows hold unsigned nanoseconds. */
	return ts->tv_sec < 0 ? 0 : (uint64_t)ts->tv_sec * NS_PER_S + (uint64_t)ts->tv_nsec;
}

void stat_of_attr(const struct row_attr *a, uint64_t ino, struct stat *st)
{
	memset(st, 0, sizeof *st);
	st->st_ino = ino;
	st->st_mode = a->mode;
	st->st_nlink = 1;
	st->st_uid = a->uid;
	st->st_gid = a->gid;
	st->st_rdev = a->rdev;
	st->st_blksize = FS_BLOCK;
	st->st_atim = ts_of(a->atime_ns);
	st->st_mtim = ts_of(a->mtime_ns);
	st->st_ctim = ts_of(a->ctime_ns);
}

static uint32_t mode_without_ids(uint32_t mode)
{
	/* Without group execution set-gid means mandatory locking, and stays. */
	return mode & ~(uint32_t)(mode & S_IXGRP ? S_ISUID | S_ISGID : S_ISUID);
}

/* Bytes that are not holes. A map is walked only once per change of the row. */
uint64_t content_allocated(struct meta_view *v, struct fs_node *n, const struct fs_where *w)
{
	const struct row_object *o = &w->file.obj;
	uint64_t seq = w->file.linked ? w->file.file_row.seq : w->row.seq, sum = 0;
	struct arena a = ARENA_INIT;
	struct content l;

	if (o->map == 0) {
		for (unsigned i = 0; i < o->extents; i++)
			sum += o->extent[i].kind == EXTENT_HOLE ? 0 : o->extent[i].len;
		return sum;
	}
	if (n && atomic_load(&n->blocks_seq) == seq)
		return atomic_load(&n->blocks);
	if (content_load(v, &a, o, &l) < 0) {
		arena_free(&a);
		return o->size;
	}
	for (unsigned i = 0; i < l.n; i++)
		sum += l.e[i].kind == EXTENT_HOLE ? 0 : l.e[i].len;
	arena_free(&a);
	if (n) {
		atomic_store(&n->blocks_seq, 0);
		atomic_store(&n->blocks, sum);
		atomic_store(&n->blocks_seq, seq);
	}
	return sum;
}

void stat_of_file(struct fs_node *n, struct meta_view *v, const struct fs_where *w, const struct fs_now *now,
                  struct stat *st)
{
	uint64_t allocated = content_allocated(v, n, w);

	stat_of_attr(&w->file.attr, w->file.id, st);
	st->st_nlink = w->file.linked ? w->file.nlink : 1;
	st->st_size = (off_t)w->file.obj.size;
	if (now && now->size_set) {
		st->st_size = (off_t)now->size;
		allocated = MIN(allocated + now->added, now->size);
	}
	if (now && now->kill_priv)
		st->st_mode = mode_without_ids(st->st_mode);
	if (now && now->mtime_set) {
		st->st_mtim = ts_of(now->mtime_ns);
		st->st_ctim = ts_of(MAX(now->ctime_ns, w->file.attr.ctime_ns));
	}
	if (!S_ISREG(st->st_mode) && !S_ISLNK(st->st_mode))
		st->st_size = 0;
	st->st_blocks = S_ISREG(st->st_mode) ? (blkcnt_t)(ALIGN_UP(allocated, FS_BLOCK) / 512) : 0;
}

void stat_of_dir(const struct row_dir *d, uint64_t ino, struct stat *st)
{
	stat_of_attr(&d->attr, ino, st);
	if (!S_ISDIR(st->st_mode))
		st->st_mode = S_IFDIR | (st->st_mode & 07777);
	st->st_size = FS_BLOCK;
	st->st_blocks = FS_BLOCK / 512;
}

/* 2 and one for each subdirectory, where they can be counted at a glance; else 1, which tells tools that nothing is told
 * (2 would make find skip them). */
#define COUNTED_MAX 32u

static nlink_t dir_links(struct meta_view *v, uint64_t dir, const struct row_dir *d)
{
	struct meta_iter *it;
	struct meta_row row;
	struct meta_key from;
	nlink_t n = 2;
	int rc;

	if (d->children == 0)
		return 2;
	if (d->children > COUNTED_MAX || meta_iter_open(v, TABLE_ENTRY, &it) < 0)
		return 1;
	key_u64(&from, dir);
	rc = meta_iter_seek(it, from.b, from.len, &row);
	for (; rc == 1 && row.key.len >= 8 && be64_get(row.key.p) == dir; rc = meta_iter_next(it, &row)) {
		struct row_entry e;

		if (row_entry_decode(row.body, &e) < 0 || e.kind == ENTRY_CONT) {
			n = 1;
			break;
		}
		n += e.kind == ENTRY_DIR && e.id != 0;
	}
	meta_iter_close(it);
	return rc < 0 ? 1 : n;
}

void stat_of_root(struct fs *f, struct stat *st)
{
	struct row_attr a;

	store_dir_attr(f->s, f->start_ns, &a);
	stat_of_attr(&a, FS_ROOT_INO, st);
}

void node_now(struct fs_node *n, struct fs_now *ret)
{
	MUTEX_GUARD(&n->fs->nodes_lock);
	*ret = n->now;
}

static int stat_file(struct fs_node *n, struct stat *st)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct fs_where w;
	struct fs_now now;
	int rc;

	/* Before the view: a publication in between leaves the same figures in the rows. */
	node_now(n, &now);
	rc = node_view(n, &v, &w);
	if (rc == 0)
		stat_of_file(n, v, &w, &now, st);
	return rc;
}

static int stat_gone(struct fs_node *n, struct stat *st)
{
	struct row_attr a;

	mutex_lock(&n->fs->nodes_lock);
	a = n->last_attr;
	mutex_unlock(&n->fs->nodes_lock);
	if (a.mode == 0)
		store_dir_attr(n->fs->s, clock_wall_ns(), &a);
	stat_of_attr(&a, n->ino, st);
	st->st_nlink = 0;
	return 0;
}

static int stat_dir(struct fs_node *n, struct stat *st)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct meta_row row;
	struct row_dir d;
	int rc = meta_view_open(n->fs->set, &v);

	if (rc == 0)
		rc = dir_row(v, n->ino, &row, &d);
	if (rc == -ENOENT)
		return stat_gone(n, st);
	if (rc < 0)
		return rc;
	stat_of_dir(&d, n->ino, st);
	st->st_nlink = dir_links(v, n->ino, &d);
	return 0;
}

int node_stat(struct fs_node *n, struct stat *st)
{
	int rc;

	atomic_store(&n->told, true);
	switch (n->kind) {
	case FS_ROOT:
		stat_of_root(n->fs, st);
		return 0;
	case FS_DIR:
		FS_AGAIN(rc, stat_dir(n, st));
		return rc;
	default:
		return stat_file(n, st);
	}
}

int fs_getattr(struct fs *f, struct op_ctx *ctx, struct fs_node *n, struct stat *st)
{
	return node_stat(n, st);
}

/* ---- Changing ---------------------------------------------------------------------------------------------- */
void attr_new(const struct op_ctx *ctx, const struct row_dir *dir, mode_t mode, struct row_attr *ret)
{
	uint64_t now = clock_wall_ns();
	bool setgid = dir && (dir->attr.mode & S_ISGID);

	*ret = (struct row_attr){
		.mode = mode,
		.uid = ctx->uid,
		.gid = setgid ? dir->attr.gid : ctx->gid,
		.atime_ns = now,
		.mtime_ns = now,
		.ctime_ns = now,
		.btime_ns = now,
	};
	if (setgid && S_ISDIR(mode))
		ret->mode |= S_ISGID;
}

void set_attrs(struct row_attr *a, const struct fs_attrs *in, uint64_t now_ns)
{
	if (in->set & FS_CLEAR_SUID)
		a->mode = mode_without_ids(a->mode);
	if (in->set & FS_SET_MODE)
		a->mode = (a->mode & S_IFMT) | (in->st.st_mode & 07777);
	if (in->set & FS_SET_UID)
		a->uid = in->st.st_uid;
	if (in->set & FS_SET_GID)
		a->gid = in->st.st_gid;
	if (in->set & FS_SET_ATIME)
		a->atime_ns = in->set & FS_SET_ATIME_NOW ? now_ns : ns_of(&in->st.st_atim);
	if (in->set & FS_SET_MTIME)
		a->mtime_ns = in->set & FS_SET_MTIME_NOW ? now_ns : ns_of(&in->st.st_mtim);
	a->ctime_ns = MAX(now_ns, a->ctime_ns);
}

struct dir_attrs {
	struct object_commit c;
	struct fs_node *n;
	const struct fs_attrs *in;
};

static int dir_attempt(struct object_commit *c, struct meta_view *v, struct meta_batch *b)
{
	struct dir_attrs *da = CONTAINER_OF(c, struct dir_attrs, c);
	struct path p;
	struct path_node *n;
	int rc = path_dir(&p, c->store, v, &c->arena, da->n->ino);

	if (rc < 0)
		return rc;
	n = path_last(&p);
	path_dir_expect(b, n);
	set_attrs(&n->dir.attr, da->in, clock_wall_ns());
	/* A bucket's root is always there; an implicit directory that was changed must not vanish with its last key. */
	if (n->dir.parent)
		rc = change_explicit(&p, b);
	path_expect(&p, b);
	path_dir_put(b, n->id, &n->dir, false);
	commit_notify_inode(c, NOTIFY_ATTR, n->id, 0, 0);
	return rc;
}

static int set_dir(struct fs_node *n, const struct fs_attrs *in)
{
	struct dir_attrs da = {.n = n, .in = in};
	int rc;

	commit_init(&da.c, n->fs->s, META_ORDERED, OP_FUSE, dir_attempt);
	da.c.mount = n->fs->mount;
	rc = commit_run(&da.c);
	commit_fini(&da.c);
	return rc;
}

static int set_file(struct fs_node *n, const struct op_ctx *ctx, const struct fs_attrs *in, uint64_t size)
{
	bool only_size = in->set == FS_SET_SIZE;
	int rc = 0;
	MUTEX_GUARD(&n->lock);

	if (in->set & FS_SET_SIZE)
		rc = node_truncate(n, size, ctx->uid);
	if (rc < 0)
		return rc;
	/* With somebody writing, the new length is published with what follows; else now, as any change of attributes. */
	if (only_size && n->writers > 0)
		return 0;
	return node_publish(n, META_ORDERED, in);
}

int fs_setattr(struct fs *f, struct op_ctx *ctx, struct fs_node *n, const struct stat *in, unsigned set,
               struct stat *st)
{
	struct fs_attrs a = {.set = set, .st = *in};
	int rc;

	if (set & FS_SET_MTIME_NOW)
		a.set |= FS_SET_MTIME;
	if (set & FS_SET_ATIME_NOW)
		a.set |= FS_SET_ATIME;
	if (n->kind == FS_ROOT)
		return -EPERM;
	if (n->kind == FS_DIR)
		rc = set & FS_SET_SIZE ? -EISDIR : set_dir(n, &a);
	else if ((set & FS_SET_SIZE) && in->st_size < 0)
		rc = -EINVAL;
	else
		rc = set_file(n, ctx, &a, (uint64_t)in->st_size);
	return rc < 0 ? rc : node_stat(n, st);
}
