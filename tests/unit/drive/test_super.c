/* SPDX-License-Identifier: Apache-2.0
 *
 * The superblock: codec, and what one bad, older or torn slot may do.
 */
#include "unit/drive/unit.h"

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/err.h"
#include "drive/identity.h"
#include "drive/super.h"

static struct super sample(void)
{
	struct super s = {
		.pool = 1, .set = 2, .slot = 3, .n = 6, .k = 4, .m = 2, .w = 4, .log2_file = 26,
		.promised = 77,
		.start = {.log = 5, .off = 8192, .first_seq = 1234567890123, .prev_crc = 0xdeadbeef},
		.isr_epoch = 76, .isr_seq = 1234567890000, .durable_seq = 1234567891111,
		.index_state = ISR_INDEX_BAD, .index_position = 99, .member = true, .may_ignore = 1ULL << 63,
		.isr = {.n = 6, .k = 4, .m = 2, .w = 4},
	};

	memset(s.deployment, 0xd1, 16);
	memset(s.drive, 0xd2, 16);
	for (unsigned i = 0; i < s.isr.n; i++) {
		s.isr.slot[i].state = i % 3;
		s.isr.slot[i].index = (i + 1) % 3;
		memset(s.isr.slot[i].drive, (int)i + 1, 16);
	}
	for (; s.epochs < SUPER_MAX_EPOCHS; s.epochs++)
		s.epoch[s.epochs] = (struct super_epoch){200 - s.epochs, 1000 - s.epochs, s.epochs * 7};
	return s;
}

/* By their encoding: the structures have padding. */
static void assert_super_equal(const struct super *a, const struct super *b)
{
	uint8_t *p = block_of(0, 1), *q = block_of(0, 1);

	super_encode(a, p);
	super_encode(b, q);
	assert_memory_equal(p, q, DRIVE_BLOCK);
	free(p);
	free(q);
}

static void codec_round_trip(void **state)
{
	struct super s = sample(), t;
	uint8_t *b = block_of(0xff, 1);

	s.generation = 42;
	super_encode(&s, b);
	assert_memory_equal(b, "QSB1", 4);
	assert_int_equal(le32_get(b + 4), SUPER_FORMAT);
	assert_int_equal(le64_get(b + 8), 42);
	assert_int_equal(super_decode(b, &t), 0);
	assert_super_equal(&s, &t);
	assert_int_equal(t.promised, 77);
	assert_int_equal(t.start.first_seq, 1234567890123);
	assert_int_equal(t.isr.slot[5].drive[15], 6);
	assert_int_equal(t.epoch[127].prev_crc, 127 * 7);
	assert_true(t.member && t.log2_file == 26 && t.index_state == ISR_INDEX_BAD);
	free(b);
}

