/* SPDX-License-Identifier: Apache-2.0
 *
 * Packed stripes with blobs inside, as destaging writes them.
 */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"

#define BLOBS 40

struct packed_blob {
	uint64_t seed;
	uint32_t cell, byte, len;
	uint32_t crc[16];
	const struct erasure_blob *stripe;
	bool no_stripe_row;
};

struct packed {
	uint8_t *data;
	struct erasure_blob eb;
	struct packed_blob blob[BLOBS];
};

static int blob_crcs(void *arg, uint64_t first, unsigned n, uint32_t *ret)
{
	const struct packed_blob *b = arg;

	assert_true(first + n <= DIV_ROUND_UP(b->len, 4096));
	memcpy(ret, b->crc + first, n * sizeof *ret);
	return 0;
}

static int stripe_crcs(void *arg, uint32_t *ret)
{
	const struct packed_blob *b = arg;

	if (b->no_stripe_row)
		return -QE_NO_SUCH_KEY;
	memcpy(ret, b->stripe->stripes[0].crc, b->stripe->stripes[0].ncell * sizeof *ret);
	return 0;
}

static void packed_fill(struct fixture *f, struct packed *p, uint64_t seed)
{
	static const uint32_t lens[] = {1, 700, 4095, 4096, 4097, 9000, 20000, 513};
	uint32_t stripe = erasure_stripe_bytes(f->set, SEGMENT_PACKED);
	unsigned n = 0;

	*p = (struct packed){.data = aligned_alloc(4096, stripe)};
	memset(p->data, 0, stripe);
	for (uint32_t cell = 0; cell < f->k; cell++)
		for (uint32_t byte = 8 * (cell % 3); n < BLOBS; n++) {
			struct packed_blob *b = &p->blob[n];
			uint32_t len = lens[rnd(&seed) % ARRAY_SIZE(lens)];
			if (byte + len > ERASURE_PACKED_CELL)
				break;
			*b = (struct packed_blob){seed, cell, byte, len, .stripe = &p->eb};
			uint8_t *at = p->data + cell * ERASURE_PACKED_CELL + byte;
			pattern_fill(b->seed, 0, at, len);
			blocks_sum(at, len, 12, b->crc);
			byte = ALIGN_UP(byte + len, 8);
		}
	assert_int_equal(erasure_packed_write(f->set, p->data, &p->eb), 0);
}

static void packed_free(struct packed *p)
{
	free(p->data);
	erasure_blob_free(&p->eb);
}

static struct erasure_read last_met;

static int packed_read(struct fixture *f, const struct packed *p, struct packed_blob *b, uint32_t start, uint32_t len,
                       uint8_t *dst, unsigned flags, bool *degraded)
{
	const struct erasure_place at = {
		.packed = true,
		.segment = p->eb.segment,
		.offset_4k = p->eb.offset_4k,
		.cell = (uint8_t)b->cell,
		.byte = b->byte,
		.stored_len = b->len,
		.block_log2 = 12,
		.crcs = blob_crcs,
		.stripe_crcs = stripe_crcs,
		.arg = b,
	};

	last_met = (struct erasure_read){0};
	int rc = erasure_read(f->set, &at, start, len, dst, flags, &last_met);

	if (degraded)
		*degraded = last_met.degraded;
	return rc;
}

static void packed_expect(struct fixture *f, struct packed *p, uint64_t seed)
{
	uint8_t *dst = malloc(65536);

	for (unsigned i = 0; i < BLOBS && p->blob[i].len; i++) {
		struct packed_blob *b = &p->blob[i];
		uint32_t start = (uint32_t)(rnd(&seed) % b->len), len = 1 + (uint32_t)(rnd(&seed) % (b->len - start));
		assert_int_equal(packed_read(f, p, b, 0, b->len, dst, 0, NULL), 0);
		assert_true(pattern_check(b->seed, 0, dst, b->len));
		assert_int_equal(packed_read(f, p, b, start, len, dst, 0, NULL), 0);
		assert_true(pattern_check(b->seed, start, dst, len));
	}
	free(dst);
}

static const struct {
	unsigned n, k, m;
} shapes[] = {{1, 1, 0}, {2, 1, 1}, {3, 2, 1}, {4, 2, 2}, {6, 4, 2}, {16, 12, 4}};

static void blobs_come_back(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(shapes); i++) {
		struct fixture f;
		struct packed p, q;
		fixture_start(&f, shapes[i].n, shapes[i].k, shapes[i].m, 8 << 20, false);
		packed_fill(&f, &p, i);
		packed_fill(&f, &q, i + 100);
		assert_int_equal(p.eb.info.cls, SEGMENT_PACKED);
		assert_int_equal(p.eb.info.block_log2, 12);
		assert_int_equal(p.eb.stripes[0].block_log2, 16);
		assert_int_equal(p.eb.stripes[0].blocks_per_cell, 1);
		assert_int_equal(q.eb.offset_4k, p.eb.offset_4k + 16);
		packed_expect(&f, &p, 1);
		fixture_reopen(&f);
		assert_int_equal(erasure_segment_add(f.set, &p.eb.info), 0);
		packed_expect(&f, &p, 2);
		packed_expect(&f, &q, 3);
		packed_free(&p);
		packed_free(&q);
		fixture_end(&f);
	}
}

