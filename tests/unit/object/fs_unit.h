/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of the mount's side share: an fs over a store of temporary directories, without a kernel.
 */
#ifndef QUOIN_TESTS_UNIT_OBJECT_FS_UNIT_H
#define QUOIN_TESTS_UNIT_OBJECT_FS_UNIT_H

#include "object/fs.h"

#include <fcntl.h>
#include <sys/xattr.h>

#include "store_unit.h"

struct fsfix {
	struct fix f;
	struct fs *fs;
	struct fs_node *root; /* of the mount */
	struct fs_node *dir;  /* of `bucket` */
	struct op_ctx ctx;
};

static inline void fsfix_mount(struct fsfix *x)
{
	struct fs_params p = {.store = x->f.store, .mount = x};
	struct stat st;
	int rc;

	x->fs = fs_new(&p, &rc);
	assert_non_null(x->fs);
	assert_int_equal(fs_root(x->fs, &x->root), 0);
	assert_int_equal(fs_lookup(x->fs, &x->ctx, x->root, STR_LIT("bucket"), &x->dir, &st), 0);
}

static inline void fsfix_unmount(struct fsfix *x)
{
	fs_forget(x->dir, 1);
	fs_forget(x->root, 1);
	x->fs = fs_free(x->fs);
}

static inline void fsfix_open_on(struct fsfix *x, bool faulty)
{
	memset(x, 0, sizeof *x);
	if (faulty)
		fix_open_faulty(&x->f);
	else
		fix_open(&x->f);
	op_ctx_init(&x->ctx, OP_FUSE);
	x->ctx.uid = 1001;
	x->ctx.gid = 1002;
	fsfix_mount(x);
}

static inline void fsfix_open(struct fsfix *x)
{
	fsfix_open_on(x, false);
}

static inline void fsfix_close(struct fsfix *x)
{
	fsfix_unmount(x);
	op_ctx_done(&x->ctx);
	fix_close(&x->f);
}

static inline struct fs_node *x_lookup(struct fsfix *x, struct fs_node *dir, const char *name)
{
	struct fs_node *n;
	struct stat st;

	return fs_lookup(x->fs, &x->ctx, dir, str_of(name), &n, &st) == 0 ? n : NULL;
}

/* 0 or a positive errno */
static inline int x_exists(struct fsfix *x, struct fs_node *dir, const char *name, struct stat *st)
{
	struct fs_node *n;
	struct stat own;
	int rc = fs_lookup(x->fs, &x->ctx, dir, str_of(name), &n, st ? st : &own);

	if (rc < 0)
		return err_errno(rc);
	fs_forget(n, 1);
	return 0;
}

static inline struct fs_node *x_mkdir(struct fsfix *x, struct fs_node *dir, const char *name)
{
	struct fs_node *n;
	struct stat st;

	assert_int_equal(fs_mkdir(x->fs, &x->ctx, dir, str_of(name), 0755, &n, &st), 0);
	return n;
}

static inline struct fs_file *x_create(struct fsfix *x, struct fs_node *dir, const char *name)
{
	struct fs_file *file;
	struct fs_node *n;
	struct stat st;

	assert_int_equal(fs_create(x->fs, &x->ctx, dir, str_of(name), 0644, O_RDWR, &n, &file, &st), 0);
	fs_forget(n, 1);
	return file;
}

static inline struct fs_file *x_open(struct fsfix *x, struct fs_node *dir, const char *name, int flags)
{
	struct fs_node *n = x_lookup(x, dir, name);
	struct fs_file *file = NULL;

	assert_non_null(n);
	assert_int_equal(fs_open(x->fs, &x->ctx, n, flags, &file), 0);
	fs_forget(n, 1);
	return file;
}

static inline void x_close(struct fsfix *x, struct fs_file *file)
{
	assert_int_equal(fs_flush(file, &x->ctx), 0);
	fs_release(file);
}

static inline void x_put(struct fsfix *x, struct fs_node *dir, const char *name, const char *text)
{
	struct fs_file *file = x_create(x, dir, name);

	assert_int_equal(fs_write(file, &x->ctx, text, strlen(text), 0), (ssize_t)strlen(text));
	x_close(x, file);
}

static inline void x_assert_text(struct fsfix *x, struct fs_node *dir, const char *name, const char *text)
{
	struct fs_file *file = x_open(x, dir, name, O_RDONLY);
	char got[256];
	ssize_t n = fs_read(file, &x->ctx, got, sizeof got, 0);

	assert_int_equal(n, (ssize_t)strlen(text));
	assert_memory_equal(got, text, (size_t)n);
	x_close(x, file);
}

#endif
