/* SPDX-License-Identifier: Apache-2.0
 *
 * A set below W whose drives return writes again in place (STORAGE.md Q4; TRACES.md H25, H26, H33). Slots from 0.
 */
#include "set_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "meta/set_internal.h"
#include "rnd.h"

#define SLOT(n) (1u << (n))
#define BYTES 300000u
#define KEYS 40

static struct fixture f;
static unsigned resets, revived;

static void count_reset(void *arg)
{
	__atomic_fetch_add(&resets, 1, __ATOMIC_RELAXED);
}

static void start(unsigned n, unsigned m)
{
	fixture_start(&f, n, m, true);
	f.p.drive_timeout_ns = 50 * NS_PER_MS;
	f.p.reset = count_reset;
	resets = 0;
	fixture_open_known(&f);
}

/* ---- Drives go and come ------------------------------------------------------------------------------------------- */
static int release(unsigned slot)
{
	struct drive *old = NULL;
	int rc = meta_slot_release(f.s, slot, &old);

	if (rc == 0 && old)
		f.drive[slot] = drive_close(old);
	return rc;
}

static void take_away(uint32_t slots)
{
	for (unsigned i = 0; i < f.n; i++)
		for (unsigned tries = 0; slots & SLOT(i) && release(i) != 0; tries++) {
			assert_true(tries < 1000);
			meta_tick(f.s);
			clock_sleep_ns(NS_PER_MS);
		}
}

/* The slots whose drives were taken away come back. */
static int revive(uint32_t slots)
{
	struct drive *drives[SUPER_MAX_SLOTS] = {NULL};
	struct op_ctx ctx;
	char path[96];

	for (unsigned i = 0; i < f.n; i++) {
		if (!(slots & SLOT(i)))
			continue;
		snprintf(path, sizeof path, "%s/d%u", f.root, i);
		assert_int_equal(drive_faulty_open(f.bench, path, &drives[i]), 0);
		f.drive[i] = drives[i];
	}
	op_ctx_init(&ctx, OP_ADMIN);
	int rc = meta_set_revive(f.s, drives, &ctx);
	snprintf(f.detail, sizeof f.detail, "%s", ctx.detail);
	op_ctx_done(&ctx);
	revived += rc == 0;
	for (unsigned i = 0; i < f.n; i++)
		if (drives[i]) /* not taken */
			f.drive[i] = drive_close(drives[i]);
	return rc;
}

static void must_revive(uint32_t slots)
{
	int rc = revive(slots);

	if (rc < 0)
		fail_msg("revive: %s (%s)", err_text(rc), f.detail);
	assert_true(meta_writable(f.s));
}

/* A drive leaves in the ordinary way. */
static void drop_out(unsigned slot, uint64_t key)
{
	fail_io(&f, slot, "journal/", DRIVE_IO_WRITE, 1);
	assert_int_equal(put(&f, META_DURABLE, key, key), 0);
	assert_true(meta_writable(f.s));
}

static bool keep_none(void *arg, unsigned slot, const char *name, uint64_t off, size_t len)
{
	return false;
}

/* ---- The histories ------------------------------------------------------------------------------------------------ */
static void cell_lost_with_its_drive_H25(void **state)
{
	uint64_t v;

	start(3, 1);
	drop_out(0, 1);
	assert_int_equal(put_blob(&f, META_ORDERED, 2, 2, 9000), 0);
	fail_io(&f, 2, "journal/", DRIVE_IO_WRITE, 1);
	assert_true(put(&f, META_DURABLE, 3, 33) < 0);
	assert_false(meta_writable(f.s));
	assert_int_equal(check_blob(&f, 2, 2, 9000), 1);
	assert_int_equal(get_durable(&f, 2, &v), -QE_UNKNOWN_OUTCOME);
	assert_int_equal(put_large(&f, META_DURABLE, 4, 4, BYTES), -QE_QUORUM_WRITE);
	fault_bench_power_loss_by(f.bench, SLOT(2), keep_none, NULL);
	take_away(SLOT(0) | SLOT(2));
	fault_bench_rule(f.bench, NULL);
	must_revive(SLOT(2));
	/* Slot 1 has it with one cell of two: provably never answered. */
	assert_int_equal(get_durable(&f, 2, &v), 0);
	assert_int_equal(v, 0);
	assert_int_equal(get(&f, 1), 1);
	assert_int_equal(put_blob(&f, META_DURABLE, 2, 5, 9000), 0);
	assert_int_equal(check_blob(&f, 2, 5, 9000), 1);
	expect_counters(&f);
	fixture_end(&f);
}

