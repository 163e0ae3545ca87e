/* SPDX-License-Identifier: Apache-2.0
 *
 * view_is_one_state: views during records, freezes, checkpoints and failing copies, against a history in which every
 * state can be looked up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/thread.h"
#include "drive/drive_faulty.h"
#include "meta/envelope.h"
#include "meta/index_internal.h"
#include "meta/view_internal.h"
#include "meta/view_struct_internal.h"
#include "unit/meta/rnd.h"

#define MAP_BYTES (256u << 20)
#define KEYS 200
#define COPIES 3

/* Key i was changed at history[i].seq[n]; the row's body is that sequence; an odd `del` bit: a tombstone. */
struct history {
	uint64_t seq[4000];
	bool deleted[4000];
	unsigned n;
};
static struct history history[KEYS];
static struct publish pub;
static struct index *copies[COPIES];
static char dirs[COPIES][40];
static uint64_t last_seq;

static void key_for(unsigned i, struct meta_key *k)
{
	key_u64(k, (uint64_t)i * 3);
}

/* Newest change of key i at seq, -1: none. */
static int state_of(unsigned i, uint64_t seq)
{
	int n = (int)history[i].n - 1;

	while (n >= 0 && history[i].seq[n] > seq)
		n--;
	return n;
}

static void put(unsigned i, uint64_t seq, bool deleted)
{
	uint8_t row[ENVELOPE_BYTES + 8 + 3000];
	size_t len = ENVELOPE_BYTES + 8 + (i % 17 == 0 ? 3000 : i);
	struct meta_key k;
	struct memtable_row r = {.table = TABLE_DIR, .seq = seq, .deleted = deleted};

	memset(row, (int)i, sizeof row);
	le64_put(row + ENVELOPE_BYTES, seq);
	key_for(i, &k);
	r.key = key_of(&k);
	envelope_seal(TABLE_DIR, r.key, seq, row, len);
	if (!deleted)
		r.row = (struct str){(char *)row, len};
	ASSERT(memtable_put(publish_active(&pub), &r) == 0);
}

/* A record of a few rows with sequences that follow each other. */
static void record(void)
{
	unsigned n = 1 + rnd_below(6);

	for (unsigned j = 0; j < n; j++) {
		unsigned i = rnd_below(KEYS);
		struct history *h = &history[i];

		h->seq[h->n] = ++last_seq;
		h->deleted[h->n] = rnd_below(4) == 0;
		put(i, last_seq, h->deleted[h->n]);
		h->n++;
	}
	publish_applied(&pub, last_seq);
}

static void check_get(struct meta_view *v, unsigned i)
{
	struct meta_key k;
	struct meta_row r;
	int n = state_of(i, meta_view_seq(v)), rc;

	key_for(i, &k);
	rc = meta_get_k(v, TABLE_DIR, &k, &r);
	assert_int_equal(rc, n >= 0 && !history[i].deleted[n]);
	if (rc) {
		assert_int_equal(r.seq, history[i].seq[n]);
		assert_int_equal(le64_get(r.body.p), r.seq);
		assert_int_equal(r.body.len, 8 + (i % 17 == 0 ? 3000 : i));
	}
	if (r.seq) {
		assert_int_equal(r.seq, history[i].seq[n]);
		assert_true(meta_view_consulted(v) >= r.seq);
	}
	key_u64(&k, (uint64_t)i * 3 + 1);
	assert_int_equal(meta_get_k(v, TABLE_DIR, &k, &r), 0);
	assert_int_equal(r.seq, 0);
}

static void check_walk(struct meta_view *v, unsigned from)
{
	struct meta_iter *it;
	struct meta_key k;
	struct meta_row r;
	uint64_t most = 0;
	int rc;

	assert_int_equal(meta_iter_open(v, TABLE_DIR, &it), 0);
	key_u64(&k, from * 3 - (from ? 1 : 0));
	rc = meta_iter_seek(it, k.b, k.len, &r);
	for (unsigned i = from; i < KEYS; i++) {
		int n = state_of(i, meta_view_seq(v));

		if (n < 0 || history[i].deleted[n])
			continue;
		assert_int_equal(rc, 1);
		assert_int_equal(be64_get(r.key.p), (uint64_t)i * 3);
		assert_int_equal(r.seq, history[i].seq[n]);
		assert_int_equal(le64_get(r.body.p), r.seq);
		most = MAX(most, r.seq);
		rc = meta_iter_next(it, &r);
	}
	assert_int_equal(rc, 0);
	assert_true(meta_view_consulted(v) >= most);
	meta_iter_close(it);
}

