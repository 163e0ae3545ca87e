/* SPDX-License-Identifier: Apache-2.0
 *
 * Blobs written and read back on real directories, whole and in damage.
 */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"

static const struct {
	unsigned n, k, m;
} shapes[] = {{1, 1, 0}, {2, 1, 1}, {3, 2, 1}, {4, 2, 2}, {6, 4, 2}, {16, 12, 4}, {5, 2, 1}, {3, 1, 2}, {2, 2, 0}};

static void sizes_come_back(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(shapes); i++) {
		struct fixture f;
		fixture_start(&f, shapes[i].n, shapes[i].k, shapes[i].m, 32 << 20, false);
		uint64_t k64 = shapes[i].k * 65536ull, stripe = erasure_stripe_bytes(f.set, SEGMENT_LARGE);
		const uint64_t sizes[] = {1,       4095,       4096,       4097,       k64 - 1,           k64,
		                          k64 + 1, stripe - 1, stripe + 0, stripe + 1, 3 * stripe + 77777};
		for (unsigned j = 0; j < ARRAY_SIZE(sizes); j++) {
			struct erasure_blob b;
			bool degraded;
			assert_int_equal(blob_write(&f, j, sizes[j], &b), 0);
			assert_int_equal(b.stored_len, sizes[j]);
			assert_int_equal(b.nstripes, DIV_ROUND_UP(sizes[j], stripe));
			blob_expect(&f, &b, j, &degraded);
			assert_false(degraded);
			erasure_blob_free(&b);
		}
		fixture_end(&f);
	}
}

static void largest_blob_comes_back(void **state)
{
	for (unsigned i = 0; i < 4; i += 3) {
		struct fixture f;
		struct erasure_blob b;
		/* With one drive the run is longer than the segment size. */
		fixture_start(&f, shapes[i].n, shapes[i].k, shapes[i].m, 64 << 20, false);
		assert_int_equal(blob_write(&f, 5, ERASURE_BLOB_MAX, &b), 0);
		fixture_reopen(&f);
		assert_int_equal(erasure_segment_add(f.set, &b.info), 0);
		blob_expect(&f, &b, 5, NULL);
		erasure_blob_free(&b);
		fixture_end(&f);
	}
}

/* W as STORAGE.md section 4 has it: with so many drives in sync payload is written, whichever they are; with one less it is
 * refused. */
static void the_write_quorum_writes(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(shapes); i++) {
		unsigned n = shapes[i].n, m = shapes[i].m, w = n - m + (n == 2 * m);
		for (uint32_t in = 1; n == shapes[i].k + m && in < 1u << n; in += n > 6 ? 509 : 1) {
			struct fixture f;
			struct erasure_blob b;
			unsigned count = (unsigned)__builtin_popcount(in);
			if (count != w && count != w - 1)
				continue;
			fixture_start(&f, n, shapes[i].k, m, 8 << 20, false);
			erasure_set_writers(f.set, in);
			assert_int_equal(blob_write(&f, in, 300000, &b), count == w ? 0 : -QE_QUORUM_WRITE);
			if (count == w) {
				for (unsigned s = 0; s < b.nstripes; s++)
					assert_int_equal(b.stripes[s].slot_mask, in);
				blob_expect(&f, &b, in, NULL);
				erasure_blob_free(&b);
			}
			fixture_end(&f);
		}
	}
}