static void failed_flush_is_not_read_back_H26(void **state)
{
	uint64_t v;

	start(3, 1);
	drop_out(0, 1);
	fail_io(&f, 2, "journal/", DRIVE_IO_SYNC, 1);
	assert_int_equal(put(&f, META_ORDERED, 2, 22), 0);
	assert_true(meta_sync(f.s) < 0);
	assert_false(meta_writable(f.s));
	take_away(SLOT(2));
	fault_bench_rule(f.bench, NULL);
	must_revive(SLOT(2));
	/* Slot 1 has it, so it is kept, and now it lies on both. */
	assert_int_equal(get_durable(&f, 2, &v), 0);
	assert_int_equal(v, 22);
	fixture_kill(&f);
	lose_power(&f, 0, 0);
	fixture_reopen(&f, SLOT(0) | SLOT(2));
	assert_int_equal(get(&f, 2), 22);
	fixture_end(&f);
}

static int answer;

static void note_answer(void *arg, struct meta_batch *b, int rc)
{
	answer = rc;
	meta_batch_free(b);
}

static void submit_put(uint64_t key, uint64_t value)
{
	struct meta_view *v;

	assert_int_equal(meta_view_open(f.s, &v), 0);
	struct meta_batch *b = put_batch(&f, v, key, value);
	meta_view_close(v);
	b->promise = META_DURABLE;
	answer = 1;
	meta_submit(b, note_answer, NULL);
	meta_drive(f.s);
}

static void hung_write_keeps_its_drive_out_H33(void **state)
{
	start(3, 1);
	assert_int_equal(put(&f, META_DURABLE, 1, 11), 0);
	fault_bench_rule(f.bench, &(struct fault_rule){
		.kind = FAULT_HANG, .slot = 2, .name = "journal/", .op = DRIVE_IO_WRITE, .nth = 1, .once = true});
	submit_put(2, 22);
	for (unsigned i = 0; i < 1000 && answer == 1; i++) {
		meta_tick(f.s);
		clock_sleep_ns(NS_PER_MS);
	}
	assert_int_equal(answer, 0); /* by the other two */
	fail_io(&f, 0, "journal/", DRIVE_IO_WRITE, 1);
	assert_true(put(&f, META_DURABLE, 3, 33) < 0);
	assert_false(meta_writable(f.s));
	take_away(SLOT(0));
	assert_int_equal(release(2), -EBUSY);
	/* With slot 2 hung the others make the quorum. */
	fault_bench_rule(f.bench, NULL);
	must_revive(SLOT(0));
	assert_int_equal(put(&f, META_DURABLE, 4, 44), 0);
	assert_int_equal(release(2), -EBUSY);
	fault_bench_release(f.bench);
	take_away(SLOT(2));
	assert_int_equal(get(&f, 2), 22);
	assert_int_equal(get(&f, 4), 44);
	fixture_kill(&f);
	fixture_reopen(&f, ALL(&f));
	assert_int_equal(get(&f, 2), 22);
	assert_int_equal(get(&f, 4), 44);
	expect_counters(&f);
	fixture_end(&f);
}

/* The record that removes one drive hangs on another: until that has its timeout too there is nothing that a flush could make
 * durable, and the leader comes back to find out. (It went round for ever, with the writer's lock.) */
static void a_second_drive_may_hang_while_the_first_leaves(void **state)
{
	start(4, 2);
	assert_int_equal(put(&f, META_DURABLE, 1, 11), 0);
	assert_int_equal(put(&f, META_ORDERED, 2, 22), 0);
	fault_bench_rule(f.bench, &(struct fault_rule){
		.kind = FAULT_HANG, .slot = 2, .name = "journal/", .op = DRIVE_IO_WRITE, .nth = 1});
	isr_slot_error(f.s, 3, -EIO);
	alarm(60);
	for (unsigned i = 0; i < 10000 && meta_writable(f.s); i++) {
		meta_drive(f.s);
		meta_tick(f.s);
		clock_sleep_ns(NS_PER_MS);
	}
	alarm(0);
	assert_false(meta_writable(f.s));
	assert_int_equal(get(&f, 1), 11);
	fault_bench_rule(f.bench, NULL);
	fault_bench_release(f.bench);
	fixture_kill(&f);
	fixture_reopen(&f, ALL(&f));
	assert_int_equal(get(&f, 1), 11);
	assert_int_equal(get(&f, 2), 22);
	expect_counters(&f);
	fixture_end(&f);
}