static void check_view(struct meta_view *v)
{
	for (unsigned i = 0; i < 20; i++)
		check_get(v, rnd_below(KEYS));
	check_walk(v, rnd_below(2) ? 0 : rnd_below(KEYS));
}

static int setup(void **state)
{
	memset(history, 0, sizeof history);
	last_seq = 0;
	if (publish_init(&pub, 0) < 0)
		return -1;
	for (unsigned i = 0; i < COPIES; i++) {
		snprintf(dirs[i], sizeof dirs[i], "/tmp/quoin-view.XXXXXX");
		if (!mkdtemp(dirs[i]) || index_open(dirs[i], MAP_BYTES, true, &copies[i]) < 0 ||
		    publish_add_index(&pub, copies[i]) < 0)
			return -1;
	}
	return 0;
}

static int teardown(void **state)
{
	publish_done(&pub);
	for (unsigned i = 0; i < COPIES; i++) {
		char path[160];

		copies[i] = index_close(copies[i]);
		for (unsigned f = 0; f < 3; f++) {
			snprintf(path, sizeof path, "%s/index%s", dirs[i], (const char *[]){"/data.mdb", "/lock.mdb", ""}[f]);
			remove(path);
		}
		remove(dirs[i]);
	}
	return 0;
}

static void apply_frozen(void)
{
	for (unsigned i = 0; i < COPIES; i++) {
		struct index_applied did;

		if (!index_is_bad(copies[i]))
			assert_int_equal(index_apply(copies[i], publish_frozen(&pub), publish_frozen_to(&pub), NULL, NULL, &did),
			                 0);
	}
}

static void view_is_one_state(void **state)
{
	struct meta_view *v[8] = {NULL};

	for (int step = 0; step < 3000; step++) {
		unsigned at = rnd_below(ARRAY_SIZE(v));

		switch (rnd_below(12)) {
		case 0:
			if (!publish_frozen(&pub))
				assert_int_equal(publish_swap_freeze(&pub), 0);
			break;
		case 1:
			if (publish_frozen(&pub) && rnd_below(3) == 0)
				apply_frozen();
			break;
		case 2:
			if (publish_frozen(&pub) && rnd_below(3) == 0) {
				apply_frozen();
				publish_retire_frozen(&pub);
			}
			break;
		case 3:
		case 4:
		case 5:
			meta_view_close(v[at]);
			assert_int_equal(view_open(&pub, &v[at]), 0);
			assert_int_equal(meta_view_seq(v[at]), last_seq);
			assert_int_equal(meta_view_consulted(v[at]), 0);
			break;
		case 6:
		case 7:
			if (v[at])
				check_view(v[at]);
			break;
		default:
			record();
		}
	}
	assert_true(publish_oldest_seq(&pub) > 0);
	assert_int_equal(pub.nindex, COPIES);
	for (unsigned i = 0; i < ARRAY_SIZE(v); i++)
		meta_view_close(v[i]);
	assert_int_equal(publish_open_views(&pub, NULL), 0);
	assert_int_equal(publish_view_seq_min(&pub), last_seq);
}

static void newest_is_found_without_index(void **state)
{
	struct memtable_row r;
	struct meta_key k;

	history[1].n = 0;
	put(1, ++last_seq, false);
	publish_applied(&pub, last_seq);
	key_for(1, &k);
	assert_true(publish_newest(&pub, TABLE_DIR, key_of(&k), &r));
	assert_int_equal(r.seq, 1);
	assert_int_equal(publish_swap_freeze(&pub), 0);
	assert_int_equal(publish_oldest_seq(&pub), 0);
	assert_true(publish_newest(&pub, TABLE_DIR, key_of(&k), &r));
	put(1, ++last_seq, true);
	assert_true(publish_newest(&pub, TABLE_DIR, key_of(&k), &r));
	assert_true(r.deleted && r.seq == 2);
	apply_frozen();
	publish_retire_frozen(&pub);
	assert_int_equal(publish_oldest_seq(&pub), 1);
	publish_applied(&pub, last_seq);
	assert_int_equal(publish_swap_freeze(&pub), 0);
	apply_frozen();
	publish_retire_frozen(&pub);
	assert_false(publish_newest(&pub, TABLE_DIR, key_of(&k), &r));
	assert_int_equal(publish_oldest_seq(&pub), 2);
}

