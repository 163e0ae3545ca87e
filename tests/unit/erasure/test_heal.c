/* SPDX-License-Identifier: Apache-2.0
 *
 * Healing of many cells: what the drives hold afterwards is what was written, byte for byte, or it counts as failed.
 */
#include "fixture.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "erasure/heal.h"

#define BLOBS 24
#define ALL_SLOTS(f) ((1u << (f)->n) - 1)

/* Blobs of all sizes in one segment, and what each drive holds of it. */
struct world {
	struct fixture f;
	struct erasure_blob blob[BLOBS];
	uint64_t segment;
	unsigned cells; /* on each slot */
	uint8_t *image[ERASURE_MAX_CELLS];
	size_t len[ERASURE_MAX_CELLS];
};

static uint8_t *load(struct world *w, unsigned slot, size_t *ret_len)
{
	char path[160];
	struct stat st;

	segment_path(&w->f, slot, w->segment, path, sizeof path);
	int fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	uint8_t *p = malloc((size_t)st.st_size);
	assert_int_equal(read(fd, p, (size_t)st.st_size), st.st_size);
	close(fd);
	*ret_len = (size_t)st.st_size;
	return p;
}

static void world_start(struct world *w, unsigned n, unsigned k, unsigned m, bool faulty)
{
	uint64_t state = n * 100 + k;

	memset(w, 0, sizeof *w);
	fixture_start(&w->f, n, k, m, 64 << 20, faulty);
	for (unsigned i = 0; i < BLOBS; i++) {
		uint64_t len = i % 3 == 0 ? 1 + rnd(&state) % (3u << 20) : 1 + rnd(&state) % 100000;
		assert_int_equal(blob_write(&w->f, i, len, &w->blob[i]), 0);
		assert_true(i == 0 || w->blob[i].segment == w->blob[0].segment);
		w->cells += w->blob[i].nstripes;
	}
	for (unsigned i = 0; i < n; i++) {
		struct erasure_flush fl;
		while (erasure_flush_begin(w->f.set, i, &fl, 1))
			erasure_flush_done(w->f.set, &fl, drive_sync(fl.file) == 0);
	}
	w->segment = w->blob[0].segment;
	for (unsigned i = 0; i < n; i++)
		w->image[i] = load(w, i, &w->len[i]);
}

static void world_end(struct world *w)
{
	for (unsigned i = 0; i < BLOBS; i++)
		erasure_blob_free(&w->blob[i]);
	for (unsigned i = 0; i < w->f.n; i++)
		free(w->image[i]);
	fixture_end(&w->f);
}

static struct erasure_healed heal_some(struct world *w, uint32_t write, uint32_t check, unsigned step)
{
	struct erasure_healer *h = erasure_healer_new(w->f.set);
	struct erasure_healed ret = {0};

	assert_non_null(h);
	assert_int_equal(erasure_healer_begin(h, w->segment, write, check), 0);
	for (unsigned i = 0; i < BLOBS; i += step)
		for (unsigned j = 0; j < w->blob[i].nstripes; j++)
			assert_int_equal(erasure_healer_add(h, &w->blob[i].stripes[j], write), 0);
	erasure_healer_end(h, &ret);
	erasure_healer_free(h);
	return ret;
}

static struct erasure_healed heal(struct world *w, uint32_t write, uint32_t check)
{
	return heal_some(w, write, check, 1);
}

/* Header and cells are what they were; between them nobody looks. */
static void expect_equal(struct world *w, unsigned slot)
{
	size_t len;
	uint8_t *p = load(w, slot, &len);

	assert_memory_equal(p, w->image[slot], SEGMENT_HEADER_BYTES);
	for (unsigned i = 0; i < BLOBS; i++)
		for (unsigned j = 0; j < w->blob[i].nstripes; j++) {
			const struct erasure_stripe *st = &w->blob[i].stripes[j];
			size_t at = BYTES_4K(st->offset_4k), n = BYTES_4K(st->cell_4k);
			assert_true(at + n <= len);
			assert_memory_equal(p + at, w->image[slot] + at, n);
		}
	free(p);
}

static void expect_blobs(struct world *w)
{
	for (unsigned i = 0; i < BLOBS; i++)
		blob_expect(&w->f, &w->blob[i], i, NULL);
}

