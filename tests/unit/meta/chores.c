/* SPDX-License-Identifier: Apache-2.0
 *
 * See chores.h. Keys from DEAD on are deleted by the chores that give space back.
 */
#include "chores.h"

#include <stdio.h>

#include "base/err.h"
#include "heal_fixture.h"

#define KEYS 15
#define DEAD 100 /* the first of the keys that chores delete; behind the last of them: */
#define DEAD_END (DEAD + 3 * KEYS)

/* ---- Missing cells ------------------------------------------------------------------------------------------------ */
static void prepare_missing(struct fixture *f)
{
	fixture_close(f);
	fixture_reopen(f, ALL(f) & ~(1u << CHORE_SLOT));
	put_keys(f, KEYS, 2 * KEYS);
	fixture_close(f);
	fixture_reopen(f, ALL(f));
	assert_true(missing_ranges(f) > 0);
}

/* ---- Damaged cells ------------------------------------------------------------------------------------------------ */
static void prepare_rot(struct fixture *f)
{
	put_keys(f, KEYS, 2 * KEYS);
	rot(f, CHORE_SLOT);
}

static int work_scrub(struct fixture *f)
{
	struct patience p = {.ends = false};
	struct scrubbed s;

	return scrub_with(f, &p, &s);
}

/* What reads have noted. */
static int work_damage(struct fixture *f)
{
	struct patience p = {.ends = false};
	struct meta_healer *h = meta_healer_new(f->s, patience_go_on, &p);

	if (!h)
		return -ENOMEM;
	for (uint64_t k = 0; k < 2 * KEYS; k++)
		(void)!check_blob(f, k, k, size_of(k));
	int rc = meta_heal_damage(h);
	meta_healer_free(h);
	return rc;
}

static void prepare_lost_files(struct fixture *f)
{
	put_keys(f, KEYS, 2 * KEYS);
	fixture_close(f);
	fixture_reopen(f, ALL(f)); /* a start seals them */
	assert_true(remove_segments(f, CHORE_SLOT) > 0);
}

static int work_lost_files(struct fixture *f)
{
	int rc = work_damage(f);

	return rc < 0 ? rc : heal(f);
}

/* ---- A drive that joins ------------------------------------------------------------------------------------------- */
static void prepare_return(struct fixture *f)
{
	drive_leaves(f, CHORE_SLOT);
	put_keys(f, KEYS, 2 * KEYS);
	drive_given_back(f, CHORE_SLOT);
}

static void prepare_blank(struct fixture *f)
{
	prepare_return(f);
	make_blank(f, CHORE_SLOT);
}

static int work_join(struct fixture *f)
{
	int rc = drive_joins(f, CHORE_SLOT);

	if (rc == 0)
		rc = heal(f);
	return rc < 0 ? rc : meta_checkpoint(f->s); /* with its index copy */
}

/* ---- An index copy ------------------------------------------------------------------------------------------------ */
static void prepare_index(struct fixture *f)
{
	put_keys(f, KEYS, 2 * KEYS);
	spoil_index(f, CHORE_SLOT);
}

static int work_index(struct fixture *f)
{
	struct meta_index_check c;
	int rc = meta_index_check(f->s, &c);

	for (unsigned i = 0; rc == 0 && i < 2; i++)
		rc = meta_checkpoint(f->s);
	return rc;
}

/* ---- Space -------------------------------------------------------------------------------------------------------- */
static void prepare_dead(struct fixture *f)
{
	for (uint64_t k = 0; k < KEYS; k++)
		put_key(f, DEAD + k, DEAD + k);
	put_keys(f, KEYS, 2 * KEYS);
	fixture_close(f);
	fixture_reopen(f, ALL(f));
	for (uint64_t k = 0; k < KEYS; k++)
		assert_int_equal(drop(f, DEAD + k), 0);
}

static int work_reclaim(struct fixture *f)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < 3; i++)
		rc = meta_checkpoint(f->s);
	return rc;
}

/* Three of four objects go, one of them here and one there. */
static void prepare_sparse(struct fixture *f)
{
	for (uint64_t k = 0; k < KEYS; k++) {
		for (uint64_t i = 0; i < 3; i++)
			put_key(f, DEAD + 3 * k + i, DEAD + 3 * k + i);
		put_key(f, KEYS + k, KEYS + k);
	}
	assert_int_equal(meta_checkpoint(f->s), 0);
	fixture_close(f);
	fixture_reopen(f, ALL(f));
	for (uint64_t k = DEAD; k < DEAD_END; k++)
		assert_int_equal(drop(f, k), 0);
}