static void lost_drives_are_decoded(void **state)
{
	for (unsigned i = 1; i < ARRAY_SIZE(shapes); i++) {
		struct fixture f;
		struct packed p;
		uint64_t seed = i;
		fixture_start(&f, shapes[i].n, shapes[i].k, shapes[i].m, 8 << 20, false);
		packed_fill(&f, &p, i);
		for (unsigned m = 0; m < shapes[i].m; m++)
			delete_file(&f, (p.eb.info.rotation + m) % shapes[i].n, p.eb.segment);
		fixture_reopen(&f);
		assert_int_equal(erasure_segment_add(f.set, &p.eb.info), 0);
		packed_expect(&f, &p, rnd(&seed));
		/* One more. */
		delete_file(&f, (p.eb.info.rotation + shapes[i].m) % shapes[i].n, p.eb.segment);
		fixture_reopen(&f);
		assert_int_equal(erasure_segment_add(f.set, &p.eb.info), 0);
		uint8_t dst[65536];
		assert_int_equal(packed_read(&f, &p, &p.blob[0], 0, p.blob[0].len, dst, 0, NULL), -QE_QUORUM_READ);
		packed_free(&p);
		fixture_end(&f);
	}
}

static void flipped_byte_never_shows(void **state)
{
	struct fixture f;
	struct packed p;
	uint8_t dst[65536];
	bool degraded;

	fixture_start(&f, 4, 2, 2, 8 << 20, true);
	packed_fill(&f, &p, 5);
	struct packed_blob *b = &p.blob[3];
	assert_int_equal(b->cell, 0);
	unsigned slot = p.eb.info.rotation % 4;
	uint64_t cell = BYTES_4K(p.eb.offset_4k);
	cold_slots(&f, ~(1u << slot));
	flip_byte(&f, slot, p.eb.segment, cell + b->byte + b->len - 1);
	assert_int_equal(packed_read(&f, &p, b, 0, b->len, dst, DRIVE_NOWAIT, NULL), -EAGAIN);
	assert_int_equal(packed_read(&f, &p, b, 0, b->len, dst, 0, &degraded), 0);
	assert_true(degraded);
	assert_true(pattern_check(b->seed, 0, dst, b->len));
	/* Its neighbour in the same cell does not mind. */
	assert_int_equal(packed_read(&f, &p, &p.blob[0], 0, p.blob[0].len, dst, 0, &degraded), 0);
	assert_false(degraded);
	/* Bad cells are not fed to the decoder. */
	flip_byte(&f, (slot + 1) % 4, p.eb.segment, cell + b->byte + b->len - 1);
	assert_int_equal(packed_read(&f, &p, b, 0, b->len, dst, 0, &degraded), 0);
	assert_true(pattern_check(b->seed, 0, dst, b->len));
	flip_byte(&f, (slot + 2) % 4, p.eb.segment, cell + b->byte + b->len - 1);
	assert_int_equal(packed_read(&f, &p, b, 0, b->len, dst, 0, &degraded), -QE_QUORUM_READ);
	b->no_stripe_row = true;
	assert_int_equal(packed_read(&f, &p, b, 0, b->len, dst, 0, &degraded), -QE_NO_SUCH_KEY);
	packed_free(&p);
	fixture_end(&f);
}

static void cached_reads_do_not_wait(void **state)
{
	struct fixture f;
	struct packed p;
	uint8_t dst[65536];

	fixture_start(&f, 3, 2, 1, 8 << 20, true);
	packed_fill(&f, &p, 8);
	struct packed_blob *b = &p.blob[2];
	unsigned slot = (b->cell + p.eb.info.rotation) % 3;
	cold_slots(&f, 1u << slot);
	assert_int_equal(packed_read(&f, &p, b, 0, b->len, dst, DRIVE_NOWAIT, NULL), -EAGAIN);
	assert_int_equal(packed_read(&f, &p, b, 0, b->len, dst, 0, NULL), 0);
	/* Of the others nothing is needed. */
	cold_slots(&f, ~(1u << slot));
	memset(dst, 0, b->len);
	assert_int_equal(packed_read(&f, &p, b, 0, b->len, dst, DRIVE_NOWAIT, NULL), 0);
	assert_true(pattern_check(b->seed, 0, dst, b->len));
	packed_free(&p);
	fixture_end(&f);
}

