/* SPDX-License-Identifier: Apache-2.0
 *
 * Compaction: what lives of mostly dead segments moves, the segments go, and nobody who reads, deletes or pulls a plug
 * meanwhile notices.
 */
#include "heal_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "meta/heal.h"
#include "meta/set_internal.h"

#define KEYS 200u
#define ALL_KEYS (KEYS + 120)
#define REST (ALL_KEYS / 4)
#define SMALL 20000u
#define LARGE 100000u /* a run of three dead ones is too short for a hole */
#define STAYS(key) ((key) % 4 == 0)

static uint32_t bytes_of(uint64_t key)
{
	return (key < KEYS ? SMALL : LARGE) + (uint32_t)key;
}

/* Small objects are the keys below KEYS, large ones those from there to ALL_KEYS. */
static void start(struct fixture *f, bool faulty)
{
	fixture_start(f, 4, 2, faulty);
	f->p.segment_size = 1u << 20;
	fixture_reopen(f, ALL(f));
	for (uint64_t k = 0; k < KEYS; k++)
		assert_int_equal(put_blob(f, META_DURABLE, k, k, bytes_of(k)), 0);
	for (uint64_t k = KEYS; k < ALL_KEYS; k++)
		assert_int_equal(put_large(f, META_DURABLE, k, k, bytes_of(k)), 0);
	assert_int_equal(meta_checkpoint(f->s), 0);
}

static void drop_most(struct fixture *f)
{
	for (uint64_t k = 0; k < ALL_KEYS; k++)
		if (!STAYS(k))
			assert_int_equal(drop(f, k), 0);
	assert_int_equal(meta_checkpoint(f->s), 0);
}

/* All of it is sealed. */
static void start_mostly_dead(struct fixture *f, bool faulty)
{
	start(f, faulty);
	drop_most(f);
	fixture_close(f);
	fixture_reopen(f, ALL(f));
}

static void expect_rest(struct fixture *f)
{
	for (uint64_t k = 0; k < ALL_KEYS; k++)
		assert_int_equal(check_blob(f, k, k, bytes_of(k)), STAYS(k));
	expect_counters(f);
}

static bool always(void *arg, uint64_t bytes)
{
	return true;
}

static int compact_with(struct fixture *f, bool (*go_on)(void *arg, uint64_t bytes), void *arg, struct meta_compacted *ret)
{
	struct meta_healer *h = meta_healer_new(f->s, go_on, arg);
	int rc;

	assert_non_null(h);
	*ret = (struct meta_compacted){0};
	do
		rc = meta_compact(h, ret);
	while (rc == 0);
	meta_healer_free(h);
	return rc;
}

static struct meta_compacted compact(struct fixture *f)
{
	struct meta_compacted c;

	assert_int_equal(compact_with(f, always, NULL, &c), 1);
	return c;
}

/* Two: the first has what was moved in it, the second looks at what the first has taken over. */
static void checkpoints(struct fixture *f)
{
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(put(f, META_DURABLE, 1000, i), 0);
		assert_int_equal(meta_checkpoint(f->s), 0);
	}
}

static void mostly_dead_segments_go(void **state)
{
	struct fixture f;

	start_mostly_dead(&f, false);
	unsigned before = segment_files(&f, 1u << 0);
	struct meta_compacted c = compact(&f);
	assert_true(c.segments > 5);
	assert_int_equal(c.blobs, REST);
	expect_rest(&f);
	checkpoints(&f);
	assert_true(segment_files(&f, 1u << 0) < before / 2);
	expect_rest(&f);
	c = compact(&f);
	assert_int_equal(c.segments, 0); /* once is enough */
	fixture_kill(&f);
	fixture_reopen(&f, 1u << 1 | 1u << 2);
	for (uint64_t k = 0; k < ALL_KEYS; k++)
		assert_int_equal(check_blob(&f, k, k, bytes_of(k)), STAYS(k));
	fixture_end(&f);
}

static void live_segments_stay(void **state)
{
	struct fixture f;

	start(&f, false);
	struct meta_compacted c = compact(&f);
	assert_int_equal(c.segments, 0);
	assert_int_equal(c.blobs, 0);
	fixture_end(&f);
}

/* More is moved where room is short, but not what would only take the same room elsewhere: a blob of a little more than
 * half a cell has a cell of its own. */
static void what_fills_badly_is_left_alone(void **state)
{
	struct meta_compacted c;
	struct fixture f;

	fixture_start(&f, 4, 2, false);
	f.p.segment_size = 1u << 20;
	fixture_reopen(&f, ALL(&f));
	for (uint64_t k = 0; k < 60; k++)
		assert_int_equal(put_blob(&f, META_DURABLE, k, k, 33000), 0);
	assert_int_equal(meta_checkpoint(f.s), 0);
	f.s->space_low = true;
	c = compact(&f);
	assert_int_equal(c.segments, 0);
	f.s->space_low = false;
	for (uint64_t k = 0; k < 60; k += 3)
		assert_int_equal(drop(&f, k), 0);
	assert_int_equal(meta_checkpoint(f.s), 0);
	c = compact(&f); /* a third is dead: not yet, */
	assert_int_equal(c.blobs, 0);
	f.s->space_low = true; /* now */
	c = compact(&f);
	assert_true(c.blobs > 0);
	f.s->space_low = false;
	for (uint64_t k = 0; k < 60; k++)
		assert_int_equal(check_blob(&f, k, k, 33000), k % 3 != 0);
	fixture_end(&f);
}

