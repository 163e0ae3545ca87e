/* SPDX-License-Identifier: Apache-2.0
 *
 * Space that comes back: of dead segments, of files that nothing names, of the unused rest of sealed segments.
 */
#include "heal_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "meta/heal.h"
#include "meta/set_internal.h"

static void release_nothing(void *arg)
{
}

/* Space of what is deleted comes back, by whole segments, when no copy and no view needs it. */
static void dead_segments_are_unlinked(void **state)
{
	struct fixture f;
	struct meta_view *v;

	fixture_start(&f, 3, 1, true);
	f.p.segment_size = 1u << 20;
	fixture_reopen(&f, ALL(&f));
	for (unsigned i = 1; i <= 12; i++)
		assert_int_equal(put_large(&f, META_DURABLE, i, i, 900000), 0);
	for (unsigned i = 21; i <= 30; i++)
		assert_int_equal(put_blob(&f, META_DURABLE, i, i, 20000), 0);
	assert_int_equal(meta_checkpoint(f.s), 0);
	unsigned before = segment_files(&f, ALL(&f));
	assert_true(before >= 3 * 7);
	assert_int_equal(meta_view_open(f.s, &v), 0);
	for (unsigned i = 2; i <= 12; i++)
		assert_int_equal(drop(&f, i), 0);
	assert_int_equal(meta_checkpoint(f.s), 0);
	assert_int_equal(segment_files(&f, ALL(&f)) >= before, 1); /* the view shows them */
	meta_view_close(v);
	mutex_lock(&f.s->checkpoint_lock);
	reclaim_run(f.s); /* with nothing new */
	mutex_unlock(&f.s->checkpoint_lock);
	assert_true(segment_files(&f, ALL(&f)) <= 3 * 4);
	for (unsigned round = 0; round < 3; round++) {
		assert_int_equal(check_blob(&f, 1, 1, 900000), 1);
		for (unsigned i = 21; i <= 30; i++)
			assert_int_equal(check_blob(&f, i, i, 20000), 1);
		expect_counters(&f);
		if (round == 0)
			fixture_kill(&f);
		else
			fixture_close(&f);
		fixture_reopen(&f, ALL(&f));
		reclaim_orphans(f.s);
	}
	fixture_end(&f);
}

/* A segment that no record named is gone after the next start. */
static void segments_without_rows_are_unlinked(void **state)
{
	struct erasure_writer *w;
	struct erasure_blob eb;
	struct fixture f;
	uint8_t *data = aligned_alloc(4096, 1u << 20);

	fixture_start(&f, 3, 1, true);
	fixture_reopen(&f, ALL(&f));
	memset(data, 5, 1u << 20);
	assert_int_equal(erasure_writer_open(f.s->erasure, 100000, &w), 0);
	assert_int_equal(erasure_writer_push(w, data, 100000, release_nothing, NULL), 0);
	assert_int_equal(erasure_writer_finish(w, &eb), 0);
	erasure_blob_free(&eb);
	assert_int_equal(segment_files(&f, ALL(&f)), 3);
	reclaim_orphans(f.s);
	assert_int_equal(segment_files(&f, ALL(&f)), 3);
	fixture_close(&f);
	fixture_reopen(&f, ALL(&f));
	reclaim_orphans(f.s);
	assert_int_equal(segment_files(&f, ALL(&f)), 0);
	fixture_end(&f);
	free(data);
}

/* Nor does a drive keep what died while it was away, though this process made it. */
static void what_died_while_a_drive_was_away_goes(void **state)
{
	struct fixture f;

	fixture_start(&f, 4, 2, false);
	f.p.segment_size = 1u << 20;
	fixture_reopen(&f, ALL(&f));
	for (unsigned i = 1; i <= 6; i++)
		assert_int_equal(put_large(&f, META_DURABLE, i, i, 900000), 0);
	drive_leaves(&f, 3);
	for (unsigned i = 2; i <= 6; i++)
		assert_int_equal(drop(&f, i), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(put(&f, META_DURABLE, 100, i), 0);
		assert_int_equal(meta_checkpoint(f.s), 0);
	}
	assert_true(segment_files(&f, 1u << 0) < 6);
	drive_returns(&f, 3);
	assert_int_equal(heal(&f), 1);
	assert_int_equal(segment_files(&f, 1u << 3), segment_files(&f, 1u << 0));
	assert_int_equal(check_blob(&f, 1, 1, 900000), 1);
	fixture_end(&f);
}