/* It never failed, but what was begun on it has not returned when the others come back. */
static void a_write_under_way_keeps_its_drive_out(void **state)
{
	uint8_t *data = aligned_alloc(4096, 1u << 20);
	struct erasure_writer *w;
	struct meta_stats st;

	start(4, 2);
	assert_int_equal(put(&f, META_DURABLE, 1, 11), 0);
	memset(data, 7, 1u << 20);
	assert_int_equal(erasure_writer_open(f.s->erasure, 100000, &w), 0);
	fault_bench_rule(f.bench, &(struct fault_rule){
		.kind = FAULT_HANG, .slot = 3, .op = DRIVE_IO_WRITE, .nth = 1, .once = true});
	assert_int_equal(erasure_writer_push(w, data, 100000, NULL, NULL), 0);
	isr_slot_error(f.s, 0, -EIO);
	isr_slot_error(f.s, 1, -EIO);
	meta_drive(f.s);
	assert_false(meta_writable(f.s));
	take_away(SLOT(0) | SLOT(1));
	must_revive(SLOT(0) | SLOT(1));
	meta_stats(f.s, &st);
	assert_int_not_equal(st.isr.slot[3].state, ISR_IN);
	assert_int_equal(put(&f, META_DURABLE, 3, 33), 0);
	assert_int_equal(release(3), -EBUSY);
	fault_bench_release(f.bench);
	erasure_writer_abort(w);
	take_away(SLOT(3));
	fixture_kill(&f);
	fault_bench_rule(f.bench, NULL);
	fixture_reopen(&f, ALL(&f));
	assert_int_equal(get(&f, 1), 11);
	assert_int_equal(get(&f, 3), 33);
	expect_counters(&f);
	free(data);
	fixture_end(&f);
}

/* Drives that lied: what this process answered is on none of them, and no header tells. */
static void what_was_durable_is_not_given_up(void **state)
{
	start(3, 1);
	assert_int_equal(put(&f, META_DURABLE, 1, 11), 0);
	fault_bench_rule(f.bench, &(struct fault_rule){.kind = FAULT_LOST, .slot = -1, .op = DRIVE_IO_WRITE, .nth = 1});
	assert_int_equal(put(&f, META_DURABLE, 2, 22), 0);
	for (unsigned i = 0; i < f.n; i++)
		isr_slot_error(f.s, i, -EIO);
	meta_tick(f.s);
	assert_false(meta_writable(f.s));
	fault_bench_rule(f.bench, NULL);
	take_away(ALL(&f));
	assert_int_equal(revive(ALL(&f)), -QE_CORRUPT);
	assert_non_null(strstr(f.detail, "a hole"));
	assert_false(meta_writable(f.s));
	fixture_end(&f);
}

/* ---- What is known of the old state ------------------------------------------------------------------------------- */
/* Three puts of which the last two are dropped: below W by slots 1 and 2, slot 0 is replaced by nothing. */
static void fall_with_a_suffix(void)
{
	start(3, 1);
	assert_int_equal(put(&f, META_DURABLE, 1, 11), 0);
	assert_int_equal(put(&f, META_ORDERED, 2, 22), 0);
	assert_int_equal(put(&f, META_ORDERED, 3, 33), 0);
	fail_io(&f, 1, "journal/", DRIVE_IO_WRITE, 1);
	fail_io(&f, 2, "journal/", DRIVE_IO_WRITE, 1);
	assert_true(put(&f, META_DURABLE, 4, 44) < 0);
	assert_false(meta_writable(f.s));
	/* All that was not flushed is lost on the two that return; the third does not. */
	fault_bench_power_loss_by(f.bench, SLOT(1) | SLOT(2), keep_none, NULL);
	drive_set_out(f.drive[0], true, NULL);
	take_away(SLOT(1) | SLOT(2));
	fault_bench_rule(f.bench, NULL);
}

