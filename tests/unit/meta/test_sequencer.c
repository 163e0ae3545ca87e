/* SPDX-License-Identifier: Apache-2.0
 *
 * The sequencer against a serial model: batches made from views of different ages are submitted together; those that it
 * accepts must be what the model does in the order of their sequences, each of them possible at its turn, and counters
 * must be what a recount finds. What nothing came in the way of must be accepted.
 */
#include "set_fixture.h"

#include <string.h>

#include "base/err.h"
#include "rnd.h"

#define KEYS 15
#define BATCHES 24

enum kind { PUT, DROP, MKDIR, RMDIR };

struct model {
	uint64_t value[KEYS];
	bool explicit_dir[SUBDIRS];
};

struct step {
	enum kind kind;
	unsigned n;        /* key or directory */
	uint64_t value;
	int rc;
	uint64_t seq;
	bool alone;        /* nothing else of its round touches what it touches */
};

static struct fixture f;
static struct step *answered[BATCHES];
static unsigned nanswered;

static bool dir_empty(const struct model *m, unsigned dir)
{
	for (unsigned k = dir; k < KEYS; k += SUBDIRS)
		if (m->value[k])
			return false;
	return true;
}

/* False: it could not be done at this point of the history. */
static bool apply(struct model *m, const struct step *s)
{
	switch (s->kind) {
	case PUT:
		m->value[s->n] = s->value;
		return true;
	case DROP:
		if (!m->value[s->n])
			return false;
		m->value[s->n] = 0;
		return true;
	case MKDIR:
		if (m->explicit_dir[s->n])
			return false;
		m->explicit_dir[s->n] = true;
		return true;
	case RMDIR:
		if (!m->explicit_dir[s->n] || !dir_empty(m, s->n))
			return false;
		m->explicit_dir[s->n] = false;
		return true;
	}
	return false;
}

static void expect_model(const struct model *m)
{
	for (unsigned k = 0; k < KEYS; k++)
		assert_int_equal(get(&f, k), m->value[k]);
	for (unsigned d = 0; d < SUBDIRS; d++)
		assert_int_equal(dir_state(&f, d), m->explicit_dir[d] ? 2 : dir_empty(m, d) ? 0 : 1);
	expect_counters(&f);
}

static struct meta_batch *build(struct meta_view *v, struct step *s)
{
	switch (s->kind) {
	case PUT:
		return put_batch(&f, v, s->n, s->value);
	case DROP:
		return drop_batch(&f, v, s->n);
	case MKDIR:
		return mkdir_batch(&f, v, s->n);
	case RMDIR:
		return rmdir_batch(&f, v, s->n);
	}
	return NULL;
}

static void done(void *arg, struct meta_batch *b, int rc)
{
	struct step *s = arg;

	s->rc = rc;
	s->seq = meta_batch_seq(b);
	answered[nanswered++] = s;
	meta_batch_free(b);
}

static unsigned dir_of(const struct step *s)
{
	return s->kind == PUT || s->kind == DROP ? s->n % SUBDIRS : s->n;
}

static void random_step(struct step *s)
{
	memset(s, 0, sizeof *s);
	s->kind = (enum kind)rnd_below(4);
	s->n = s->kind == PUT || s->kind == DROP ? rnd_below(KEYS) : rnd_below(SUBDIRS);
	s->value = rnd() | 1;
	s->rc = 1;
}

