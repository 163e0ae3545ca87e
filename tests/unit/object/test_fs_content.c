/* SPDX-License-Identifier: Apache-2.0
 *
 * Random operations on the bytes of a few files, compared with a model in memory. QUOIN_SEED and QUOIN_OPS choose.
 */
#include "fs_unit.h"

#define FILES 3
#define SIZE_MAX_ (6u << 20)

struct model {
	uint8_t *bytes;
	uint64_t size;
	struct fs_file *file;
	char name[8];
};

static uint64_t rnd_state;

static uint64_t rnd(uint64_t n)
{
	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 7;
	rnd_state ^= rnd_state << 17;
	return n ? rnd_state % n : 0;
}

/* Lengths of all magnitudes. */
static uint64_t rnd_len(uint64_t max)
{
	return 1 + rnd(MIN(max, 1ull << (3 + rnd(19))));
}

static void check_range(struct fsfix *x, struct model *m, uint64_t off, uint64_t len)
{
	CLEANUP_FREE uint8_t *got = malloc(len + 1);
	ssize_t n = fs_read(m->file, &x->ctx, got, len, off);
	uint64_t want = off >= m->size ? 0 : MIN(len, m->size - off);

	assert_int_equal(n, (ssize_t)want);
	if (memcmp(got, m->bytes + off, want) != 0) {
		uint64_t i = 0;

		while (got[i] == m->bytes[off + i])
			i++;
		fail_msg("file %s differs at %llu (read %llu + %llu of %llu)", m->name, (unsigned long long)(off + i),
		         (unsigned long long)off, (unsigned long long)len, (unsigned long long)m->size);
	}
}

static void check_s3(struct fsfix *x, struct model *m)
{
	struct object_handle *h;
	CLEANUP_FREE uint8_t *got = malloc(m->size + 1);
	uint32_t crc;

	assert_int_equal(fs_fsync(m->file, &x->ctx, false), 0);
	h = fix_get(&x->f, str_of(m->name));
	assert_non_null(h);
	assert_int_equal(object_handle_info(h)->size, m->size);
	if (m->size)
		assert_int_equal(object_read(h, 0, m->size, got, 0), 0);
	assert_memory_equal(got, m->bytes, m->size);
	crc = checksum_crc32c(0, m->bytes, m->size);
	assert_int_equal(object_handle_info(h)->crc32c, crc);
	assert_true(object_handle_info(h)->crc64nvme == checksum_crc64nvme(0, m->bytes, m->size));
	object_close(h);
}

static void reopen(struct fsfix *x, struct model *m)
{
	x_close(x, m->file);
	m->file = x_open(x, x->dir, m->name, O_RDWR);
}

static void do_write(struct fsfix *x, struct model *m)
{
	uint64_t off = rnd(4) ? rnd(m->size + 1) : rnd(SIZE_MAX_), len = rnd_len(SIZE_MAX_ - MIN(off, SIZE_MAX_ - 1));
	CLEANUP_FREE uint8_t *p = NULL;

	if (rnd(3) == 0)
		off = m->size;
	if (off >= SIZE_MAX_)
		return;
	len = MIN(len, SIZE_MAX_ - off);
	p = malloc(len);
	fix_bytes(p, len, 0, rnd(1u << 30));
	assert_int_equal(fs_write(m->file, &x->ctx, p, len, off), (ssize_t)len);
	memcpy(m->bytes + off, p, len);
	m->size = MAX(m->size, off + len);
}

static void do_truncate(struct fsfix *x, struct model *m)
{
	uint64_t to = rnd(3) ? rnd(m->size + 1) : rnd(SIZE_MAX_);
	struct stat st = {.st_size = (off_t)to}, out;

	assert_int_equal(fs_setattr(x->fs, &x->ctx, fs_file_node(m->file), &st, FS_SET_SIZE, &out), 0);
	assert_int_equal(out.st_size, to);
	if (to < m->size)
		memset(m->bytes + to, 0, m->size - to);
	m->size = to;
}

static void do_punch(struct fsfix *x, struct model *m)
{
	uint64_t off = rnd(m->size + 1), len = rnd_len(SIZE_MAX_);
	bool zero = rnd(2);
	int mode = zero ? FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE : FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	assert_int_equal(fs_fallocate(m->file, &x->ctx, mode, off, len), 0);
	if (off < m->size)
		memset(m->bytes + off, 0, MIN(len, m->size - off));
}

