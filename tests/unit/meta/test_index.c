/* SPDX-License-Identifier: Apache-2.0
 *
 * An index copy against a model, and with every page of its file damaged in turn: it may fail, but it neither crashes
 * nor answers wrongly.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/fdio.h"
#include "base/thread.h"
#include "meta/envelope.h"
#include "meta/index.h"
#include "meta/row.h"
#include "unit/meta/rnd.h"

#define MAP_BYTES (64u << 20)
#define KEYS 3000

/* The model: key i of table 1 + i % 3. */
struct model_row {
	uint64_t seq; /* 0: never written */
	bool deleted;
	size_t len; /* of the body */
	uint64_t fill;
};
static struct model_row model[KEYS];
static uint64_t seq;
static char top[64];

static unsigned table_of(unsigned i)
{
	return (unsigned[]){TABLE_DIR, TABLE_ENTRY, TABLE_BLOB}[i % 3];
}

static void key_for(unsigned i, struct meta_key *k)
{
	char name[64];
	int n = snprintf(name, sizeof name, "%.*sname-%u", (int)(i * 7 % 30), "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", i);

	key_u64_str(k, i * 2654435761u, (struct str){name, (size_t)n});
}

static void row_for(unsigned i, const struct model_row *r, struct buf *b)
{
	struct meta_key k;

	buf_reset(b);
	buf_add_zero(b, ENVELOPE_BYTES);
	for (size_t j = 0; j < r->len; j++)
		buf_add_char(b, (char)(r->fill + j * 31));
	key_for(i, &k);
	envelope_seal(table_of(i), key_of(&k), r->seq, b->data, b->len);
}

static void put_row(struct memtable *m, unsigned i)
{
	struct buf b = BUF_INIT;
	struct meta_key k;
	struct memtable_row row = {.table = table_of(i), .seq = model[i].seq, .deleted = model[i].deleted};

	key_for(i, &k);
	row.key = key_of(&k);
	row_for(i, &model[i], &b);
	if (!row.deleted)
		row.row = buf_str(&b);
	assert_int_equal(memtable_put(m, &row), 0);
	buf_free(&b);
}

static void change(struct memtable *m, unsigned i, bool deleted)
{
	static const size_t lens[] = {1, 50, 200, 300, 500, 1484, 1485, 5000};

	model[i].seq = ++seq;
	model[i].deleted = deleted;
	model[i].len = rnd_below(30) ? 20 + rnd_below(300) : lens[rnd_below(ARRAY_SIZE(lens))];
	if (rnd_below(500) == 0)
		model[i].len = 40000;
	model[i].fill = rnd();
	put_row(m, i);
}

static void remove_tree(const char *dir)
{
	char path[128];

	snprintf(path, sizeof path, "%s/index/data.mdb", dir);
	unlink(path);
	snprintf(path, sizeof path, "%s/index", dir);
	rmdir(path);
	assert_int_equal(rmdir(dir), 0); /* there was nothing else: a view's store goes to no file of the drive */
}

static int setup(void **state)
{
	snprintf(top, sizeof top, "/tmp/quoin-index.XXXXXX");
	memset(model, 0, sizeof model);
	seq = 0;
	return mkdtemp(top) ? 0 : -1;
}

static int teardown(void **state)
{
	remove_tree(top);
	return 0;
}

/* 1 right answer, < 0 an error; a wrong answer fails the test. */
static int probe(struct index_txn *t, unsigned i)
{
	CLEANUP(arena_free) struct arena a = ARENA_INIT;
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct meta_key k;
	struct str row;
	uint64_t row_seq;
	int rc;

	key_for(i, &k);
	rc = index_get(t, table_of(i), key_of(&k), &a, &row, &row_seq);
	if (rc < 0) {
		assert_int_equal(rc, -QE_CORRUPT);
		return rc;
	}
	assert_int_equal(rc, model[i].seq && !model[i].deleted);
	if (rc) {
		row_for(i, &model[i], &b);
		assert_int_equal(row_seq, model[i].seq);
		assert_true(str_eq(row, buf_str(&b)));
	}
	return 1;
}