static void what_nobody_kept_is_gone_and_its_numbers_too(void **state)
{
	struct meta_view *v;
	uint64_t value;

	fall_with_a_suffix();
	assert_int_equal(meta_view_open(f.s, &v), 0);
	struct meta_batch *b = put_batch(&f, v, 5, 55);
	uint64_t seq = meta_view_seq(v), id = meta_new_id(f.s);
	meta_view_close(v);
	must_revive(SLOT(1) | SLOT(2));
	assert_true(resets > 0);
	assert_int_equal(get(&f, 1), 11);
	assert_int_equal(get(&f, 2), 0);
	assert_int_equal(get(&f, 3), 0);
	assert_true(meta_applied_seq(f.s) > seq);
	assert_true(meta_new_id(f.s) > id);
	/* What was learned from the old state is refused, now and when its numbers are durable in the new one. */
	assert_int_equal(meta_commit(b), -QE_CONFLICT);
	meta_batch_free(b);
	assert_int_equal(put(&f, META_DURABLE, 2, 23), 0);
	assert_true(meta_durable_seq(f.s) > seq);
	assert_int_equal(meta_wait_blocking(f.s, seq), -QE_UNKNOWN_OUTCOME);
	assert_int_equal(get_durable(&f, 2, &value), 0);
	assert_int_equal(value, 23);
	/* A PAD that passes over many is read by the next start. */
	fixture_kill(&f);
	fixture_reopen(&f, SLOT(1) | SLOT(2));
	assert_int_equal(get(&f, 1), 11);
	assert_int_equal(get(&f, 2), 23);
	assert_int_equal(get(&f, 3), 0);
	expect_counters(&f);
	fixture_end(&f);
}

static void *revive_main(void *arg)
{
	must_revive(*(uint32_t *)arg);
	return NULL;
}

static uint64_t value_in(struct meta_view *v, uint64_t key)
{
	struct meta_batch *b = drop_batch(&f, v, key);

	meta_batch_free(b);
	return b != NULL;
}

static void a_view_stays_one_state(void **state)
{
	struct meta_view *old, *new;
	uint32_t slots = SLOT(1) | SLOT(2);
	pthread_t t;

	fall_with_a_suffix();
	assert_int_equal(meta_view_open(f.s, &old), 0);
	assert_int_equal(value_in(old, 2), 1);
	assert_int_equal(pthread_create(&t, NULL, revive_main, &slots), 0);
	while (!meta_writable(f.s))
		clock_sleep_ns(NS_PER_MS);
	assert_int_equal(meta_view_open(f.s, &new), 0);
	for (uint64_t key = 1; key <= 3; key++) {
		assert_int_equal(value_in(old, key), 1);
		assert_int_equal(value_in(new, key), key == 1);
	}
	meta_view_close(new);
	meta_view_close(old);
	pthread_join(t, NULL);
	fixture_end(&f);
}

static void an_upload_on_its_way_fails(void **state)
{
	struct erasure_writer *w;
	struct erasure_blob eb;
	uint8_t *data = aligned_alloc(4096, 1u << 20);

	start(3, 1);
	memset(data, 7, 1u << 20);
	assert_int_equal(put_large(&f, META_DURABLE, 1, 1, BYTES), 0);
	struct erasure_set *e = meta_erasure_hold(f.s);
	assert_int_equal(erasure_writer_open(e, 100000, &w), 0);
	erasure_set_unhold(e);
	assert_int_equal(erasure_writer_push(w, data, 100000, NULL, NULL), 0);
	assert_int_equal(erasure_writer_finish(w, &eb), 0);
	assert_int_equal(erasure_writer_open(f.s->erasure, 100000, &w), 0);
	drop_out(0, 2);
	fail_io(&f, 2, "journal/", DRIVE_IO_WRITE, 1);
	assert_true(put(&f, META_DURABLE, 3, 33) < 0);
	take_away(SLOT(0) | SLOT(2));
	fault_bench_rule(f.bench, NULL);
	must_revive(SLOT(0) | SLOT(2));
	/* Begun in a segment of before; and finished there, but not committed. */
	assert_int_equal(erasure_writer_push(w, data, 100000, NULL, NULL), -QE_QUORUM_WRITE);
	erasure_writer_abort(w);
	struct meta_batch *b = meta_batch_new(f.s, META_DURABLE, OP_S3);
	meta_batch_blob_large(b, meta_new_id(f.s), &eb, 1);
	assert_int_equal(meta_commit(b), -QE_QUORUM_WRITE);
	meta_batch_free(b);
	assert_int_equal(put_large(&f, META_DURABLE, 4, 4, BYTES), 0);
	assert_int_equal(check_blob(&f, 1, 1, BYTES), 1);
	assert_int_equal(check_blob(&f, 4, 4, BYTES), 1);
	retired_free(f.s, false); /* the writer held it */
	assert_int_equal(f.s->retired.n, 0);
	free(data);
	fixture_end(&f);
}

