/* SPDX-License-Identifier: Apache-2.0
 *
 * Drives that return without some of their cells, or with damaged ones: afterwards `missing` is empty, every cell is what
 * a fresh write would have put there, and the cost follows what lives.
 */
#include "heal_fixture.h"

#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "meta/heal_internal.h"

#define KEYS 40
#define LAST 3 /* the slot that is away */

/* Half of the objects are written while the last drive is away. */
static void start_degraded(struct fixture *f, bool faulty)
{
	fixture_start(f, 4, 2, faulty);
	f->p.segment_size = 2u << 20; /* several segments */
	assert_int_equal(fixture_open(f, ALL(f)), 0);
	put_keys(f, 0, KEYS / 2);
	fixture_close(f);
	fixture_reopen(f, ALL(f) & ~(1u << LAST));
	put_keys(f, KEYS / 2, KEYS);
	fixture_close(f);
	fixture_reopen(f, ALL(f));
	assert_true(missing_ranges(f) > 0);
}

/* Any K drives are enough: 2 of 4 are read-only. */
static void expect_readable_by_two(struct fixture *f)
{
	for (unsigned a = 0; a < f->n; a++)
		for (unsigned b = a + 1; b < f->n; b++) {
			fixture_close(f);
			fixture_reopen(f, 1u << a | 1u << b);
			expect_keys(f, 0, KEYS);
		}
}

static void returning_drive_gets_its_cells(void **state)
{
	struct meta_heal_slot p[SUPER_MAX_SLOTS];
	struct fixture f;

	start_degraded(&f, false);
	assert_int_equal(heal(&f), 1);
	expect_whole(&f);
	meta_heal_progress(f.s, p);
	assert_false(p[LAST].active);
	assert_true(p[LAST].started_ns && p[LAST].ended_ns >= p[LAST].started_ns);
	assert_true(p[LAST].bytes_done > 0);
	assert_int_equal(p[LAST].bytes_total, p[LAST].bytes_done);
	assert_int_equal(p[LAST].segments_done, p[LAST].segments_total);
	assert_int_equal(p[LAST].bytes_failed, 0);
	assert_int_equal(p[0].started_ns, 0);
	expect_counters(&f);
	assert_int_equal(heal(&f), 1); /* there is nothing left to do */
	expect_readable_by_two(&f);
	fixture_end(&f);
}

/* A drive of which all is missing, from the first byte on. */
static void empty_drive_is_filled(void **state)
{
	struct fixture f;
	struct stat st;
	char path[128];

	start_degraded(&f, false);
	fixture_close(&f);
	assert_true(remove_segments(&f, LAST) > 0);
	fixture_reopen(&f, ALL(&f));
	assert_int_equal(heal(&f), 1);
	struct scrubbed s = scrub(&f); /* what no row names is found by the scrub */
	assert_true(s.all.slot[LAST].bad > 0);
	assert_int_equal(s.all.slot[LAST].healed, s.all.slot[LAST].bad);
	expect_whole(&f);
	snprintf(path, sizeof path, "%s/d%u/seg", f.root, LAST);
	assert_int_equal(stat(path, &st), 0);
	expect_readable_by_two(&f);
	fixture_end(&f);
}

/* Told to end at every point: what was done stays done, the rest follows. */
static void heal_goes_on_where_it_ended(void **state)
{
	struct fixture f;
	struct patience p = {.ends = true};
	unsigned left, rounds = 0;
	uint64_t bytes = 0;

	start_degraded(&f, false);
	left = missing_ranges(&f);
	assert_true(left > 2);
	for (int rc = 0; rc != 1; rounds++) {
		p.left = 2 + 3 * rounds;
		p.bytes = 0;
		rc = heal_with(&f, &p);
		assert_true(rc >= 0);
		bytes += p.bytes;
		assert_true(missing_ranges(&f) <= left);
		left = missing_ranges(&f);
		if (rounds % 3 == 2) {
			fixture_close(&f);
			fixture_reopen(&f, ALL(&f));
			assert_int_equal(missing_ranges(&f), left);
		}
	}
	assert_true(rounds > 2);
	expect_whole(&f);
	fixture_end(&f);
}

