/* SPDX-License-Identifier: Apache-2.0
 *
 * The crash matrix: a scripted life of a set is cut at its n-th operation on drives, for every n, by the death of the
 * process or by power loss; what then comes back must be a prefix of the history with all that was answered. The same for
 * the recovery that follows. QUOIN_CRASH_STEP=1 tries every operation, the default skips some.
 */
#include "set_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

#define EVENTS 40
#define MARK 1000 /* key of an event's own row */

enum event_kind { EV_ORDERED, EV_DURABLE, EV_INLINE, EV_LARGE, EV_DROP, EV_CHECKPOINT, EV_SYNC };

struct life {
	struct fixture f;
	unsigned done;     /* events answered well */
	unsigned durable;  /* of them, the last one answered as durable */
	unsigned begun;
};

/* What event i does; every script position is the same in every run. */
static enum event_kind kind_of(unsigned i)
{
	static const enum event_kind script[] = {
		EV_ORDERED, EV_DURABLE, EV_INLINE, EV_ORDERED, EV_LARGE, EV_ORDERED, EV_INLINE, EV_DROP, EV_CHECKPOINT,
		EV_DURABLE, EV_INLINE, EV_INLINE, EV_ORDERED, EV_SYNC, EV_DROP,
	};
	return script[(i - 1) % (sizeof script / sizeof *script)];
}

static uint32_t len_of(unsigned i)
{
	return kind_of(i) == EV_LARGE ? 400000 + i * 1000 : 600 + i * 777 % 30000;
}

/* The last event before i that made a blob which none before i dropped; 0: none. */
static unsigned victim(unsigned i)
{
	unsigned stack[EVENTS + 1], n = 0;

	for (unsigned j = 1; j < i; j++) {
		if (kind_of(j) == EV_INLINE || kind_of(j) == EV_LARGE)
			stack[n++] = j;
		else if (kind_of(j) == EV_DROP && n)
			n--;
	}
	return n ? stack[n - 1] : 0;
}

static int run_event(struct life *l, unsigned i)
{
	struct fixture *f = &l->f;

	switch (kind_of(i)) {
	case EV_ORDERED:
		return put(f, META_ORDERED, MARK + i, i);
	case EV_DURABLE:
		return put(f, META_DURABLE, MARK + i, i);
	case EV_INLINE:
		return put_blob(f, META_DURABLE, MARK + i, i, len_of(i));
	case EV_LARGE:
		return put_large(f, META_DURABLE, MARK + i, i, len_of(i));
	case EV_DROP:
		return victim(i) ? drop(f, MARK + victim(i)) : 0;
	case EV_CHECKPOINT:
		meta_tick(f->s);
		return meta_checkpoint(f->s);
	case EV_SYNC:
		return meta_sync(f->s);
	}
	return 0;
}

static void live(struct life *l)
{
	for (unsigned i = 1; i <= EVENTS; i++) {
		l->begun = i;
		if (run_event(l, i) < 0)
			return;
		l->done = i;
		if (kind_of(i) != EV_ORDERED)
			l->durable = i;
	}
	l->begun = EVENTS + 1;
}

/* Does the state hold exactly the events 1..n? */
static bool is_prefix(struct life *l, unsigned n)
{
	for (unsigned i = 1; i <= EVENTS; i++) {
		enum event_kind k = kind_of(i);
		bool blob = k == EV_INLINE || k == EV_LARGE, gone = false;
		if (k != EV_ORDERED && k != EV_DURABLE && !blob)
			continue;
		for (unsigned j = i + 1; j <= n && blob; j++)
			gone |= kind_of(j) == EV_DROP && victim(j) == i;
		uint64_t have = get(&l->f, MARK + i);
		if ((have != 0) != (i <= n && !gone))
			return false;
		if (have && blob && check_blob(&l->f, MARK + i, i, len_of(i)) != 1)
			return false;
	}
	return true;
}