static void consulted_counts_tombstones_passed(void **state)
{
	struct meta_view *v;
	struct meta_iter *it;
	struct meta_key k;
	struct meta_row r;

	put(1, 1, false);
	put(2, 2, true);
	put(3, 3, false);
	put(4, 4, true);
	publish_applied(&pub, 4);
	assert_int_equal(view_open(&pub, &v), 0);
	key_for(2, &k);
	assert_int_equal(meta_get_k(v, TABLE_DIR, &k, &r), 0);
	assert_int_equal(r.seq, 2);
	assert_int_equal(meta_view_consulted(v), 2);
	assert_int_equal(meta_iter_open(v, TABLE_DIR, &it), 0);
	assert_int_equal(meta_iter_seek(it, "", 0, &r), 1);
	assert_int_equal(meta_view_consulted(v), 2);
	assert_int_equal(meta_iter_next(it, &r), 1);
	assert_int_equal(meta_view_consulted(v), 3);
	assert_int_equal(meta_iter_next(it, &r), 0);
	assert_int_equal(meta_view_consulted(v), 4);
	assert_int_equal(meta_iter_seek(it, r.key.p, r.key.len, &r), 1);
	meta_iter_close(it);
	meta_view_close(v);
}

/* Zeroes the data pages of a copy under its feet. */
static void ruin(unsigned i)
{
	char path[160];

	snprintf(path, sizeof path, "%s/index/data.mdb", dirs[i]);
	assert_int_equal(truncate(path, 8192), 0);
	assert_int_equal(truncate(path, 8 << 20), 0);
}

static void view_goes_on_with_another_copy(void **state)
{
	struct meta_view *v;
	struct meta_iter *it;
	struct meta_row r;
	unsigned rows = 0;
	int rc;

	for (unsigned i = 0; i < 300; i++)
		record();
	assert_int_equal(publish_swap_freeze(&pub), 0);
	apply_frozen();
	publish_retire_frozen(&pub);
	assert_int_equal(view_open(&pub, &v), 0);
	assert_int_equal(meta_iter_open(v, TABLE_DIR, &it), 0);
	rc = meta_iter_seek(it, "", 0, &r);
	ruin(0);
	ruin(1);
	for (unsigned i = 0; i < KEYS; i++) {
		int n = state_of(i, last_seq);

		if (n < 0 || history[i].deleted[n])
			continue;
		assert_int_equal(rc, 1);
		assert_int_equal(be64_get(r.key.p), (uint64_t)i * 3);
		assert_int_equal(le64_get(r.body.p), r.seq);
		rows++;
		rc = meta_iter_next(it, &r);
	}
	assert_int_equal(rc, 0);
	assert_true(rows > 50);
	meta_iter_close(it);
	check_view(v);
	meta_view_close(v);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(view_open(&pub, &v), 0);
		check_view(v);
		meta_view_close(v);
	}
	assert_true(publish_remove_index(&pub, copies[0]));
	/* A view on the last good copy holds it. */
	assert_int_equal(view_open(&pub, &v), 0);
	check_view(v);
	assert_false(publish_remove_index(&pub, copies[2]));
	meta_view_close(v);
	assert_true(publish_remove_index(&pub, copies[2]));
	rc = view_open(&pub, &v);
	if (rc == 0) { /* on the ruined one, which nobody has met yet */
		struct meta_key k;

		for (unsigned i = 0; i < KEYS && rc >= 0; i++) {
			key_for(i, &k);
			rc = meta_get_k(v, TABLE_DIR, &k, &r);
		}
		meta_view_close(v);
	}
	assert_int_equal(rc, -QE_CORRUPT);
	assert_int_equal(view_open(&pub, &v), -QE_CORRUPT);
}