static void who_reads_the_old_place_goes_on(void **state)
{
	CLEANUP_FREE uint8_t *want = malloc(LARGE + ALL_KEYS), *have = malloc(LARGE + ALL_KEYS);
	const uint64_t keys[] = {8, KEYS + 4};
	struct row_entry e;
	struct meta_view *v;
	struct fixture f;

	start_mostly_dead(&f, false);
	assert_int_equal(meta_view_open(f.s, &v), 0);
	(void)compact(&f);
	checkpoints(&f);
	for (unsigned i = 0; i < ARRAY_SIZE(keys); i++) {
		assert_true(object_find(v, keys[i], &e));
		assert_int_equal(meta_blob_read(v, e.obj.extent[0].blob, 0, bytes_of(keys[i]), have, 0), 0);
		pattern(keys[i], want, bytes_of(keys[i]));
		assert_memory_equal(have, want, bytes_of(keys[i]));
	}
	unsigned pinned = segment_files(&f, 1u << 0);
	meta_view_close(v);
	checkpoints(&f);
	assert_true(segment_files(&f, 1u << 0) < pinned);
	expect_rest(&f);
	fixture_end(&f);
}

/* Deletes, while what they delete is on its way. */
struct meddler {
	struct fixture *f;
	uint64_t next;
};

static bool drop_one(void *arg, uint64_t bytes)
{
	struct meddler *m = arg;

	/* From the end: those are still to come, or lie in the stripe that is being filled. */
	for (; m->next; m->next--)
		if (STAYS(m->next - 1))
			return drop(m->f, --m->next) == 0;
	return true;
}

static void what_is_deleted_meanwhile_stays_deleted(void **state)
{
	struct meta_compacted c;
	struct fixture f;

	start_mostly_dead(&f, false);
	struct meddler m = {&f, ALL_KEYS};
	assert_int_equal(compact_with(&f, drop_one, &m, &c), 1);
	assert_true(m.next < KEYS / 2); /* all large ones, and small ones */
	for (uint64_t k = 0; k < ALL_KEYS; k++)
		assert_int_equal(check_blob(&f, k, k, bytes_of(k)), k < m.next && STAYS(k));
	expect_counters(&f);
	checkpoints(&f);
	expect_counters(&f);
	fixture_end(&f);
}

/* A drive is gone while it runs: what it reads is decoded, what it writes is healed later. */
static void a_drive_that_is_away(void **state)
{
	struct fixture f;

	start_mostly_dead(&f, false);
	drive_leaves(&f, 3);
	struct meta_compacted c = compact(&f);
	assert_int_equal(c.blobs, REST);
	expect_rest(&f);
	drive_given_back(&f, 3);
	assert_int_equal(drive_joins(&f, 3), 0);
	checkpoints(&f);
	assert_int_equal(heal(&f), 1);
	expect_rest(&f);
	fixture_kill(&f);
	fixture_reopen(&f, 1u << 0 | 1u << 3);
	for (uint64_t k = 0; k < ALL_KEYS; k++)
		assert_int_equal(check_blob(&f, k, k, bytes_of(k)), STAYS(k));
	fixture_end(&f);
}

static uint64_t segment_of(struct fixture *f, uint64_t key)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct row_entry e;
	struct row_blob r;

	assert_int_equal(meta_view_open(f->s, &v), 0);
	assert_true(object_find(v, key, &e));
	assert_int_equal(blob_row_get(v, e.obj.extent[0].blob, &r), 1);
	return r.segment;
}

/* A segment that cannot be read keeps its place; the others do not wait for it. */
static void an_unreadable_segment_stays(void **state)
{
	struct fixture f;
	char path[160];

	start_mostly_dead(&f, false);
	uint64_t lost = segment_of(&f, KEYS);
	fixture_close(&f);
	for (unsigned i = 0; i < 3; i++) {
		snprintf(path, sizeof path, "%s/d%u/seg/%016llx.seg", f.root, i, (unsigned long long)lost);
		assert_int_equal(unlink(path), 0);
	}
	fixture_reopen(&f, ALL(&f));
	struct meta_compacted c = compact(&f);
	assert_true(c.blobs < REST && c.blobs > REST - 10);
	assert_true(check_blob(&f, KEYS, KEYS, bytes_of(KEYS)) < 0);
	assert_int_equal(segment_of(&f, KEYS), lost);
	for (uint64_t k = 0; k < KEYS; k++)
		assert_int_equal(check_blob(&f, k, k, bytes_of(k)), STAYS(k));
	expect_counters(&f);
	fixture_end(&f);
}

/* Power is lost at each write to the journal, with nothing that was not flushed left. */
static void power_loss_at_any_record(void **state)
{
	struct meta_compacted c;
	struct fixture f;
	int rc = -1;

	start_mostly_dead(&f, true);
	fixture_kill(&f);
	for (unsigned nth = 1; rc < 0; nth++) {
		assert_true(nth < 200);
		fixture_boot(&f, ALL(&f));
		stop_at_journal(&f, DRIVE_IO_WRITE, nth);
		rc = compact_with(&f, always, NULL, &c);
		fixture_kill(&f);
		lose_power(&f, 0, 0);
		fixture_boot(&f, ALL(&f));
		expect_rest(&f);
		fixture_kill(&f);
	}
	assert_int_equal(rc, 1);
	fixture_boot(&f, ALL(&f));
	checkpoints(&f);
	expect_rest(&f);
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mostly_dead_segments_go),
		cmocka_unit_test(live_segments_stay),
		cmocka_unit_test(what_fills_badly_is_left_alone),
		cmocka_unit_test(who_reads_the_old_place_goes_on),
		cmocka_unit_test(what_is_deleted_meanwhile_stays_deleted),
		cmocka_unit_test(a_drive_that_is_away),
		cmocka_unit_test(an_unreadable_segment_stays),
		cmocka_unit_test(power_loss_at_any_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