static struct meta_heal_slot progress_of(struct fixture *f, unsigned slot)
{
	struct meta_heal_slot p[SUPER_MAX_SLOTS];

	meta_heal_progress(f->s, p);
	return p[slot];
}

static void expect_same_counts(const struct meta_heal_slot *a, const struct meta_heal_slot *b)
{
	assert_memory_equal(a->drive, b->drive, 16);
	assert_int_equal(a->active, b->active);
	assert_true(a->started_ns == b->started_ns && a->bytes_done == b->bytes_done && a->stripes_done == b->stripes_done);
	assert_true(a->segments_done == b->segments_done && a->segments_total == b->segments_total);
	assert_true(a->bytes_total == b->bytes_total && a->bytes_failed == 0 && b->bytes_failed == 0);
}

/* Written, lost and looked for in one life of the process: what is to be healed is known before it begins. */
static void the_total_is_told_before_anything_is_healed(void **state)
{
	struct patience none = {.ends = true};
	struct fixture f;

	fixture_start(&f, 4, 2, true);
	f.p.segment_size = 2u << 20;
	assert_int_equal(fixture_open(&f, ALL(&f)), 0);
	put_keys(&f, 0, KEYS);
	drive_leaves(&f, LAST);
	drive_given_back(&f, LAST);
	make_blank(&f, LAST);
	assert_int_equal(drive_joins(&f, LAST), 0);
	assert_int_equal(heal_with(&f, &none), 0);
	const struct meta_heal_slot before = progress_of(&f, LAST);
	assert_true(before.active && before.bytes_done == 0);
	assert_int_equal(heal(&f), 1);
	const struct meta_heal_slot after = progress_of(&f, LAST);
	assert_int_equal(after.segments_done, before.segments_total);
	/* But for what cells are rounded up to. */
	assert_in_range(before.bytes_total, after.bytes_done / 10 * 9, after.bytes_done / 10 * 11);
	fixture_end(&f);
}

/* Killed in the middle of it: the counts are those of the ranges that are done, and at the end those of one that was not
 * interrupted. A drive that is replaced begins with none. */
static void counts_outlive_a_restart(void **state)
{
	struct meta_heal_slot before, now;
	struct fixture f;
	unsigned steps = 0, rounds = 0;

	start_degraded(&f, false);
	assert_int_equal(heal(&f), 1);
	const struct meta_heal_slot whole = progress_of(&f, LAST);
	fixture_end(&f);

	start_degraded(&f, false);
	for (struct patience p = {.ends = true, .left = 6}; heal_with(&f, &p) == 0; p.left = 6 + ++rounds) {
		before = progress_of(&f, LAST);
		assert_true(before.active && before.ended_ns == 0);
		fixture_kill(&f);
		fixture_reopen(&f, ALL(&f));
		now = progress_of(&f, LAST);
		if (before.segments_done == 0) /* nothing that is durable */
			assert_int_equal(now.started_ns, 0);
		else
			expect_same_counts(&before, &now);
		steps += before.segments_done > 0;
	}
	assert_true(steps > 0);
	before = progress_of(&f, LAST);
	assert_false(before.active);
	assert_int_equal(before.bytes_done, whole.bytes_done);
	assert_int_equal(before.stripes_done, whole.stripes_done);
	assert_int_equal(before.segments_done, whole.segments_done);
	assert_true(before.ended_ns >= before.started_ns);
	fixture_close(&f);
	fixture_reopen(&f, ALL(&f));
	now = progress_of(&f, LAST);
	expect_same_counts(&before, &now);
	assert_int_equal(now.ended_ns, before.ended_ns);

	drive_leaves(&f, LAST);
	drive_given_back(&f, LAST);
	make_blank(&f, LAST);
	assert_int_equal(drive_joins(&f, LAST), 0);
	assert_int_equal(heal(&f), 1);
	now = progress_of(&f, LAST);
	assert_true(now.started_ns >= before.ended_ns && now.bytes_done > 0);
	assert_memory_not_equal(now.drive, before.drive, 16);
	fixture_close(&f);
	fixture_reopen(&f, ALL(&f));
	before = progress_of(&f, LAST);
	expect_same_counts(&before, &now);
	fixture_end(&f);
}