static void lost_files_are_written_anew(void **state)
{
	static const unsigned shape[][3] = {{4, 2, 2}, {3, 2, 1}, {2, 1, 1}, {7, 4, 2}, {16, 12, 4}};

	for (unsigned i = 0; i < ARRAY_SIZE(shape); i++) {
		struct world w;
		world_start(&w, shape[i][0], shape[i][1], shape[i][2], false);
		uint32_t lost = 0;
		unsigned cells = 0;
		for (unsigned c = 0; c < shape[i][2]; c++) {
			unsigned slot = blob_slot(&w.blob[0], c);
			lost |= 1u << slot;
			cells += w.cells;
			delete_file(&w.f, slot, w.segment);
		}
		struct erasure_healed r = heal(&w, lost, 0);
		uint64_t healed = 0;
		for (unsigned s = 0; s < w.f.n; s++) {
			healed += r.slot[s].healed;
			assert_int_equal(r.slot[s].failed, 0);
			assert_int_equal(r.slot[s].bad, 0);
			expect_equal(&w, s);
		}
		assert_int_equal(healed, cells);
		assert_int_equal(r.stripes, w.cells);
		/* The set's own descriptors are those of the new files, too. */
		for (unsigned c = shape[i][2]; c < shape[i][1] + shape[i][2] && c < 2 * shape[i][2]; c++)
			delete_file(&w.f, blob_slot(&w.blob[0], c), w.segment);
		fixture_reopen(&w.f);
		assert_int_equal(erasure_segment_add(w.f.set, &w.blob[0].info), 0);
		expect_blobs(&w);
		world_end(&w);
	}
}

static void only_named_stripes_are_written(void **state)
{
	struct world w;

	world_start(&w, 4, 2, 2, false);
	delete_file(&w.f, 1, w.segment);
	struct erasure_healed r = heal_some(&w, 1u << 1, 0, 2);
	size_t len;
	uint8_t *p = load(&w, 1, &len);
	for (unsigned i = 0; i < BLOBS; i++)
		for (size_t j = 0; j < 4096; j++) {
			size_t at = BYTES_4K(w.blob[i].offset_4k) + j;
			assert_int_equal(p[at], i % 2 ? 0 : w.image[1][at]);
		}
	free(p);
	assert_int_equal(r.slot[1].failed, 0);
	world_end(&w);
}

static void rot_is_found_and_repaired_on_every_drive(void **state)
{
	struct world w;
	uint64_t rnd_state = 5;
	unsigned bad[4] = {0};

	world_start(&w, 4, 2, 2, false);
	assert_int_equal(heal(&w, 0, 0xf).slot[2].bad, 0);
	/* Up to M cells of each stripe, different ones. */
	for (unsigned i = 0; i < BLOBS; i++)
		for (unsigned j = 0; j < w.blob[i].nstripes; j++) {
			const struct erasure_stripe *st = &w.blob[i].stripes[j];
			unsigned first = (unsigned)(rnd(&rnd_state) % 4), n = (unsigned)(rnd(&rnd_state) % 3);
			for (unsigned d = 0; d < n; d++) {
				unsigned slot = (first + d) % 4;
				flip_byte(&w.f, slot, w.segment, BYTES_4K(st->offset_4k) + rnd(&rnd_state) % BYTES_4K(st->cell_4k));
				bad[slot]++;
			}
		}
	struct erasure_healed r = heal(&w, 0, 0xf);
	for (unsigned s = 0; s < 4; s++) {
		assert_int_equal(r.slot[s].bad, bad[s]);
		assert_int_equal(r.slot[s].healed, bad[s]);
		assert_int_equal(r.slot[s].failed, 0);
		expect_equal(&w, s);
	}
	assert_int_equal(heal(&w, 0, 0xf).slot[1].bad, 0);
	world_end(&w);
}

/* Damage of different blocks of all cells adds up only within a row: the long way. */
static void scattered_damage_is_put_together(void **state)
{
	struct world w;

	world_start(&w, 4, 2, 2, false);
	const struct erasure_stripe *st = NULL;
	for (unsigned i = 0; i < BLOBS && !st; i++)
		if (w.blob[i].stripes[0].blocks_per_cell >= 4)
			st = &w.blob[i].stripes[0];
	assert_non_null(st);
	for (unsigned s = 0; s < 4; s++)
		flip_byte(&w.f, s, w.segment, BYTES_4K(st->offset_4k) + s * 65536 + 7);
	struct erasure_healed r = heal(&w, 0, 0xf);
	for (unsigned s = 0; s < 4; s++) {
		assert_int_equal(r.slot[s].healed, 1);
		expect_equal(&w, s);
	}
	world_end(&w);
}

static void short_and_headless_files_are_repaired(void **state)
{
	struct world w;
	char path[160];

	world_start(&w, 4, 2, 2, false);
	segment_path(&w.f, 0, w.segment, path, sizeof path);
	assert_int_equal(truncate(path, 3 * 4096), 0);
	flip_byte(&w.f, 3, w.segment, 9);
	struct erasure_healed r = heal(&w, 0, 0xf);
	assert_true(r.slot[0].healed > w.cells / 2);
	assert_int_equal(r.slot[0].bad, r.slot[0].healed);
	assert_int_equal(r.slot[3].bad, 1);
	assert_int_equal(r.slot[3].healed, 1);
	for (unsigned s = 0; s < 4; s++)
		expect_equal(&w, s);
	world_end(&w);
}

