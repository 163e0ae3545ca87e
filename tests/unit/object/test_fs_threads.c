/* SPDX-License-Identifier: Apache-2.0
 *
 * Many threads on a few names and files, with S3 beside them: nothing hangs, nobody sees an error that no order of the
 * operations could give, and the counters are exact in the end.
 */
#include "base/thread.h"
#include "fs_unit.h"

#define THREADS 6

static const char *const names[] = {"a", "b", "c", "d"};

struct worker {
	struct fsfix *x;
	struct fs_node *sub;
	struct op_ctx ctx;
	uint64_t rnd;
	unsigned ops;
	pthread_t thread;
};

static unsigned rnd(struct worker *w, unsigned n)
{
	w->rnd ^= w->rnd << 13;
	w->rnd ^= w->rnd >> 7;
	w->rnd ^= w->rnd << 17;
	return (unsigned)(w->rnd % n);
}

static void expect(int rc)
{
	int eno = rc < 0 ? err_errno(rc) : 0;

	if (eno && eno != ENOENT && eno != EEXIST && eno != ENOTEMPTY && eno != ENXIO)
		fail_msg("%s", err_text(rc));
}

static struct fs_node *any_dir(struct worker *w)
{
	return rnd(w, 2) ? w->x->dir : w->sub;
}

static struct str any_name(struct worker *w)
{
	return str_of(names[rnd(w, ARRAY_SIZE(names))]);
}

static void on_file(struct worker *w, struct fs_node *n)
{
	static const uint8_t bytes[70000];
	uint8_t got[4096];
	struct fs_file *file;
	struct stat st = {.st_size = (off_t)rnd(w, 100000)};

	expect(fs_open(w->x->fs, &w->ctx, n, rnd(w, 4) ? O_RDWR : O_RDWR | O_TRUNC, &file));
	for (unsigned i = rnd(w, 4); i > 0; i--) {
		expect((int)MIN(fs_write(file, &w->ctx, bytes, 1 + rnd(w, sizeof bytes), rnd(w, 200000)), 0));
		expect((int)MIN(fs_read(file, &w->ctx, got, sizeof got, rnd(w, 200000)), 0));
	}
	if (rnd(w, 6) == 0)
		expect(fs_fsync(file, &w->ctx, false));
	if (rnd(w, 6) == 0)
		expect(fs_setattr(w->x->fs, &w->ctx, n, &st, FS_SET_SIZE, &st));
	if (rnd(w, 6) == 0)
		expect(fs_setxattr(w->x->fs, &w->ctx, n, STR_LIT("user.k"), "v", 1, 0));
	expect(fs_flush(file, &w->ctx));
	fs_release(file);
}

static void list(struct worker *w)
{
	struct fs_dirent de;
	struct fs_dir *d;
	uint64_t off = 0;

	expect(fs_opendir(w->x->fs, &w->ctx, any_dir(w), &d));
	while (fs_readdir(d, &w->ctx, off, true, &de) == 1) {
		off = de.next;
		if (de.node)
			fs_forget(de.node, 1);
	}
	fs_closedir(d);
}

/* Whatever happens to the key meanwhile, what was opened is read to the end. */
static void s3_read(struct fix *f, const char *key)
{
	struct object_handle *h = fix_get(f, str_of(key));
	uint64_t size, at = 0;
	uint8_t got[20000];

	if (!h)
		return;
	size = object_handle_info(h)->size;
	for (; at < size; at += MIN(size - at, sizeof got))
		assert_int_equal(object_read(h, at, (size_t)MIN(size - at, sizeof got), got, 0), 0);
	object_close(h);
}

static void s3(struct worker *w)
{
	struct fix f = w->x->f;
	char key[16];

	op_ctx_init(&f.ctx, OP_S3);
	snprintf(key, sizeof key, "%s%s", rnd(w, 2) ? "sub/" : "", names[rnd(w, ARRAY_SIZE(names))]);
	if (rnd(w, 2))
		s3_read(&f, key);
	else if (rnd(w, 2))
		assert_int_equal(fix_put(&f, str_of(key), rnd(w, 100000), 1), 0);
	else
		assert_int_equal(fix_delete(&f, str_of(key)), 0);
	op_ctx_done(&f.ctx);
}

static void one(struct worker *w)
{
	struct fs *fs = w->x->fs;
	struct fs_node *n = NULL, *dir = any_dir(w);
	struct fs_file *file;
	struct str name = any_name(w);
	struct stat st;
	int rc;

	switch (rnd(w, 9)) {
	case 0:
		rc = fs_create(fs, &w->ctx, dir, name, 0644, O_RDWR, &n, &file, &st);
		expect(rc);
		if (rc == 0) {
			fs_release(file);
			fs_forget(n, 1);
		}
		break;
	case 1:
		expect(fs_unlink(fs, &w->ctx, dir, name));
		break;
	case 2:
		expect(fs_rename(fs, &w->ctx, dir, name, any_dir(w), any_name(w), rnd(w, 3)));
		break;
	case 3:
		list(w);
		break;
	case 4:
		s3(w);
		break;
	default:
		rc = fs_lookup(fs, &w->ctx, dir, name, &n, &st);
		expect(rc);
		if (rc < 0)
			break;
		if (rnd(w, 4) == 0) {
			rc = fs_link(fs, &w->ctx, n, any_dir(w), any_name(w), &st);
			expect(rc);
			if (rc == 0)
				fs_forget(n, 1);
		} else {
			on_file(w, n);
		}
		fs_forget(n, 1);
	}
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	for (unsigned i = 0; i < w->ops; i++) {
		arena_reset(&w->ctx.arena);
		one(w);
	}
	return NULL;
}

static void threads_do_no_harm(void **state)
{
	const char *ops = getenv("QUOIN_OPS");
	struct worker w[THREADS];
	struct fs_node *sub;
	struct fsfix x;

	fsfix_open(&x);
	sub = x_mkdir(&x, x.dir, "sub");
	for (unsigned i = 0; i < THREADS; i++) {
		w[i] = (struct worker){.x = &x, .sub = sub, .rnd = 77 + i, .ops = ops ? (unsigned)strtoul(ops, NULL, 10) : 400};
		op_ctx_init(&w[i].ctx, OP_FUSE);
		assert_int_equal(thread_start(&w[i].thread, "qn-test", worker_main, &w[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		thread_join(w[i].thread);
		op_ctx_done(&w[i].ctx);
	}
	fs_forget(sub, 1);
	fsfix_close(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