/* Walks a table: rows must be those of the model, in order, none left out. */
static int walk(struct index_txn *t, unsigned table, unsigned *ret_rows)
{
	CLEANUP(arena_free) struct arena a = ARENA_INIT, a2 = ARENA_INIT;
	struct index_cursor *c;
	struct memtable_row r, last = {0};
	unsigned rows = 0, want = 0;
	int rc = index_cursor_open(t, table, &c);

	if (rc < 0)
		return rc;
	for (rc = index_seek(c, (struct str){0}, &a, &r); rc > 0; rc = index_next(c, &a, &r)) {
		assert_int_equal(envelope_check(table, r.key, r.row, NULL), 0);
		assert_true(!rows || str_cmp(last.key, r.key) < 0);
		arena_reset(&a2);
		last.key = arena_str(&a2, r.key);
		arena_reset(&a);
		rows++;
	}
	index_cursor_close(c);
	if (rc < 0) {
		assert_int_equal(rc, -QE_CORRUPT);
		return rc;
	}
	for (unsigned i = 0; i < KEYS; i++)
		want += table_of(i) == table && model[i].seq && !model[i].deleted;
	assert_int_equal(rows, want);
	*ret_rows = rows;
	return 0;
}

static void equals_model(struct index *ix)
{
	struct index_sum kept[TABLE_END], counted[TABLE_END];
	struct index_txn *t;
	unsigned rows;

	assert_int_equal(index_txn_open(ix, &t), 0);
	for (unsigned i = 0; i < KEYS; i++)
		assert_int_equal(probe(t, i), 1);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(walk(t, table_of(i), &rows), 0);
	index_txn_close(t);
	assert_int_equal(index_sums(ix, kept), 0);
	assert_int_equal(index_recount(ix, counted), 0);
	for (unsigned i = 1; i < TABLE_END; i++) {
		if (i == TABLE_META)
			continue;
		assert_int_equal(kept[i].rows, counted[i].rows);
		assert_memory_equal(kept[i].sum, counted[i].sum, 16);
	}
	assert_false(index_is_bad(ix));
}

static unsigned pauses;

static void pause_fn(void *arg)
{
	pauses++;
}

static void apply(struct index *ix, struct memtable *m, uint64_t upto)
{
	struct index_applied did;

	assert_int_equal(index_apply(ix, m, upto, pause_fn, NULL, &did), 0);
	assert_int_equal(index_position(ix), upto);
}

static struct index *open_at(const char *dir, bool create)
{
	struct index *ix;

	assert_int_equal(index_open(dir, MAP_BYTES, create, &ix), 0);
	return ix;
}

static void copy_equals_model(void **state)
{
	struct index *ix;
	struct index_txn *old;
	unsigned rows;

	assert_int_equal(index_open(top, MAP_BYTES, false, &ix), -ENOENT);
	ix = open_at(top, true);
	equals_model(ix);
	for (int round = 0; round < 12; round++) {
		struct memtable *m = memtable_new();
		struct model_row before[KEYS];
		unsigned changes = round % 3 ? 300 : 3000;

		memcpy(before, model, sizeof before);
		assert_int_equal(index_txn_open(ix, &old), 0);
		for (unsigned n = 0; n < changes; n++)
			change(m, rnd_below(KEYS), rnd_below(round > 6 ? 2 : 4) == 0);
		apply(ix, m, seq);
		equals_model(ix);
		memtable_unref(m);
		/* A snapshot shows what was there before. */
		if (round % 4 == 1) {
			struct model_row now[KEYS];

			memcpy(now, model, sizeof now);
			memcpy(model, before, sizeof model);
			for (unsigned i = 0; i < KEYS; i += 7)
				assert_int_equal(probe(old, i), 1);
			assert_int_equal(walk(old, TABLE_DIR, &rows), 0);
			memcpy(model, now, sizeof model);
		}
		index_txn_close(old);
		if (round % 5 == 4) {
			index_close(ix);
			ix = open_at(top, round == 4);
			assert_int_equal(index_position(ix), seq);
			equals_model(ix);
		}
	}
	index_close(ix);
}