/* Segments that were made and not named yet when the set fell are nobody's. */
static void files_without_rows_go(void **state)
{
	struct erasure_blob eb;

	fixture_start(&f, 3, 1, true);
	f.p.segment_size = 1u << 20;
	fixture_open_known(&f);
	assert_int_equal(put_large(&f, META_DURABLE, 1, 1, BYTES), 0);
	assert_int_equal(large_begin(&f, 2, 2u << 20, &eb), 0);
	assert_int_equal(segment_files(&f, SLOT(1)), 2);
	drop_out(0, 2);
	fail_io(&f, 2, "journal/", DRIVE_IO_WRITE, 1);
	assert_true(put(&f, META_DURABLE, 3, 33) < 0);
	take_away(SLOT(0) | SLOT(2));
	fault_bench_rule(f.bench, NULL);
	erasure_blob_free(&eb); /* what is still held stays */
	must_revive(SLOT(0) | SLOT(2));
	assert_int_equal(segment_files(&f, ALL(&f)), 3);
	assert_int_equal(check_blob(&f, 1, 1, BYTES), 1);
	fixture_end(&f);
}

/* ---- A start without enough drives -------------------------------------------------------------------------------- */
static void a_read_only_start_becomes_writable(void **state)
{
	uint64_t v;

	start(4, 2);
	assert_int_equal(put(&f, META_DURABLE, 1, 11), 0);
	assert_int_equal(put_large(&f, META_ORDERED, 2, 2, BYTES), 0);
	fixture_kill(&f);
	fixture_reopen(&f, SLOT(0) | SLOT(1));
	assert_false(meta_writable(f.s));
	assert_int_equal(get_durable(&f, 2, &v), -QE_UNKNOWN_OUTCOME);
	assert_int_equal(revive(0), -QE_QUORUM_WRITE);
	assert_int_equal(check_blob(&f, 2, 2, BYTES), 1);
	must_revive(SLOT(3));
	assert_int_equal(get_durable(&f, 2, &v), 0);
	assert_int_equal(check_blob(&f, 2, 2, BYTES), 1);
	assert_int_equal(put(&f, META_DURABLE, 3, 33), 0);
	assert_int_equal(meta_checkpoint(f.s), 0);
	fixture_kill(&f);
	fixture_reopen(&f, ALL(&f));
	assert_int_equal(get(&f, 1), 11);
	assert_int_equal(get(&f, 3), 33);
	expect_counters(&f);
	fixture_end(&f);
}

/* What a read-only start showed in doubt is vouched for by nobody, whatever its number means later. */
static void doubt_of_a_read_only_start_is_not_settled_by_numbers(void **state)
{
	struct meta_view *v;

	start(4, 2);
	assert_int_equal(put(&f, META_DURABLE, 1, 11), 0);
	assert_int_equal(put(&f, META_ORDERED, 2, 22), 0);
	fixture_kill(&f);
	fixture_reopen(&f, SLOT(0) | SLOT(1));
	assert_int_equal(meta_view_open(f.s, &v), 0);
	assert_int_equal(value_in(v, 2), 1);
	uint64_t seq = meta_view_consulted(v);
	meta_view_close(v);
	assert_int_equal(seq, SEQ_DOUBT);
	must_revive(SLOT(2) | SLOT(3));
	assert_int_equal(put(&f, META_DURABLE, 3, 33), 0);
	assert_int_equal(meta_wait_blocking(f.s, seq), -QE_UNKNOWN_OUTCOME);
	fixture_end(&f);
}