static void do_copy(struct fsfix *x, struct model *from, struct model *to)
{
	uint64_t off = rnd(from->size + 1), at = rnd(to->size + 1), len = rnd_len(SIZE_MAX_);

	len = MIN(len, SIZE_MAX_ - at);
	if (from == to && off < at + len && at < off + len)
		return;
	while (len) {
		ssize_t n = fs_copy_range(from->file, off, to->file, at, len, &x->ctx);

		assert_true(n >= 0);
		if (n == 0)
			break;
		memmove(to->bytes + at, from->bytes + off, (size_t)n);
		off += (uint64_t)n;
		at += (uint64_t)n;
		len -= (uint64_t)n;
		to->size = MAX(to->size, at);
	}
}

/* Data and holes cover the file; holes read as zeros. */
static void check_seek(struct fsfix *x, struct model *m)
{
	uint64_t at = 0;

	while (at < m->size) {
		int64_t data = fs_lseek(m->file, &x->ctx, at, SEEK_DATA), hole;
		uint64_t until = data == -ENXIO ? m->size : (uint64_t)data;

		assert_true(until >= at);
		for (; at < until; at++)
			assert_int_equal(m->bytes[at], 0);
		if (at == m->size)
			break;
		hole = fs_lseek(m->file, &x->ctx, at, SEEK_HOLE);
		assert_true(hole > (int64_t)at);
		at = (uint64_t)hole;
	}
}

static void one(struct fsfix *x, struct model *m, struct model *all)
{
	switch (rnd(14)) {
	case 0:
		do_truncate(x, m);
		break;
	case 1:
		do_punch(x, m);
		break;
	case 2:
		do_copy(x, &all[rnd(FILES)], m);
		break;
	case 3:
		reopen(x, m);
		break;
	case 4:
		if (rnd(4) == 0)
			check_s3(x, m);
		break;
	case 5:
		if (rnd(8) == 0)
			check_seek(x, m);
		break;
	case 6:
	case 7:
	case 8:
		check_range(x, m, rnd(m->size + 100), rnd_len(SIZE_MAX_));
		break;
	default:
		do_write(x, m);
	}
}

static void bytes_follow_the_model(void **state)
{
	const char *seed = getenv("QUOIN_SEED"), *ops = getenv("QUOIN_OPS");
	unsigned n = ops ? (unsigned)strtoul(ops, NULL, 10) : 1500;
	struct model m[FILES];
	struct fsfix x;

	rnd_state = seed ? strtoull(seed, NULL, 10) : 12345;
	fsfix_open(&x);
	for (unsigned i = 0; i < FILES; i++) {
		m[i] = (struct model){.bytes = calloc(1, 2 * SIZE_MAX_)};
		snprintf(m[i].name, sizeof m[i].name, "f%u", i);
		m[i].file = x_create(&x, x.dir, m[i].name);
	}
	for (unsigned i = 0; i < n; i++) {
		one(&x, &m[rnd(FILES)], m);
		if (i % 500 == 499)
			fix_check(&x.f);
	}
	for (unsigned i = 0; i < FILES; i++) {
		check_s3(&x, &m[i]);
		check_seek(&x, &m[i]);
		check_range(&x, &m[i], 0, SIZE_MAX_);
		x_close(&x, m[i].file);
	}
	/* And after a restart. */
	fsfix_unmount(&x);
	fix_stop(&x.f, false);
	fix_start(&x.f);
	fsfix_mount(&x);
	for (unsigned i = 0; i < FILES; i++) {
		m[i].file = x_open(&x, x.dir, m[i].name, O_RDONLY);
		check_range(&x, &m[i], 0, SIZE_MAX_);
		fs_release(m[i].file);
		assert_int_equal(fs_unlink(x.fs, &x.ctx, x.dir, str_of(m[i].name)), 0);
		free(m[i].bytes);
	}
	fsfix_close(&x);
}