/* Every way to lose up to m files; one more must be an error, never wrong bytes. */
static void lost_files_are_decoded(void **state)
{
	for (unsigned i = 0; i < 6; i++) {
		unsigned n = shapes[i].n, m = shapes[i].m;
		for (uint32_t lost = 1; lost<1u << n; lost += n> 6 ? 1237 : 1) {
			struct fixture f;
			struct erasure_blob b;
			unsigned count = (unsigned)__builtin_popcount(lost);
			if (count > m + 1)
				continue;
			fixture_start(&f, n, shapes[i].k, m, 4 << 20, false);
			assert_int_equal(blob_write(&f, lost, 300000, &b), 0);
			for (unsigned s = 0; s < n; s++)
				if (lost & 1u << s)
					delete_file(&f, s, b.segment);
			fixture_reopen(&f);
			assert_int_equal(erasure_segment_add(f.set, &b.info), 0);
			if (count <= m) {
				blob_expect(&f, &b, lost, NULL);
			} else {
				uint8_t *p = malloc(b.stored_len);
				int rc = blob_read(&f, &b, 0, b.stored_len, p, NULL);
				assert_true(rc == -QE_QUORUM_READ || (rc == 0 && pattern_check(lost, 0, p, b.stored_len)));
				if (m == 0)
					assert_int_equal(rc, -QE_QUORUM_READ);
				free(p);
			}
			erasure_blob_free(&b);
			fixture_end(&f);
		}
	}
}

/* One byte anywhere in any cell: the read is right and says that it was degraded when the byte was of a data cell. */
static void flipped_byte_never_shows(void **state)
{
	for (unsigned i = 0; i < 6; i++) {
		struct fixture f;
		struct erasure_blob b;
		uint64_t seed = 77 + i;
		fixture_start(&f, shapes[i].n, shapes[i].k, shapes[i].m, 8 << 20, false);
		unsigned ncell = shapes[i].k + shapes[i].m;
		assert_int_equal(blob_write(&f, 3, erasure_stripe_bytes(f.set, SEGMENT_LARGE) + 70001, &b), 0);
		uint8_t *p = malloc(b.stored_len);
		for (unsigned j = 0; j < 40; j++) {
			const struct erasure_stripe *st = &b.stripes[rnd(&seed) % b.nstripes];
			unsigned cell = (unsigned)(rnd(&seed) % ncell);
			uint64_t off = BYTES_4K(st->offset_4k) + rnd(&seed) % BYTES_4K(st->cell_4k);
			bool degraded;
			flip_byte(&f, blob_slot(&b, cell), b.segment, off);
			int rc = blob_read(&f, &b, 0, b.stored_len, p, &degraded);
			if (shapes[i].m == 0) {
				/* Padding is not read when it has a block of its own. */
				assert_true(rc == -QE_QUORUM_READ || (rc == 0 && pattern_check(3, 0, p, b.stored_len)));
			} else {
				assert_int_equal(rc, 0);
				assert_true(pattern_check(3, 0, p, b.stored_len));
				if (cell >= shapes[i].k)
					assert_false(degraded);
			}
			flip_byte(&f, blob_slot(&b, cell), b.segment, off);
		}
		free(p);
		erasure_blob_free(&b);
		fixture_end(&f);
	}
}

/* Damage in different rows of more cells than there is parity: each row still has K good blocks. */
static void damage_adds_up_within_a_row_only(void **state)
{
	struct fixture f;
	struct erasure_blob b;
	bool degraded;

	fixture_start(&f, 3, 2, 1, 8 << 20, false);
	assert_int_equal(blob_write(&f, 9, 1 << 20, &b), 0);
	for (unsigned cell = 0; cell < 3; cell++)
		flip_byte(&f, blob_slot(&b, cell), b.segment, BYTES_4K(b.offset_4k) + cell * 65536 + 5);
	blob_expect(&f, &b, 9, &degraded);
	assert_true(degraded);
	flip_byte(&f, blob_slot(&b, 1), b.segment, BYTES_4K(b.offset_4k) + 6);
	uint8_t *p = malloc(b.stored_len);
	assert_int_equal(blob_read(&f, &b, 0, b.stored_len, p, NULL), -QE_QUORUM_READ);
	assert_int_equal(blob_read(&f, &b, 65536, 65536, p, NULL), 0);
	assert_true(pattern_check(9, 65536, p, 65536));
	free(p);
	erasure_blob_free(&b);
	fixture_end(&f);
}