static void row_bytes(void **state)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct meta_heal_slot p[2] = {{.drive = {1, 2}, .active = true, .started_ns = 3, .updated_ns = 4, .bytes_total = 7},
				      {.drive = {8}, .segments_failed = 9}};
	struct meta_heal_slot back[2];

	heal_row_encode(p, 2, &b);
	assert_int_equal(b.len, 4 + 2 * (16 + 13 * 8));
	assert_memory_equal(b.data, "\1\0\2\0\1\2", 6);
	assert_memory_equal(b.data + 20, "\1\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0\4", 17);
	assert_int_equal(b.data[4 + 2 * 120 - 8], 9);
	assert_int_equal(heal_row_decode(buf_str(&b), 2, back), 0);
	assert_memory_equal(back, p, sizeof p);
	assert_int_equal(heal_row_decode(buf_str(&b), 3, back), -QE_CORRUPT);
	b.data[0] = 2;
	assert_int_equal(heal_row_decode(buf_str(&b), 2, back), -QE_CORRUPT);
	assert_int_equal(heal_row_decode((struct str){"", 0}, 2, back), -QE_CORRUPT);
}

static void cost_follows_what_lives(void **state)
{
	struct fixture f;
	struct patience all = {.ends = false}, few = {.ends = false};

	start_degraded(&f, false);
	assert_int_equal(heal_with(&f, &all), 1);
	fixture_end(&f);
	start_degraded(&f, false);
	for (uint64_t k = KEYS / 2; k < KEYS; k++)
		if (k % 5 >= 3 && k != KEYS - 1)
			assert_int_equal(drop(&f, k), 0);
	assert_int_equal(heal_with(&f, &few), 1);
	assert_true(few.bytes < all.bytes / 2);
	assert_int_equal(missing_ranges(&f), 0);
	fixture_end(&f);
}

/* With two drives away only K are left, and one of them rots. */
static void what_cannot_be_made_stays_missing(void **state)
{
	struct meta_heal_slot p[SUPER_MAX_SLOTS];
	struct fixture f;

	start_degraded(&f, false);
	fixture_close(&f);
	remove_segments(&f, 0);
	remove_segments(&f, 1);
	fixture_reopen(&f, ALL(&f));
	unsigned before = missing_ranges(&f);
	assert_int_equal(heal(&f), 0);
	meta_heal_progress(f.s, p);
	assert_true(p[LAST].segments_failed > 0);
	assert_true(p[LAST].bytes_failed > 0);
	assert_true(missing_ranges(&f) > 0 && missing_ranges(&f) <= before);
	fixture_end(&f);
}

/* How often the log tells what, while the healer runs. */
static unsigned lines_of_heal(struct meta_healer *h, const char *what)
{
	FILE *log = tmpfile();
	unsigned n = 0;
	char line[512];
	int saved = dup(STDERR_FILENO);

	assert_true(log && saved >= 0);
	dup2(fileno(log), STDERR_FILENO);
	log_set_level(LOG_L_WARN);
	int rc = meta_heal_missing(h);
	log_set_level(LOG_L_ERROR - 1);
	dup2(saved, STDERR_FILENO);
	close(saved);
	assert_int_equal(rc, 0);
	rewind(log);
	while (fgets(line, sizeof line, log))
		n += strstr(line, what) != NULL;
	fclose(log);
	return n;
}

/* What stays missing is tried again when another drive is there, and not told again. */
static void what_stays_missing_is_told_once_for_a_cause(void **state)
{
	struct patience p = {.ends = false};
	struct fixture f;
	char what[128];

	start_degraded(&f, true);
	for (unsigned i = 0; i < 2; i++)
		rot(&f, i);
	snprintf(what, sizeof what, "cells stay missing path=%s/d%u slot=%u segment=", f.root, LAST, LAST);
	struct meta_healer *h = meta_healer_new(f.s, patience_go_on, &p);
	assert_true(lines_of_heal(h, what) > 0);
	const struct meta_heal_slot before = progress_of(&f, LAST);
	assert_true(before.segments_failed > 0);
	drive_leaves(&f, 1);
	drive_given_back(&f, 1);
	assert_int_equal(lines_of_heal(h, what), 0);
	assert_int_equal(drive_joins(&f, 1), 0);
	assert_int_equal(lines_of_heal(h, what), 0);
	const struct meta_heal_slot after = progress_of(&f, LAST);
	assert_true(after.started_ns > before.started_ns); /* it was tried */
	assert_int_equal(after.segments_failed, before.segments_failed);
	meta_healer_free(h);
	fixture_end(&f);
}

