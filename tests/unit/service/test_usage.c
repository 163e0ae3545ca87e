/* SPDX-License-Identifier: Apache-2.0
 *
 * The scanner tells of a counter that is not what the rows say, leaves it as it is, and ends when it is told to.
 */
#include "service/usage.h"

#include "unit/object/store_unit.h"

struct scene {
	struct fix f;
	struct usage_scan *usage;
	struct services *services;
};

static void scene_open(struct scene *sc)
{
	fix_open(&sc->f);
	sc->usage = usage_scan_new(sc->f.set);
	assert_non_null(sc->usage);
	const struct service row = {.name = "usage", .run = usage_scan_run, .arg = sc->usage};
	assert_int_equal(services_start(&row, 1, &sc->services), 0);
}

static void scene_close(struct scene *sc)
{
	services_stop(sc->services);
	usage_scan_free(sc->usage);
	fix_close(&sc->f);
}

static void scan(struct scene *sc, struct usage_report *ret, struct buf *lines)
{
	struct usage_report before;

	usage_scan_report(sc->usage, &before, lines);
	assert_int_equal(services_poke(sc->services, "usage"), 0);
	for (unsigned i = 0; i < 20000; i++) {
		buf_reset(lines);
		usage_scan_report(sc->usage, ret, lines);
		if (ret->cycle > before.cycle)
			return;
		clock_sleep_ns(NS_PER_MS);
	}
	fail_msg("the scan never ended");
}

/* Adds so many objects to the usage of the first bucket, which has not got them. */
static void lie(struct scene *sc, int64_t objects)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct row_usage delta = {.objects = (uint64_t)objects};
	struct meta_batch *b = meta_batch_new(sc->f.set, META_DURABLE, OP_ADMIN);
	struct meta_iter *it;
	struct meta_row row;

	assert_non_null(b);
	assert_int_equal(meta_view_open(sc->f.set, &v), 0);
	meta_batch_view(b, v);
	assert_int_equal(meta_iter_open(v, TABLE_USAGE, &it), 0);
	assert_int_equal(meta_iter_seek(it, "", 0, &row), 1);
	meta_batch_usage_delta(b, be64_get(row.key.p), &row, &delta);
	meta_iter_close(it);
	assert_int_equal(meta_commit(b), 0);
	meta_batch_free(b);
}

static void right_counters_give_a_report_without_differences(void **state)
{
	CLEANUP_BUF struct buf lines = BUF_INIT;
	struct usage_report r;
	struct scene sc;

	scene_open(&sc);
	usage_scan_report(sc.usage, &r, &lines);
	assert_int_equal(r.cycle, 0);
	scan(&sc, &r, &lines);
	assert_int_equal(r.cycle, 1);
	assert_int_equal(r.differences, 0);
	assert_int_equal(lines.len, 0);
	assert_true(r.rows > 0);
	assert_true(r.ended_ns > 0);
	scene_close(&sc);
}

static void a_wrong_counter_is_told_and_left_as_it_is(void **state)
{
	CLEANUP_BUF struct buf lines = BUF_INIT;
	struct usage_report r;
	struct scene sc;

	scene_open(&sc);
	lie(&sc, 5);
	for (unsigned i = 1; i <= 2; i++) {
		scan(&sc, &r, &lines);
		assert_int_equal(r.cycle, i);
		assert_int_equal(r.differences, 1);
		assert_non_null(strstr(buf_cstr(&lines), "objects is 5, counted 0"));
	}
	lie(&sc, -5);
	scan(&sc, &r, &lines);
	assert_int_equal(r.differences, 0);
	assert_int_equal(lines.len, 0);
	scene_close(&sc);
}

struct ending {
	unsigned steps;
};

static bool end_it(void *arg, uint64_t rows)
{
	((struct ending *)arg)->steps++;
	return false;
}

static void a_recount_ends_when_it_is_told_to(void **state)
{
	struct ending e = {0};
	struct fix f;

	fix_open(&f);
	assert_int_equal(meta_recount(f.set, end_it, &e, NULL), -ECANCELED);
	assert_int_equal(e.steps, 1);
	fix_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(right_counters_give_a_report_without_differences),
		cmocka_unit_test(a_wrong_counter_is_told_and_left_as_it_is),
		cmocka_unit_test(a_recount_ends_when_it_is_told_to),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
