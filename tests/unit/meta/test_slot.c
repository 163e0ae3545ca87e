/* SPDX-License-Identifier: Apache-2.0
 *
 * The drive object of a slot is given back only when nothing in the set uses it any more.
 */
#include "set_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "meta/set_internal.h"

#define SLOT(n) (1u << (n))
#define BYTES 300000u

static struct fixture f;

static void start(void)
{
	fixture_start(&f, 4, 2, true);
	f.p.drive_timeout_ns = 50 * NS_PER_MS;
	fixture_open_known(&f);
}

static int release(unsigned slot)
{
	struct drive *old = NULL;
	int rc = meta_slot_release(f.s, slot, &old);

	if (rc == 0) {
		assert_ptr_equal(old, f.drive[slot]);
		assert_int_equal(drive_users(old), 0);
		f.drive[slot] = drive_close(old);
	}
	return rc;
}

static void a_slot_that_takes_part_keeps_its_drive(void **state)
{
	struct drive *old;

	start();
	assert_int_equal(meta_slot_release(f.s, 1, &old), -EINVAL);
	assert_int_equal(meta_slot_release(f.s, 4, &old), -EINVAL);
	assert_int_equal(put_large(&f, META_DURABLE, 1, 1, BYTES), 0);
	assert_true(slot_is_in(&f, 1));
	fixture_end(&f);
}

static void a_slot_that_is_out_gives_its_drive_back(void **state)
{
	struct identity id;
	char path[96];

	start();
	assert_int_equal(put_large(&f, META_DURABLE, 1, 1, BYTES), 0);
	assert_int_equal(put_blob(&f, META_DURABLE, 2, 2, 9000), 0);
	assert_int_equal(meta_checkpoint(f.s), 0);
	fail_io(&f, 1, "journal/", DRIVE_IO_WRITE, 1);
	assert_int_equal(put(&f, META_DURABLE, 3, 33), 0);
	assert_false(slot_is_in(&f, 1));
	assert_int_equal(release(1), 0);
	assert_null(meta_drive_of(f.s, 1));
	/* Closed whole: it can be opened and locked again, while the set goes on without it. */
	snprintf(path, sizeof path, "%s/d1", f.root);
	assert_int_equal(drive_faulty_open(f.bench, path, &f.drive[1]), 0);
	assert_int_equal(identity_read(f.drive[1], &id), 0);
	assert_int_equal(id.slot, 1);
	assert_int_equal(put_large(&f, META_DURABLE, 4, 4, BYTES), 0);
	assert_int_equal(meta_checkpoint(f.s), 0);
	assert_int_equal(check_blob(&f, 1, 1, BYTES), 1);
	assert_int_equal(check_blob(&f, 2, 2, 9000), 1);
	assert_int_equal(check_blob(&f, 4, 4, BYTES), 1);
	fixture_end(&f);
}

static void a_held_drive_is_not_given_back(void **state)
{
	start();
	struct drive *d = meta_drive_of(f.s, 1);
	assert_ptr_equal(d, f.drive[1]);
	fail_io(&f, 1, "journal/", DRIVE_IO_WRITE, 1);
	assert_int_equal(put(&f, META_DURABLE, 3, 33), 0);
	assert_int_equal(release(1), -EBUSY);
	assert_ptr_equal(d->path, f.drive[1]->path);
	drive_unhold(d);
	assert_int_equal(release(1), 0);
	fixture_end(&f);
}

/* TRACES.md H12, H33: what hangs in the kernel may land any time. */
static void a_cell_in_flight_holds_the_drive(void **state)
{
	int rc = -EBUSY;

	start();
	fault_bench_rule(f.bench, &(struct fault_rule){
		.kind = FAULT_HANG, .slot = 1, .name = "seg/", .op = DRIVE_IO_WRITE, .nth = 2, .once = true});
	assert_int_equal(put_large(&f, META_DURABLE, 1, 1, BYTES), 0);
	assert_false(slot_is_in(&f, 1));
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(release(1), -EBUSY);
	fault_bench_release(f.bench);
	for (unsigned i = 0; i < 1000 && rc == -EBUSY; i++) {
		clock_sleep_ns(NS_PER_MS);
		rc = release(1);
	}
	assert_int_equal(rc, 0);
	assert_int_equal(check_blob(&f, 1, 1, BYTES), 1);
	fixture_end(&f);
}

static void readers_go_on_while_a_drive_goes(void **state)
{
	start();
	for (uint64_t i = 1; i <= 8; i++)
		assert_int_equal(put_large(&f, META_DURABLE, i, i, BYTES), 0);
	for (uint64_t i = 1; i <= 8; i++)
		assert_int_equal(check_blob(&f, i, i, BYTES), 1);
	/* An upload that has begun pins its segment for as long as it likes; that does not hold the drive. */
	struct erasure_writer *w;
	uint8_t *data = aligned_alloc(4096, erasure_stripe_bytes(f.s->erasure, SEGMENT_LARGE));
	uint32_t stripe = erasure_stripe_bytes(f.s->erasure, SEGMENT_LARGE);
	struct erasure_blob eb;
	assert_int_equal(erasure_writer_open(f.s->erasure, 2 * stripe, &w), 0);
	memset(data, 1, stripe);
	assert_int_equal(erasure_writer_push(w, data, stripe, NULL, NULL), 0);
	isr_slot_error(f.s, 1, -EIO);
	meta_drive(f.s);
	assert_false(slot_is_in(&f, 1));
	int rc = -EBUSY;
	for (unsigned i = 0; i < 1000 && rc == -EBUSY; i++) {
		rc = release(1);
		clock_sleep_ns(NS_PER_MS);
	}
	assert_int_equal(rc, 0);
	assert_int_equal(erasure_writer_push(w, data, stripe, NULL, NULL), 0);
	assert_int_equal(erasure_writer_finish(w, &eb), 0);
	assert_int_equal(eb.stripes[0].slot_mask, 0xf);
	assert_int_equal(eb.stripes[1].slot_mask, 0xd);
	erasure_blob_free(&eb);
	free(data);
	for (uint64_t i = 1; i <= 8; i++)
		assert_int_equal(check_blob(&f, i, i, BYTES), 1);
	fixture_end(&f);
}

/* A body that comes later must be told from the one before, or a start takes either. */
static void superblocks_tell_which_isr_is_newer(void **state)
{
	struct super before, after;

	start();
	assert_int_equal(super_read(f.drive[2], true, &before), 0);
	fail_io(&f, 1, "journal/", DRIVE_IO_WRITE, 1);
	assert_int_equal(put(&f, META_DURABLE, 3, 33), 0);
	assert_int_equal(meta_checkpoint(f.s), 0);
	assert_int_equal(super_read(f.drive[2], true, &after), 0);
	assert_int_equal(before.isr.slot[1].state, ISR_IN);
	assert_int_equal(after.isr.slot[1].state, ISR_OUT);
	assert_int_equal(after.isr_epoch, before.isr_epoch);
	assert_true(after.isr_seq > before.isr_seq);
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_slot_that_takes_part_keeps_its_drive),
		cmocka_unit_test(a_slot_that_is_out_gives_its_drive_back),
		cmocka_unit_test(a_held_drive_is_not_given_back),
		cmocka_unit_test(a_cell_in_flight_holds_the_drive),
		cmocka_unit_test(readers_go_on_while_a_drive_goes),
		cmocka_unit_test(superblocks_tell_which_isr_is_newer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