/* A drive leaves, comes back, blank or not, and is healed, while a blob is on its way: its cells there are named when it
 * arrives, and made. */
static void blob_on_its_way_while_a_drive_is_healed(void **state)
{
	for (unsigned blank = 0; blank <= 1; blank++) {
		struct fixture f;
		struct erasure_blob before, during;
		fixture_start(&f, 4, 2, true);
		fixture_reopen(&f, ALL(&f));
		fixture_kill(&f);
		fixture_reopen(&f, ALL(&f));
		put_key(&f, 4, 4);
		assert_int_equal(large_begin(&f, 70, 1200000, &before), 0);
		drive_leaves(&f, 1);
		assert_int_equal(large_begin(&f, 71, 1200000, &during), 0);
		drive_given_back(&f, 1);
		if (blank)
			make_blank(&f, 1);
		assert_int_equal(drive_joins(&f, 1), 0);
		assert_int_equal(heal(&f), 1);
		assert_int_equal(missing_ranges(&f), 0);
		assert_int_equal(put_large_begun(&f, META_DURABLE, 70, 70, 1200000, &before), 0);
		assert_int_equal(put_large_begun(&f, META_DURABLE, 71, 71, 1200000, &during), 0);
		assert_true(missing_ranges(&f) > 0);
		assert_int_equal(heal(&f), 1);
		expect_whole(&f);
		fixture_kill(&f);
		fixture_reopen(&f, 1u << 1 | 1u << 3);
		assert_int_equal(check_blob(&f, 70, 70, 1200000), 1);
		assert_int_equal(check_blob(&f, 71, 71, 1200000), 1);
		assert_int_equal(check_blob(&f, 4, 4, size_of(4)), 1);
		fixture_end(&f);
	}
}

/* Six drives, two of them parity: one fails in one stripe of a blob, another in a later one, by any of its writes. What is
 * left is the write quorum, so the blob is written, and whole once they are back. */
static void a_blob_outlives_two_drives_that_leave(void **state)
{
	const uint32_t len = 6u << 20;

	for (unsigned nth = 1; nth <= 7; nth++) {
		struct fixture f;
		fixture_start(&f, 6, 2, true);
		fixture_reopen(&f, ALL(&f));
		assert_int_equal(put_large(&f, META_DURABLE, 1, 1, len), 0);
		fail_io(&f, nth % 6, "seg/", DRIVE_IO_WRITE, 1);
		fail_io(&f, (nth + 2) % 6, "seg/", DRIVE_IO_WRITE, nth);
		assert_int_equal(put_large(&f, META_DURABLE, 2, 2, len), 0);
		assert_int_equal(fault_bench_fired(f.bench), nth <= 6 ? 2 : 1);
		assert_int_equal(check_blob(&f, 2, 2, len), 1);
		assert_int_equal(put_large(&f, META_DURABLE, 3, 3, len), 0);
		fixture_kill(&f);
		fault_bench_power_loss(f.bench, ALL(&f));
		fault_bench_rule(f.bench, NULL);
		fixture_reopen(&f, ALL(&f));
		assert_true(missing_ranges(&f) > 0);
		assert_int_equal(heal(&f), 1);
		for (unsigned i = 0; i < 4; i++) /* with index copies */
			assert_int_equal(meta_checkpoint(f.s), 0);
		fixture_close(&f);
		fixture_reopen(&f, ALL(&f) & ~(3u << 2 * (nth % 3)));
		for (uint64_t k = 1; k <= 3; k++)
			assert_int_equal(check_blob(&f, k, k, len), 1);
		fixture_end(&f);
	}
}