static void expect_cached(struct fixture *f, struct packed *p, struct packed_blob *b, uint32_t lost)
{
	bool degraded, lacks = lost >> (b->cell + p->eb.info.rotation) % f->n & 1;
	uint64_t seed = lost + b->byte;
	uint8_t dst[65536];

	assert_int_equal(packed_read(f, p, b, 0, b->len, dst, 0, NULL), 0);
	assert_true(pattern_check(b->seed, 0, dst, b->len));
	for (unsigned i = 0; i < 4; i++) {
		uint32_t start = i ? (uint32_t)(rnd(&seed) % b->len) : 0;
		uint32_t len = i ? 1 + (uint32_t)(rnd(&seed) % (b->len - start)) : b->len;
		memset(dst, 0xee, len);
		assert_int_equal(packed_read(f, p, b, start, len, dst, DRIVE_NOWAIT, &degraded), 0);
		assert_true(pattern_check(b->seed, start, dst, len));
		assert_int_equal(degraded, lacks);
		assert_int_equal(last_met.damaged_to_4k, 0);
	}
}

/* Every way to lose up to m drives. */
static void lost_drives_are_decoded_from_the_cache(void **state)
{
	for (unsigned i = 1; i < 5; i++) {
		struct fixture f;
		struct packed p;
		uint8_t dst[65536];
		fixture_start(&f, shapes[i].n, shapes[i].k, shapes[i].m, 8 << 20, true);
		packed_fill(&f, &p, i);
		for (uint32_t lost = 0; lost < 1u << f.n; lost++) {
			if ((unsigned)__builtin_popcount(lost) > f.m)
				continue;
			drives_out(&f, lost);
			cold_slots(&f, UINT32_MAX);
			assert_int_equal(packed_read(&f, &p, &p.blob[0], 0, p.blob[0].len, dst, DRIVE_NOWAIT, NULL), -EAGAIN);
			cold_slots(&f, 0);
			for (unsigned j = 0; j < BLOBS && p.blob[j].len; j++)
				expect_cached(&f, &p, &p.blob[j], lost);
			drives_out(&f, 0);
		}
		packed_free(&p);
		fixture_end(&f);
	}
}

/* A blob is proved by its own checksums; whose bytes are wrong when they do not agree, by those of whole cells. */
static void wrong_bytes_never_decode(void **state)
{
	struct fixture f;
	struct packed p;
	uint8_t dst[65536];
	bool degraded;

	fixture_start(&f, 4, 2, 2, 8 << 20, true);
	packed_fill(&f, &p, 5);
	struct packed_blob *b = &p.blob[3];
	assert_int_equal(b->cell, 0);
	unsigned slot = p.eb.info.rotation % 4;
	uint64_t cell = BYTES_4K(p.eb.offset_4k);
	drives_out(&f, 1u << slot);
	/* Bytes that are of no use for it do no harm; nor is the row of the stripe needed. */
	flip_byte(&f, (slot + 1) % 4, p.eb.segment, cell + 65535);
	b->no_stripe_row = true;
	assert_int_equal(packed_read(&f, &p, b, 0, b->len, dst, 0, NULL), 0);
	assert_int_equal(packed_read(&f, &p, b, 0, b->len, dst, DRIVE_NOWAIT, &degraded), 0);
	assert_true(pattern_check(b->seed, 0, dst, b->len));
	assert_true(degraded);
	b->no_stripe_row = false;
	flip_byte(&f, (slot + 2) % 4, p.eb.segment, cell + b->byte + b->len / 2);
	assert_int_equal(packed_read(&f, &p, b, 0, b->len, dst, 0, NULL), -QE_QUORUM_READ);
	flip_byte(&f, (slot + 1) % 4, p.eb.segment, cell + 65535);
	assert_int_equal(packed_read(&f, &p, b, 0, b->len, dst, 0, &degraded), 0);
	assert_true(pattern_check(b->seed, 0, dst, b->len));
	assert_true(degraded);
	assert_int_equal(last_met.damaged_from_4k, p.eb.offset_4k);
	assert_int_equal(last_met.damaged_to_4k, p.eb.offset_4k + 1);
	memset(dst, 0, b->len);
	assert_int_equal(packed_read(&f, &p, b, 0, b->len, dst, DRIVE_NOWAIT, NULL), 0);
	assert_true(pattern_check(b->seed, 0, dst, b->len));
	assert_int_equal(last_met.damaged_to_4k, p.eb.offset_4k + 1);
	packed_free(&p);
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blobs_come_back),
		cmocka_unit_test(lost_drives_are_decoded),
		cmocka_unit_test(flipped_byte_never_shows),
		cmocka_unit_test(cached_reads_do_not_wait),
		cmocka_unit_test(lost_drives_are_decoded_from_the_cache),
		cmocka_unit_test(wrong_bytes_never_decode),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
