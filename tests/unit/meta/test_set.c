/* SPDX-License-Identifier: Apache-2.0
 *
 * A set in one piece: opening, committing from one thread and from many, reading back, stopping.
 */
#include "set_fixture.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "meta/set_internal.h"

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

/* Time passes: what the background thread would do. */
struct ticker {
	struct fixture *f;
	pthread_t thread;
	bool stop;
};

static void *tick(void *arg)
{
	struct ticker *t = arg;

	while (!__atomic_load_n(&t->stop, __ATOMIC_RELAXED)) {
		meta_tick(t->f->s);
		clock_sleep_ns(5 * NS_PER_MS);
	}
	return NULL;
}

static void ticker_start(struct ticker *t, struct fixture *f)
{
	*t = (struct ticker){.f = f};
	assert_int_equal(pthread_create(&t->thread, NULL, tick, t), 0);
}

static void ticker_stop(struct ticker *t)
{
	__atomic_store_n(&t->stop, true, __ATOMIC_RELAXED);
	pthread_join(t->thread, NULL);
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

struct churn {
	struct fixture *f;
	unsigned id;
	uint32_t len[20];    /* of the last answered content of a key; 0: none */
	uint64_t seed[20];
	int failed;
};

/* Overwrites and drops a few keys of its own, again and again. */
static void *churn(void *arg)
{
	struct churn *c = arg;
	uint64_t rnd = c->id;

	for (unsigned i = 0; i < 250; i++) {
		unsigned k = rnd64(&rnd) % 20;
		uint64_t key = c->id * 1000 + k, seed = rnd64(&rnd);
		uint32_t len = (uint32_t)(rnd64(&rnd) % 30000) + 1;
		int rc;
		if (c->len[k] && rnd64(&rnd) % 4 == 0) {
			rc = drop(c->f, key);
			c->len[k] = 0;
		} else {
			rc = put_blob(c->f, rnd64(&rnd) % 4 ? META_DURABLE : META_ORDERED, key, seed, len);
			c->len[k] = len;
			c->seed[k] = seed;
		}
		if (rc < 0)
			c->failed = rc;
		unsigned other = rnd64(&rnd) % 20;
		int have = check_blob(c->f, c->id * 1000 + other, c->seed[other], c->len[other] ? c->len[other] : 1);
		if (have != (c->len[other] ? 1 : 0))
			c->failed = have ? have : -1;
	}
	return NULL;
}

static void expect_churn(struct churn *c, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < 20; k++)
			assert_int_equal(check_blob(c[i].f, c[i].id * 1000 + k, c[i].seed[k], c[i].len[k] ? c[i].len[k] : 1),
					 c[i].len[k] ? 1 : 0);
	expect_counters(c->f);
}

static void journal_is_used_again(void **state)
{
	struct fixture f;
	struct churn c[6];
	pthread_t t[6];
	struct meta_stats st;

	fixture_start(&f, 4, 2, true);
	f.p.no_background = false;
	fixture_reopen(&f, ALL(&f));
	memset(c, 0, sizeof c);
	for (unsigned i = 0; i < 6; i++) {
		c[i].f = &f;
		c[i].id = i + 1;
		assert_int_equal(pthread_create(&t[i], NULL, churn, &c[i]), 0);
	}
	for (unsigned i = 0; i < 6; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(c[i].failed, 0);
	}
	meta_stats(f.s, &st);
	assert_true(st.checkpoints > 1);
	assert_true(st.destaged_blobs > 0);
	assert_true(st.checkpoint_rows > 0 && st.checkpoint_row_bytes > st.checkpoint_rows * ENVELOPE_BYTES);
	assert_true(st.index_bytes > st.checkpoint_row_bytes);
	assert_true(st.journal_free > 1);
	expect_churn(c, 6);
	fixture_kill(&f);
	fixture_reopen(&f, ALL(&f));
	expect_churn(c, 6);
	fixture_close(&f);
	fixture_reopen(&f, ALL(&f) & ~1u);
	expect_churn(c, 6);
	fixture_close(&f);
	fixture_end(&f);
}