/* ---- Failures on the way ------------------------------------------------------------------------------------------ */
static void an_attempt_that_fails_changes_nothing(void **state)
{
	start(4, 2);
	assert_int_equal(put_large(&f, META_DURABLE, 1, 1, BYTES), 0);
	drop_out(0, 2);
	fail_io(&f, 1, "journal/", DRIVE_IO_WRITE, 1);
	assert_true(put(&f, META_DURABLE, 3, 33) < 0);
	take_away(SLOT(0) | SLOT(1));
	for (unsigned nth = 1; nth < 12; nth++) {
		fault_bench_rule(f.bench, NULL);
		fail_io(&f, 1, NULL, -1, nth);
		if (revive(SLOT(1)) == 0)
			break; /* behind the recovery */
		assert_false(meta_writable(f.s));
		assert_int_equal(check_blob(&f, 1, 1, BYTES), 1);
		assert_int_equal(get(&f, 2), 2);
		assert_int_equal(put(&f, META_DURABLE, 5, 5), -QE_QUORUM_WRITE);
	}
	fault_bench_rule(f.bench, NULL);
	if (!meta_writable(f.s))
		must_revive(SLOT(1));
	assert_int_equal(check_blob(&f, 1, 1, BYTES), 1);
	fixture_kill(&f);
	fixture_reopen(&f, ALL(&f));
	assert_int_equal(check_blob(&f, 1, 1, BYTES), 1);
	assert_int_equal(get(&f, 2), 2);
	expect_counters(&f);
	fixture_end(&f);
}

static void strangers_are_refused(void **state)
{
	start(3, 1);
	assert_int_equal(put(&f, META_DURABLE, 1, 11), 0);
	drop_out(0, 2);
	fail_io(&f, 1, "journal/", DRIVE_IO_WRITE, 1);
	assert_true(put(&f, META_DURABLE, 3, 33) < 0);
	take_away(SLOT(0) | SLOT(1));
	fault_bench_rule(f.bench, NULL);
	make_blank(&f, 0);
	assert_int_equal(revive(SLOT(0)), -QE_QUORUM_WRITE);
	must_revive(SLOT(1));
	assert_int_equal(get(&f, 1), 11);
	fixture_end(&f);
}

/* ---- At random ---------------------------------------------------------------------------------------------------- */
/* Keys 1, 2, 3, ... are put in order. What is there must be the first so many of them, all that was answered as durable
 * among them, each whole. */
struct model {
	uint64_t next;     /* key */
	uint64_t durable;  /* all up to here were answered as durable */
	uint64_t last_id;
};

static void put_next(struct model *m)
{
	uint64_t key = m->next, id = meta_new_id(f.s);
	enum meta_promise promise = rnd_below(2) ? META_DURABLE : META_ORDERED;
	int rc;

	assert_true(id > m->last_id);
	m->last_id = id;
	switch (rnd_below(3)) {
	case 0:
		rc = put_large(&f, promise, key, key, BYTES);
		break;
	case 1:
		rc = put_blob(&f, promise, key, key, 9000);
		break;
	default:
		rc = put(&f, promise, key, key);
	}
	if (rc == 0 || rc == -QE_UNKNOWN_OUTCOME)
		m->next++;
	if (rc == 0 && promise == META_DURABLE)
		m->durable = key;
}

static bool is_whole(uint64_t key)
{
	return check_blob(&f, key, key, BYTES) == 1 || check_blob(&f, key, key, 9000) == 1 || get(&f, key) == key;
}

static void check_model(struct model *m)
{
	uint64_t key = 1;

	while (get(&f, key))
		assert_true(is_whole(key++));
	if (key <= m->durable)
		fail_msg("key %llu of %llu durable ones is lost", (unsigned long long)key, (unsigned long long)m->durable);
	for (uint64_t k = key; k < m->next + 2; k++)
		assert_int_equal(get(&f, k), 0);
	expect_counters(&f);
	m->next = key;
	m->durable = key - 1;
}

static uint32_t some_slots(unsigned most)
{
	uint32_t mask = 0;

	while (!mask)
		for (unsigned i = 0; i < f.n; i++)
			mask |= rnd_below(f.n) < most ? SLOT(i) : 0;
	return mask;
}

static void fail_slot(unsigned slot)
{
	static const char *const names[] = {"journal/", "seg/", NULL};

	fault_bench_rule(f.bench, &(struct fault_rule){
		.kind = FAULT_ERROR,
		.slot = (int)slot,
		.name = names[rnd_below(3)],
		.op = rnd_below(2) ? DRIVE_IO_WRITE : DRIVE_IO_SYNC,
		.nth = 1 + rnd_below(6),
	});
}