/* Also when an index copy still knows the segment, whose row goes in the journal behind it: recovery meets both. */
static void what_died_before_a_start_goes_from_a_drive_that_was_away(void **state)
{
	struct fixture f;

	fixture_start(&f, 4, 2, false);
	f.p.segment_size = 1u << 20;
	fixture_reopen(&f, ALL(&f));
	for (unsigned i = 1; i <= 6; i++)
		assert_int_equal(put_large(&f, META_DURABLE, i, i, 900000), 0);
	assert_int_equal(meta_checkpoint(f.s), 0);
	fixture_close(&f);
	fixture_reopen(&f, ALL(&f) & ~(1u << 3));
	for (unsigned i = 2; i <= 6; i++)
		assert_int_equal(drop(&f, i), 0);
	for (unsigned i = 0; i < 3 && segment_files(&f, 1u << 0) > 2; i++)
		assert_int_equal(meta_checkpoint(f.s), 0);
	fixture_kill(&f);
	fixture_reopen(&f, ALL(&f));
	assert_true(segment_files(&f, 1u << 3) > segment_files(&f, 1u << 0));
	reclaim_orphans(f.s);
	assert_int_equal(segment_files(&f, 1u << 3), segment_files(&f, 1u << 0));
	assert_int_equal(check_blob(&f, 1, 1, 900000), 1);
	fixture_end(&f);
}

/* Bytes that the segment files of a slot take. */
struct taken {
	const char *dir;
	uint64_t bytes;
};

static int add_taken(void *arg, const char *name)
{
	struct taken *t = arg;
	char path[160];
	struct stat st;

	snprintf(path, sizeof path, "%s/seg/%s", t->dir, name);
	assert_int_equal(stat(path, &st), 0);
	t->bytes += (uint64_t)st.st_blocks * 512;
	return 0;
}

static uint64_t bytes_taken(struct fixture *f, unsigned slot)
{
	struct taken t = {.dir = f->drive[slot]->path};

	assert_int_equal(drive_list(f->drive[slot], "seg", add_taken, &t), 0);
	return t.bytes;
}

#define SEGMENT (8u << 20)
#define LENGTH 900000u

/* A segment with one blob, which the next start seals far from its end. */
static void start_tailed(struct fixture *f)
{
	fixture_start(f, 4, 2, false);
	f->p.segment_size = SEGMENT;
	fixture_reopen(f, ALL(f));
	assert_int_equal(put_large(f, META_DURABLE, 1, 1, LENGTH), 0);
	fixture_close(f);
}

/* A checkpoint with something in it. */
static void checkpoint(struct fixture *f, uint64_t key)
{
	assert_int_equal(put(f, META_DURABLE, key, 1), 0);
	assert_int_equal(meta_checkpoint(f->s), 0);
}

static void rest_of_a_sealed_segment_comes_back(void **state)
{
	struct fixture f;

	start_tailed(&f);
	fixture_reopen(&f, ALL(&f));
	for (unsigned i = 0; i < f.n; i++)
		assert_true(bytes_taken(&f, i) >= SEGMENT);
	checkpoint(&f, 50);
	for (unsigned i = 0; i < f.n; i++)
		assert_true(bytes_taken(&f, i) < LENGTH);
	assert_int_equal(check_blob(&f, 1, 1, LENGTH), 1);
	assert_int_equal(put_large(&f, META_DURABLE, 2, 2, LENGTH), 0);
	checkpoint(&f, 51); /* the open segment keeps its own */
	for (unsigned i = 0; i < f.n; i++)
		assert_true(bytes_taken(&f, i) >= SEGMENT);
	assert_int_equal(check_blob(&f, 2, 2, LENGTH), 1);
	fixture_end(&f);
}