/* The same rows by other steps, with what is repeated and what is late: equal sums. */
static void replay_does_no_harm(void **state)
{
	struct memtable *all = memtable_new(), *half = memtable_new();
	struct index_sum a[TABLE_END], b[TABLE_END];
	struct index *ix;
	struct index_applied did;
	uint64_t mid;
	char dir2[] = "/tmp/quoin-index.XXXXXX";
	struct index *ix2;

	assert_non_null(mkdtemp(dir2));
	ix = open_at(top, true);
	ix2 = open_at(dir2, true);
	for (int n = 0; n < 3000; n++)
		change(all, rnd_below(KEYS), rnd_below(5) == 0);
	mid = seq / 2;
	apply(ix, all, seq);
	assert_int_equal(index_apply(ix2, all, mid, NULL, NULL, &did), 0);
	assert_true(did.rows > 0 && did.row_bytes > did.rows * ENVELOPE_BYTES);
	assert_int_equal(index_position(ix2), mid);
	apply(ix2, all, seq);
	/* An older row of a key that is there with a newer one is skipped. */
	for (unsigned i = 0; i < KEYS; i++) {
		struct model_row keep = model[i];

		if (!keep.seq || keep.deleted)
			continue;
		model[i].seq = 1;
		if (keep.seq > 1)
			put_row(half, i);
		model[i] = keep;
	}
	assert_int_equal(index_apply(ix2, half, seq, NULL, NULL, &did), 0);
	assert_int_equal(did.rows, 0);
	assert_int_equal(did.row_bytes, 0);
	assert_int_equal(index_apply(ix2, all, seq, NULL, NULL, &did), 0);
	equals_model(ix2);
	assert_int_equal(index_sums(ix, a), 0);
	assert_int_equal(index_sums(ix2, b), 0);
	assert_memory_equal(a, b, sizeof a);
	index_close(ix);
	index_close(ix2);
	memtable_unref(all);
	memtable_unref(half);
	remove_tree(dir2);
}

static void big_change_is_cut(void **state)
{
	struct memtable *m = memtable_new();
	struct index *ix = open_at(top, true);

	pauses = 0;
	for (unsigned i = 0; i < KEYS; i++) {
		model[i] = (struct model_row){.seq = ++seq, .len = 6000, .fill = i};
		put_row(m, i);
	}
	apply(ix, m, seq);
	/* About 18 MB in pages of 4 KiB. */
	assert_true(pauses >= 2 && pauses < 20);
	equals_model(ix);
	index_close(ix);
	memtable_unref(m);
}

/* ---- Damage ---- */

static char *image;
static size_t image_len;
static unsigned bads;

static void on_bad(void *arg, const char *why)
{
	bads++;
}

static void data_path(char *ret, size_t cap)
{
	snprintf(ret, cap, "%s/index/data.mdb", top);
}

static void save_image(void)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	char path[128];

	data_path(path, sizeof path);
	assert_int_equal(fd_read_file(path, MAP_BYTES, &b), 0);
	image_len = b.len;
	image = malloc(image_len);
	memcpy(image, b.data, image_len);
}

static void write_image(const char *p, size_t len)
{
	char path[128];
	int fd;

	data_path(path, sizeof path);
	fd = open(path, O_RDWR | O_TRUNC | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fd_pwrite_full(fd, p, len, 0), 0);
	close(fd);
}

enum { ZERO, NOISE, COPY, BIT, BITS, HEADER, DAMAGES };

static void damage(char *page, int how, unsigned pgno)
{
	size_t pages = image_len / 4096;

	switch (how) {
	case ZERO:
		memset(page, 0, 4096);
		break;
	case NOISE:
		rnd_bytes(page, 4096);
		break;
	case COPY:
		memcpy(page, image + (pgno + 1 + rnd() % (pages - 1)) % pages * 4096, 4096);
		break;
	case HEADER:
		rnd_bytes(page + 8 + rnd_below(8), 2);
		break;
	default:
		for (int i = 0; i < (how == BIT ? 1 : 8); i++)
			page[rnd_below(4096)] ^= (char)(1 << rnd_below(8));
		break;
	}
}

/* Everything that an index does, on a damaged copy. Returns whether it noticed. */
static bool use_damaged(void)
{
	struct index *ix;
	struct index_txn *t;
	struct index_sum sums[TABLE_END];
	struct model_row before[KEYS];
	struct memtable *m;
	unsigned rows;
	struct index_applied did;
	int rc = index_open(top, MAP_BYTES, false, &ix);

	if (rc < 0) {
		assert_int_equal(rc, -QE_CORRUPT);
		return true;
	}
	bads = 0;
	index_on_bad(ix, on_bad, NULL);
	if (index_txn_open(ix, &t) == 0) {
		for (unsigned i = 0; i < KEYS; i += 1 + rnd_below(9))
			if (probe(t, i) < 0)
				break;
		index_txn_close(t);
	}
	/* Opened again: a bad copy answers nothing more, and each part is to meet the damage itself. */
	index_close(ix);
	rc = index_open(top, MAP_BYTES, false, &ix);
	if (rc < 0)
		return true;
	if (index_txn_open(ix, &t) == 0) {
		for (unsigned i = 0; i < 3; i++)
			if (walk(t, table_of(i), &rows) < 0)
				break;
		index_txn_close(t);
	}
	index_close(ix);
	if (index_open(top, MAP_BYTES, false, &ix) < 0)
		return true;
	bads = 0;
	index_on_bad(ix, on_bad, NULL);
	m = memtable_new();
	memcpy(before, model, sizeof before);
	for (unsigned i = 0; i < KEYS; i += 1 + rnd_below(20))
		change(m, i, rnd_below(2));
	rc = index_apply(ix, m, seq, NULL, NULL, &did);
	memtable_unref(m);
	if (rc == 0 && index_txn_open(ix, &t) == 0) {
		for (unsigned i = 0; i < KEYS; i += 3)
			if (probe(t, i) < 0)
				break;
		index_txn_close(t);
	}
	memcpy(model, before, sizeof model);
	rc = index_recount(ix, sums);
	assert_int_equal(bads, index_is_bad(ix));
	index_close(ix);
	return rc < 0;
}

