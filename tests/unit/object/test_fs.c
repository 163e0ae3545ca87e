/* SPDX-License-Identifier: Apache-2.0 */
#include "fs_unit.h"

static void names_come_and_go(void **state)
{
	struct fsfix x;
	struct fs_node *d, *n;
	struct stat st;

	fsfix_open(&x);
	assert_int_equal(x_exists(&x, x.dir, "d", NULL), ENOENT);
	d = x_mkdir(&x, x.dir, "d");
	assert_int_equal(fs_mkdir(x.fs, &x.ctx, x.dir, STR_LIT("d"), 0700, &n, &st), -EEXIST);
	x_put(&x, d, "a", "one");
	x_assert_text(&x, d, "a", "one");
	assert_int_equal(x_exists(&x, d, "a", &st), 0);
	assert_int_equal(st.st_size, 3);
	assert_int_equal(st.st_uid, 1001);
	assert_int_equal(st.st_gid, 1002);
	assert_int_equal(st.st_mode, S_IFREG | 0644);
	assert_int_equal(fix_head(&x.f, STR_LIT("d/a")), 0);
	assert_int_equal(fix_head(&x.f, STR_LIT("d/")), 0);
	assert_int_equal(fs_rmdir(x.fs, &x.ctx, x.dir, STR_LIT("d")), -ENOTEMPTY);
	assert_int_equal(fs_unlink(x.fs, &x.ctx, x.dir, STR_LIT("d")), -EISDIR);
	assert_int_equal(fs_rmdir(x.fs, &x.ctx, d, STR_LIT("a")), -ENOTDIR);
	assert_int_equal(fs_unlink(x.fs, &x.ctx, d, STR_LIT("a")), 0);
	assert_int_equal(fs_unlink(x.fs, &x.ctx, d, STR_LIT("a")), -ENOENT);
	assert_int_equal(fs_rmdir(x.fs, &x.ctx, x.dir, STR_LIT("d")), 0);
	assert_int_equal(fs_getattr(x.fs, &x.ctx, d, &st), 0);
	assert_int_equal(st.st_nlink, 0);
	assert_int_equal(fs_create(x.fs, &x.ctx, d, STR_LIT("a"), 0644, O_RDWR, &n, &(struct fs_file *){NULL}, &st),
	                 -ENOENT);
	fs_forget(d, 1);
	assert_int_equal(fix_head(&x.f, STR_LIT("d/")), -QE_NO_SUCH_KEY);
	fsfix_close(&x);
}

static void a_new_file_is_one_change(void **state)
{
	struct fsfix x;
	struct fs_node *n;
	struct fs_file *file;
	struct stat st;

	fsfix_open(&x);
	uint64_t before = meta_applied_seq(x.f.set);
	assert_int_equal(fs_create(x.fs, &x.ctx, x.dir, STR_LIT("new"), 0644, O_CREAT | O_TRUNC | O_WRONLY, &n, &file, &st),
	                 0);
	assert_int_equal(fs_flush(file, &x.ctx), 0);
	fs_release(file);
	fs_forget(n, 1);
	assert_int_equal(meta_applied_seq(x.f.set), before + 1);
	fsfix_close(&x);
}

static void open_file_outlives_its_name(void **state)
{
	struct fsfix x;
	struct fs_file *file;
	struct stat st;
	char got[8];

	fsfix_open(&x);
	x_put(&x, x.dir, "a", "old");
	file = x_open(&x, x.dir, "a", O_RDWR);
	assert_int_equal(fs_unlink(x.fs, &x.ctx, x.dir, STR_LIT("a")), 0);
	assert_int_equal(fs_read(file, &x.ctx, got, sizeof got, 0), 3);
	assert_int_equal(fs_write(file, &x.ctx, "new", 3, 3), 3);
	assert_int_equal(fs_fsync(file, &x.ctx, false), 0);
	assert_int_equal(fs_read(file, &x.ctx, got, sizeof got, 0), 6);
	assert_memory_equal(got, "oldnew", 6);
	assert_int_equal(fs_getattr(x.fs, &x.ctx, fs_file_node(file), &st), 0);
	assert_int_equal(st.st_nlink, 0);
	assert_int_equal(st.st_size, 6);
	x_close(&x, file);
	fsfix_close(&x);
}