/* A copy that is found bad makes a checkpoint due: of a set that nobody writes to it freezes nothing that a view lacks. */
static void a_freeze_of_nothing_new_takes_no_view(void **state)
{
	struct meta_view *v[3];

	for (unsigned i = 0; i < 300; i++)
		record();
	assert_int_equal(publish_swap_freeze(&pub), 0);
	apply_frozen();
	publish_retire_frozen(&pub);
	record();
	for (unsigned i = 0; i < 3; i++) /* one on each copy */
		assert_int_equal(view_open(&pub, &v[i]), 0);
	assert_int_equal(publish_swap_freeze(&pub), 0);
	ruin(0);
	ruin(1);
	check_view(v[0]);
	check_view(v[1]);
	apply_frozen();
	publish_retire_frozen(&pub);
	record();
	for (unsigned i = 0; i < 3; i++)
		check_view(v[i]);
	for (unsigned i = 0; i < 3; i++)
		meta_view_close(v[i]);
}

static void view_older_than_a_freeze_is_given_up(void **state)
{
	struct meta_view *v;
	struct meta_row r;
	int rc = 0;

	for (unsigned i = 0; i < 300; i++)
		record();
	assert_int_equal(publish_swap_freeze(&pub), 0);
	apply_frozen();
	publish_retire_frozen(&pub);
	assert_int_equal(view_open(&pub, &v), 0);
	record();
	assert_int_equal(publish_swap_freeze(&pub), 0);
	for (unsigned i = 0; i < COPIES; i++)
		ruin(i);
	for (unsigned i = 0; i < KEYS && rc >= 0; i++) {
		struct meta_key k;

		key_for(i, &k);
		rc = meta_get_k(v, TABLE_DIR, &k, &r);
	}
	assert_int_equal(rc, -QE_CONFLICT);
	meta_view_close(v);
}

static _Atomic bool stop;

static void *reader(void *arg)
{
	while (!atomic_load(&stop)) {
		struct meta_view *v;
		struct meta_iter *it;
		struct meta_row r;
		uint64_t sum = 0;
		int rc;

		ASSERT(view_open(&pub, &v) == 0);
		ASSERT(meta_iter_open(v, TABLE_DIR, &it) == 0);
		for (rc = meta_iter_seek(it, "", 0, &r); rc > 0; rc = meta_iter_next(it, &r)) {
			ASSERT(le64_get(r.body.p) == r.seq && r.seq <= meta_view_seq(v));
			sum++;
		}
		ASSERT(rc == 0);
		/* Each record moves one row to the next key: there is always exactly one, of the view's sequence. */
		ASSERT(sum == (meta_view_seq(v) > 0));
		ASSERT(!meta_view_seq(v) || meta_view_consulted(v) == meta_view_seq(v));
		meta_iter_close(it);
		meta_view_close(v);
	}
	return NULL;
}

static void *checkpointer(void *arg)
{
	struct index_applied did;

	for (unsigned i = 0; i < COPIES; i++)
		ASSERT(index_apply(copies[i], arg, publish_frozen_to(&pub), NULL, NULL, &did) == 0);
	return NULL;
}

static void readers_beside_checkpoints_see_one_state(void **state)
{
	pthread_t t[2], ckpt;
	bool running = false;

	atomic_store(&stop, false);
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		assert_int_equal(thread_start(&t[i], "qn-reader", reader, NULL), 0);
	for (uint64_t s = 1; s <= 3000; s++) {
		if (s > 1)
			put((unsigned)((s - 1) * 7 % KEYS), s, true);
		put((unsigned)(s * 7 % KEYS), s, false);
		publish_applied(&pub, s);
		if (s % 60 == 0) {
			if (running) {
				thread_join(ckpt);
				publish_retire_frozen(&pub);
			}
			assert_int_equal(publish_swap_freeze(&pub), 0);
			running = true;
			assert_int_equal(thread_start(&ckpt, "qn-ckpt", checkpointer, publish_frozen(&pub)), 0);
		}
	}
	thread_join(ckpt);
	publish_retire_frozen(&pub);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		thread_join(t[i]);
	assert_int_equal(pub.nindex, COPIES);
}