static void damaged_page_never_lies(void **state)
{
	static const char *const names[] = {"zero", "noise", "copy", "bit", "bits", "header"};
	struct memtable *m = memtable_new();
	struct index *ix = open_at(top, true);
	unsigned noticed[DAMAGES] = {0}, pages, step;

	for (int round = 0; round < 3; round++) {
		for (unsigned n = 0; n < 1500; n++)
			change(m, rnd_below(KEYS), rnd_below(4) == 0);
		apply(ix, m, seq);
	}
	memtable_unref(m);
	index_close(ix);
	save_image();
	pages = (unsigned)(image_len / 4096);
	step = getenv("QUOIN_TEST_LONG") ? 1 : 7;
	for (int how = 0; how < DAMAGES; how++) {
		for (unsigned pgno = pages > 40 ? (unsigned)how : 0; pgno < pages; pgno += pgno < 40 ? 1 : step) {
			char *bad = malloc(image_len);

			memcpy(bad, image, image_len);
			damage(bad + (size_t)pgno * 4096, how, pgno);
			write_image(bad, image_len);
			free(bad);
			noticed[how] += use_damaged();
		}
		printf("# %s: noticed %u times, %u pages\n", names[how], noticed[how], pages);
	}
	write_image(image, image_len);
	ix = open_at(top, false);
	equals_model(ix);
	index_close(ix);
	free(image);
}

/* Old pages lie about in the file, whole, with the rows of an older state: a pointer to one of them must not lead there.
 * Pages are as index_tree.c has them. */
static unsigned pointer_places(size_t pgno, size_t ret[], unsigned max)
{
	const uint8_t *page = (const uint8_t *)image + pgno * 4096;
	unsigned flags = le16_get(page + 10), n = (le16_get(page + 12) - 16u) / 2, found = 0;

	if (flags == 8) { /* a meta page: root of the main database */
		ret[0] = pgno * 4096 + 16 + 24 + 48 + 40;
		return 1;
	}
	for (unsigned i = 0; (flags == 1 || flags == 2) && i < n && found < max; i++) {
		size_t node = le16_get(page + 16 + 2 * i);

		if (flags == 1)
			ret[found++] = pgno * 4096 + node;
		else if (le16_get(page + node + 4) == 2) /* record of a table */
			ret[found++] = pgno * 4096 + node + 8 + le16_get(page + node + 6) + 40;
	}
	return found;
}

static void use_all(void)
{
	struct index *ix;
	struct index_txn *t;
	unsigned rows;

	if (index_open(top, MAP_BYTES, false, &ix) < 0)
		return;
	/* An older state as a whole is not wrong: its position says what it lacks. */
	if (index_position(ix) == seq && index_txn_open(ix, &t) == 0) {
		for (unsigned i = 0; i < KEYS; i++)
			if (probe(t, i) < 0)
				break;
		index_txn_close(t);
	}
	if (index_position(ix) == seq && index_txn_open(ix, &t) == 0) {
		for (unsigned i = 0; i < 3; i++)
			if (walk(t, table_of(i), &rows) < 0)
				break;
		index_txn_close(t);
	}
	index_close(ix);
}

