/* SPDX-License-Identifier: Apache-2.0
 *
 * An index copy whose drive hangs while it is opened is given up: the drive is out, and comes in later. Opening hangs on a
 * pipe that has the name of the data file, until somebody writes to it.
 */
#include "set_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fdio.h"
#include "meta/set_internal.h"

#define HANGS 1u
#define TIMEOUT_NS (50 * NS_PER_MS)
#define SOON_NS (100 * TIMEOUT_NS) /* four timeouts, and a busy machine */

static struct fixture f;
static char file[96], away[96];

static void start(void)
{
	fixture_start(&f, 4, 2, true);
	fixture_open_known(&f);
	assert_int_equal(put(&f, META_DURABLE, 1, 11), 0);
	snprintf(file, sizeof file, "%s/d%u/index/data.mdb", f.root, HANGS);
	snprintf(away, sizeof away, "%s/data.mdb", f.root);
}

static void copy_hangs(void)
{
	assert_int_equal(rename(file, away), 0);
	assert_int_equal(mkfifo(file, 0600), 0);
}

/* Whoever opens it goes on, finds nothing, and gives the drive back. */
static void copy_answers(struct drive *d)
{
	unsigned users = drive_users(d);
	CLEANUP_FD int fd = open(file, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	while (drive_users(d) >= users)
		clock_sleep_ns(NS_PER_MS);
	assert_int_equal(rename(away, file), 0);
}

static int bounded_open(uint32_t mask)
{
	/* The fixture opens drives and set in one: the timeout is that of the drives' calls. */
	f.p.drive_timeout_ns = TIMEOUT_NS;
	f.drive_timeout_ns = TIMEOUT_NS;
	return fixture_open(&f, mask);
}

static void a_start_goes_on_without_it(void **state)
{
	start();
	fixture_close(&f);
	copy_hangs();
	uint64_t since = clock_mono_ns();
	assert_int_equal(bounded_open(ALL(&f)), 0);
	assert_true(clock_mono_ns() - since < SOON_NS);
	assert_false(slot_is_in(&f, HANGS));
	assert_true(drive_is_out(f.drive[HANGS]));
	assert_int_equal(get(&f, 1), 11);
	assert_int_equal(put(&f, META_DURABLE, 2, 22), 0);
	/* Later it answers, and comes in. */
	struct drive *old;
	assert_int_equal(meta_slot_release(f.s, HANGS, &old), -EBUSY);
	copy_answers(f.drive[HANGS]);
	f.drive_timeout_ns = 0;
	drive_returns(&f, HANGS);
	assert_true(slot_is_in(&f, HANGS));
	assert_int_equal(get(&f, 2), 22);
	fixture_close(&f);
	fixture_end(&f);
}

static void a_drive_that_returns_waits_for_it_no_longer(void **state)
{
	start();
	drive_leaves(&f, HANGS);
	drive_given_back(&f, HANGS);
	copy_hangs();
	f.drive_timeout_ns = TIMEOUT_NS;
	uint64_t since = clock_mono_ns();
	assert_int_equal(drive_joins(&f, HANGS), -QE_DRIVE_TIMEOUT);
	assert_true(clock_mono_ns() - since < SOON_NS);
	assert_non_null(strstr(f.detail, "its index copy does not answer"));
	assert_false(slot_is_in(&f, HANGS));
	assert_int_equal(put(&f, META_DURABLE, 2, 22), 0);
	assert_int_equal(meta_checkpoint(f.s), 0);
	copy_answers(f.drive[HANGS]);
	f.drive_timeout_ns = 0;
	drive_returns(&f, HANGS);
	assert_true(slot_is_in(&f, HANGS));
	assert_int_equal(get(&f, 1), 11);
	fixture_close(&f);
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_start_goes_on_without_it),
		cmocka_unit_test(a_drive_that_returns_waits_for_it_no_longer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
