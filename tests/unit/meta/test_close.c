/* SPDX-License-Identifier: Apache-2.0
 *
 * A set is closed though a drive hangs: within a few drive timeouts, with nothing lost, and the other drives are free.
 */
#include "set_fixture.h"

#include <errno.h>

#include "base/clock.h"
#include "base/err.h"
#include "meta/set_internal.h"

#define HANGS 1u
#define TIMEOUT_NS (200 * NS_PER_MS)
#define CLOSE_NS (50 * TIMEOUT_NS) /* three timeouts at most, and a busy machine */
#define BYTES 300000u

static struct fixture f;

static void start(unsigned n, unsigned m)
{
	fixture_start(&f, n, m, true);
	f.p.drive_timeout_ns = TIMEOUT_NS;
	f.p.no_background = false;
	fixture_open_known(&f);
	assert_int_equal(put(&f, META_DURABLE, 1, 11), 0);
}

static void hang(const char *name, int op)
{
	fault_bench_rule(f.bench, &(struct fault_rule){
		.kind = FAULT_HANG, .slot = HANGS, .name = name, .op = op, .queued = true, .nth = 1});
}

/* The set that stays; the drives that do not hang can be closed. */
static struct meta_set *close_without(void)
{
	uint64_t since = clock_mono_ns();
	struct meta_set *left = meta_set_close(f.s);

	f.s = NULL;
	assert_true(clock_mono_ns() - since < CLOSE_NS);
	assert_non_null(left);
	assert_int_not_equal(drive_users(f.drive[HANGS]), 0);
	for (unsigned i = 0; i < f.n; i++)
		if (i != HANGS)
			f.drive[i] = drive_close(f.drive[i]);
	return left;
}

static void answers(struct meta_set *left, struct drive *d)
{
	fault_bench_rule(f.bench, NULL);
	fault_bench_release(f.bench);
	assert_null(meta_set_close(left));
	assert_int_equal(drive_users(d), 0);
	drive_close(d);
}

static void a_drive_that_hangs_is_not_waited_for(void **state)
{
	static const struct {
		const char *name;
		int op;
		enum meta_promise promise;
	} cases[] = {
		{"journal/", DRIVE_IO_WRITE, META_DURABLE},
		{"journal/", DRIVE_IO_WRITE, META_ORDERED}, /* the lane's thread */
		{"journal/", DRIVE_IO_SYNC, META_ORDERED},  /* begins with the close */
		{"seg/", DRIVE_IO_WRITE, META_DURABLE},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		bool large = cases[i].name[0] == 's';

		start(4, 2);
		hang(cases[i].name, cases[i].op);
		assert_int_equal(put(&f, cases[i].promise, 2, 22), 0);
		assert_int_equal(large ? put_large(&f, META_DURABLE, 3, 3, BYTES) : put(&f, META_DURABLE, 3, 33), 0);
		struct meta_set *left = close_without();
		struct drive *d = f.drive[HANGS];

		/* Another process, with the others. */
		f.drive[HANGS] = NULL;
		fixture_reopen(&f, ALL(&f) & ~(1u << HANGS));
		assert_int_equal(get(&f, 1), 11);
		assert_int_equal(get(&f, 2), 22);
		if (large)
			assert_int_equal(check_blob(&f, 3, 3, BYTES), 1);
		else
			assert_int_equal(get(&f, 3), 33);
		expect_counters(&f);
		answers(left, d);
		fixture_close(&f);
		fixture_end(&f);
	}
}

/* Nothing was written since the last checkpoint but what hangs: the index copies are closed, all there is was taken in. */
static void a_close_ends_with_a_checkpoint_on_the_others(void **state)
{
	struct meta_stats st;

	start(4, 2);
	hang("journal/", DRIVE_IO_WRITE);
	assert_int_equal(put(&f, META_DURABLE, 2, 22), 0);
	struct meta_set *left = close_without();
	struct drive *d = f.drive[HANGS];
	f.drive[HANGS] = NULL;
	fixture_reopen(&f, ALL(&f) & ~(1u << HANGS));
	meta_stats(f.s, &st);
	for (unsigned i = 0; i < 4; i++)
		if (i != HANGS && f.s->slot[i].index)
			assert_true(index_position(f.s->slot[i].index) + 4 >= st.applied_seq);
	assert_int_equal(get(&f, 2), 22);
	answers(left, d);
	fixture_close(&f);
	fixture_end(&f);
}

/* Below its write quorum nothing can be made durable any more, but what was is. */
static void a_lone_drive_that_hangs_is_not_waited_for(void **state)
{
	fixture_start(&f, 1, 0, true);
	f.p.drive_timeout_ns = TIMEOUT_NS;
	f.p.no_background = false;
	fixture_open_known(&f);
	assert_int_equal(put(&f, META_DURABLE, 1, 11), 0);
	fault_bench_rule(f.bench, &(struct fault_rule){
		.kind = FAULT_HANG, .slot = 0, .name = "journal/", .op = DRIVE_IO_WRITE, .queued = true, .nth = 1});
	assert_int_equal(put(&f, META_DURABLE, 2, 22), -QE_UNKNOWN_OUTCOME);
	uint64_t since = clock_mono_ns();
	struct meta_set *left = meta_set_close(f.s);
	assert_true(clock_mono_ns() - since < CLOSE_NS);
	assert_non_null(left);
	struct drive *d = f.drive[0];
	answers(left, d);
	f.drive[0] = NULL;
	fixture_reopen(&f, ALL(&f));
	assert_int_equal(get(&f, 1), 11);
	fixture_close(&f);
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_drive_that_hangs_is_not_waited_for),
		cmocka_unit_test(a_close_ends_with_a_checkpoint_on_the_others),
		cmocka_unit_test(a_lone_drive_that_hangs_is_not_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