/* Without checkpoints the journal fills up: writers are refused, deletes are not, and space comes back. */
static void full_journal_lets_deletes_pass(void **state)
{
	struct fixture f;
	unsigned n = 0;
	int rc;

	fixture_start(&f, 3, 1, true);
	f.p.journal_files = 4;
	f.p.full_wait_ns = 50 * NS_PER_MS;
	fixture_reopen(&f, ALL(&f));
	struct ticker ticker;
	ticker_start(&ticker, &f);
	do {
		n++;
		rc = put_blob(&f, META_DURABLE, n, n, 30000);
	} while (rc == 0 && n < 1000);
	assert_int_equal(rc, -QE_FULL);
	for (unsigned i = 1; i < 20; i++)
		assert_int_equal(drop(&f, i), 0);
	assert_int_equal(put_blob(&f, META_DURABLE, n, n, 30000), -QE_FULL);
	assert_int_equal(meta_checkpoint(f.s), 0);
	assert_int_equal(put_blob(&f, META_DURABLE, n, n, 30000), 0);
	ticker_stop(&ticker);
	for (unsigned i = 20; i <= n; i++)
		assert_int_equal(check_blob(&f, i, i, 30000), 1);
	expect_counters(&f);
	fixture_close(&f);
	fixture_end(&f);
}

/* A drive that does not answer leaves after drive_timeout; who waits is answered, and its late writes harm nobody. */
static void a_hanging_drive_leaves(void **state)
{
	struct fixture f;
	struct meta_stats st;
	struct ticker ticker;
	const struct {
		enum drive_io_op op;
		enum meta_promise promise;
	} cases[] = {{DRIVE_IO_WRITE, META_DURABLE}, {DRIVE_IO_WRITE, META_ORDERED}, {DRIVE_IO_SYNC, META_DURABLE}};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		enum drive_io_op op = cases[i].op;
		fixture_start(&f, 4, 2, true);
		f.p.drive_timeout_ns = 300 * NS_PER_MS;
		fixture_reopen(&f, ALL(&f));
		assert_int_equal(put(&f, META_DURABLE, 1, 11), 0);
		fault_bench_rule(f.bench, &(struct fault_rule){
			.kind = FAULT_HANG, .slot = 2, .op = (int)op, .nth = 1});
		ticker_start(&ticker, &f);
		if (op == DRIVE_IO_SYNC)
			assert_int_equal(meta_sync(f.s), 0);
		assert_int_equal(put(&f, cases[i].promise, 2, 22), 0);
		if (op == DRIVE_IO_SYNC) {
			struct meta_batch *b = meta_batch_new(f.s, META_ORDERED, OP_S3);
			assert_int_equal(meta_commit(b), 0);
			meta_batch_free(b);
			assert_int_equal(meta_sync(f.s), 0);
		}
		assert_int_equal(put(&f, META_DURABLE, 3, 33), 0);
		ticker_stop(&ticker);
		meta_stats(f.s, &st);
		assert_true(st.writable);
		assert_int_equal(st.isr.slot[2].state, ISR_OUT);
		fault_bench_rule(f.bench, NULL);
		fault_bench_release(f.bench);
		fixture_kill(&f);
		fixture_reopen(&f, ALL(&f));
		for (uint64_t k = 1; k <= 3; k++)
			assert_int_equal(get(&f, k), 11 * k);
		expect_counters(&f);
		fixture_end(&f);
	}
}

/* Who only reads has met it; nothing is written that would. */
static void a_drive_that_went_out_leaves_an_idle_set(void **state)
{
	struct fixture f;
	struct meta_stats st;
	struct ticker ticker;

	fixture_start(&f, 4, 2, true);
	fixture_reopen(&f, ALL(&f));
	assert_int_equal(put(&f, META_DURABLE, 1, 11), 0);
	drive_set_out(f.drive[2], true, "no answer");
	ticker_start(&ticker, &f);
	do {
		clock_sleep_ns(NS_PER_MS);
		meta_stats(f.s, &st);
	} while (st.isr.slot[2].state != ISR_OUT);
	ticker_stop(&ticker);
	assert_true(st.writable);
	assert_non_null(strstr(st.isr.reason, "no answer"));
	fixture_kill(&f);
	fixture_end(&f);
}

static struct fixture *hanging;

static void *run_checkpoint(void *arg)
{
	int *rc = arg;

	*rc = meta_checkpoint(hanging->s);
	return NULL;
}

static void *run_put(void *arg)
{
	int *rc = arg;

	*rc = put(hanging, META_DURABLE, 2, 22);
	return NULL;
}