/* ---- Damage ------------------------------------------------------------------------------------------------------ */
static void reads_have_damage_repaired(void **state)
{
	struct meta_damage_stats st;
	struct patience p = {.ends = false};
	struct fixture f;

	fixture_start(&f, 4, 2, false);
	f.p.segment_size = 2u << 20;
	assert_int_equal(fixture_open(&f, ALL(&f)), 0);
	put_keys(&f, 0, KEYS);
	rot(&f, 1);
	expect_keys(&f, 0, KEYS);
	meta_damage_stats(f.s, &st);
	assert_true(st.waiting > 0 && st.waiting == st.noted);
	unsigned once = st.waiting;
	expect_keys(&f, 0, KEYS); /* the same again is no news */
	meta_damage_stats(f.s, &st);
	assert_int_equal(st.waiting, once);
	struct meta_healer *h = meta_healer_new(f.s, patience_go_on, &p);
	assert_int_equal(meta_heal_damage(h), 0);
	meta_healer_free(h);
	meta_damage_stats(f.s, &st);
	assert_int_equal(st.waiting, 0);
	assert_int_equal(st.failed, 0);
	assert_true(st.repaired >= once);
	expect_keys(&f, 0, KEYS);
	meta_damage_stats(f.s, &st);
	assert_int_equal(st.waiting, 0);
	/* Cells that no read had met are left to the scrub. */
	struct scrubbed s = scrub(&f);
	assert_int_equal(s.all.slot[1].healed, s.all.slot[1].bad);
	expect_whole(&f);
	fixture_end(&f);
}

/* One read of what was in it is enough for all of a file. */
static void lost_files_come_back_whole(void **state)
{
	struct meta_damage_stats st;
	struct patience p = {.ends = false};
	struct fixture f;

	fixture_start(&f, 4, 2, false);
	f.p.segment_size = 2u << 20;
	assert_int_equal(fixture_open(&f, ALL(&f)), 0);
	put_keys(&f, 0, KEYS);
	fixture_close(&f);
	unsigned files = remove_segments(&f, 1);
	fixture_reopen(&f, ALL(&f));
	expect_keys(&f, 0, KEYS);
	struct meta_healer *h = meta_healer_new(f.s, patience_go_on, &p);
	assert_int_equal(meta_heal_damage(h), 0);
	meta_healer_free(h);
	meta_damage_stats(f.s, &st);
	assert_true(st.noted > 0 && st.waiting == 0);
	assert_true(missing_ranges(&f) > 0 && missing_ranges(&f) <= files);
	assert_int_equal(heal(&f), 1);
	/* Only files in which no read took anything are left. */
	struct scrubbed s = scrub(&f);
	assert_int_equal(s.all.slot[1].failed, 0);
	expect_whole(&f);
	expect_keys(&f, 0, KEYS);
	fixture_end(&f);
}

static void reads_that_fail_queue_nothing(void **state)
{
	struct meta_damage_stats st;
	struct fixture f;

	fixture_start(&f, 4, 2, false);
	f.p.segment_size = 2u << 20;
	assert_int_equal(fixture_open(&f, ALL(&f)), 0);
	put_keys(&f, 3, 4);
	rot(&f, 0);
	rot(&f, 1);
	rot(&f, 2);
	assert_int_equal(check_blob(&f, 3, 3, size_of(3)), -QE_QUORUM_READ);
	meta_damage_stats(f.s, &st);
	assert_int_equal(st.noted, 0);
	fixture_end(&f);
}

/* What is missing, or away, is no damage. */
static void missing_cells_are_not_damage(void **state)
{
	struct meta_damage_stats st;
	struct fixture f;

	start_degraded(&f, false);
	expect_keys(&f, 0, KEYS);
	fixture_close(&f);
	fixture_reopen(&f, ALL(&f) & ~1u);
	expect_keys(&f, 0, KEYS);
	meta_damage_stats(f.s, &st);
	assert_int_equal(st.noted, 0);
	fixture_end(&f);
}