static void too_few_cells_fail_and_change_nothing(void **state)
{
	struct world w;
	const struct erasure_stripe *st;

	world_start(&w, 4, 2, 2, false);
	st = &w.blob[4].stripes[0];
	for (unsigned s = 0; s < 3; s++)
		flip_byte(&w.f, s, w.segment, BYTES_4K(st->offset_4k));
	delete_file(&w.f, 0, w.segment);
	struct erasure_healed r = heal(&w, 1, 0);
	assert_int_equal(r.slot[0].failed, 1);
	assert_int_equal(r.slot[0].failed_bytes, BYTES_4K(st->cell_4k));
	assert_int_equal(r.slot[0].healed, w.cells - 1);
	r = heal(&w, 0, 0xf);
	assert_int_equal(r.slot[1].failed, 1);
	assert_int_equal(r.slot[2].failed, 1);
	world_end(&w);
}

static void rule(struct world *w, enum fault_kind kind, int slot, int op, uint64_t nth)
{
	fault_bench_rule(w->f.bench, NULL);
	fault_bench_rule(w->f.bench, &(struct fault_rule){
									 .kind = kind, .slot = slot, .name = "seg/", .op = op, .nth = nth, .once = true});
}

/* A write that does not arrive, or elsewhere, is told by the reading back; one that fails takes the drive with it. */
static void what_does_not_arrive_counts_as_failed(void **state)
{
	static const struct {
		enum fault_kind kind;
		int op;
		bool reported;
	} faults[] = {{FAULT_LOST, DRIVE_IO_WRITE, false},
	              {FAULT_MISDIRECTED, DRIVE_IO_WRITE, false},
	              {FAULT_ENOSPC, DRIVE_IO_WRITE, false},
	              {FAULT_ERROR, DRIVE_IO_WRITE, true},
	              {FAULT_ERROR, DRIVE_IO_SYNC, true}};

	for (unsigned i = 0; i < ARRAY_SIZE(faults); i++)
		for (unsigned nth = 1; nth <= 3; nth++) {
			struct world w;
			world_start(&w, 4, 2, 2, true);
			delete_file(&w.f, 1, w.segment);
			fixture_reopen(&w.f);
			assert_int_equal(erasure_segment_add(w.f.set, &w.blob[0].info), 0);
			erasure_missing_add(w.f.set, 1, w.segment, 0, UINT32_MAX);
			rule(&w, faults[i].kind, 1, faults[i].op, nth);
			struct erasure_healed r = heal(&w, 1u << 1, 0);
			assert_int_equal(r.slot[1].healed + r.slot[1].failed, w.cells);
			/* The 1st write and sync are of the header. */
			if (nth == 2)
				assert_true(r.slot[1].failed > 0);
			if (r.slot[1].failed && nth > 1)
				assert_int_equal(w.f.reported, faults[i].reported ? 1u << 1 : 0);
			expect_blobs(&w);
			fault_bench_rule(w.f.bench, NULL);
			erasure_set_writers(w.f.set, ALL_SLOTS(&w.f));
			r = heal(&w, 1u << 1, 1u << 1);
			/* A header that was lost is bad, and healed too. */
			assert_int_equal(r.slot[1].healed, w.cells + r.slot[1].bad);
			assert_int_equal(r.slot[1].bad, nth == 1 && (i == 0 || i == 1));
			expect_equal(&w, 1);
			world_end(&w);
		}
}

static void dropped_work_leaves_nothing_behind(void **state)
{
	struct world w;
	struct erasure_healer *h;

	world_start(&w, 4, 2, 2, false);
	delete_file(&w.f, 2, w.segment);
	h = erasure_healer_new(w.f.set);
	assert_int_equal(erasure_healer_begin(h, 12345, 4, 0), -QE_CORRUPT);
	assert_int_equal(erasure_healer_begin(h, w.segment, 4, 0), 0);
	for (unsigned i = 0; i < BLOBS; i++)
		for (unsigned j = 0; j < w.blob[i].nstripes; j++)
			assert_int_equal(erasure_healer_add(h, &w.blob[i].stripes[j], 4), 0);
	struct erasure_stripe wrong = w.blob[1].stripes[0];
	wrong.offset_4k = w.blob[0].info.size_4k;
	assert_int_equal(erasure_healer_add(h, &wrong, 4), -QE_CORRUPT);
	erasure_healer_drop(h);
	erasure_healer_free(h);
	struct erasure_healed r = heal(&w, 4, 0);
	assert_int_equal(r.slot[2].healed, w.cells);
	expect_equal(&w, 2);
	world_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lost_files_are_written_anew),
		cmocka_unit_test(only_named_stripes_are_written),
		cmocka_unit_test(rot_is_found_and_repaired_on_every_drive),
		cmocka_unit_test(scattered_damage_is_put_together),
		cmocka_unit_test(short_and_headless_files_are_repaired),
		cmocka_unit_test(too_few_cells_fail_and_change_nothing),
		cmocka_unit_test(what_does_not_arrive_counts_as_failed),
		cmocka_unit_test(dropped_work_leaves_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