/* A drive that was away gives its own back when it has returned. */
static void rest_on_a_drive_that_was_away(void **state)
{
	struct fixture f;

	start_tailed(&f);
	fixture_reopen(&f, ALL(&f));
	drive_leaves(&f, 3);
	checkpoint(&f, 50);
	assert_true(bytes_taken(&f, 0) < LENGTH);
	drive_given_back(&f, 3);
	assert_int_equal(drive_joins(&f, 3), 0);
	assert_true(bytes_taken(&f, 3) >= SEGMENT);
	checkpoint(&f, 51);
	assert_true(bytes_taken(&f, 3) < LENGTH);
	assert_int_equal(check_blob(&f, 1, 1, LENGTH), 1);
	fixture_end(&f);
}

static bool always(void *arg, uint64_t bytes)
{
	return true;
}

/* What heal makes anew of a sealed segment is no longer than the segment. */
static void a_healed_file_ends_with_its_segment(void **state)
{
	struct fixture f;

	start_tailed(&f);
	fixture_reopen(&f, ALL(&f));
	drive_leaves(&f, 3);
	drive_given_back(&f, 3);
	make_blank(&f, 3);
	assert_int_equal(drive_joins(&f, 3), 0);
	assert_int_equal(heal(&f), 1);
	assert_true(bytes_taken(&f, 3) > 0);
	assert_true(bytes_taken(&f, 3) < LENGTH);
	fixture_close(&f);
	fixture_reopen(&f, 1u << 2 | 1u << 3);
	assert_int_equal(check_blob(&f, 1, 1, LENGTH), 1);
	fixture_end(&f);
}

/* An upload of hours has blobs in segments that are sealed long before a row names them. */
static void a_blob_on_its_way_keeps_its_segment(void **state)
{
	struct erasure_blob first, given_up;
	struct fixture f;

	fixture_start(&f, 4, 2, true);
	f.p.segment_size = 1u << 20;
	fixture_reopen(&f, ALL(&f));
	assert_int_equal(large_begin(&f, 1, LENGTH, &first), 0);
	assert_int_equal(large_begin(&f, 2, 2 * LENGTH, &given_up), 0);
	for (unsigned i = 10; i < 14; i++)
		assert_int_equal(put_large(&f, META_DURABLE, i, i, 2 * LENGTH), 0);
	for (unsigned round = 0; round < 3; round++)
		checkpoint(&f, 50 + round);
	unsigned files = segment_files(&f, ALL(&f));
	assert_int_equal(put_large_begun(&f, META_DURABLE, 1, 1, LENGTH, &first), 0);
	erasure_blob_free(&given_up);
	for (unsigned round = 0; round < 2; round++)
		checkpoint(&f, 60 + round);
	assert_int_equal(segment_files(&f, ALL(&f)), files - 4); /* what nobody waits for goes */
	assert_int_equal(check_blob(&f, 1, 1, LENGTH), 1);
	expect_counters(&f);
	fixture_end(&f);
}

/* ---- Holes -------------------------------------------------------------------------------------------------------- */
#define BLOBS 7u
#define DEAD(key) ((key) >= 2 && (key) <= 4)

static void expect_blobs(struct fixture *f)
{
	for (unsigned i = 0; i < BLOBS; i++)
		assert_int_equal(check_blob(f, i, i, 2 * LENGTH), !DEAD(i));
}

/* A sealed segment with a run of dead blobs in it, which is not compacted. */
static void start_holed(struct fixture *f, bool faulty)
{
	fixture_start(f, 4, 2, faulty);
	f->p.segment_size = SEGMENT;
	fixture_reopen(f, ALL(f));
	for (unsigned i = 0; i < BLOBS; i++)
		assert_int_equal(put_large(f, META_DURABLE, i, i, 2 * LENGTH), 0);
	fixture_close(f);
	fixture_reopen(f, ALL(f));
	for (unsigned i = 0; i < BLOBS; i++)
		if (DEAD(i))
			assert_int_equal(drop(f, i), 0);
}

static void expect_scrubbed(void *arg, uint64_t segment, const struct erasure_healed *r)
{
	for (unsigned i = 0; i < ERASURE_MAX_CELLS; i++)
		assert_int_equal(r->slot[i].bad, 0);
}