static void scrub_visits_every_live_cell(void **state)
{
	struct fixture f;

	fixture_start(&f, 4, 2, false);
	f.p.segment_size = 2u << 20;
	assert_int_equal(fixture_open(&f, ALL(&f)), 0);
	put_keys(&f, 0, KEYS);
	struct scrubbed s = scrub(&f);
	assert_true(s.segments > 2);
	assert_int_equal(sum_bad(&s), 0);
	rot(&f, 2);
	struct scrubbed r = scrub(&f);
	assert_int_equal(r.all.stripes, s.all.stripes);
	assert_int_equal(r.all.bytes, s.all.bytes);
	assert_int_equal(r.all.slot[2].bad, s.all.stripes);
	assert_int_equal(r.all.slot[2].healed, s.all.stripes);
	expect_whole(&f);
	fixture_end(&f);
}

/* ---- Index copies ------------------------------------------------------------------------------------------------ */
static struct meta_index_check check_index(struct fixture *f)
{
	struct meta_index_check c;

	assert_int_equal(meta_index_check(f->s, &c), 0);
	return c;
}

static void bad_index_copy_is_found_and_made_anew(void **state)
{
	struct meta_index_check c;
	struct meta_stats st;
	struct fixture f;

	fixture_start(&f, 4, 2, false);
	assert_int_equal(fixture_open(&f, ALL(&f)), 0);
	put_keys(&f, 0, KEYS);
	c = check_index(&f);
	assert_int_equal(c.copies, 4);
	assert_int_equal(c.bad, 0);
	spoil_index(&f, 2);
	c = check_index(&f);
	assert_int_equal(c.copies, 4);
	assert_int_equal(c.bad, 1);
	expect_keys(&f, 0, KEYS); /* from the others */
	for (unsigned i = 0; i < 3; i++) {
		put_key(&f, KEYS + i, KEYS + i);
		assert_int_equal(meta_checkpoint(f.s), 0);
	}
	meta_stats(f.s, &st);
	assert_int_equal(st.isr.slot[2].index, ISR_INDEX_GOOD);
	c = check_index(&f);
	assert_int_equal(c.copies, 4);
	assert_int_equal(c.bad, 0);
	expect_keys(&f, 0, KEYS);
	fixture_end(&f);
}

static void must(int lmdb)
{
	if (lmdb)
		fail_msg("%s", mdb_strerror(lmdb));
}

/* The first row of a table of a copy that nobody has open goes, and its sums still count it. */
static void hide_row(struct fixture *f, unsigned slot, const char *table)
{
	MDB_cursor *cur;
	MDB_val k, v;
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	char path[128];

	snprintf(path, sizeof path, "%s/d%u/index", f->root, slot);
	must(mdb_env_create(&env));
	must(mdb_env_set_maxdbs(env, 64));
	must(mdb_env_set_mapsize(env, 1 << 30));
	must(mdb_env_open(env, path, 0, 0600));
	must(mdb_txn_begin(env, NULL, 0, &txn));
	must(mdb_dbi_open(txn, table, 0, &dbi));
	must(mdb_cursor_open(txn, dbi, &cur));
	must(mdb_cursor_get(cur, &k, &v, MDB_FIRST));
	must(mdb_cursor_del(cur, 0));
	mdb_cursor_close(cur);
	must(mdb_txn_commit(txn));
	mdb_env_close(env);
}

/* What a start loads from the index once: a copy that hides a part of it is not believed. */
static void a_copy_that_hides_rows_is_not_loaded(void **state)
{
	static const char *const tables[] = {"segment", "missing"};
	struct fixture f;

	for (unsigned t = 0; t < 2; t++)
		for (unsigned slot = 0; slot < 4; slot += 2) {
			start_degraded(&f, false);
			assert_int_equal(meta_checkpoint(f.s), 0);
			unsigned lacks = missing_ranges(&f);
			fixture_close(&f);
			hide_row(&f, slot, tables[t]);
			fixture_reopen(&f, ALL(&f));
			assert_int_equal(missing_ranges(&f), lacks);
			expect_keys(&f, 0, KEYS);
			for (unsigned i = 0; i < 2; i++)
				assert_int_equal(meta_checkpoint(f.s), 0);
			struct meta_index_check c = check_index(&f);
			assert_int_equal(c.copies, 4);
			assert_int_equal(c.bad, 0);
			assert_int_equal(heal(&f), 1);
			expect_whole(&f);
			fixture_end(&f);
		}
}