static void s3_replace_leaves_open_files_alone(void **state)
{
	struct fsfix x;
	struct fs_file *file;
	struct fs_node *n, *again;
	uint8_t got[100000], want[100000];

	fsfix_open(&x);
	assert_int_equal(fix_put(&x.f, STR_LIT("k"), 100000, 1), 0);
	n = x_lookup(&x, x.dir, "k");
	assert_non_null(n);
	assert_int_equal(fix_put(&x.f, STR_LIT("k"), 50, 2), 0);
	/* The kernel looked it up before and opens it now: it must still work. */
	assert_int_equal(fs_open(x.fs, &x.ctx, n, O_RDONLY, &file), 0);
	assert_int_equal(fs_read(file, &x.ctx, got, sizeof got, 0), 100000);
	fix_bytes(want, sizeof want, 0, 1);
	assert_memory_equal(got, want, sizeof want);
	again = x_lookup(&x, x.dir, "k");
	assert_non_null(again);
	assert_int_not_equal(fs_node_ino(again), fs_node_ino(n));
	x_close(&x, file);
	fs_forget(n, 1);
	fs_forget(again, 1);
	fsfix_close(&x);
}

static void s3_readers_see_one_state(void **state)
{
	struct fsfix x;
	struct object_handle *h;
	struct fs_file *file;
	char big[200000];

	fsfix_open(&x);
	memset(big, 'x', sizeof big);
	assert_int_equal(fix_put(&x.f, STR_LIT("k"), 300000, 1), 0);
	h = fix_get(&x.f, STR_LIT("k"));
	assert_non_null(h);
	file = x_open(&x, x.dir, "k", O_RDWR);
	assert_int_equal(fs_write(file, &x.ctx, big, sizeof big, 1000), (ssize_t)sizeof big);
	assert_int_equal(fs_fsync(file, &x.ctx, false), 0);
	fix_assert_handle(h, 300000, 1);
	object_close(h);
	x_close(&x, file);
	fsfix_close(&x);
}

static int rename_to(struct fsfix *x, const char *from, const char *to, unsigned flags)
{
	return fs_rename(x->fs, &x->ctx, x->dir, str_of(from), x->dir, str_of(to), flags);
}