static void dead_runs_become_holes(void **state)
{
	struct meta_compacted c = {0};
	struct fixture f;
	struct meta_view *v;

	start_holed(&f, false);
	uint64_t before = bytes_taken(&f, 0);
	assert_int_equal(meta_view_open(f.s, &v), 0);
	checkpoint(&f, 50);
	meta_view_close(v); /* what died before it was opened is not in it */
	assert_true(bytes_taken(&f, 0) <= before - 3 * LENGTH + 65536);
	for (unsigned i = 1; i < f.n; i++)
		assert_int_equal(bytes_taken(&f, i), bytes_taken(&f, 0));
	expect_blobs(&f);
	struct meta_healer *h = meta_healer_new(f.s, always, NULL);
	assert_int_equal(meta_scrub(h, 0, expect_scrubbed, NULL), 1);
	f.s->space_low = true; /* what it takes lives: nothing is gained by moving it */
	assert_int_equal(meta_compact(h, &c), 1);
	assert_int_equal(c.blobs, 0);
	f.s->space_low = false;
	meta_healer_free(h);
	expect_counters(&f);
	fixture_kill(&f);
	fixture_reopen(&f, ALL(&f));
	uint64_t after = bytes_taken(&f, 0);
	checkpoint(&f, 51);
	assert_int_equal(bytes_taken(&f, 0), after); /* once */
	expect_blobs(&f);
	fixture_end(&f);
}

static void holes_wait_for_readers_and_drives(void **state)
{
	struct fixture f;
	struct meta_view *v;

	start_holed(&f, false);
	assert_int_equal(put_large(&f, META_DURABLE, 2, 2, 2 * LENGTH), 0);
	uint64_t before = bytes_taken(&f, 0);
	assert_int_equal(meta_view_open(f.s, &v), 0);
	assert_int_equal(drop(&f, 2), 0);
	drive_leaves(&f, 3);
	checkpoint(&f, 50);
	assert_true(bytes_taken(&f, 0) + 65536 > before - SEGMENT); /* tails only */
	expect_blobs(&f);
	uint64_t waiting = bytes_taken(&f, 1);
	drive_given_back(&f, 3);
	assert_int_equal(drive_joins(&f, 3), 0);
	checkpoint(&f, 51);
	assert_true(bytes_taken(&f, 1) <= waiting - 3 * LENGTH + 65536);
	meta_view_close(v);
	expect_blobs(&f);
	fixture_end(&f);
}

/* A drive that is filled anew gets the holes too. */
static void a_healed_file_has_the_holes(void **state)
{
	struct fixture f;

	start_holed(&f, false);
	checkpoint(&f, 50);
	uint64_t taken = bytes_taken(&f, 3);
	drive_leaves(&f, 3);
	drive_given_back(&f, 3);
	make_blank(&f, 3);
	assert_int_equal(drive_joins(&f, 3), 0);
	assert_int_equal(heal(&f), 1);
	assert_true(bytes_taken(&f, 3) <= taken + 65536);
	fixture_close(&f);
	fixture_reopen(&f, 1u << 2 | 1u << 3);
	expect_blobs(&f);
	fixture_end(&f);
}

/* Power is lost at each write to the journal while holes are made; what was not flushed is gone. */
static void power_loss_while_holes_are_made(void **state)
{
	struct fixture f;
	int rc = -1;

	for (unsigned nth = 1; rc < 0; nth++) {
		assert_true(nth < 50);
		start_holed(&f, true);
		stop_at_journal(&f, DRIVE_IO_WRITE, nth);
		rc = put(&f, META_DURABLE, 50, 1);
		if (rc == 0)
			rc = meta_checkpoint(f.s); /* which does not tell what reclaim meets */
		if (rc == 0 && f.s->punched_seq == 0)
			rc = -1;
		fixture_kill(&f);
		lose_power(&f, 0, 0);
		fixture_boot(&f, ALL(&f));
		expect_blobs(&f);
		expect_counters(&f);
		checkpoint(&f, 51);
		expect_blobs(&f);
		fixture_end(&f);
	}
}

/* ---- Spares -------------------------------------------------------------------------------------------------------- */
static int count_spare(void *arg, const char *name)
{
	*(unsigned *)arg += strstr(name, ".seg") != NULL;
	return 0;
}

static unsigned spares(struct fixture *f, unsigned slot)
{
	unsigned n = 0;

	assert_int_equal(drive_list(f->drive[slot], "spare", count_spare, &n), 0);
	return n;
}