/* A record that is on its way when a checkpoint begins belongs to what follows the checkpoint. */
static void a_checkpoint_waits_for_the_record_in_flight(void **state)
{
	struct fixture f;
	pthread_t put_thread, checkpoint_thread;
	int put_rc = 1, checkpoint_rc = 1;

	hanging = &f;
	fixture_start(&f, 3, 1, true);
	fixture_reopen(&f, ALL(&f));
	assert_int_equal(put(&f, META_DURABLE, 1, 11), 0);
	fault_bench_rule(f.bench, &(struct fault_rule){
		.kind = FAULT_HANG, .slot = 0, .op = DRIVE_IO_WRITE, .nth = 1, .once = true});
	assert_int_equal(pthread_create(&put_thread, NULL, run_put, &put_rc), 0);
	clock_sleep_ns(20 * NS_PER_MS);
	assert_int_equal(pthread_create(&checkpoint_thread, NULL, run_checkpoint, &checkpoint_rc), 0);
	clock_sleep_ns(50 * NS_PER_MS);
	fault_bench_release(f.bench);
	pthread_join(put_thread, NULL);
	pthread_join(checkpoint_thread, NULL);
	assert_int_equal(put_rc, 0);
	assert_int_equal(checkpoint_rc, 0);
	fixture_kill(&f);
	fixture_reopen(&f, ALL(&f));
	assert_int_equal(get(&f, 1), 11);
	assert_int_equal(get(&f, 2), 22);
	expect_counters(&f);
	fixture_end(&f);
}

/* An event loop, threads that block, and nobody's loop: whoever waits is answered soon, whoever leads. */
static void nobody_is_forgotten(void **state)
{
	struct fixture f;
	pthread_t t[8];
	struct worker w[8];

	fixture_start(&f, 3, 1, true);
	f.p.no_background = false;
	f.p.log2_journal_file = 22;
	fixture_reopen(&f, ALL(&f));
	meta_attach_loop(f.s, true);
	for (unsigned i = 0; i < 8; i++) {
		w[i] = (struct worker){&f, i + 1, 150, 0};
		assert_int_equal(pthread_create(&t[i], NULL, work, &w[i]), 0);
	}
	uint64_t end = clock_mono_ns() + NS_PER_S;
	for (unsigned turn = 0; clock_mono_ns() < end; turn++) {
		struct pollfd p = {.fd = meta_event_fd(f.s), .events = POLLIN};
		(void)poll(&p, 1, 10);
		meta_drive(f.s);
		if (turn % 500 == 499)
			meta_attach_loop(f.s, turn % 1000 == 999);
	}
	meta_attach_loop(f.s, false);
	for (unsigned i = 0; i < 8; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(w[i].failed, 0);
	}
	assert_int_equal(meta_sync(f.s), 0);
	assert_int_equal(meta_durable_seq(f.s), meta_applied_seq(f.s));
	fixture_close(&f);
	fixture_end(&f);
}

/* The ids of an epoch are used up: the next one begins while the set serves. */
static void a_new_epoch_begins_in_place(void **state)
{
	struct fixture f;
	struct meta_stats st;

	fixture_start(&f, 3, 1, true);
	fixture_reopen(&f, ALL(&f));
	assert_int_equal(put(&f, META_ORDERED, 1, 11), 0);
	uint64_t id = meta_new_id(f.s);
	f.s->next_id += (1ull << 30) - (1ull << 25);
	assert_true(ids_low(f.s));
	for (unsigned i = 0; i < 3; i++) {
		mutex_lock(&f.s->checkpoint_lock);
		assert_int_equal(epoch_in_place(f.s), 0);
		mutex_unlock(&f.s->checkpoint_lock);
		assert_false(ids_low(f.s));
		assert_true(meta_new_id(f.s) > id);
		id = meta_new_id(f.s);
		if (i)
			assert_int_equal(put(&f, META_DURABLE, 2 + i, 22), 0);
	}
	meta_stats(f.s, &st);
	assert_int_equal(st.epoch, 4);
	for (unsigned i = 0; i < 2; i++) {
		fixture_kill(&f);
		fault_bench_power_loss(f.bench, ALL(&f));
		fixture_reopen(&f, ALL(&f) & ~(1u << i));
		assert_int_equal(get(&f, 1), 11);
		assert_int_equal(get(&f, 4), 22);
		assert_true(meta_new_id(f.s) > id);
		expect_counters(&f);
	}
	fixture_end(&f);
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
		cmocka_unit_test(journal_is_used_again),
		cmocka_unit_test(full_journal_lets_deletes_pass),
		cmocka_unit_test(a_hanging_drive_leaves),
		cmocka_unit_test(a_drive_that_went_out_leaves_an_idle_set),
		cmocka_unit_test(a_checkpoint_waits_for_the_record_in_flight),
		cmocka_unit_test(nobody_is_forgotten),
		cmocka_unit_test(a_new_epoch_begins_in_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