static void rename_is_posix(void **state)
{
	struct fsfix x;
	struct fs_node *d, *e, *n, *m;
	struct stat st;

	fsfix_open(&x);
	x_put(&x, x.dir, "a", "A");
	x_put(&x, x.dir, "b", "B");
	n = x_lookup(&x, x.dir, "a");
	assert_int_equal(rename_to(&x, "a", "b", RENAME_NOREPLACE), -EEXIST);
	assert_int_equal(rename_to(&x, "a", "c", RENAME_NOREPLACE), 0);
	x_assert_text(&x, x.dir, "c", "A");
	assert_int_equal(fs_getattr(x.fs, &x.ctx, n, &st), 0);
	assert_int_equal(rename_to(&x, "c", "b", 0), 0);
	x_assert_text(&x, x.dir, "b", "A");
	assert_int_equal(fs_getattr(x.fs, &x.ctx, n, &st), 0);
	assert_int_equal(x_exists(&x, x.dir, "c", NULL), ENOENT);
	x_put(&x, x.dir, "z", "Z");
	assert_int_equal(rename_to(&x, "z", "b", RENAME_EXCHANGE), 0);
	x_assert_text(&x, x.dir, "b", "Z");
	x_assert_text(&x, x.dir, "z", "A");
	/* Directories: with what is below, not below themselves, over empty ones only. */
	d = x_mkdir(&x, x.dir, "d");
	e = x_mkdir(&x, d, "e");
	m = x_mkdir(&x, x.dir, "m");
	x_put(&x, e, "f", "deep");
	assert_int_equal(fs_rename(x.fs, &x.ctx, x.dir, STR_LIT("d"), e, STR_LIT("q"), 0), -EINVAL);
	assert_int_equal(rename_to(&x, "b", "d", 0), -EISDIR);
	assert_int_equal(rename_to(&x, "d", "b", 0), -ENOTDIR);
	assert_int_equal(rename_to(&x, "m", "d", 0), -ENOTEMPTY);
	assert_int_equal(rename_to(&x, "d", "m", 0), 0);
	assert_int_equal(fix_head(&x.f, STR_LIT("m/e/f")), 0);
	assert_int_equal(fix_head(&x.f, STR_LIT("d/e/f")), -QE_NO_SUCH_KEY);
	x_assert_text(&x, e, "f", "deep");
	assert_int_equal(fs_rename(x.fs, &x.ctx, d, STR_LIT("e"), x.dir, STR_LIT("e2"), 0), 0);
	assert_int_equal(fix_head(&x.f, STR_LIT("e2/f")), 0);
	/* A file and a directory change places. */
	assert_int_equal(rename_to(&x, "b", "e2", RENAME_EXCHANGE), 0);
	x_assert_text(&x, x.dir, "e2", "Z");
	assert_int_equal(fix_head(&x.f, STR_LIT("b/f")), 0);
	fs_forget(n, 1);
	fs_forget(m, 1);
	fs_forget(e, 1);
	fs_forget(d, 1);
	fsfix_close(&x);
}

static void hard_links_share(void **state)
{
	struct fsfix x;
	struct fs_node *n, *m;
	struct fs_file *file;
	struct stat st;

	fsfix_open(&x);
	x_put(&x, x.dir, "a", "first");
	n = x_lookup(&x, x.dir, "a");
	assert_int_equal(fs_link(x.fs, &x.ctx, n, x.dir, STR_LIT("b"), &st), 0);
	assert_int_equal(st.st_nlink, 2);
	fs_forget(n, 1);
	m = x_lookup(&x, x.dir, "b");
	assert_ptr_equal(n, m);
	file = x_open(&x, x.dir, "b", O_RDWR);
	assert_int_equal(fs_write(file, &x.ctx, "SECOND", 6, 0), 6);
	x_close(&x, file);
	x_assert_text(&x, x.dir, "a", "SECOND");
	fix_check(&x.f);
	assert_int_equal(rename_to(&x, "a", "b", 0), 0); /* one file: nothing happens */
	assert_int_equal(x_exists(&x, x.dir, "a", NULL), 0);
	assert_int_equal(rename_to(&x, "a", "c", 0), 0);
	assert_int_equal(fs_unlink(x.fs, &x.ctx, x.dir, STR_LIT("b")), 0);
	assert_int_equal(fs_getattr(x.fs, &x.ctx, n, &st), 0);
	assert_int_equal(st.st_nlink, 1);
	x_assert_text(&x, x.dir, "c", "SECOND");
	/* S3 replaces one name only. */
	assert_int_equal(fs_link(x.fs, &x.ctx, n, x.dir, STR_LIT("d"), &st), 0);
	fs_forget(n, 1);
	assert_int_equal(fix_put(&x.f, STR_LIT("c"), 10, 3), 0);
	x_assert_text(&x, x.dir, "d", "SECOND");
	fix_assert_content(&x.f, STR_LIT("c"), 10, 3);
	assert_int_equal(fs_unlink(x.fs, &x.ctx, x.dir, STR_LIT("d")), 0);
	fs_forget(n, 1);
	fs_forget(m, 1);
	fsfix_close(&x);
}