/* Some prefix that holds all that was answered; EV_DROP, EV_SYNC, EV_CHECKPOINT may be invisible, so any n that fits. */
static void expect_prefix(struct life *l, unsigned at_least, const char *what, uint64_t n)
{
	for (unsigned i = at_least; i <= l->begun && i <= EVENTS; i++)
		if (is_prefix(l, i)) {
			expect_counters(&l->f);
			return;
		}
	if (at_least > EVENTS || l->begun > EVENTS) {
		if (is_prefix(l, EVENTS))
			return;
	}
	fail_msg("%s at %llu: no prefix of %u..%u events", what, (unsigned long long)n, at_least, l->begun);
}

static void stop_at(struct fixture *f, uint64_t n, bool torn)
{
	fault_bench_rule(f->bench, NULL);
	fault_bench_rule(f->bench, &(struct fault_rule){
		.kind = torn ? FAULT_TORN : FAULT_STOP, .slot = -1, .op = -1, .nth = n});
}

static void reopen(struct fixture *f, const char *what, uint64_t n)
{
	int rc = fixture_open(f, ALL(f));

	if (rc < 0)
		fail_msg("%s at %llu: open: %s (%s)", what, (unsigned long long)n, err_text(rc), f->detail);
}

static unsigned step(unsigned by_default)
{
	uint64_t v = by_default;

	(void)!str_to_u64(str_of(getenv("QUOIN_CRASH_STEP")), &v);
	return (unsigned)(v ? v : by_default);
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
	live(&l);
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
	reopen(&l.f, power ? "power loss" : "kill", at);
	expect_prefix(&l, power ? l.durable : l.done, power ? "power loss" : "kill", at);
	/* It goes on, and dies again, perhaps before anything new; then it stops cleanly. */
	for (unsigned i = 0; i < 2; i++) {
		if (at % 2)
			assert_int_equal(put(&l.f, META_DURABLE, 7, 70 + i), 0);
		fixture_kill(&l.f);
		if (power)
			fault_bench_power_loss(l.f.bench, ALL(&l.f));
		reopen(&l.f, "second crash", at);
		assert_int_equal(get(&l.f, 7), at % 2 ? 70 + i : 0);
		expect_prefix(&l, power ? l.durable : l.done, "second crash", at);
	}
	assert_int_equal(put(&l.f, META_DURABLE, 5, 55), 0);
	assert_int_equal(put_blob(&l.f, META_DURABLE, 6, 66, 5000), 0);
	fixture_close(&l.f);
	reopen(&l.f, "clean stop after a crash", at);
	assert_int_equal(get(&l.f, 5), 55);
	assert_int_equal(check_blob(&l.f, 6, 66, 5000), 1);
	expect_prefix(&l, power ? l.durable : l.done, "clean stop after a crash", at);
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
	matrix(3, 1, 0, step(7));
}

static void power_lost_anywhere(void **state)
{
	for (int seed = 1; seed <= 2; seed++)
		matrix(3, 1, seed, step(13));
	matrix(4, 2, 3, step(41));
	matrix(1, 0, 4, step(17));
}

static void crash_in_recovery(void **state)
{
	uint64_t rnd = 42;

	for (unsigned i = 0; i < 40 * 7 / step(7); i++) {
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
	live(&l);
	if (l.done != EVENTS)
		fail_msg("slot %u operation %llu: event %u fails", slot, (unsigned long long)at, l.begun);
	meta_stats(l.f.s, &st);
	assert_true(st.writable);
	bool out = st.isr.slot[slot].state == ISR_OUT;
	expect_prefix(&l, EVENTS, "after an error", at);
	fixture_kill(&l.f);
	if (power)
		fault_bench_power_loss(l.f.bench, ALL(&l.f));
	fault_bench_rule(l.f.bench, NULL);
	/* Without the drive, and with it again. */
	int rc = fixture_open(&l.f, ALL(&l.f) & ~(1u << slot));
	if (rc < 0)
		fail_msg("slot %u operation %llu: open: %s (%s)", slot, (unsigned long long)at, err_text(rc), l.f.detail);
	expect_prefix(&l, power ? l.durable : EVENTS, "without the drive", at);
	fixture_close(&l.f);
	reopen(&l.f, "with the drive", at);
	expect_prefix(&l, power ? l.durable : EVENTS, "with the drive", at);
	fixture_close(&l.f);
	fixture_end(&l.f);
	return out;
}

static void any_error_takes_a_drive_out_only(void **state)
{
	unsigned by = step(9);

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