static void any_flipped_bit_is_corrupt(void **state)
{
	struct super s = sample(), t;
	uint8_t *b = block_of(0, 1);

	super_encode(&s, b);
	for (unsigned i = 0; i < DRIVE_BLOCK * 8; i += 5) {
		b[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_int_equal(super_decode(b, &t), -QE_CORRUPT);
		b[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	free(b);
}

static void reseal(uint8_t *b)
{
	le32_put(b + DRIVE_BLOCK - 4, checksum_crc32c(0, b, DRIVE_BLOCK - 4));
}

static void unknown_formats_are_refused(void **state)
{
	struct super s = sample(), t;
	uint8_t *b = block_of(0, 1);

	super_encode(&s, b);
	le32_put(b + 4, SUPER_FORMAT + 1);
	reseal(b);
	assert_int_equal(super_decode(b, &t), -QE_DRIVE_FORMAT);
	s.must_understand = 4;
	super_encode(&s, b);
	assert_int_equal(super_decode(b, &t), -QE_DRIVE_FORMAT);
	free(b);
}

static void counts_that_do_not_fit_are_corrupt(void **state)
{
	struct super s = sample(), t;
	uint8_t *b = block_of(0, 1);

	super_encode(&s, b);
	/* n of the ISR body: behind the head (93), promise (8), start (24), isr epoch and seq (16). */
	unsigned at = 93 + 8 + 24 + 16;
	assert_int_equal(b[at], 6);
	for (unsigned n = 7; n < 256; n++) {
		b[at] = (uint8_t)n;
		reseal(b);
		int rc = super_decode(b, &t);
		assert_true(n <= SUPER_MAX_SLOTS || rc == -QE_CORRUPT);
	}
	super_encode(&s, b);
	le16_put(b + at + 4 + 6 * 20 + 2 + 8, 0xffff);
	reseal(b);
	assert_int_equal(super_decode(b, &t), -QE_CORRUPT);
	free(b);
}

static void isr_body_round_trip(void **state)
{
	struct isr_body in = sample().isr, out;
	struct buf b = BUF_INIT;

	memset(in.reason, 'r', ISR_REASON_MAX);
	isr_body_encode(&b, &in, true);
	assert_int_equal(buf_err(&b), 0);
	assert_int_equal(b.len, 4 + 6 * 20 + 2 + 200);
	buf_add_c(&b, "the batch");
	assert_int_equal(isr_body_decode(b.data, b.len, &out), 4 + 6 * 20 + 2 + 200);
	assert_memory_equal(&in, &out, sizeof in);
	for (size_t len = 0; len < 4 + 6 * 20 + 2 + 200; len++)
		assert_int_equal(isr_body_decode(b.data, len, &out), -QE_CORRUPT);
	buf_reset(&b);
	isr_body_encode(&b, &in, false);
	assert_int_equal(isr_body_decode(b.data, b.len, &out), 4 + 6 * 20 + 2);
	assert_string_equal(out.reason, "");
	buf_free(&b);
}

static uint64_t generation_of(unsigned slot)
{
	uint8_t *p = testdir_read(dir, "super", NULL);
	struct super s;
	uint64_t gen = super_decode(p + slot * DRIVE_BLOCK, &s) == 0 ? s.generation : 0;

	free(p);
	return gen;
}

static void format_write_read(void **state)
{
	struct super s = sample(), t;

	assert_int_equal(super_format(d, &s), 0);
	assert_int_equal(s.generation, 1);
	assert_true(testdir_exists(dir, "journal") && testdir_exists(dir, "seg"));
	assert_true(testdir_exists(dir, "spare") && testdir_exists(dir, "index"));
	s.promised = 78;
	assert_int_equal(super_write(d, &s), 0);
	assert_int_equal(s.generation, 2);
	assert_int_equal(generation_of(0), 2);
	assert_int_equal(generation_of(1), 2);
	assert_int_equal(super_read(d, false, &t), 0);
	assert_super_equal(&s, &t);
}

static void format_repeats_until_there_is_an_identity(void **state)
{
	struct super s = sample();
	struct identity id = {.n = 4};

	assert_int_equal(super_format(d, &s), 0);
	s.generation = 0;
	assert_int_equal(super_format(d, &s), 0);
	assert_int_equal(identity_format(d, &id), 0);
	assert_int_equal(super_format(d, &s), -EEXIST);
}

static void one_bad_slot_takes_nothing_back(void **state)
{
	struct super s = sample(), t;

	assert_int_equal(super_format(d, &s), 0);
	for (unsigned slot = 0; slot < 2; slot++) {
		s.promised++;
		assert_int_equal(super_write(d, &s), 0);
		testdir_corrupt(dir, "super", slot * DRIVE_BLOCK + 300, 1);
		assert_int_equal(super_read(d, true, &t), 0);
		assert_int_equal(t.promised, s.promised);
		assert_int_equal(generation_of(slot), 0);
		assert_int_equal(super_read(d, false, &t), 0);
		assert_int_equal(t.promised, s.promised);
		assert_int_equal(generation_of(slot), s.generation);
	}
	testdir_corrupt(dir, "super", 0, 1);
	testdir_corrupt(dir, "super", DRIVE_BLOCK, 1);
	assert_int_equal(super_read(d, false, &t), -QE_CORRUPT);
}

static void the_newer_slot_counts_and_is_repeated(void **state)
{
	struct super s = sample(), t;
	uint8_t *b = block_of(0, 1);

	assert_int_equal(super_format(d, &s), 0);
	for (unsigned slot = 0; slot < 2; slot++) {
		struct drive_file *f;
		s.generation += 10;
		s.promised++;
		super_encode(&s, b);
		assert_int_equal(drive_open(d, "super", 0, 0, &f), 0);
		assert_int_equal(drive_pwrite(f, b, DRIVE_BLOCK, slot * DRIVE_BLOCK, 0), 0);
		drive_file_unref(f);
		assert_int_equal(super_read(d, true, &t), 0);
		assert_int_equal(t.promised, s.promised);
		assert_int_equal(generation_of(!slot), s.generation - 10);
		assert_int_equal(super_read(d, false, &t), 0);
		assert_int_equal(generation_of(!slot), s.generation);
	}
	free(b);
}

static void write_goes_over_the_bad_or_older_slot_first(void **state)
{
	struct super s = sample(), t;
	size_t len;

	assert_int_equal(super_format(d, &s), 0);
	for (unsigned bad = 0; bad < 2; bad++) {
		testdir_corrupt(dir, "super", bad * DRIVE_BLOCK, 8);
		uint8_t *before = testdir_read(dir, "super", &len);
		assert_int_equal(super_write(d, &s), 0);
		/* Cut off after the first of the two writes: the other slot still is what it was. */
		uint8_t *after = testdir_read(dir, "super", &len);
		memcpy(before + bad * DRIVE_BLOCK, after + bad * DRIVE_BLOCK, DRIVE_BLOCK);
		testdir_write(dir, "super", before, len);
		assert_int_equal(super_read(d, false, &t), 0);
		assert_int_equal(t.generation, s.generation);
		free(before);
		free(after);
	}
}

static void a_newer_format_in_one_slot_refuses_the_drive(void **state)
{
	struct super s = sample(), t;
	size_t len;

	assert_int_equal(super_format(d, &s), 0);
	uint8_t *p = testdir_read(dir, "super", &len);
	le32_put(p + DRIVE_BLOCK + 4, SUPER_FORMAT + 1);
	reseal(p + DRIVE_BLOCK);
	testdir_write(dir, "super", p, len);
	assert_int_equal(super_read(d, false, &t), -QE_DRIVE_FORMAT);
	assert_int_equal(super_write(d, &s), -QE_DRIVE_FORMAT);
	uint8_t *q = testdir_read(dir, "super", NULL);
	assert_memory_equal(p, q, len);
	free(p);
	free(q);
}

static void without_the_file_it_is_corrupt(void **state)
{
	struct super t;

	assert_int_equal(super_read(d, false, &t), -QE_CORRUPT);
	testdir_write(dir, "super", "short", 5);
	assert_int_equal(super_read(d, false, &t), -QE_CORRUPT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(codec_round_trip),
		cmocka_unit_test(any_flipped_bit_is_corrupt),
		cmocka_unit_test(unknown_formats_are_refused),
		cmocka_unit_test(counts_that_do_not_fit_are_corrupt),
		cmocka_unit_test(isr_body_round_trip),
		TEST(format_write_read),
		TEST(format_repeats_until_there_is_an_identity),
		TEST(one_bad_slot_takes_nothing_back),
		TEST(the_newer_slot_counts_and_is_repeated),
		TEST(write_goes_over_the_bad_or_older_slot_first),
		TEST(a_newer_format_in_one_slot_refuses_the_drive),
		TEST(without_the_file_it_is_corrupt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
