/* SPDX-License-Identifier: Apache-2.0
 *
 * Files of dead segments that become the next segments.
 */
#include "fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

#define SEGMENT (4u << 20)
#define LENGTH 7900000u /* of two of these cells a segment is full */
#define GIB (1ull << 30)

static struct drive_ops roomy; /* a drive that says how much room it has */
static uint64_t total, left;

static int say_space(struct drive *d, struct drive_space *ret)
{
	*ret = (struct drive_space){.total_bytes = total, .free_bytes = left};
	return 0;
}

static void start(struct fixture *f, unsigned spares, bool faulty)
{
	total = 64 * GIB;
	left = 32 * GIB;
	fixture_start(f, 3, 2, 1, SEGMENT, faulty);
	roomy = *f->drive[0]->ops;
	roomy.space = say_space;
	for (unsigned i = 0; i < f->n; i++)
		f->drive[i]->ops = &roomy;
	f->set->spares = spares;
}

static void flush(struct fixture *f)
{
	struct erasure_flush fl[8];

	for (unsigned slot = 0; slot < f->n; slot++) {
		unsigned n = erasure_flush_begin(f->set, slot, fl, 8);
		for (unsigned i = 0; i < n; i++)
			erasure_flush_done(f->set, &fl[i], drive_sync(fl[i].file) == 0);
	}
}

static void ignore(void *arg, const struct segment_info *info)
{
}

static void segment_dies(struct fixture *f, uint64_t id)
{
	struct segment_info info;

	assert_true(erasure_segment_get(f->set, id, &info));
	info.state = SEGMENT_DEAD;
	assert_int_equal(erasure_segment_add(f->set, &info), 0);
	assert_int_equal(erasure_segment_remove(f->set, id), 0);
}

/* A segment that a blob fills, sealed. */
static uint64_t make_full(struct fixture *f, uint64_t seed, uint64_t len)
{
	struct erasure_blob b;

	assert_int_equal(blob_write(f, seed, len, &b), 0);
	uint64_t id = b.segment;
	erasure_blob_free(&b);
	erasure_seal_open(f->set, ignore, NULL);
	return id;
}

static void one_dies(struct fixture *f, uint64_t seed)
{
	uint64_t id = make_full(f, seed, LENGTH);

	flush(f);
	segment_dies(f, id);
}

static unsigned files(struct fixture *f, unsigned slot, const char *dir)
{
	char path[160];
	unsigned n = 0;

	snprintf(path, sizeof path, "%s/d%02u/%s", f->root, slot, dir);
	DIR *dp = opendir(path);
	if (!dp)
		return 0;
	for (struct dirent *e; (e = readdir(dp)) != NULL;)
		n += e->d_name[0] != '.';
	closedir(dp);
	return n;
}

static unsigned spares(struct fixture *f, unsigned slot)
{
	return files(f, slot, "spare");
}

static ino_t inode(struct fixture *f, unsigned slot, uint64_t segment)
{
	char path[160];
	struct stat st;

	segment_path(f, slot, segment, path, sizeof path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, SEGMENT);
	return st.st_ino;
}

static void a_dead_file_is_the_next_segments(void **state)
{
	struct drive_space space;
	struct erasure_blob b;
	struct fixture f;
	ino_t was[3];

	start(&f, 2, false);
	uint64_t id = make_full(&f, 1, LENGTH);
	for (unsigned i = 0; i < 3; i++)
		was[i] = inode(&f, i, id);
	flush(&f);
	segment_dies(&f, id);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(spares(&f, i), 1);
		assert_int_equal(files(&f, i, "seg"), 0);
		assert_int_equal(drive_space(f.drive[i], &space), 0);
		assert_int_equal(space.free_bytes, left + SEGMENT);
	}
	fixture_reopen(&f); /* as a new process */
	f.set->spares = 2;
	assert_int_equal(blob_write(&f, 2, 100000, &b), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(inode(&f, i, b.segment), was[i]);
		assert_int_equal(spares(&f, i), 0);
	}
	blob_expect(&f, &b, 2, NULL);
	/* The old header and the old cells are of no use to anybody. */
	fixture_reopen(&f);
	assert_int_equal(erasure_segment_add(f.set, &b.info), 0);
	blob_expect(&f, &b, 2, NULL);
	erasure_blob_free(&b);
	fixture_end(&f);
}

static void as_many_are_kept_as_asked_for(void **state)
{
	struct fixture f;

	start(&f, 2, false);
	uint64_t id[3];
	for (unsigned i = 0; i < 3; i++)
		id[i] = make_full(&f, i, LENGTH);
	flush(&f);
	for (unsigned i = 0; i < 3; i++)
		segment_dies(&f, id[i]);
	assert_int_equal(spares(&f, 0), 2);
	f.set->spares = 1;
	erasure_spares_tidy(f.set);
	assert_int_equal(spares(&f, 0), 1);
	f.set->segment_size *= 2; /* another configuration */
	erasure_spares_tidy(f.set);
	assert_int_equal(spares(&f, 0), 0);
	f.set->segment_size /= 2;
	f.set->spares = 0;
	one_dies(&f, 5);
	assert_int_equal(spares(&f, 0), 0);
	fixture_end(&f);
}

static void room_comes_first(void **state)
{
	struct fixture f;

	start(&f, 2, false);
	left = total / 4 - 1;
	one_dies(&f, 1);
	assert_int_equal(spares(&f, 0), 0);
	left = total / 4;
	one_dies(&f, 2);
	assert_int_equal(spares(&f, 0), 1);
	left = total / 8;
	erasure_spares_tidy(f.set);
	assert_int_equal(spares(&f, 0), 1);
	left = total / 8 - 1;
	erasure_spares_tidy(f.set);
	assert_int_equal(spares(&f, 0), 0);
	fixture_end(&f);
}

/* A write that has not ended might come to the file when it is another segment's. */
static void what_is_not_flushed_is_no_spare(void **state)
{
	struct fixture f;

	start(&f, 2, false);
	uint64_t id = make_full(&f, 1, LENGTH);
	segment_dies(&f, id);
	assert_int_equal(spares(&f, 0), 0);
	assert_int_equal(files(&f, 0, "seg"), 0);
	/* Nor is one that holds little. */
	id = make_full(&f, 2, LENGTH / 2);
	flush(&f);
	segment_dies(&f, id);
	assert_int_equal(spares(&f, 0), 0);
	fixture_end(&f);
}

/* Whatever fails on the way, the segment is made of a new file or its drive is left out, and what is read is right. */
static void a_spare_that_fails_is_no_loss(void **state)
{
	for (unsigned nth = 1; nth <= 12; nth++) {
		const struct fault_rule rule = {.kind = FAULT_ERROR, .slot = 1, .op = -1, .nth = (nth + 1) / 2, .once = nth % 2};
		struct erasure_blob b;
		struct fixture f;

		start(&f, 2, true);
		one_dies(&f, 1);
		assert_int_equal(spares(&f, 1), 1);
		fault_bench_rule(f.bench, &rule);
		assert_int_equal(blob_write(&f, 2, 100000, &b), 0);
		fault_bench_rule(f.bench, NULL);
		blob_expect(&f, &b, 2, NULL);
		erasure_blob_free(&b);
		fixture_end(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_dead_file_is_the_next_segments),
		cmocka_unit_test(as_many_are_kept_as_asked_for),
		cmocka_unit_test(room_comes_first),
		cmocka_unit_test(what_is_not_flushed_is_no_spare),
		cmocka_unit_test(a_spare_that_fails_is_no_loss),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