/* Nothing is written meanwhile that would make a checkpoint due. */
static void an_idle_set_makes_a_bad_copy_anew(void **state)
{
	struct meta_stats st;
	struct fixture f;

	fixture_start(&f, 4, 2, false);
	assert_int_equal(fixture_open(&f, ALL(&f)), 0);
	put_keys(&f, 0, KEYS);
	assert_int_equal(meta_checkpoint(f.s), 0);
	fixture_close(&f);
	f.p.no_background = false;
	f.p.checkpoint_idle_ns = 3600 * NS_PER_S;
	assert_int_equal(fixture_open(&f, ALL(&f)), 0);
	spoil_index(&f, 2);
	assert_int_equal(check_index(&f).bad, 1);
	uint64_t until = clock_mono_ns() + 30 * NS_PER_S;
	do {
		assert_true(clock_mono_ns() < until);
		clock_sleep_ns(10 * NS_PER_MS);
		meta_stats(f.s, &st);
	} while (st.index_bad || st.isr.slot[2].index != ISR_INDEX_GOOD);
	assert_int_equal(check_index(&f).copies, 4);
	assert_int_equal(check_index(&f).bad, 0);
	fixture_end(&f);
}

/* Another drive stands at the path by now, and is left alone. */
static void a_copy_is_made_on_the_drive_not_at_its_path(void **state)
{
	char here[96], away[96], index[112];
	struct stat st;
	struct fixture f;

	fixture_start(&f, 4, 2, false);
	assert_int_equal(fixture_open(&f, ALL(&f)), 0);
	put_keys(&f, 0, KEYS);
	assert_int_equal(meta_checkpoint(f.s), 0);
	spoil_index(&f, 2);
	assert_int_equal(check_index(&f).bad, 1);
	snprintf(here, sizeof here, "%s/d2", f.root);
	snprintf(away, sizeof away, "%s/away", f.root);
	snprintf(index, sizeof index, "%s/index", here);
	assert_int_equal(rename(here, away), 0);
	assert_int_equal(mkdir(here, 0700), 0);
	assert_int_equal(mkdir(index, 0700), 0);
	put_keys(&f, KEYS, KEYS + 1);
	assert_int_equal(meta_checkpoint(f.s), 0);
	assert_int_equal(check_index(&f).copies, 4);
	assert_int_equal(check_index(&f).bad, 0);
	snprintf(index, sizeof index, "%s/index/data.mdb", here);
	assert_int_equal(stat(index, &st), -1);
	snprintf(index, sizeof index, "%s/index/data.mdb", away);
	assert_int_equal(stat(index, &st), 0);
	fixture_end(&f);
}

/* ---- Drives that are lost for good --------------------------------------------------------------------------------- */
static int try_to_write(struct fixture *f)
{
	struct drive *none[SUPER_MAX_SLOTS] = {NULL};
	struct op_ctx ctx;

	op_ctx_init(&ctx, OP_ADMIN);
	int rc = meta_set_revive(f->s, none, &ctx);
	op_ctx_done(&ctx);
	return rc;
}

static int give_up(struct fixture *f, unsigned slot)
{
	struct op_ctx ctx;

	op_ctx_init(&ctx, OP_ADMIN);
	int rc = meta_slot_give_up(f->s, slot, &ctx);
	op_ctx_done(&ctx);
	return rc;
}

/* Half of the drives, which is all that parity covers: those that are left go on when an operator says so, and empty drives
 * take the places of the lost ones. In the end the new ones alone carry the set. */
