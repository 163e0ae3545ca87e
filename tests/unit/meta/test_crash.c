/* SPDX-License-Identifier: Apache-2.0
 *
 * The crash matrix: the life of a set (life.h) is cut at its n-th operation on drives, for every n, by the death of the
 * process or by power loss; what then comes back must be a prefix of the history with all that was answered. The same for
 * the recovery that follows. QUOIN_CRASH_STEP=1 tries every operation, the default skips some.
 */
#include "life.h"

#include "base/err.h"

static void stop_at(struct fixture *f, uint64_t n, bool torn)
{
	fault_bench_rule(f->bench, NULL);
	fault_bench_rule(f->bench, &(struct fault_rule){
		.kind = torn ? FAULT_TORN : FAULT_STOP, .slot = -1, .op = -1, .nth = n});
}

/* One life that ends at operation n; false: it ended by itself before. */
static bool one_crash(unsigned n, unsigned m, uint64_t at, int power, uint64_t recovery_stop)
{
	struct life l = {0};
	bool stopped;

	fixture_start(&l.f, n, m, true);
	fault_bench_free(l.f.bench);
	l.f.bench = fault_bench_new(at * 31 + (uint64_t)power);
	fixture_reopen(&l.f, ALL(&l.f));
	stop_at(&l.f, at, at % 3 == 0);
	life_run(&l);
	stopped = fault_bench_stopped(l.f.bench);
	fixture_kill(&l.f);
	if (power)
		fault_bench_power_loss(l.f.bench, ALL(&l.f));
	if (recovery_stop) {
		stop_at(&l.f, recovery_stop, recovery_stop % 2);
		if (fixture_open(&l.f, ALL(&l.f)) == 0)
			fixture_kill(&l.f);
		if (power)
			fault_bench_power_loss(l.f.bench, ALL(&l.f));
	}
	fault_bench_rule(l.f.bench, NULL);
	life_reopen(&l.f, power ? "power loss" : "kill", at);
	life_expect(&l, power ? l.durable : l.done, power ? "power loss" : "kill", at);
	/* It goes on, and dies again, perhaps before anything new; then it stops cleanly. */
	for (unsigned i = 0; i < 2; i++) {
		if (at % 2)
			assert_int_equal(put(&l.f, META_DURABLE, 7, 70 + i), 0);
		fixture_kill(&l.f);
		if (power)
			fault_bench_power_loss(l.f.bench, ALL(&l.f));
		life_reopen(&l.f, "second crash", at);
		assert_int_equal(get(&l.f, 7), at % 2 ? 70 + i : 0);
		life_expect(&l, power ? l.durable : l.done, "second crash", at);
	}
	assert_int_equal(put(&l.f, META_DURABLE, 5, 55), 0);
	assert_int_equal(put_blob(&l.f, META_DURABLE, 6, 66, 5000), 0);
	fixture_close(&l.f);
	life_reopen(&l.f, "clean stop after a crash", at);
	assert_int_equal(get(&l.f, 5), 55);
	assert_int_equal(check_blob(&l.f, 6, 66, 5000), 1);
	life_expect(&l, power ? l.durable : l.done, "clean stop after a crash", at);
	fixture_end(&l.f);
	return stopped;
}

static void matrix(unsigned n, unsigned m, int power, unsigned by)
{
	uint64_t at = 1 + (unsigned)power % by;

	while (one_crash(n, m, at, power, 0))
		at += by;
}

static void killed_anywhere(void **state)
{
	matrix(3, 1, 0, life_step(7));
}

static void power_lost_anywhere(void **state)
{
	for (int seed = 1; seed <= 2; seed++)
		matrix(3, 1, seed, life_step(13));
	matrix(4, 2, 3, life_step(41));
	matrix(1, 0, 4, life_step(17));
}

static void crash_in_recovery(void **state)
{
	uint64_t rnd = 42;

	for (unsigned i = 0; i < 40 * 7 / life_step(7); i++) {
		uint64_t at = rnd64(&rnd) % 330 + 1, stop = rnd64(&rnd) % 40 + 1;
		one_crash(i % 2 ? 3 : 4, i % 2 ? 1 : 2, at, (int)(i % 3), stop);
	}
}

/* One operation of one drive fails: the drive leaves, everything is answered well, and nothing of it is lost. */
static bool one_error(unsigned slot, uint64_t at, bool power)
{
	struct life l = {0};
	struct meta_stats st;

	fixture_start(&l.f, 4, 2, true);
	fixture_reopen(&l.f, ALL(&l.f));
	fault_bench_rule(l.f.bench, &(struct fault_rule){
		.kind = FAULT_ERROR, .slot = (int)slot, .op = -1, .nth = at, .once = true});
	life_run(&l);
	if (l.done != LIFE_EVENTS)
		fail_msg("slot %u operation %llu: event %u fails", slot, (unsigned long long)at, l.begun);
	meta_stats(l.f.s, &st);
	assert_true(st.writable);
	bool out = st.isr.slot[slot].state == ISR_OUT;
	life_expect(&l, LIFE_EVENTS, "after an error", at);
	fixture_kill(&l.f);
	if (power)
		fault_bench_power_loss(l.f.bench, ALL(&l.f));
	fault_bench_rule(l.f.bench, NULL);
	/* Without the drive, and with it again. */
	int rc = fixture_open(&l.f, ALL(&l.f) & ~(1u << slot));
	if (rc < 0)
		fail_msg("slot %u operation %llu: open: %s (%s)", slot, (unsigned long long)at, err_text(rc), l.f.detail);
	life_expect(&l, power ? l.durable : LIFE_EVENTS, "without the drive", at);
	fixture_close(&l.f);
	life_reopen(&l.f, "with the drive", at);
	life_expect(&l, power ? l.durable : LIFE_EVENTS, "with the drive", at);
	fixture_close(&l.f);
	fixture_end(&l.f);
	return out;
}

static void any_error_takes_a_drive_out_only(void **state)
{
	unsigned by = life_step(9);

	for (unsigned slot = 0; slot < 4; slot++) {
		unsigned none = 0;
		/* A drive that is not out at the end had no such operation, or only names that could be tried again. */
		for (uint64_t at = 1 + slot; none < 3 && at < 400; at += by)
			none = one_error(slot, at, at % 2) ? 0 : none + 1;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_anywhere),
		cmocka_unit_test(power_lost_anywhere),
		cmocka_unit_test(crash_in_recovery),
		cmocka_unit_test(any_error_takes_a_drive_out_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