static void missing_ranges_are_not_read(void **state)
{
	struct fixture f;
	struct erasure_blob b;
	uint8_t p[4096];
	bool degraded;

	fixture_start(&f, 3, 2, 1, 8 << 20, false);
	assert_int_equal(blob_write(&f, 11, 2 << 20, &b), 0);
	unsigned slot = blob_slot(&b, 0);
	uint32_t second = b.stripes[1].offset_4k;
	erasure_missing_add(f.set, slot, b.segment, second, UINT32_MAX);
	assert_int_equal(blob_read(&f, &b, 0, sizeof p, p, &degraded), 0);
	assert_false(degraded);
	assert_int_equal(blob_read(&f, &b, 1 << 20, sizeof p, p, &degraded), 0);
	assert_true(degraded);
	assert_true(pattern_check(11, 1 << 20, p, sizeof p));
	erasure_missing_add(f.set, blob_slot(&b, 2), b.segment, 0, UINT32_MAX);
	assert_int_equal(blob_read(&f, &b, 1 << 20, sizeof p, p, &degraded), -QE_QUORUM_READ);
	erasure_missing_del(f.set, slot, b.segment, second);
	assert_int_equal(blob_read(&f, &b, 1 << 20, sizeof p, p, &degraded), 0);
	assert_false(degraded);
	erasure_blob_free(&b);
	fixture_end(&f);
}

static void nowait_reads_the_cache_only(void **state)
{
	struct fixture f;
	struct erasure_blob b;
	uint8_t *p = malloc(300000);

	fixture_start(&f, 3, 2, 1, 8 << 20, true);
	assert_int_equal(blob_write(&f, 12, 300000, &b), 0);
	struct erasure_place at = blob_place(&b);
	cold_slots(&f, 1u << blob_slot(&b, 0));
	assert_int_equal(erasure_read(f.set, &at, 0, 300000, p, DRIVE_NOWAIT, NULL), -EAGAIN);
	assert_int_equal(erasure_read(f.set, &at, 0, 300000, p, 0, NULL), 0);
	assert_true(pattern_check(12, 0, p, 300000));
	/* No parity is looked at while the data is there. */
	cold_slots(&f, 1u << blob_slot(&b, 2));
	memset(p, 0, 300000);
	assert_int_equal(erasure_read(f.set, &at, 0, 300000, p, DRIVE_NOWAIT, NULL), 0);
	assert_true(pattern_check(12, 0, p, 300000));
	/* Out of the set: what it is decoded from is not cached. */
	drive_set_out(f.drive[blob_slot(&b, 0)], true, "test");
	assert_int_equal(erasure_read(f.set, &at, 0, 300000, p, DRIVE_NOWAIT, NULL), -EAGAIN);
	assert_int_equal(erasure_read(f.set, &at, 0, 300000, p, 0, NULL), 0);
	assert_true(pattern_check(12, 0, p, 300000));
	free(p);
	erasure_blob_free(&b);
	fixture_end(&f);
}

static int blob_read_cached(struct fixture *f, const struct erasure_blob *b, uint64_t start, size_t len, uint8_t *dst,
                            struct erasure_read *met)
{
	struct erasure_place at = blob_place(b);

	*met = (struct erasure_read){0};
	return erasure_read(f->set, &at, start, len, dst, DRIVE_NOWAIT, met);
}

static bool lacks_data(const struct fixture *f, const struct erasure_blob *b, uint32_t lost)
{
	bool ret = false;

	for (unsigned c = 0; c < f->k; c++)
		ret |= lost >> blob_slot(b, c) & 1;
	return ret;
}

/* All of it, and ranges that begin and end anywhere, of full stripes and of the short last one. */
static void expect_cached(struct fixture *f, const struct erasure_blob *b, uint64_t seed, bool degraded)
{
	uint8_t *p = malloc(b->stored_len);
	uint64_t state = seed;
	struct erasure_read met;

	assert_int_equal(blob_read_cached(f, b, 0, b->stored_len, p, &met), 0);
	assert_true(pattern_check(seed, 0, p, b->stored_len));
	assert_int_equal(met.degraded, degraded);
	assert_int_equal(met.damaged_to_4k, 0);
	for (unsigned i = 0; i < 16; i++) {
		uint64_t start = rnd(&state) % b->stored_len;
		size_t len = 1 + rnd(&state) % (i % 2 ? 9000 : b->stored_len);
		len = MIN(len, b->stored_len - start);
		memset(p, 0xee, len);
		assert_int_equal(blob_read_cached(f, b, start, len, p, &met), 0);
		assert_true(pattern_check(seed, start, p, len));
	}
	free(p);
}