static void copy_that_lags_is_not_read(void **state)
{
	struct meta_view *v;
	struct index_applied did;

	for (unsigned i = 0; i < 50; i++)
		record();
	assert_int_equal(publish_swap_freeze(&pub), 0);
	assert_int_equal(index_apply(copies[1], publish_frozen(&pub), last_seq, NULL, NULL, &did), 0);
	publish_retire_frozen(&pub);
	assert_int_equal(pub.nindex, 1);
	assert_int_equal(publish_add_index(&pub, copies[0]), -EINVAL);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(view_open(&pub, &v), 0);
		check_view(v);
		meta_view_close(v);
	}
}

/* ---- Pages that are not in memory --------------------------------------------------------------------------------- */
static struct fault_bench *bench;
static struct drive *drive_of[COPIES];

static bool never_in_memory(const uint8_t *page, size_t size)
{
	return false;
}

/* All rows are in the copies, nothing of them in memory, and the drives may fail. */
static void go_cold(void)
{
	struct index_applied did;

	for (unsigned i = 0; i < 50; i++)
		record();
	assert_int_equal(publish_swap_freeze(&pub), 0);
	for (unsigned i = 0; i < COPIES; i++)
		assert_int_equal(index_apply(copies[i], publish_frozen(&pub), last_seq, NULL, NULL, &did), 0);
	publish_retire_frozen(&pub);
	bench = fault_bench_new(1);
	for (unsigned i = 0; i < COPIES; i++) {
		struct drive_file *f;
		assert_int_equal(drive_faulty_open(bench, dirs[i], &drive_of[i]), 0);
		drive_of[i]->timeout_ns = 50 * NS_PER_MS;
		assert_int_equal(drive_open(drive_of[i], INDEX_DATA_FILE, 0, 0, &f), 0);
		index_read_through(copies[i], f);
		copies[i]->pages.in_memory = never_in_memory;
	}
}

static void warm_up(void)
{
	fault_bench_rule(bench, NULL);
	fault_bench_release(bench);
	for (unsigned i = 0; i < COPIES; i++) {
		index_read_through(copies[i], NULL);
		while (drive_changes(drive_of[i]))
			clock_sleep_ns(NS_PER_MS);
		drive_close(drive_of[i]);
	}
	fault_bench_free(bench);
}

static void read_fault(enum fault_kind kind, int slot)
{
	fault_bench_rule(bench, &(struct fault_rule){
		.kind = kind, .slot = slot, .name = INDEX_DATA_FILE, .op = DRIVE_IO_READ, .nth = 1});
}

static void forget_seen(void)
{
	for (unsigned i = 0; i < COPIES; i++) {
		atomic_store(&copies[i]->pages.seen_ns, 0);
		pages_cool(&copies[i]->pages);
	}
}

static struct meta_view *view_on(const struct index *ix)
{
	struct meta_view *v;

	for (unsigned i = 0; i < COPIES; i++) {
		assert_int_equal(view_open(&pub, &v), 0);
		if (v->ix == ix)
			return v;
		meta_view_close(v);
	}
	fail_msg("the copy is not chosen");
	return NULL;
}

static void expect_chosen(const struct index *ix, bool chosen)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 2 * COPIES; i++) {
		struct meta_view *v;
		assert_int_equal(view_open(&pub, &v), 0);
		n += v->ix == ix;
		meta_view_close(v);
	}
	assert_int_equal(n != 0, chosen);
}

static void cold_pages_are_read_by_calls(void **state)
{
	struct drive_stats before, after;

	go_cold();
	drive_stats(drive_of[0], &before);
	struct meta_view *v = view_on(copies[0]);
	check_view(v);
	drive_stats(drive_of[0], &after);
	assert_true(after.reads > before.reads + 2);
	/* What was there a moment ago is not asked for again; later it is. */
	check_view(v);
	drive_stats(drive_of[0], &before);
	assert_int_equal(before.reads, after.reads);
	forget_seen();
	check_view(v);
	drive_stats(drive_of[0], &after);
	assert_true(after.reads > before.reads + 2);
	meta_view_close(v);
	warm_up();
}