static bool keep_at_random(void *arg, unsigned slot, const char *name, uint64_t off, size_t len)
{
	return rnd_below(2);
}

static uint32_t lost_slots(void)
{
	uint32_t mask = 0;

	for (unsigned i = 0; i < f.n; i++)
		if (!f.drive[i] || drive_is_out(f.drive[i]))
			mask |= SLOT(i);
	return mask;
}

/* Index copies of drives that were away are made anew behind checkpoints, one by one; a set that serves does so at once. More
 * drives than have one may not be lost. */
static void copies_made_anew(void)
{
	struct meta_stats st;

	for (unsigned i = 0, good = 0; i < f.n && good <= f.s->m; i++) {
		(void)!meta_checkpoint(f.s);
		meta_stats(f.s, &st);
		good = 0;
		for (unsigned j = 0; j < f.n; j++)
			good += st.isr.slot[j].state == ISR_IN && st.isr.slot[j].index == ISR_INDEX_GOOD;
	}
}

static void fall(struct model *m)
{
	copies_made_anew();
	for (unsigned i = 0; i < f.n; i++)
		if (rnd_below(4))
			fail_slot(i);
	for (unsigned i = 0; i < 30 && meta_writable(f.s); i++) {
		put_next(m);
		if (rnd_below(8) == 0)
			(void)!meta_checkpoint(f.s);
		meta_tick(f.s);
	}
}

/* Lost drives come back in groups, at times too few of them. */
static void rise(struct model *m)
{
	uint32_t lost = lost_slots();

	if (rnd_below(2))
		fault_bench_power_loss_by(f.bench, lost, keep_at_random, NULL);
	fault_bench_rule(f.bench, NULL);
	for (unsigned i = 0; i < 50 && !meta_writable(f.s); i++) {
		uint32_t back = i < 20 ? some_slots(2) & lost_slots() : lost_slots();
		take_away(back);
		(void)!revive(back);
	}
	if (!meta_writable(f.s))
		fail_msg("the set stays read-only: %s", f.detail);
	check_model(m);
}

static void falls_and_rises(unsigned n, unsigned m, unsigned rounds)
{
	struct model model = {.next = 1};

	start(n, m);
	for (unsigned i = 0; i < rounds; i++) {
		fall(&model);
		if (!meta_writable(f.s))
			rise(&model);
		fault_bench_rule(f.bench, NULL);
		if (rnd_below(3) == 0 || lost_slots()) { /* the drives that are out come back by a start */
			fixture_kill(&f);
			if (rnd_below(2))
				lose_power(&f, ALL(&f), ALL(&f));
			fixture_reopen(&f, ALL(&f));
			check_model(&model);
		}
	}
	fixture_end(&f);
}

static void at_random(void **state)
{
	static const unsigned sets[][2] = {{2, 1}, {3, 1}, {4, 2}, {5, 2}};

	for (unsigned i = 0; i < 4; i++)
		falls_and_rises(sets[i][0], sets[i][1], 12);
	assert_true(revived > 15);
}

/* ---- While others work -------------------------------------------------------------------------------------------- */
#define WORKERS 2
#define FALLS 6

/* Each writer puts rows 1, 2, 3, ... of its own and goes on when one is answered. */
struct writer {
	uint64_t id, answered; /* atomic */
	bool *stop;
};

static int put_row(uint64_t id, uint64_t n)
{
	struct meta_batch *b = meta_batch_new(f.s, META_DURABLE, OP_S3);
	struct meta_key k;

	key_u64_u64(&k, id, n);
	meta_batch_put(b, TABLE_QUEUE, &k, STR_LIT("row"), 0);
	int rc = meta_commit(b);
	meta_batch_free(b);
	return rc;
}

static void *writer_main(void *arg)
{
	struct writer *w = arg;

	while (!__atomic_load_n(w->stop, __ATOMIC_RELAXED)) {
		uint64_t n = w->answered + 1;
		int rc = put_row(w->id, n);
		if (rc == 0)
			__atomic_store_n(&w->answered, n, __ATOMIC_RELEASE);
		else if (rc != -QE_QUORUM_WRITE && rc != -QE_UNKNOWN_OUTCOME)
			fail_msg("put: %s", err_text(rc));
		else
			clock_sleep_ns(NS_PER_MS);
	}
	return NULL;
}

