/* SPDX-License-Identifier: Apache-2.0
 *
 * One mount's view of a store: its root, its figures, its end.
 */
#include "object/fs.h"

#include <stdlib.h>

#include "base/log.h"
#include "object/fs_internal.h"

#define STRIPES_KEPT 8

struct stripe_tail {
	void *p[2];
};

/* The directory shown as the root: the one behind bucket/prefix, 0 for all buckets. */
static int find_root(struct fs *f, struct str bucket, struct str prefix, uint64_t *ret)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct arena a = ARENA_INIT;
	struct path_slot slot;
	struct path_node at;
	struct path p;
	struct str name;
	int rc = meta_view_open(f->set, &v);

	if (rc == 0)
		rc = path_bucket(&p, f->s, v, &a, bucket);
	if (rc == 0)
		at = *path_last(&p);
	while (rc == 0 && str_split(&prefix, '/', &name)) {
		if (name.len == 0)
			continue;
		rc = path_slot_read(&p, &at, name, true, &slot);
		if (rc == 0)
			rc = slot.present && slot.entry.id ? path_load_dir(&p, &slot, &at) : -ENOENT;
	}
	if (rc == 0)
		*ret = at.id;
	arena_free(&a);
	return rc;
}

static int open_root(struct fs *f, struct str bucket, struct str prefix)
{
	uint64_t dir = FS_ROOT_INO;
	int rc = bucket.len ? find_root(f, bucket, prefix, &dir) : 0;

	if (rc < 0)
		return rc;
	f->root = node_get(f, dir, bucket.len ? FS_DIR : FS_ROOT, 0, (struct str){NULL, 0}, 0);
	return f->root ? 0 : -ENOMEM;
}

void fs_memory_unref(struct fs *f)
{
	if (atomic_fetch_sub(&f->memory_refs, 1) != 1)
		return;
	if (f->stripes)
		pool_free(f->stripes);
	free(f);
}

static struct fs *fs_destroy(struct fs *f)
{
	if (f->root)
		node_unref(f->root);
	ASSERT(list_empty(&f->dirty));
	if (f->nodes.count) /* the kernel closes and forgets nothing when a connection is cut */
		log_debug("fs", "nodes were not forgotten n=%zu", f->nodes.count);
	while (f->nodes.count) {
		struct fs_node *n = nodes_any(f);

		node_ref(n);
		while (!list_empty(&n->files))
			fs_release(LIST_ENTRY(n->files.next, struct fs_file, open));
		dirs_close(n);
		fs_forget(n, n->refs);
	}
	hash_done(&f->nodes);
	cond_destroy(&f->dirty_cond);
	mutex_destroy(&f->dirty_lock);
	mutex_destroy(&f->nodes_lock);
	fs_memory_unref(f);
	return NULL;
}

struct fs *fs_new(const struct fs_params *p, int *ret_rc)
{
	struct fs *f = calloc(1, sizeof *f);
	int rc;

	if (!f) {
		*ret_rc = -ENOMEM;
		return NULL;
	}
	atomic_init(&f->memory_refs, 1);
	f->s = p->store;
	f->set = object_store_set(p->store);
	f->mount = p->mount;
	f->name_told = p->name_told;
	f->start_ns = clock_wall_ns();
	mutex_init(&f->nodes_lock, LOCK_INODE);
	mutex_init(&f->dirty_lock, LOCK_HANDLE);
	cond_init(&f->dirty_cond);
	hash_init(&f->nodes);
	list_init(&f->dirty);
	list_init(&f->moves);
	CLEANUP_ERASURE struct erasure_set *e = meta_erasure_hold(f->set);
	f->stripe_bytes = erasure_stripe_bytes(e, SEGMENT_LARGE);
	f->stripes = pool_new(ALIGN_UP(f->stripe_bytes + sizeof(struct stripe_tail), (size_t)4096), STRIPES_KEPT, 0);
	rc = f->stripes ? open_root(f, p->bucket, p->prefix) : -ENOMEM;
	if (rc == 0)
		rc = thread_start(&f->thread, "qn-fs-dirty", fs_dirty_main, f);
	*ret_rc = rc;
	if (rc < 0)
		return fs_destroy(f);
	return f;
}

struct fs *fs_free(struct fs *f)
{
	if (!f)
		return NULL;
	mutex_lock(&f->dirty_lock);
	f->stop = true;
	cond_signal(&f->dirty_cond);
	mutex_unlock(&f->dirty_lock);
	thread_join(f->thread);
	if (fs_publish_all(f, clock_mono_ns()) < 0)
		log_error("fs", "some files could not be published before the end; what was written to them since is lost");
	fs_discard_all(f);
	return fs_destroy(f);
}

int fs_root(struct fs *f, struct fs_node **ret)
{
	*ret = node_ref(f->root);
	return 0;
}

/* ---- Figures ----------------------------------------------------------------------------------------------- */
static uint64_t files_of(struct fs *f)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct meta_iter *it;
	struct meta_row row;
	struct row_usage u;
	uint64_t sum = 0;
	int rc;

	if (meta_view_open(f->set, &v) < 0 || meta_iter_open(v, TABLE_USAGE, &it) < 0)
		return 0;
	for (rc = meta_iter_seek(it, "", 0, &row); rc == 1; rc = meta_iter_next(it, &row))
		if (row_usage_decode(row.body, &u) == 0)
			sum += u.objects;
	meta_iter_close(it);
	return sum;
}

/* Usable bytes: the drive with the least decides for all, parity does not count. */
int fs_statfs(struct fs *f, struct op_ctx *ctx, struct fs_node *n, struct statvfs *ret)
{
	uint64_t total = UINT64_MAX, free = UINT64_MAX;
	struct meta_stats st;

	meta_stats(f->set, &st);
	for (unsigned i = 0; i < st.n; i++) {
		CLEANUP_DRIVE struct drive *d = meta_drive_of(f->set, i);
		struct drive_space sp;

		if (!d || drive_space(d, &sp) < 0)
			continue;
		total = MIN(total, sp.total_bytes);
		free = MIN(free, sp.free_bytes);
	}
	if (total == UINT64_MAX)
		total = free = 0;
	memset(ret, 0, sizeof *ret);
	ret->f_bsize = ret->f_frsize = FS_BLOCK;
	ret->f_blocks = total * st.k / FS_BLOCK;
	ret->f_bfree = ret->f_bavail = free * st.k / FS_BLOCK;
	/* No inode is ever used up: as many as could have a block each. */
	ret->f_files = files_of(f) + ret->f_bfree;
	ret->f_ffree = ret->f_favail = ret->f_bfree;
	ret->f_namemax = FS_NAME_MAX;
	return 0;
}

int fs_syncfs(struct fs *f)
{
	int rc = fs_publish_all(f, clock_mono_ns()), sync = meta_sync(f->set);

	return rc < 0 ? rc : sync;
}