static int by_seq(const void *a, const void *b)
{
	const struct step *x = *(struct step *const *)a, *y = *(struct step *const *)b;

	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static unsigned run_round(struct model *m, unsigned n, bool old_view)
{
	struct step step[BATCHES];
	struct meta_view *v;
	unsigned accepted = 0, in_dir[SUBDIRS] = {0};

	nanswered = 0;
	assert_int_equal(meta_view_open(f.s, &v), 0);
	if (old_view) { /* something passes the view */
		struct step s = {.kind = PUT, .n = rnd_below(KEYS), .value = rnd() | 1};
		assert_int_equal(put(&f, META_ORDERED, s.n, s.value), 0);
		apply(m, &s);
		if (rnd_below(4) == 0)
			assert_int_equal(meta_checkpoint(f.s), 0);
	}
	for (unsigned i = 0; i < n; i++) {
		random_step(&step[i]);
		struct meta_batch *b = build(v, &step[i]);
		if (!b)
			continue;
		in_dir[dir_of(&step[i])]++;
		meta_submit(b, done, &step[i]);
	}
	meta_view_close(v);
	meta_drive(f.s);
	qsort(answered, nanswered, sizeof *answered, by_seq);
	for (unsigned i = 0; i < nanswered; i++) {
		const struct step *s = answered[i];
		if (s->rc == 0) {
			assert_true(apply(m, s));
			accepted++;
			continue;
		}
		assert_int_equal(s->rc, -QE_CONFLICT);
		assert_true(old_view || in_dir[dir_of(s)] > 1);
	}
	expect_model(m);
	return accepted;
}

static void accepted_batches_are_a_serial_history(void **state)
{
	struct model m = {0};
	unsigned accepted = 0;

	rnd_init(11);
	fixture_start(&f, 3, 1, true);
	f.p.log2_journal_file = 22;
	fixture_reopen(&f, ALL(&f));
	/* Answers of ordered batches come within meta_drive. The bucket is made first: every batch relies on it. */
	assert_int_equal(put(&f, META_ORDERED, 0, 1), 0);
	m.value[0] = 1;
	for (unsigned round = 0; round < 600; round++) {
		if (round % 100 == 99) {
			fixture_kill(&f);
			fixture_reopen(&f, ALL(&f));
			expect_model(&m);
		}
		if (round % 50 == 49)
			assert_int_equal(meta_checkpoint(f.s), 0);
		accepted += run_round(&m, 1 + rnd_below(BATCHES - 1), round % 3 == 0);
	}
	assert_true(accepted > 1500);
	fixture_end(&f);
}

/* The last object of an implicit directory goes while another comes: whichever is first, the directory fits. */
static void implicit_directories_end_and_begin(void **state)
{
	struct meta_view *v;

	fixture_start(&f, 3, 1, true);
	fixture_reopen(&f, ALL(&f));
	assert_int_equal(put(&f, META_DURABLE, 1, 1), 0);
	assert_int_equal(put(&f, META_DURABLE, 2, 1), 0);
	assert_int_equal(dir_state(&f, 1), 1);
	for (unsigned order = 0; order < 2; order++) {
		struct step a = {.kind = PUT}, b = {.kind = DROP};
		nanswered = 0;
		assert_int_equal(meta_view_open(f.s, &v), 0);
		struct meta_batch *put6 = put_batch(&f, v, 6, 6), *drop1 = drop_batch(&f, v, 1);
		meta_view_close(v);
		meta_submit(order ? drop1 : put6, done, order ? &b : &a);
		meta_submit(order ? put6 : drop1, done, order ? &a : &b);
		meta_drive(f.s);
		assert_int_equal(b.rc, 0);
		assert_int_equal(a.rc, order ? -QE_CONFLICT : 0);
		assert_int_equal(dir_state(&f, 1), order ? 0 : 1);
		expect_counters(&f);
		if (!order)
			assert_int_equal(drop(&f, 6), 0);
		assert_int_equal(dir_state(&f, 1), 0);
		assert_int_equal(put(&f, META_DURABLE, 1, 1), 0);
	}
	fixture_end(&f);
}

/* One row per directory and group, whatever the number of batches. */
static void deltas_are_emitted_once_a_group(void **state)
{
	struct meta_view *v;
	struct meta_stats before, after;
	struct step s[20];

	fixture_start(&f, 3, 1, true);
	fixture_reopen(&f, ALL(&f));
	assert_int_equal(put(&f, META_DURABLE, 0, 1), 0);
	nanswered = 0;
	assert_int_equal(meta_view_open(f.s, &v), 0);
	for (unsigned i = 0; i < 20; i++)
		meta_submit(put_batch(&f, v, 5 * (i + 1), 7), done, &s[i]);
	meta_view_close(v);
	meta_stats(f.s, &before);
	meta_drive(f.s);
	meta_stats(f.s, &after);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(s[i].rc, 0);
	assert_int_equal(after.records - before.records, 1);
	assert_int_equal(after.memtable_rows - before.memtable_rows, 20 + 2); /* the directory's and the usage */
	expect_counters(&f);
	fixture_end(&f);
}

/* A batch that is refused half-way leaves nothing in the rows of its group. */
static void a_refused_batch_leaves_nothing(void **state)
{
	struct step s[3] = {{.kind = PUT}, {.kind = DROP}, {.kind = PUT}};
	struct meta_view *v;
	struct meta_row row;
	struct meta_key k;
	struct row_entry e;

	fixture_start(&f, 3, 1, true);
	fixture_reopen(&f, ALL(&f));
	assert_int_equal(put(&f, META_DURABLE, 1, 1), 0);
	assert_int_equal(meta_checkpoint(f.s), 0); /* the root's row is not in memory: it must be given */
	nanswered = 0;
	assert_int_equal(meta_view_open(f.s, &v), 0);
	key_u64_str(&k, 20, STR_LIT("d1/"));
	assert_int_equal(meta_get_k(v, TABLE_ENTRY, &k, &row), 1);
	assert_int_equal(row_entry_decode(row.body, &e), 0);
	key_u64(&k, e.id);
	assert_int_equal(meta_get_k(v, TABLE_DIR, &k, &row), 1);
	struct meta_batch *bad = meta_batch_new(f.s, META_ORDERED, OP_S3);
	meta_batch_view(bad, v);
	meta_batch_dir_seen(bad, e.id, &row);
	meta_batch_dir_delta(bad, e.id, -1, -1, 0, 0); /* it ends: the root is needed */
	struct meta_batch *good = put_batch(&f, v, 6, 6), *more = put_batch(&f, v, 11, 11);
	meta_view_close(v);
	meta_submit(bad, done, &s[1]);
	meta_submit(good, done, &s[0]);
	meta_submit(more, done, &s[2]);
	meta_drive(f.s);
	assert_int_equal(s[1].rc, -QE_CONFLICT);
	assert_int_equal(s[0].rc, 0);
	assert_int_equal(s[2].rc, 0);
	expect_counters(&f);
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepted_batches_are_a_serial_history),
		cmocka_unit_test(implicit_directories_end_and_begin),
		cmocka_unit_test(deltas_are_emitted_once_a_group),
		cmocka_unit_test(a_refused_batch_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