/* Every way to lose up to m drives: from the others' cells in the page cache it is decoded at once, by who may not wait. */
static void lost_drives_are_decoded_from_the_cache(void **state)
{
	for (unsigned i = 1; i < 5; i++) {
		struct fixture f;
		struct erasure_blob b;
		fixture_start(&f, shapes[i].n, shapes[i].k, shapes[i].m, 8 << 20, true);
		assert_int_equal(blob_write(&f, 21, erasure_stripe_bytes(f.set, SEGMENT_LARGE) + 70001, &b), 0);
		uint8_t *p = malloc(b.stored_len);
		for (uint32_t lost = 0; lost < 1u << f.n; lost++) {
			struct erasure_read met;
			if ((unsigned)__builtin_popcount(lost) > f.m)
				continue;
			drives_out(&f, lost);
			cold_slots(&f, UINT32_MAX);
			assert_int_equal(blob_read_cached(&f, &b, 0, b.stored_len, p, &met), -EAGAIN);
			cold_slots(&f, 0);
			expect_cached(&f, &b, 21, lacks_data(&f, &b, lost));
			drives_out(&f, 0);
		}
		free(p);
		erasure_blob_free(&b);
		fixture_end(&f);
	}
}

static void what_a_decode_lacks_in_the_cache_is_waited_for(void **state)
{
	struct fixture f;
	struct erasure_blob b;
	struct erasure_read met;
	uint8_t *p = malloc(1 << 20);

	fixture_start(&f, 4, 2, 2, 8 << 20, true);
	assert_int_equal(blob_write(&f, 22, 1 << 20, &b), 0);
	drives_out(&f, 1u << blob_slot(&b, 1));
	cold_slots(&f, 1u << blob_slot(&b, 2) | 1u << blob_slot(&b, 3));
	assert_int_equal(blob_read_cached(&f, &b, 0, 512 << 10, p, &met), 0);
	assert_false(met.degraded);
	assert_int_equal(blob_read_cached(&f, &b, 0, 1 << 20, p, &met), -EAGAIN);
	assert_int_equal(blob_read_cached(&f, &b, 600000, 1, p, &met), -EAGAIN);
	assert_false(met.degraded);
	assert_int_equal(blob_read(&f, &b, 0, 1 << 20, p, NULL), 0);
	assert_true(pattern_check(22, 0, p, 1 << 20));
	cold_slots(&f, 0);
	expect_cached(&f, &b, 22, true);
	free(p);
	erasure_blob_free(&b);
	fixture_end(&f);
}

