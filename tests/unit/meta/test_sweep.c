/* SPDX-License-Identifier: Apache-2.0
 *
 * One operation of one drive fails, or does not return, each in turn, in the life of a set (life.h) and in its recovery:
 * the drive leaves at the most, nothing that was answered is lost. QUOIN_CRASH_STEP=1 tries every operation.
 * (Writes that fail while it lives: test_crash.)
 */
#include "life.h"

#include "base/clock.h"
#include "base/err.h"

#define TIMEOUT_NS (200 * NS_PER_MS) /* no busy machine makes another drive late by so much */

static bool one_in_mask(uint32_t mask)
{
	return __builtin_popcount(mask) <= 1;
}

static uint32_t out_mask(struct meta_set *s)
{
	struct meta_stats st;
	uint32_t mask = 0;

	meta_stats(s, &st);
	assert_true(st.writable);
	for (unsigned i = 0; i < 4; i++)
		mask |= (st.isr.slot[i].state == ISR_OUT) << i;
	return mask;
}

/* It dies and starts again, without the drive and with it. */
static void starts_again(struct life *l, unsigned slot, unsigned at_least, uint64_t at)
{
	fault_bench_rule(l->f.bench, NULL);
	if (fixture_open(&l->f, ALL(&l->f) & ~(1u << slot)) < 0)
		fail_msg("slot %u operation %llu: open: %s", slot, (unsigned long long)at, l->f.detail);
	life_expect(l, at_least, "without the drive", at);
	fixture_close(&l->f);
	life_reopen(&l->f, "with the drive", at);
	life_expect(l, at_least, "with the drive", at);
	fixture_close(&l->f);
	fixture_end(&l->f);
}

/* ---- Recovery ----------------------------------------------------------------------------------------------------- */
/* False: there was no such operation. Reads are counted apart from what changes something (op -1). */
static bool fails_in_recovery(unsigned slot, int op, uint64_t at, bool power)
{
	struct life l = {0};
	struct meta_stats st;

	fixture_start(&l.f, 4, 2, true);
	fixture_reopen(&l.f, ALL(&l.f));
	fault_bench_rule(l.f.bench, &(struct fault_rule){.kind = FAULT_STOP, .slot = -1, .op = -1, .nth = 200 + at * 7 % 300});
	life_run(&l);
	fixture_kill(&l.f);
	if (power)
		fault_bench_power_loss(l.f.bench, ALL(&l.f));
	fault_bench_rule(l.f.bench, NULL);
	fault_bench_rule(l.f.bench, &(struct fault_rule){
		.kind = FAULT_ERROR, .slot = (int)slot, .op = op, .nth = at, .once = true});
	life_reopen(&l.f, "an error in recovery", at);
	life_expect(&l, power ? l.durable : l.done, "after an error in recovery", at);
	assert_int_equal(put(&l.f, META_DURABLE, 5, 55), 0);
	meta_stats(l.f.s, &st);
	bool met = st.isr.slot[slot].state != ISR_IN;
	assert_true(st.writable);
	fixture_kill(&l.f);
	starts_again(&l, slot, power ? l.durable : l.done, at);
	return met;
}

static void any_error_in_recovery_is_survived(void **state)
{
	static const int ops[] = {-1, DRIVE_IO_READ};
	unsigned by = life_step(11);

	for (unsigned i = 0; i < 8; i++) {
		unsigned none = 0;
		/* A read may be done by another drive: that the drive stays in says nothing. */
		for (uint64_t at = 1 + i; none < 4 && at < 200; at += by)
			none = fails_in_recovery(i % 4, ops[i / 4], at, at % 2) ? 0 : none + 1;
	}
}

/* ---- Reads -------------------------------------------------------------------------------------------------------- */
static void read_fails(unsigned slot, uint64_t at)
{
	struct life l = {0};

	fixture_start(&l.f, 4, 2, true);
	fixture_reopen(&l.f, ALL(&l.f));
	life_run(&l);
	assert_int_equal(l.done, LIFE_EVENTS);
	fault_bench_rule(l.f.bench, &(struct fault_rule){
		.kind = FAULT_ERROR, .slot = (int)slot, .op = DRIVE_IO_READ, .nth = at, .once = true});
	life_expect(&l, LIFE_EVENTS, "a read that fails", at);
	assert_true(one_in_mask(out_mask(l.f.s)));
	fixture_kill(&l.f);
	starts_again(&l, slot, LIFE_EVENTS, at);
}

static void any_read_error_is_survived(void **state)
{
	unsigned by = life_step(7);

	for (unsigned slot = 0; slot < 4; slot++)
		for (uint64_t at = 1 + slot; at < 30; at += by)
			read_fails(slot, at);
}

/* ---- Operations that do not return -------------------------------------------------------------------------------- */
/* Those that are waited for without a thread: cells, durable records, flushes. */
static bool hangs(unsigned slot, const char *name, enum drive_io_op op, uint64_t at)
{
	struct life l = {0};

	fixture_start(&l.f, 4, 2, true);
	l.f.p.drive_timeout_ns = TIMEOUT_NS;
	fixture_reopen(&l.f, ALL(&l.f));
	fault_bench_rule(l.f.bench, &(struct fault_rule){
		.kind = FAULT_HANG, .slot = (int)slot, .name = name, .op = (int)op, .queued = true, .nth = at,
		.once = true});
	life_run(&l);
	if (l.done != LIFE_EVENTS)
		fail_msg("slot %u %s%d operation %llu: event %u fails", slot, name, (int)op, (unsigned long long)at, l.begun);
	uint32_t out = out_mask(l.f.s);
	life_expect(&l, LIFE_EVENTS, "a drive that hangs", at);
	assert_true(out == 0 || out == 1u << slot);
	/* What was stuck in the kernel goes on now: it must harm nothing. */
	fault_bench_release(l.f.bench);
	life_expect(&l, LIFE_EVENTS, "a drive that goes on", at);
	fixture_kill(&l.f);
	starts_again(&l, slot, LIFE_EVENTS, at);
	return out != 0;
}

static void a_hung_drive_leaves(void **state)
{
	unsigned by = life_step(5);

	for (unsigned slot = 0; slot < 4; slot++) {
		for (uint64_t at = 1 + slot; hangs(slot, "seg/", DRIVE_IO_WRITE, at); at += by)
			;
		for (uint64_t at = 1 + slot; hangs(slot, "journal/", DRIVE_IO_WRITE, at); at += by)
			;
		for (uint64_t at = 1 + slot; hangs(slot, "journal/", DRIVE_IO_SYNC, at); at += by)
			;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_error_in_recovery_is_survived),
		cmocka_unit_test(any_read_error_is_survived),
		cmocka_unit_test(a_hung_drive_leaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