/* In one view a writer's rows have no gap, and none that was answered before is lacking. */
static void look(const struct writer *w)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	uint64_t answered = __atomic_load_n(&w->answered, __ATOMIC_ACQUIRE), n = 0;
	struct meta_iter *it;
	struct meta_row row;
	struct meta_key k;

	assert_int_equal(meta_view_open(f.s, &v), 0);
	assert_int_equal(meta_iter_open(v, TABLE_QUEUE, &it), 0);
	key_u64_u64(&k, w->id, 0);
	int rc = meta_iter_seek(it, k.b, k.len, &row);
	for (; rc > 0 && be64_get(row.key.p) == w->id; rc = meta_iter_next(it, &row))
		assert_int_equal(be64_get(row.key.p + 8), ++n);
	meta_iter_close(it);
	assert_true(rc >= 0);
	assert_true(n >= answered);
}

static void *reader_main(void *arg)
{
	struct writer *w = arg;

	while (!__atomic_load_n(w->stop, __ATOMIC_RELAXED))
		look(w);
	return NULL;
}

static void fall_and_rise(uint32_t slots)
{
	for (unsigned i = 0; i < f.n; i++)
		if (slots & SLOT(i))
			isr_slot_error(f.s, i, -EIO);
	while (meta_writable(f.s))
		clock_sleep_ns(NS_PER_MS);
	if (rnd_below(2))
		fault_bench_power_loss_by(f.bench, slots, keep_none, NULL);
	take_away(slots);
	must_revive(slots);
}

static void readers_and_writers_go_on(void **state)
{
	static const uint32_t falls[] = {SLOT(0) | SLOT(1), SLOT(1) | SLOT(2), SLOT(2) | SLOT(3), SLOT(0) | SLOT(1) | SLOT(2)};
	struct writer w[WORKERS];
	pthread_t t[2 * WORKERS];
	bool stop = false;

	fixture_start(&f, 4, 2, true);
	f.p.no_background = false;
	fixture_reopen(&f, ALL(&f));
	for (unsigned i = 0; i < WORKERS; i++) {
		w[i] = (struct writer){.id = i + 1, .stop = &stop};
		assert_int_equal(pthread_create(&t[2 * i], NULL, writer_main, &w[i]), 0);
		assert_int_equal(pthread_create(&t[2 * i + 1], NULL, reader_main, &w[i]), 0);
	}
	for (unsigned i = 0; i < FALLS; i++) {
		uint64_t before = __atomic_load_n(&w[0].answered, __ATOMIC_ACQUIRE);
		fall_and_rise(falls[i % ARRAY_SIZE(falls)]);
		while (__atomic_load_n(&w[0].answered, __ATOMIC_ACQUIRE) < before + 20)
			clock_sleep_ns(NS_PER_MS);
		if (i % 2)
			assert_int_equal(meta_checkpoint(f.s), 0);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		pthread_join(t[i], NULL);
	fixture_kill(&f);
	lose_power(&f, 0, 0);
	fixture_reopen(&f, ALL(&f));
	for (unsigned i = 0; i < WORKERS; i++)
		look(&w[i]);
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cell_lost_with_its_drive_H25),
		cmocka_unit_test(failed_flush_is_not_read_back_H26),
		cmocka_unit_test(hung_write_keeps_its_drive_out_H33),
		cmocka_unit_test(a_second_drive_may_hang_while_the_first_leaves),
		cmocka_unit_test(a_write_under_way_keeps_its_drive_out),
		cmocka_unit_test(what_was_durable_is_not_given_up),
		cmocka_unit_test(what_nobody_kept_is_gone_and_its_numbers_too),
		cmocka_unit_test(a_view_stays_one_state),
		cmocka_unit_test(an_upload_on_its_way_fails),
		cmocka_unit_test(files_without_rows_go),
		cmocka_unit_test(a_read_only_start_becomes_writable),
		cmocka_unit_test(doubt_of_a_read_only_start_is_not_settled_by_numbers),
		cmocka_unit_test(an_attempt_that_fails_changes_nothing),
		cmocka_unit_test(strangers_are_refused),
		cmocka_unit_test(at_random),
		cmocka_unit_test(readers_and_writers_go_on),
	};
	rnd_init((uint64_t)clock_wall_ns());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