static void appends_do_not_overlap(void **state)
{
	struct fs_file *a, *b;
	struct fsfix x;
	struct stat st;

	fsfix_open(&x);
	fs_release(x_create(&x, x.dir, "log"));
	a = x_open(&x, x.dir, "log", O_WRONLY | O_APPEND);
	b = x_open(&x, x.dir, "log", O_WRONLY | O_APPEND);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(fs_write(a, &x.ctx, "aaaa\n", 5, 0), 5);
		assert_int_equal(fs_write(b, &x.ctx, "bbbb\n", 5, 0), 5);
	}
	x_close(&x, a);
	x_close(&x, b);
	assert_int_equal(x_exists(&x, x.dir, "log", &st), 0);
	assert_int_equal(st.st_size, 1000);
	fsfix_close(&x);
}

/* A file of many small extents, written at random places: only the touched runs of its map are written again. */
static void scattered_writes_touch_few_rows(void **state)
{
	enum { BLOCKS = 2000 };
	static uint8_t want[BLOCKS][4096], got[4096];
	struct fs_file *file;
	struct fsfix x;

	rnd_state = 99;
	fsfix_open(&x);
	file = x_create(&x, x.dir, "db");
	for (unsigned i = 0; i < 3 * BLOCKS; i++) {
		unsigned at = (unsigned)rnd(BLOCKS);

		fix_bytes(want[at], 4096, 0, i);
		assert_int_equal(fs_write(file, &x.ctx, want[at], 4096, at * 4096ull), 4096);
		if (i % 16 == 0)
			assert_int_equal(fs_flush(file, &x.ctx), 0);
	}
	for (unsigned i = 0; i < BLOCKS; i++) {
		ssize_t n = fs_read(file, &x.ctx, got, 4096, i * 4096ull);

		assert_true(n >= 0);
		assert_memory_equal(got, want[i], (size_t)n);
	}
	x_close(&x, file);
	fsfix_close(&x);
}

static bool holds_all(void *mount, const struct notify_change *c)
{
	return true;
}

struct told {
	atomic_uint data;
	uint64_t ino;
};

static void note_data(void *mount, const struct notify_change *c)
{
	struct told *t = mount;

	if (c->kind == NOTIFY_DATA) {
		t->ino = c->ino;
		atomic_fetch_add(&t->data, 1);
	}
}

static bool opens_with_its_cache(struct fsfix *x, struct fs_node *n)
{
	struct fs_file *file;

	assert_int_equal(fs_open(x->fs, &x->ctx, n, O_RDONLY, &file), 0);
	bool keeps = fs_file_keeps_cache(file);
	fs_release(file);
	return keeps;
}

/* The kernel has taken the pages for written: it must hear that they were given up. Who opens the file before it has heard
 * would be shown new bytes with the old size. */
static void lost_bytes_leave_the_page_cache(void **state)
{
	static const struct notify_ops ops = {.held = holds_all, .deliver = note_data};
	struct told told = {0};
	struct notify_mount *m;
	struct fs_file *file;
	struct fs_node *n;
	struct fsfix x;
	struct stat st;

	fsfix_open(&x);
	file = x_create(&x, x.dir, "k");
	n = x_lookup(&x, x.dir, "k");
	assert_int_equal(fs_write(file, &x.ctx, "old", 3, 0), 3);
	assert_int_equal(fs_fsync(file, &x.ctx, false), 0);
	m = notify_mount_add(x.f.store, &ops, &told);
	assert_int_equal(fs_write(file, &x.ctx, "newer", 5, 0), 5);
	for (unsigned i = 0; i < 2; i++)
		drive_set_out(x.f.drive[i], true, "test");
	assert_true(fs_flush(file, &x.ctx) < 0);
	assert_true(opens_with_its_cache(&x, n));
	fs_release(file);
	assert_false(opens_with_its_cache(&x, n));
	while (atomic_load(&told.data) == 0)
		clock_sleep_ns(NS_PER_MS);
	assert_int_equal(told.ino, fs_node_ino(n));
	fs_forget(n, 1);
	assert_int_equal(x_exists(&x, x.dir, "k", &st), 0);
	assert_int_equal(st.st_size, 3);
	notify_mount_remove(m);
	fsfix_close(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_follow_the_model),
		cmocka_unit_test(appends_do_not_overlap),
		cmocka_unit_test(scattered_writes_touch_few_rows),
		cmocka_unit_test(lost_bytes_leave_the_page_cache),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