static void special_files(void **state)
{
	struct fsfix x;
	struct fs_node *n;
	struct stat st;
	struct str target;

	fsfix_open(&x);
	assert_int_equal(fs_symlink(x.fs, &x.ctx, x.dir, STR_LIT("l"), STR_LIT("to/where"), &n, &st), 0);
	assert_int_equal(st.st_size, 8);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(fs_readlink(x.fs, &x.ctx, n, &target), 0);
	assert_true(str_eqc(target, "to/where"));
	fs_forget(n, 1);
	assert_int_equal(fs_mknod(x.fs, &x.ctx, x.dir, STR_LIT("p"), S_IFIFO | 0600, 0, &n, &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
	fs_forget(n, 1);
	assert_int_equal(x_exists(&x, x.dir, "p", &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
	fsfix_close(&x);
}

static void implicit_directories_stay_when_the_mount_empties_them(void **state)
{
	struct fsfix x;
	struct fs_node *d;

	fsfix_open(&x);
	assert_int_equal(fix_put(&x.f, STR_LIT("p/q/r"), 10, 1), 0);
	d = x_lookup(&x, x.dir, "p");
	assert_non_null(d);
	assert_int_equal(x_exists(&x, d, "q", NULL), 0);
	/* S3 takes the last key: all of it goes. */
	assert_int_equal(fix_delete(&x.f, STR_LIT("p/q/r")), 0);
	assert_int_equal(x_exists(&x, x.dir, "p", NULL), ENOENT);
	fs_forget(d, 1);
	/* The mount takes it: the directory stays, and what is above. */
	assert_int_equal(fix_put(&x.f, STR_LIT("p/q/r"), 10, 1), 0);
	d = x_lookup(&x, x.dir, "p");
	struct fs_node *q = x_lookup(&x, d, "q");
	assert_int_equal(fs_unlink(x.fs, &x.ctx, q, STR_LIT("r")), 0);
	assert_int_equal(x_exists(&x, d, "q", NULL), 0);
	assert_int_equal(fix_head(&x.f, STR_LIT("p/q/")), 0);
	fs_forget(q, 1);
	assert_int_equal(fs_rmdir(x.fs, &x.ctx, d, STR_LIT("q")), 0);
	assert_int_equal(x_exists(&x, x.dir, "p", NULL), 0);
	fs_forget(d, 1);
	fsfix_close(&x);
}

static void aliases_reach_every_key(void **state)
{
	struct fsfix x;
	struct fs_node *d;
	char long_key[400];
	struct fs_dirent de;
	struct fs_dir *dir;
	uint64_t off = 0;
	unsigned seen = 0;

	fsfix_open(&x);
	memset(long_key, 'k', sizeof long_key);
	assert_int_equal(fix_put(&x.f, STR_LIT("a"), 5, 1), 0);
	assert_int_equal(fix_put(&x.f, STR_LIT("a/b"), 6, 1), 0);
	assert_int_equal(fix_put(&x.f, STR_LIT("."), 7, 1), 0);
	assert_int_equal(fix_put(&x.f, STR_LIT("s//t"), 8, 1), 0);
	assert_int_equal(fix_put(&x.f, (struct str){long_key, 300}, 9, 1), 0);
	assert_int_equal(fix_put(&x.f, (struct str){long_key, 400}, 10, 1), 0);
	assert_int_equal(fs_opendir(x.fs, &x.ctx, x.dir, &dir), 0);
	while (fs_readdir(dir, &x.ctx, off, true, &de) == 1) {
		off = de.next;
		if (!de.node)
			continue;
		seen |= 1u << (de.st.st_size == 4096 ? 0 : de.st.st_size);
		if (S_ISREG(de.st.st_mode)) {
			char name[256];

			snprintf(name, sizeof name, "%.*s", STR_FMT(de.name));
			assert_int_equal(x_exists(&x, x.dir, name, NULL), 0);
			assert_int_equal(fs_unlink(x.fs, &x.ctx, x.dir, str_of(name)), 0);
		}
		fs_forget(de.node, 1);
	}
	fs_closedir(dir);
	assert_int_equal(seen, 1 | 1 << 5 | 1 << 7 | 1 << 9 | 1 << 10);
	assert_int_equal(fix_head(&x.f, (struct str){long_key, 400}), -QE_NO_SUCH_KEY);
	d = x_lookup(&x, x.dir, "s");
	assert_int_equal(x_exists(&x, d, "%~e", NULL), 0);
	assert_int_equal(x_exists(&x, d, "%~ex", NULL), ENOENT);
	fs_forget(d, 1);
	fsfix_close(&x);
}

static void readdir_is_stable_under_changes(void **state)
{
	enum { N = 1500 };
	static bool got[N];
	struct fsfix x;
	struct fs_dirent de;
	struct fs_dir *dir;
	uint64_t off = 0, middle = 0;
	unsigned count = 0;
	char name[32], at_middle[32] = "";

	fsfix_open(&x);
	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof name, "n%06d", i * 2);
		fs_release(x_create(&x, x.dir, name));
	}
	assert_int_equal(fs_opendir(x.fs, &x.ctx, x.dir, &dir), 0);
	while (fs_readdir(dir, &x.ctx, off, false, &de) == 1) {
		int i;

		off = de.next;
		snprintf(name, sizeof name, "%.*s", STR_FMT(de.name));
		if (name[0] != 'n')
			continue;
		i = (int)strtol(name + 1, NULL, 10);
		if (middle && !at_middle[0])
			memcpy(at_middle, name, sizeof name);
		if (++count == 700)
			middle = off;
		if (i % 2 == 0 && name[7] == '\0') {
			assert_false(got[i / 2]);
			got[i / 2] = true;
		}
		/* Behind and ahead of us names come and go. */
		if (count % 3 == 0) {
			snprintf(name, sizeof name, "n%06d", i + 1);
			fs_release(x_create(&x, x.dir, name));
			assert_int_equal(fs_unlink(x.fs, &x.ctx, x.dir, str_of(name)), 0);
			snprintf(name, sizeof name, "n%06d_", i);
			fs_release(x_create(&x, x.dir, name));
		}
	}
	for (int i = 0; i < N; i++)
		assert_true(got[i]);
	assert_int_equal(fs_readdir(dir, &x.ctx, middle, false, &de), 1);
	fs_closedir(dir);
	fsfix_close(&x);
}

static void xattrs_are_metadata(void **state)
{
	struct fsfix x;
	struct fs_node *n;
	struct object_handle *h;
	struct str v;
	char got[256];

	fsfix_open(&x);
	x_put(&x, x.dir, "a", "text");
	n = x_lookup(&x, x.dir, "a");
	assert_int_equal(fs_setxattr(x.fs, &x.ctx, n, STR_LIT("user.color"), "blue", 4, XATTR_REPLACE), -ENODATA);
	assert_int_equal(fs_setxattr(x.fs, &x.ctx, n, STR_LIT("user.color"), "blue", 4, 0), 0);
	assert_int_equal(fs_setxattr(x.fs, &x.ctx, n, STR_LIT("user.color"), "red", 3, XATTR_CREATE), -EEXIST);
	assert_int_equal(fs_setxattr(x.fs, &x.ctx, n, STR_LIT("user.Bin"), "\0\1", 2, 0), 0);
	assert_int_equal(fs_setxattr(x.fs, &x.ctx, n, STR_LIT("user.s3.tag.K"), "V", 1, 0), 0);
	h = fix_get(&x.f, STR_LIT("a"));
	assert_true(row_kv_get(object_handle_info(h)->meta, STR_LIT("x-amz-meta-color"), &v));
	assert_true(str_eqc(v, "blue"));
	assert_true(row_kv_get(object_handle_info(h)->tags, STR_LIT("K"), &v));
	object_close(h);
	assert_int_equal(fs_getxattr(x.fs, &x.ctx, n, STR_LIT("user.color"), got, sizeof got), 4);
	assert_int_equal(fs_getxattr(x.fs, &x.ctx, n, STR_LIT("user.Bin"), got, sizeof got), 2);
	assert_int_equal(fs_getxattr(x.fs, &x.ctx, n, STR_LIT("quoin.etag"), got, sizeof got), 34);
	assert_int_equal(fs_getxattr(x.fs, &x.ctx, n, STR_LIT("system.posix_acl_access"), got, sizeof got), -EOPNOTSUPP);
	assert_int_equal(fs_listxattr(x.fs, &x.ctx, n, got, sizeof got), 9 + 11 + 14);
	assert_int_equal(fs_listxattr(x.fs, &x.ctx, n, got, 5), -ERANGE);
	assert_int_equal(fs_removexattr(x.fs, &x.ctx, n, STR_LIT("user.color")), 0);
	assert_int_equal(fs_getxattr(x.fs, &x.ctx, n, STR_LIT("user.color"), got, sizeof got), -ENODATA);
	fs_forget(n, 1);
	fsfix_close(&x);
}

static void attributes_change(void **state)
{
	struct fsfix x;
	struct fs_node *n;
	struct stat st = {.st_mode = 0600, .st_mtim = {1000, 5}}, out;

	fsfix_open(&x);
	x_put(&x, x.dir, "a", "text");
	n = x_lookup(&x, x.dir, "a");
	assert_int_equal(fs_setattr(x.fs, &x.ctx, n, &st, FS_SET_MODE | FS_SET_MTIME, &out), 0);
	assert_int_equal(out.st_mode, S_IFREG | 0600);
	assert_int_equal(out.st_mtim.tv_sec, 1000);
	assert_int_equal(out.st_mtim.tv_nsec, 5);
	st.st_size = 2;
	assert_int_equal(fs_setattr(x.fs, &x.ctx, n, &st, FS_SET_SIZE, &out), 0);
	assert_int_equal(out.st_size, 2);
	x_assert_text(&x, x.dir, "a", "te");
	fs_forget(n, 1);
	n = x_mkdir(&x, x.dir, "d");
	assert_int_equal(fs_setattr(x.fs, &x.ctx, n, &st, FS_SET_MODE, &out), 0);
	assert_int_equal(out.st_mode, S_IFDIR | 0600);
	fs_forget(n, 1);
	fsfix_close(&x);
}

static void buckets_are_directories_of_the_root(void **state)
{
	struct fsfix x;
	struct fs_node *n;
	struct stat st;

	fsfix_open(&x);
	assert_int_equal(fs_mkdir(x.fs, &x.ctx, x.root, STR_LIT("UPPER"), 0755, &n, &st), -EINVAL);
	assert_int_equal(fs_mkdir(x.fs, &x.ctx, x.root, STR_LIT("second"), 0750, &n, &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0750);
	assert_int_equal(st.st_uid, 1001);
	x_put(&x, n, "a", "x");
	assert_int_equal(fs_rename(x.fs, &x.ctx, n, STR_LIT("a"), x.dir, STR_LIT("a"), 0), -EXDEV);
	assert_int_equal(err_errno(fs_rmdir(x.fs, &x.ctx, x.root, STR_LIT("second"))), ENOTEMPTY);
	assert_int_equal(fs_unlink(x.fs, &x.ctx, n, STR_LIT("a")), 0);
	assert_int_equal(fs_rmdir(x.fs, &x.ctx, x.root, STR_LIT("second")), 0);
	fs_forget(n, 1);
	assert_int_equal(fs_create(x.fs, &x.ctx, x.root, STR_LIT("f"), 0644, O_RDWR, &n, &(struct fs_file *){NULL}, &st),
	                 -EPERM);
	fsfix_close(&x);
}

static void a_prefix_may_be_the_root(void **state)
{
	struct fs_params p = {.bucket = STR_LIT("bucket"), .prefix = STR_LIT("p/q/")};
	struct fs_node *root, *n;
	struct fsfix x;
	struct stat st;
	struct fs *fs;
	int rc;

	fsfix_open(&x);
	assert_int_equal(fix_put(&x.f, STR_LIT("p/q/r"), 10, 1), 0);
	p.store = x.f.store;
	fs = fs_new(&p, &rc);
	assert_non_null(fs);
	assert_int_equal(fs_root(fs, &root), 0);
	assert_int_equal(fs_lookup(fs, &x.ctx, root, STR_LIT("r"), &n, &st), 0);
	assert_int_equal(st.st_size, 10);
	fs_forget(n, 1);
	fs_forget(root, 1);
	fs_free(fs);
	p.prefix = STR_LIT("absent");
	assert_null(fs_new(&p, &rc));
	assert_int_equal(rc, -ENOENT);
	p.bucket = STR_LIT("nobucket");
	assert_null(fs_new(&p, &rc));
	assert_int_equal(rc, -QE_NO_SUCH_BUCKET);
	fsfix_close(&x);
}

/* What the kernel had open is released by nobody: its changes are published, and nothing of it is left (ASan). */
static void a_cut_connection_closes_what_is_open(void **state)
{
	struct fsfix x;
	struct fs_file *file, *gone;
	struct fs_dir *dir;

	fsfix_open(&x);
	file = x_create(&x, x.dir, "a");
	gone = x_create(&x, x.dir, "gone");
	assert_int_equal(fs_write(file, &x.ctx, "text", 4, 0), 4);
	assert_int_equal(fs_write(gone, &x.ctx, "none", 4, 0), 4);
	assert_int_equal(fs_unlink(x.fs, &x.ctx, x.dir, STR_LIT("gone")), 0);
	assert_int_equal(fs_opendir(x.fs, &x.ctx, x.dir, &dir), 0);
	assert_non_null(x_lookup(&x, x.dir, "a"));
	fsfix_unmount(&x);
	fsfix_mount(&x);
	x_assert_text(&x, x.dir, "a", "text");
	assert_int_equal(x_exists(&x, x.dir, "gone", NULL), ENOENT);
	fsfix_close(&x);
}

/* ---- A kernel that is late ------------------------------------------------------------------------------------------- */
static struct {
	struct mutex lock;
	struct cond cond;
	bool late;
	unsigned settled;
	uint64_t dir[8]; /* the first of them */
} kernel;

static bool kernel_holds(void *mount, const struct notify_change *c)
{
	return true;
}

static void kernel_settles(void *mount, const struct notify_change *c)
{
	if (c->kind != NOTIFY_SETTLE)
		return;
	mutex_lock(&kernel.lock);
	while (kernel.late)
		cond_wait(&kernel.cond, &kernel.lock);
	if (kernel.settled < ARRAY_SIZE(kernel.dir))
		kernel.dir[kernel.settled] = c->parent;
	kernel.settled++;
	mutex_unlock(&kernel.lock);
}

static unsigned kernel_settled(void)
{
	MUTEX_GUARD(&kernel.lock);

	return kernel.settled;
}

struct asked {
	struct object_waiter w;
	struct fix_wait fw;
};

static void asked_done(struct object_waiter *w, int rc)
{
	fix_done(&CONTAINER_OF(w, struct asked, w)->fw, rc);
}

static bool ask(struct fsfix *x, struct asked *a)
{
	memset(a, 0, sizeof *a);
	fix_wait_init(&a->fw);
	a->w.done = asked_done;
	assert_int_equal(meta_sync(x->f.set), 0);
	return object_wait(x->f.store, meta_applied_seq(x->f.set), &a->w);
}

/* It has the answer to a change that it asked for, and its caller does not run: its names are the old ones. */
static void s3_shows_what_the_kernel_has_acted_on(void **state)
{
	static const struct notify_ops ops = {.held = kernel_holds, .deliver = kernel_settles};
	struct notify_mount *m;
	struct fs_node *d, *e[20];
	struct asked a;
	struct fsfix x;
	char name[8];

	fsfix_open(&x);
	mutex_init(&kernel.lock, LOCK_INODE);
	cond_init(&kernel.cond);
	m = notify_mount_add(x.f.store, &ops, &x);
	assert_non_null(m);
	kernel.late = true;
	d = x_mkdir(&x, x.dir, "d");
	x_close(&x, x_create(&x, d, "a"));
	assert_int_equal(rename_to(&x, "d", "e", 0), 0);
	/* Who changes something else reveals none of it. */
	assert_int_equal(fix_put(&x.f, STR_LIT("k"), 10, 1), 0);
	assert_int_equal(kernel_settled(), 0);
	assert_true(notify_done_seq(x.f.store) < meta_applied_seq(x.f.set));
	/* Who asks waits. */
	assert_false(ask(&x, &a));
	clock_sleep_ns(10 * NS_PER_MS);
	mutex_lock(&a.fw.lock);
	assert_false(a.fw.done);
	mutex_unlock(&a.fw.lock);
	mutex_lock(&kernel.lock);
	kernel.late = false;
	cond_broadcast(&kernel.cond);
	mutex_unlock(&kernel.lock);
	assert_int_equal(fix_wait_for(&a.fw), 0);
	/* Once for each directory, the one with the oldest change first. */
	assert_int_equal(kernel_settled(), 2);
	assert_int_equal(kernel.dir[0], fs_node_ino(x.dir));
	assert_int_equal(kernel.dir[1], fs_node_ino(d));
	assert_true(ask(&x, &a));
	assert_int_equal(kernel_settled(), 2);
	assert_true(notify_done_seq(x.f.store) >= meta_applied_seq(x.f.set));
	/* What nobody asks for does not pile up. */
	for (unsigned i = 0; i < ARRAY_SIZE(e); i++) {
		snprintf(name, sizeof name, "e%u", i);
		e[i] = x_mkdir(&x, x.dir, name);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(e); i++)
		x_close(&x, x_create(&x, e[i], "a"));
	while (kernel_settled() < 2 + 1 + ARRAY_SIZE(e) - 16)
		clock_sleep_ns(NS_PER_MS);
	assert_true(notify_done_seq(x.f.store) < meta_applied_seq(x.f.set));
	/* One that is gone has nothing to act on. */
	notify_mount_remove(m);
	assert_true(notify_done_seq(x.f.store) >= meta_applied_seq(x.f.set));
	for (unsigned i = 0; i < ARRAY_SIZE(e); i++)
		fs_forget(e[i], 1);
	fs_forget(d, 1);
	cond_destroy(&kernel.cond);
	mutex_destroy(&kernel.lock);
	fsfix_close(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_come_and_go),
		cmocka_unit_test(a_new_file_is_one_change),
		cmocka_unit_test(open_file_outlives_its_name),
		cmocka_unit_test(s3_replace_leaves_open_files_alone),
		cmocka_unit_test(s3_readers_see_one_state),
		cmocka_unit_test(rename_is_posix),
		cmocka_unit_test(hard_links_share),
		cmocka_unit_test(special_files),
		cmocka_unit_test(implicit_directories_stay_when_the_mount_empties_them),
		cmocka_unit_test(aliases_reach_every_key),
		cmocka_unit_test(readdir_is_stable_under_changes),
		cmocka_unit_test(xattrs_are_metadata),
		cmocka_unit_test(attributes_change),
		cmocka_unit_test(buckets_are_directories_of_the_root),
		cmocka_unit_test(a_prefix_may_be_the_root),
		cmocka_unit_test(a_cut_connection_closes_what_is_open),
		cmocka_unit_test(s3_shows_what_the_kernel_has_acted_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