static void wrong_pointer_never_lies(void **state)
{
	struct memtable *m = memtable_new();
	struct index *ix = open_at(top, true);
	size_t places[256], pages;
	bool all = getenv("QUOIN_TEST_LONG") != NULL;

	for (int round = 0; round < 4; round++) {
		for (unsigned n = 0; n < 300; n++)
			change(m, rnd_below(KEYS), rnd_below(4) == 0);
		apply(ix, m, seq);
	}
	memtable_unref(m);
	index_close(ix);
	save_image();
	pages = image_len / 4096;
	for (size_t pgno = 0; pgno < pages; pgno++) {
		unsigned n = pointer_places(pgno, places, ARRAY_SIZE(places));

		for (unsigned i = 0; i < n; i++) {
			uint32_t right = le32_get(image + places[i]);

			for (uint32_t wrong = all ? 2 : 2 + rnd_below(5); wrong < pages; wrong += all ? 1 : 5) {
				le32_put(image + places[i], wrong);
				write_image(image, image_len);
				use_all();
			}
			le32_put(image + places[i], right);
		}
	}
	free(image);
}

static void recount_looks_at_what_lmdb_keeps(void **state)
{
	struct index_sum sums[TABLE_END];
	struct memtable *m = memtable_new();
	struct index *ix = open_at(top, true);

	for (int round = 0; round < 6; round++) {
		for (unsigned n = 0; n < 300; n++)
			change(m, rnd_below(KEYS), false);
		apply(ix, m, seq);
	}
	memtable_unref(m);
	index_close(ix);
	save_image();
	/* Of the newest transaction: where its list of free pages begins; and the page number of the older one. */
	unsigned newest = le64_get(image + 4096 + 144) > le64_get(image + 144);
	size_t list = le64_get(image + newest * 4096 + 80) * 4096;
	const size_t places[] = {list + 14, list + 16, !newest * 4096u};
	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		assert_true(places[i] < image_len);
		ix = open_at(top, false);
		assert_int_equal(index_recount(ix, sums), 0);
		image[places[i]] ^= 0x40;
		write_image(image, image_len); /* under it */
		assert_int_equal(index_recount(ix, sums), -QE_CORRUPT);
		assert_true(index_is_bad(ix));
		index_close(ix);
		image[places[i]] ^= 0x40;
		write_image(image, image_len);
	}
	free(image);
}

/* On a thread of ours: these start with all signals blocked. */
static void *probe_all(void *arg)
{
	for (unsigned i = 0; i < KEYS; i++)
		if (probe(arg, i) < 0)
			break;
	return NULL;
}

static void truncated_file_never_lies(void **state)
{
	pthread_t thread;
	struct memtable *m = memtable_new();
	struct index *ix = open_at(top, true);
	struct index_txn *t;
	char path[128];

	for (unsigned n = 0; n < 3000; n++)
		change(m, rnd_below(KEYS), false);
	apply(ix, m, seq);
	memtable_unref(m);
	/* Under an open copy: reads of the map end in SIGBUS. */
	data_path(path, sizeof path);
	save_image();
	assert_int_equal(index_txn_open(ix, &t), 0);
	assert_int_equal(truncate(path, 3 * 4096), 0);
	assert_int_equal(thread_start(&thread, "qn-probe", probe_all, t), 0);
	thread_join(thread);
	assert_true(index_is_bad(ix));
	index_txn_close(t);
	assert_int_equal(index_txn_open(ix, &t), -QE_CORRUPT);
	index_close(ix);
	for (size_t len = 1; len < image_len; len += len < 9000 ? 1000 : image_len / 20) {
		write_image(image, len);
		assert_true(use_damaged());
	}
	/* Nothing was ever written: a new copy. */
	write_image(image, 0);
	ix = open_at(top, true);
	assert_int_equal(index_position(ix), 0);
	index_close(ix);
	free(image);
}

static void empty_copy_refuses_garbage(void **state)
{
	char path[128], noise[10000];
	struct index *ix = open_at(top, true);

	index_close(ix);
	rnd_bytes(noise, sizeof noise);
	write_image(noise, sizeof noise);
	assert_int_equal(index_open(top, MAP_BYTES, true, &ix), -QE_CORRUPT);
	data_path(path, sizeof path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(index_open(top, MAP_BYTES, true, &ix), 0);
	index_close(ix);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(copy_equals_model, setup, teardown),
		cmocka_unit_test_setup_teardown(replay_does_no_harm, setup, teardown),
		cmocka_unit_test_setup_teardown(big_change_is_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(damaged_page_never_lies, setup, teardown),
		cmocka_unit_test_setup_teardown(wrong_pointer_never_lies, setup, teardown),
		cmocka_unit_test_setup_teardown(recount_looks_at_what_lmdb_keeps, setup, teardown),
		cmocka_unit_test_setup_teardown(truncated_file_never_lies, setup, teardown),
		cmocka_unit_test_setup_teardown(empty_copy_refuses_garbage, setup, teardown),
	};

	rnd_init(3);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