/* It would not return from a fault. */
static void a_copy_that_does_not_answer_is_left(void **state)
{
	go_cold();
	read_fault(FAULT_HANG, 0);
	struct meta_view *get = view_on(copies[0]), *walk = view_on(copies[0]);
	check_get(get, 0);
	assert_ptr_not_equal(get->ix, copies[0]);
	assert_true(drive_is_out(drive_of[0]));
	check_walk(walk, 0);
	assert_ptr_not_equal(walk->ix, copies[0]);
	meta_view_close(get);
	meta_view_close(walk);
	expect_chosen(copies[0], false);
	/* It is no worse for it. */
	assert_false(index_is_bad(copies[0]));
	fault_bench_rule(bench, NULL);
	fault_bench_release(bench);
	drive_set_out(drive_of[0], false, NULL);
	get = view_on(copies[0]);
	check_view(get);
	assert_ptr_equal(get->ix, copies[0]);
	meta_view_close(get);
	warm_up();
}

static void the_last_copy_that_does_not_answer_stays(void **state)
{
	struct meta_row r;
	struct meta_key k;

	go_cold();
	read_fault(FAULT_HANG, -1);
	struct meta_view *v = view_on(copies[1]);
	key_for(0, &k);
	assert_int_equal(meta_get_k(v, TABLE_DIR, &k, &r), -QE_DRIVE_TIMEOUT);
	meta_view_close(v);
	for (unsigned i = 0; i < COPIES; i++)
		assert_false(index_is_bad(copies[i]));
	fault_bench_rule(bench, NULL);
	fault_bench_release(bench);
	for (unsigned i = 0; i < COPIES; i++)
		drive_set_out(drive_of[i], false, NULL);
	v = view_on(copies[1]);
	check_view(v);
	meta_view_close(v);
	warm_up();
}

static void a_page_that_cannot_be_read_is_damage(void **state)
{
	go_cold();
	read_fault(FAULT_ERROR, 2);
	struct meta_view *v = view_on(copies[2]);
	check_get(v, 0);
	meta_view_close(v);
	assert_true(index_is_bad(copies[2]));
	warm_up();
}

static int pread_wants_memory(struct drive_file *f, void *p, size_t len, uint64_t off, unsigned flags)
{
	return -ENOMEM;
}

/* Every copy would be condemned in turn, and the set with them, while nothing is wrong with any. */
static void want_of_memory_is_no_damage(void **state)
{
	struct meta_row r;
	struct meta_key k;

	go_cold();
	struct meta_view *v = view_on(copies[2]);
	const struct drive_ops *ops = drive_of[2]->ops;
	struct drive_ops poor = *ops;
	poor.pread = pread_wants_memory;
	drive_of[2]->ops = &poor;
	key_for(0, &k);
	assert_int_equal(meta_get_k(v, TABLE_DIR, &k, &r), -ENOMEM);
	assert_false(index_is_bad(copies[2]));
	drive_of[2]->ops = ops;
	check_view(v);
	assert_ptr_equal(v->ix, copies[2]);
	meta_view_close(v);
	warm_up();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(view_is_one_state, setup, teardown),
		cmocka_unit_test_setup_teardown(newest_is_found_without_index, setup, teardown),
		cmocka_unit_test_setup_teardown(consulted_counts_tombstones_passed, setup, teardown),
		cmocka_unit_test_setup_teardown(view_goes_on_with_another_copy, setup, teardown),
		cmocka_unit_test_setup_teardown(a_freeze_of_nothing_new_takes_no_view, setup, teardown),
		cmocka_unit_test_setup_teardown(view_older_than_a_freeze_is_given_up, setup, teardown),
		cmocka_unit_test_setup_teardown(readers_beside_checkpoints_see_one_state, setup, teardown),
		cmocka_unit_test_setup_teardown(copy_that_lags_is_not_read, setup, teardown),
		cmocka_unit_test_setup_teardown(cold_pages_are_read_by_calls, setup, teardown),
		cmocka_unit_test_setup_teardown(a_copy_that_does_not_answer_is_left, setup, teardown),
		cmocka_unit_test_setup_teardown(the_last_copy_that_does_not_answer_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(a_page_that_cannot_be_read_is_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(want_of_memory_is_no_damage, setup, teardown),
	};

	rnd_init(4);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