static void wrong_bytes_in_the_cache_never_show(void **state)
{
	struct fixture f;
	struct erasure_blob b;
	struct erasure_read met;
	uint8_t *p = malloc(1 << 20);

	fixture_start(&f, 4, 2, 2, 8 << 20, true);
	assert_int_equal(blob_write(&f, 23, 1 << 20, &b), 0);
	uint64_t row = BYTES_4K(b.offset_4k) + 65536;
	cold_slots(&f, 1u << blob_slot(&b, 3));
	expect_cached(&f, &b, 23, false);
	flip_byte(&f, blob_slot(&b, 0), b.segment, row + 9);
	assert_int_equal(blob_read_cached(&f, &b, 0, 1 << 20, p, &met), 0);
	assert_true(pattern_check(23, 0, p, 1 << 20));
	assert_true(met.degraded);
	assert_int_equal(met.damaged_from_4k, b.offset_4k);
	assert_int_equal(met.damaged_to_4k, b.offset_4k + 1);
	/* A part of the bad block, by way of another buffer. */
	assert_int_equal(blob_read_cached(&f, &b, 65536 + 5, 10, p, &met), 0);
	assert_true(pattern_check(23, 65536 + 5, p, 10));
	assert_int_equal(met.damaged_to_4k, b.offset_4k + 1);
	/* Then of a cell that it is decoded from: another is needed, which is not cached yet. */
	flip_byte(&f, blob_slot(&b, 2), b.segment, row + 70);
	assert_int_equal(blob_read_cached(&f, &b, 0, 1 << 20, p, &met), -EAGAIN);
	assert_int_equal(met.damaged_to_4k, 0);
	assert_int_equal(blob_read(&f, &b, 0, 1 << 20, p, NULL), 0);
	cold_slots(&f, 0);
	memset(p, 0, 1 << 20);
	assert_int_equal(blob_read_cached(&f, &b, 0, 1 << 20, p, &met), 0);
	assert_true(pattern_check(23, 0, p, 1 << 20));
	assert_int_equal(met.damaged_to_4k, b.offset_4k + 1);
	flip_byte(&f, blob_slot(&b, 3), b.segment, row);
	assert_int_equal(blob_read_cached(&f, &b, 0, 1 << 20, p, &met), -EAGAIN);
	assert_int_equal(blob_read(&f, &b, 0, 1 << 20, p, NULL), -QE_QUORUM_READ);
	free(p);
	erasure_blob_free(&b);
	fixture_end(&f);
}

/* Rows may lie: they give an error, not an access beyond something. */
static void impossible_places_are_corrupt(void **state)
{
	struct fixture f;
	struct erasure_blob b;
	uint8_t p[16];

	fixture_start(&f, 3, 2, 1, 8 << 20, false);
	assert_int_equal(blob_write(&f, 12, 300000, &b), 0);
	struct erasure_place good = blob_place(&b), at = good;
	at.segment++;
	assert_int_equal(erasure_read(f.set, &at, 0, 8, p, 0, NULL), -QE_CORRUPT);
	at = good;
	at.packed = true;
	assert_int_equal(erasure_read(f.set, &at, 0, 8, p, 0, NULL), -QE_CORRUPT);
	at = good;
	at.offset_4k = 2047;
	assert_int_equal(erasure_read(f.set, &at, 0, 8, p, 0, NULL), -QE_CORRUPT);
	at = good;
	at.block_log2 = 30;
	assert_int_equal(erasure_read(f.set, &at, 0, 8, p, 0, NULL), -QE_CORRUPT);
	at = good;
	at.stored_len = UINT64_MAX;
	assert_int_equal(erasure_read(f.set, &at, 0, 8, p, 0, NULL), -QE_CORRUPT);
	assert_int_equal(erasure_read(f.set, &good, 300000, 1, p, 0, NULL), -EINVAL);
	assert_int_equal(erasure_read(f.set, &good, 0, 0, p, 0, NULL), 0);
	struct segment_info info = b.info;
	info.state = SEGMENT_DEAD;
	assert_int_equal(erasure_segment_add(f.set, &info), 0);
	assert_int_equal(erasure_read(f.set, &good, 0, 8, p, 0, NULL), -QE_CORRUPT);
	info.k = 3;
	assert_int_equal(erasure_segment_add(f.set, &info), -QE_CORRUPT);
	erasure_blob_free(&b);
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_come_back),
		cmocka_unit_test(largest_blob_comes_back),
		cmocka_unit_test(the_write_quorum_writes),
		cmocka_unit_test(lost_files_are_decoded),
		cmocka_unit_test(flipped_byte_never_shows),
		cmocka_unit_test(damage_adds_up_within_a_row_only),
		cmocka_unit_test(missing_ranges_are_not_read),
		cmocka_unit_test(nowait_reads_the_cache_only),
		cmocka_unit_test(lost_drives_are_decoded_from_the_cache),
		cmocka_unit_test(what_a_decode_lacks_in_the_cache_is_waited_for),
		cmocka_unit_test(wrong_bytes_in_the_cache_never_show),
		cmocka_unit_test(impossible_places_are_corrupt),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