static int work_compact(struct fixture *f)
{
	struct patience p = {.ends = false};
	struct meta_compacted c = {0};
	struct meta_healer *h = meta_healer_new(f->s, patience_go_on, &p);

	if (!h)
		return -ENOMEM;
	int rc = meta_checkpoint(f->s);
	for (unsigned i = 0; rc == 0 && i < 20; i++)
		rc = meta_compact(h, &c);
	meta_healer_free(h);
	return rc < 0 ? rc : work_reclaim(f);
}

const struct chore chores[] = {
	{"heal of missing cells", prepare_missing, heal},
	{"scrub", prepare_rot, work_scrub},
	{"heal of damage", prepare_rot, work_damage},
	{"heal of lost files", prepare_lost_files, work_lost_files},
	{"return of a drive", prepare_return, work_join},
	{"join of a new drive", prepare_blank, work_join},
	{"new index copy", prepare_index, work_index},
	{"reclaim", prepare_dead, work_reclaim},
	{"holes", prepare_sparse, work_reclaim},
	{"compaction", prepare_sparse, work_compact},
};
const unsigned chores_n = sizeof chores / sizeof *chores;

/* ---- Begin and end ------------------------------------------------------------------------------------------------ */
void chore_begin(const struct chore *c, struct fixture *f, bool faulty)
{
	fixture_start(f, 4, 2, faulty);
	f->p.segment_size = 2u << 20; /* several segments */
	fixture_reopen(f, ALL(f));
	put_keys(f, 0, KEYS);
	c->prepare(f);
}

void chore_expect(struct fixture *f, const char *what, uint64_t nth)
{
	for (uint64_t k = 0; k < 2 * KEYS; k++) {
		int rc = check_blob(f, k, k, size_of(k));
		if (rc != 1)
			fail_msg("%s, %llu: key %llu: %d", what, (unsigned long long)nth, (unsigned long long)k, rc);
	}
	for (uint64_t k = DEAD; k < DEAD_END; k++)
		assert_int_equal(check_blob(f, k, k, size_of(k)), 0);
	expect_counters(f);
}

static uint64_t sum_failed(const struct scrubbed *s)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < ERASURE_MAX_CELLS; i++)
		n += s->all.slot[i].failed;
	return n;
}

static bool goes_on(void *arg, uint64_t rows)
{
	return true;
}

/* No segment without a live byte is left that is sealed. */
static unsigned dead_segments(struct fixture *f)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct segment_info info;
	struct meta_iter *it;
	struct meta_row row;
	unsigned n = 0;
	int rc;

	assert_int_equal(meta_view_open(f->s, &v), 0);
	assert_int_equal(meta_iter_open(v, TABLE_SEGMENT, &it), 0);
	for (rc = meta_iter_seek(it, "", 0, &row); rc > 0; rc = meta_iter_next(it, &row)) {
		assert_int_equal(row_segment_decode(row.body, &info), 0);
		n += info.state != SEGMENT_OPEN && info.live_bytes == 0;
	}
	assert_int_equal(rc, 0);
	meta_iter_close(it);
	return n;
}

void chore_end(struct fixture *f, const char *what, uint64_t nth)
{
	struct meta_index_check index;

	fixture_reopen(f, ALL(f));
	chore_expect(f, what, nth);
	if (!slot_is_in(f, CHORE_SLOT)) /* a new one that was not made whole */
		drive_returns(f, CHORE_SLOT);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(meta_checkpoint(f->s), 0);
	if (heal(f) != 1)
		fail_msg("%s, %llu: something stays missing", what, (unsigned long long)nth);
	struct scrubbed s = scrub(f);
	if (heal(f) != 1 || sum_failed(&s))
		fail_msg("%s, %llu: %llu cells are not repaired", what, (unsigned long long)nth, (unsigned long long)sum_failed(&s));
	s = scrub(f);
	if (missing_ranges(f) || sum_bad(&s))
		fail_msg("%s, %llu: %u ranges, %llu cells are still bad", what, (unsigned long long)nth, missing_ranges(f),
			 (unsigned long long)sum_bad(&s));
	assert_int_equal(dead_segments(f), 0);
	assert_int_equal(meta_index_check(f->s, &index), 0);
	if (index.copies != f->n || index.bad)
		fail_msg("%s, %llu: %u index copies, %u bad", what, (unsigned long long)nth, index.copies, index.bad);
	assert_int_equal(meta_recount(f->s, goes_on, NULL, NULL), 0);
	fixture_close(f);
	fixture_reopen(f, 1u << CHORE_SLOT | 1u << nth % CHORE_SLOT);
	chore_expect(f, what, nth);
	fixture_close(f);
	fixture_end(f);
}