static void half_is_lost_for_good(unsigned n)
{
	unsigned half = n / 2;
	struct fixture f;

	fixture_start(&f, n, half, false);
	assert_int_equal(fixture_open(&f, ALL(&f)), 0);
	put_keys(&f, 0, KEYS);
	assert_int_equal(meta_checkpoint(f.s), 0);
	put_keys(&f, KEYS, KEYS + 5);
	assert_int_equal(give_up(&f, 0), -QE_INVALID_REQUEST); /* the set writes */
	fixture_kill(&f);
	for (unsigned i = 0; i < half; i++)
		make_blank(&f, i);
	fixture_reopen(&f, ALL(&f) & ~((1u << half) - 1));
	assert_false(meta_writable(f.s));
	for (unsigned i = 0; i < half; i++) {
		assert_int_equal(try_to_write(&f), -QE_QUORUM_WRITE);
		assert_int_equal(give_up(&f, i), 0);
	}
	assert_int_equal(give_up(&f, half), -QE_INVALID_REQUEST); /* it is here */
	assert_int_equal(try_to_write(&f), 0);
	assert_int_equal(put(&f, META_DURABLE, 1000, 1), 0);
	for (unsigned i = 0; i < half; i++)
		assert_int_equal(drive_joins(&f, i), 0);
	assert_int_equal(f.s->w, half + 1);
	assert_int_equal(f.s->given_up, 0);
	assert_int_equal(heal(&f), 1);
	expect_whole(&f);
	expect_keys(&f, 0, KEYS + 5);
	for (unsigned i = 0; i < half; i++) {
		assert_int_equal(put(&f, META_DURABLE, 2000, i), 0);
		assert_int_equal(meta_checkpoint(f.s), 0); /* and an index copy on one more */
	}
	fixture_close(&f);
	fixture_reopen(&f, (1u << half) - 1);
	expect_keys(&f, 0, KEYS + 5);
	fixture_end(&f);
}

static void half_of_the_drives_may_be_given_up(void **state)
{
	half_is_lost_for_good(2);
	half_is_lost_for_good(4);
}

/* ---- Crashes ----------------------------------------------------------------------------------------------------- */
/* The process dies at the nth write of the heal, and the power with it; a drive more is lost at the end. */
static void crash_in_any_write_of_heal(void **state)
{
	bool stopped = true;

	for (uint64_t nth = 1; stopped; nth += nth < 12 ? 1 : 7) {
		struct fixture f;
		start_degraded(&f, true);
		fault_bench_rule(f.bench, &(struct fault_rule){
			.kind = nth % 2 ? FAULT_STOP : FAULT_TORN, .slot = -1, .op = -1, .nth = nth});
		(void)!heal(&f);
		stopped = fault_bench_stopped(f.bench);
		fixture_kill(&f);
		fault_bench_power_loss(f.bench, ALL(&f));
		fault_bench_rule(f.bench, NULL);
		fixture_reopen(&f, ALL(&f));
		expect_keys(&f, 0, KEYS);
		assert_int_equal(heal(&f), 1);
		expect_whole(&f);
		expect_counters(&f);
		fixture_kill(&f);
		fixture_reopen(&f, 1u << LAST | 1u << (nth % LAST));
		expect_keys(&f, 0, KEYS);
		fixture_end(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(returning_drive_gets_its_cells),
		cmocka_unit_test(empty_drive_is_filled),
		cmocka_unit_test(heal_goes_on_where_it_ended),
		cmocka_unit_test(the_total_is_told_before_anything_is_healed),
		cmocka_unit_test(counts_outlive_a_restart),
		cmocka_unit_test(row_bytes),
		cmocka_unit_test(cost_follows_what_lives),
		cmocka_unit_test(what_cannot_be_made_stays_missing),
		cmocka_unit_test(what_stays_missing_is_told_once_for_a_cause),
		cmocka_unit_test(blob_on_its_way_while_a_drive_is_healed),
		cmocka_unit_test(a_blob_outlives_two_drives_that_leave),
		cmocka_unit_test(reads_have_damage_repaired),
		cmocka_unit_test(lost_files_come_back_whole),
		cmocka_unit_test(reads_that_fail_queue_nothing),
		cmocka_unit_test(missing_cells_are_not_damage),
		cmocka_unit_test(scrub_visits_every_live_cell),
		cmocka_unit_test(bad_index_copy_is_found_and_made_anew),
		cmocka_unit_test(a_copy_that_hides_rows_is_not_loaded),
		cmocka_unit_test(an_idle_set_makes_a_bad_copy_anew),
		cmocka_unit_test(a_copy_is_made_on_the_drive_not_at_its_path),
		cmocka_unit_test(half_of_the_drives_may_be_given_up),
		cmocka_unit_test(crash_in_any_write_of_heal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