/* Of seven blobs one is left, and of the dead segments two wait to be the next ones. */
static void start_with_spares(struct fixture *f)
{
	fixture_start(f, 4, 2, true);
	f->p.segment_size = 1u << 20;
	fixture_reopen(f, ALL(f));
	for (unsigned i = 1; i <= 7; i++)
		assert_int_equal(put_large(f, META_DURABLE, i, i, LENGTH), 0);
	for (unsigned i = 2; i <= 7; i++)
		assert_int_equal(drop(f, i), 0);
	checkpoint(f, 50);
	checkpoint(f, 51);
	for (unsigned i = 0; i < f->n; i++)
		assert_int_equal(spares(f, i), 2);
}

static void dead_segments_become_the_next_ones(void **state)
{
	struct fixture f;

	start_with_spares(&f);
	for (unsigned i = 11; i <= 14; i++)
		assert_int_equal(put_large(&f, META_DURABLE, i, i, LENGTH), 0);
	for (unsigned i = 0; i < f.n; i++)
		assert_int_equal(spares(&f, i), 0);
	fixture_kill(&f);
	fixture_reopen(&f, 1u << 1 | 1u << 2);
	assert_int_equal(check_blob(&f, 1, 1, LENGTH), 1);
	for (unsigned i = 11; i <= 14; i++)
		assert_int_equal(check_blob(&f, i, i, LENGTH), 1);
	fixture_end(&f);
}

/* The power fails at each operation that makes segments of spares. False: it did not any more. */
static bool lose_power_at(uint64_t at)
{
	struct fixture f;

	start_with_spares(&f);
	fault_bench_rule(f.bench, &(struct fault_rule){.kind = at % 3 ? FAULT_STOP : FAULT_TORN, .slot = -1, .op = -1, .nth = at});
	int first = put_large(&f, META_DURABLE, 11, 11, LENGTH);
	int second = put_large(&f, META_DURABLE, 12, 12, LENGTH);
	bool stopped = fault_bench_stopped(f.bench);
	fixture_kill(&f);
	fault_bench_power_loss(f.bench, ALL(&f));
	fault_bench_rule(f.bench, NULL);
	fixture_reopen(&f, ALL(&f));
	reclaim_orphans(f.s);
	for (unsigned i = 21; i <= 24; i++)
		assert_int_equal(put_large(&f, META_DURABLE, i, i, LENGTH), 0);
	checkpoint(&f, 52);
	/* With and without the first two drives. */
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(check_blob(&f, 1, 1, LENGTH), 1);
		if (first == 0)
			assert_int_equal(check_blob(&f, 11, 11, LENGTH), 1);
		if (second == 0)
			assert_int_equal(check_blob(&f, 12, 12, LENGTH), 1);
		for (unsigned k = 21; k <= 24; k++)
			assert_int_equal(check_blob(&f, k, k, LENGTH), 1);
		fixture_close(&f);
		fixture_reopen(&f, i ? ALL(&f) : 1u << 2 | 1u << 3);
	}
	expect_counters(&f);
	fixture_end(&f);
	return stopped;
}

static void power_is_lost_while_spares_are_taken(void **state)
{
	uint64_t at = 1;

	while (lose_power_at(at))
		at++;
	assert_true(at > 12); /* four times a rename, a header and its sync, at least */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dead_segments_are_unlinked),
		cmocka_unit_test(segments_without_rows_are_unlinked),
		cmocka_unit_test(what_died_while_a_drive_was_away_goes),
		cmocka_unit_test(what_died_before_a_start_goes_from_a_drive_that_was_away),
		cmocka_unit_test(rest_of_a_sealed_segment_comes_back),
		cmocka_unit_test(rest_on_a_drive_that_was_away),
		cmocka_unit_test(a_healed_file_ends_with_its_segment),
		cmocka_unit_test(a_blob_on_its_way_keeps_its_segment),
		cmocka_unit_test(dead_runs_become_holes),
		cmocka_unit_test(holes_wait_for_readers_and_drives),
		cmocka_unit_test(a_healed_file_has_the_holes),
		cmocka_unit_test(power_loss_while_holes_are_made),
		cmocka_unit_test(dead_segments_become_the_next_ones),
		cmocka_unit_test(power_is_lost_while_spares_are_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
