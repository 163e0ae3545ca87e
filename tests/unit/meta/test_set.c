/* SPDX-License-Identifier: Apache-2.0
 *
 * A set in one piece: opening, committing from one thread and from many, reading back, stopping.
 */
#include "set_fixture.h"

#include <poll.h>
#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"

static void blank_drives_become_a_set(void **state)
{
	struct fixture f;
	struct meta_stats st;

	fixture_start(&f, 4, 2, false);
	fixture_reopen(&f, ALL(&f));
	meta_stats(f.s, &st);
	assert_int_equal(st.k, 2);
	assert_int_equal(st.w, 3);
	assert_true(st.writable);
	assert_int_equal(st.epoch, 1);
	assert_int_equal(put(&f, META_DURABLE, 1, 11), 0);
	assert_int_equal(get(&f, 1), 11);
	assert_int_equal(meta_durable_seq(f.s), 1);
	assert_int_equal(put(&f, META_ORDERED, 2, 22), 0);
	assert_int_equal(get(&f, 2), 22);
	assert_int_equal(meta_durable_seq(f.s), 1);
	assert_int_equal(meta_sync(f.s), 0);
	assert_int_equal(meta_durable_seq(f.s), 2);
	fixture_close(&f);
	fixture_reopen(&f, ALL(&f));
	assert_int_equal(get(&f, 1), 11);
	assert_int_equal(get(&f, 2), 22);
	meta_stats(f.s, &st);
	assert_int_equal(st.epoch, 2);
	fixture_close(&f);
	fixture_end(&f);
}

static void killed_set_keeps_all_that_was_written(void **state)
{
	struct fixture f;

	fixture_start(&f, 3, 1, false);
	fixture_reopen(&f, ALL(&f));
	for (uint64_t i = 1; i <= 50; i++)
		assert_int_equal(put(&f, i % 2 ? META_DURABLE : META_ORDERED, i, 100 + i), 0);
	fixture_kill(&f);
	fixture_reopen(&f, ALL(&f));
	for (uint64_t i = 1; i <= 50; i++)
		assert_int_equal(get(&f, i), 100 + i);
	fixture_end(&f);
}

static void blobs_inline_and_large(void **state)
{
	struct fixture f;

	fixture_start(&f, 4, 2, false);
	fixture_reopen(&f, ALL(&f));
	for (uint32_t i = 1; i <= 20; i++)
		assert_int_equal(put_blob(&f, META_DURABLE, i, i, i * 1001), 0);
	assert_int_equal(put_large(&f, META_DURABLE, 100, 7, 3000000), 0);
	for (int round = 0; round < 4; round++) {
		for (uint32_t i = 1; i <= 20; i++)
			assert_int_equal(check_blob(&f, i, i, i * 1001), 1);
		assert_int_equal(check_blob(&f, 100, 7, 3000000), 1);
		if (round == 0) {
			fixture_kill(&f);
			fixture_reopen(&f, ALL(&f));
		} else if (round == 1) {
			assert_int_equal(meta_checkpoint(f.s), 0);
		} else if (round == 2) {
			fixture_close(&f);
			fixture_reopen(&f, ALL(&f));
		}
	}
	fixture_end(&f);
}

struct worker {
	struct fixture *f;
	unsigned id, count;
	int failed;
};

static void *work(void *arg)
{
	struct worker *w = arg;

	for (unsigned i = 0; i < w->count; i++) {
		uint64_t key = w->id * 100000ull + i + 1;
		int rc = put(w->f, i % 3 == 0 ? META_ORDERED : META_DURABLE, key, key + 5);
		w->failed += rc != 0;
		w->failed += get(w->f, key) != key + 5;
	}
	return NULL;
}

static void many_threads(bool background)
{
	struct fixture f;
	pthread_t t[12];
	struct worker w[12];

	fixture_start(&f, 4, 2, true);
	f.p.no_background = !background;
	f.p.log2_journal_file = 22;
	fixture_reopen(&f, ALL(&f));
	for (unsigned i = 0; i < 12; i++) {
		w[i] = (struct worker){&f, i + 1, 300, 0};
		assert_int_equal(pthread_create(&t[i], NULL, work, &w[i]), 0);
	}
	for (unsigned i = 0; i < 12; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(w[i].failed, 0);
	}
	assert_int_equal(meta_sync(f.s), 0);
	fixture_kill(&f);
	fixture_reopen(&f, ALL(&f));
	for (unsigned i = 0; i < 12; i++)
		for (unsigned j = 0; j < 300; j++)
			assert_int_equal(get(&f, (i + 1) * 100000ull + j + 1), (i + 1) * 100000ull + j + 6);
	fixture_end(&f);
}

static void commit_from_many_threads(void **state)
{
	many_threads(false);
}

/* Other threads reap what an event loop is woken for; the loop's descriptor must not stay readable for it. */
static void an_idle_loop_sleeps(void **state)
{
	struct fixture f;

	fixture_start(&f, 4, 2, false);
	assert_int_equal(fixture_open(&f, ALL(&f)), 0);
	meta_attach_loop(f.s, true);
	for (unsigned i = 0; i < 50; i++) {
		struct pollfd p = {.fd = meta_event_fd(f.s), .events = POLLIN};

		assert_int_equal(put(&f, META_DURABLE, i, 1), 0);
		assert_int_equal(meta_sync(f.s), 0);
		meta_drive(f.s);
		assert_int_equal(poll(&p, 1, 1), 0);
	}
	meta_attach_loop(f.s, false);
	fixture_close(&f);
	fixture_end(&f);
}

static void commit_from_many_threads_with_background(void **state)
{
	many_threads(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blank_drives_become_a_set),
		cmocka_unit_test(killed_set_keeps_all_that_was_written),
		cmocka_unit_test(blobs_inline_and_large),
		cmocka_unit_test(commit_from_many_threads),
		cmocka_unit_test(commit_from_many_threads_with_background),
		cmocka_unit_test(an_idle_loop_sleeps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
