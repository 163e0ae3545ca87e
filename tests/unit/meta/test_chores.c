/* SPDX-License-Identifier: Apache-2.0
 *
 * One operation of one drive fails, each in turn, in what a set does in the background (chores.h): the drive leaves at the
 * most, clients notice nothing, and afterwards all of it is done. Or the power goes there, on all drives: after a start all
 * of it is done as well. QUOIN_CRASH_STEP=1 tries every operation.
 */
#include "chores.h"

#include <stdlib.h>
#include <unistd.h>

#include "life.h"

/* False: there was no such operation. */
static bool fails(const struct chore *c, unsigned slot, int op, enum fault_kind kind, uint64_t nth)
{
	struct meta_stats st;
	struct fixture f;

	chore_begin(c, &f, true);
	bool spare = slot == CHORE_SLOT || slot_is_in(&f, CHORE_SLOT); /* one more may leave */
	fault_bench_rule(f.bench, &(struct fault_rule){.kind = kind, .slot = (int)slot, .op = op, .nth = nth, .once = true});
	(void)!c->work(&f);
	bool met = fault_bench_fired(f.bench) > 0;
	fault_bench_rule(f.bench, NULL);
	meta_stats(f.s, &st);
	if (spare && !st.writable)
		fail_msg("%s, slot %u, operation %llu: the set takes no writes", c->name, slot, (unsigned long long)nth);
	chore_expect(&f, c->name, nth);
	if (spare)
		assert_int_equal(put(&f, META_DURABLE, 5000, 5), 0);
	if (nth % 2)
		fixture_kill(&f);
	else
		fixture_close(&f);
	chore_end(&f, c->name, nth);
	return met;
}

static void sweep(int op, enum fault_kind kind, unsigned by_default)
{
	unsigned by = life_step(by_default);

	for (unsigned i = 0; i < chores_n; i++)
		for (unsigned slot = 0; slot <= CHORE_SLOT; slot += CHORE_SLOT)
			for (uint64_t nth = 1 + slot % by; fails(&chores[i], slot, op, kind, nth); nth += by)
				;
}

static void any_change_may_fail(void **state)
{
	sweep(-1, FAULT_ERROR, 23);
}

static void any_read_may_fail(void **state)
{
	sweep(DRIVE_IO_READ, FAULT_ERROR, 41);
}

static void any_write_may_find_no_room(void **state)
{
	sweep(DRIVE_IO_WRITE, FAULT_ENOSPC, 37);
}

/* False: the work was done before. */
static bool power_fails(const struct chore *c, uint64_t nth)
{
	struct fixture f;

	chore_begin(c, &f, true);
	fault_bench_rule(f.bench, &(struct fault_rule){
		.kind = nth % 2 ? FAULT_STOP : FAULT_TORN, .slot = -1, .op = -1, .nth = nth});
	(void)!c->work(&f);
	bool stopped = fault_bench_stopped(f.bench);
	fixture_kill(&f);
	fault_bench_power_loss(f.bench, ALL(&f));
	fault_bench_rule(f.bench, NULL);
	chore_end(&f, c->name, nth);
	return stopped;
}

/* Of the new index copy that is TRACES.md H9: never is one good with rows missing. */
static void the_power_may_go_at_any_change(void **state)
{
	unsigned by = life_step(29);

	for (unsigned i = 0; i < chores_n; i++)
		for (uint64_t nth = 1 + i % by; power_fails(&chores[i], nth); nth += by)
			;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_change_may_fail),
		cmocka_unit_test(any_read_may_fail),
		cmocka_unit_test(any_write_may_find_no_room),
		cmocka_unit_test(the_power_may_go_at_any_change),
	};

	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
