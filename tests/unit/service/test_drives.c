/* SPDX-License-Identifier: Apache-2.0
 *
 * The drive keeper on a set of four directories, one look at a time.
 */
#include "../meta/set_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/err.h"
#include "service/drives.h"

static struct fixture f;
static struct drives *k;
static uint32_t on_root; /* drives that are told to lie on the root file system, by number */
static uint32_t mounted; /* drives that are told to be mount points */
static unsigned opens;
static int hangs = -1;  /* the drive whose directory cannot be opened and not be refused, by number */
static uint64_t timeout_ns;
static char path[4][96];

static int open_drive(void *arg, const char *p, struct drive **ret)
{
	int number = p[strlen(p) - 1] - '0';

	__atomic_fetch_add(&opens, 1, __ATOMIC_RELAXED);
	while (__atomic_load_n(&hangs, __ATOMIC_RELAXED) == number)
		clock_sleep_ns(NS_PER_MS);
	int rc = drive_posix_open(p, ret);
	if (rc == 0 && number >= 0 && number < 4) {
		(*ret)->root_disk = on_root >> number & 1;
		(*ret)->mount_point = mounted >> number & 1;
	}
	return rc;
}

static void up(void)
{
	const char *paths[4];
	struct op_ctx ctx;

	for (unsigned i = 0; i < 4; i++) {
		snprintf(path[i], sizeof path[i], "%s/d%u", f.root, i);
		paths[i] = path[i];
	}
	k = drives_new(&(struct drives_params){
		.paths = paths, .n = 4, .period_ns = NS_PER_MS, .backoff_ns = 20 * NS_PER_MS, .open = open_drive,
		.timeout_ns = timeout_ns});
	assert_non_null(k);
	(void)drives_lend(k, f.p.drives);
	op_ctx_init(&ctx, OP_ADMIN);
	assert_int_equal(meta_set_open(&f.p, &ctx, &f.s), 0);
	op_ctx_done(&ctx);
	drives_attach(k, f.s);
}

static void down(void)
{
	f.s = meta_set_kill(f.s);
	k = drives_free(k);
	assert_null(k);
}

static void start(void)
{
	fixture_start(&f, 4, 2, false);
	on_root = mounted = 0;
	up();
	assert_int_equal(put(&f, META_DURABLE, 1, 11), 0);
}

static void end(void)
{
	down();
	fixture_end(&f);
}

static struct drives_info info(unsigned slot)
{
	struct drives_info d[SUPER_MAX_SLOTS];

	assert_int_equal(drives_list(k, d, SUPER_MAX_SLOTS), 4);
	assert_int_equal(d[slot].slot, slot);
	return d[slot];
}

/* Looks until the slot is in that state; what waits for I/O of others needs more than one. */
static void expect_state(unsigned slot, enum drives_state state)
{
	for (unsigned i = 0; i < 500 && info(slot).state != state; i++) {
		drives_look(k);
		clock_sleep_ns(NS_PER_MS);
	}
	assert_int_equal(info(slot).state, state);
}

static void run(const char *fmt, unsigned a, unsigned b)
{
	char cmd[300];

	snprintf(cmd, sizeof cmd, fmt, path[a], path[b]);
	assert_int_equal(system(cmd), 0);
}

/* The empty directory at its path is a drive of the set. */
static void expect_replaced(unsigned slot)
{
	for (unsigned i = 0; i < 20; i++) {
		drives_look(k);
		clock_sleep_ns(NS_PER_MS);
	}
	run("test -s %s/identity", slot, slot);
	assert_int_equal(info(slot).state, DRIVES_IN);
}

static int with_ctx(int (*fn)(struct drives *k, unsigned slot, struct op_ctx *ctx), unsigned slot)
{
	struct op_ctx ctx;

	op_ctx_init(&ctx, OP_ADMIN);
	int rc = fn(k, slot, &ctx);
	op_ctx_done(&ctx);
	return rc;
}

static void a_drive_whose_directory_goes_comes_back(void **state)
{
	start();
	run("mv %s %s.away", 1, 1);
	expect_state(1, DRIVES_OUT);
	assert_string_equal(info(1).reason, "its directory is gone");
	assert_string_equal(info(1).path, path[1]);
	assert_int_equal(put(&f, META_DURABLE, 2, 22), 0);
	run("mv %s.away %s", 1, 1);
	expect_state(1, DRIVES_IN);
	assert_string_equal(info(1).reason, "");
	end();
}

static void an_empty_directory_replaces_its_drive(void **state)
{
	start();
	run("rm -r %s && mkdir %s", 2, 2);
	expect_replaced(2);
	down();
	/* Also one that stands there at the start. */
	run("rm -r %s && mkdir %s", 3, 3);
	up();
	assert_int_equal(info(3).state, DRIVES_OUT);
	expect_state(3, DRIVES_IN);
	assert_int_equal(get(&f, 1), 11);
	end();
}

static void expect_left_alone(unsigned slot)
{
	expect_state(slot, DRIVES_OUT);
	for (unsigned i = 0; i < 30; i++) {
		drives_look(k);
		clock_sleep_ns(NS_PER_MS);
	}
	assert_int_equal(info(slot).state, DRIVES_OUT);
	assert_non_null(strstr(info(slot).reason, "is the drive mounted?"));
	run("test -z \"$(ls %s)\"", slot, slot);
}

static void a_mount_that_is_missing_is_not_formatted(void **state)
{
	struct op_ctx ctx;

	start();
	run("rm -r %s && mkdir %s", 2, 2);
	on_root = 1u << 2;
	expect_left_alone(2);
	/* Unless an operator says so. */
	op_ctx_init(&ctx, OP_ADMIN);
	assert_int_equal(drives_replace(k, 2, NULL, &ctx), 0);
	op_ctx_done(&ctx);
	expect_state(2, DRIVES_IN);
	end();
	/* Where all of them lie there, it is a wish. */
	start();
	on_root = 0xf;
	down();
	up();
	run("rm -r %s && mkdir %s", 2, 2);
	expect_replaced(2);
	end();
}

/* Also where the mount points do not lie on the root file system. */
static void what_is_no_mount_point_among_such_is_not_formatted(void **state)
{
	start();
	mounted = 0xb;
	down();
	up();
	run("rm -r %s && mkdir %s", 2, 2);
	expect_left_alone(2);
	/* Something is mounted there, and it is empty. */
	mounted = 0xf;
	expect_replaced(2);
	end();
	/* Where only some are mount points, it is a wish. */
	start();
	mounted = 0x3;
	down();
	up();
	run("rm -r %s && mkdir %s", 2, 2);
	expect_replaced(2);
	end();
}

static void what_keeps_failing_is_tried_ever_more_rarely(void **state)
{
	start();
	run("rm -r %s && mkdir %s", 2, 2);
	run("touch %s/thesis", 2, 2);
	expect_state(2, DRIVES_OUT);
	opens = 0;
	uint64_t begun = clock_mono_ns(), taken = 0;
	unsigned looks = 0;
	for (; taken < 100 * NS_PER_MS || opens < 3; looks++) { /* on a busy machine a few looks may take as long */
		drives_look(k);
		clock_sleep_ns(NS_PER_MS / 10);
		taken = clock_mono_ns() - begun;
		assert_true(taken < 60 * NS_PER_S);
	}
	assert_true(opens < 15);
	assert_true(looks > opens);
	assert_true(info(2).failures >= 3);
	assert_non_null(strstr(info(2).reason, "/d2: its format is unknown, newer or damaged; check that the directory is a quoin drive"));
	assert_non_null(strstr(info(2).reason, "than the one that made it")); /* whole */
	/* A poke does not wait. */
	run("rm %s/thesis", 2, 2);
	drives_poke(k);
	expect_state(2, DRIVES_IN);
	assert_int_equal(info(2).failures, 0);
	end();
}

static void a_drive_that_is_set_offline_stays_away(void **state)
{
	start();
	assert_int_equal(with_ctx(drives_offline, 1), 0);
	assert_int_equal(info(1).state, DRIVES_OFFLINE);
	for (unsigned i = 0; i < 50; i++) {
		drives_look(k);
		clock_sleep_ns(NS_PER_MS);
	}
	assert_int_equal(info(1).state, DRIVES_OFFLINE);
	assert_string_equal(info(1).reason, "set offline");
	assert_null(meta_drive_of(f.s, 1)); /* closed: it may be unmounted */
	/* The write quorum of 2+2 is 3: another one may not go. */
	assert_int_equal(with_ctx(drives_offline, 2), -QE_QUORUM_WRITE);
	assert_int_equal(info(2).state, DRIVES_IN);
	assert_int_equal(with_ctx(drives_offline, 4), -ENOENT);
	assert_int_equal(put(&f, META_DURABLE, 2, 22), 0);
	assert_int_equal(with_ctx(drives_online, 1), 0);
	expect_state(1, DRIVES_IN);
	end();
}

static int replace(unsigned slot, const char *to, char *ret_why, size_t cap)
{
	struct op_ctx ctx;

	op_ctx_init(&ctx, OP_ADMIN);
	int rc = drives_replace(k, slot, to, &ctx);
	snprintf(ret_why, cap, "%s", ctx.detail);
	op_ctx_done(&ctx);
	return rc;
}

static void a_drive_moves_to_another_path(void **state)
{
	char other[100], why[320];

	start();
	snprintf(other, sizeof other, "%s9", path[1]);
	assert_int_equal(mkdir(other, 0755), 0);
	assert_int_equal(replace(1, other, why, sizeof why), 0);
	assert_string_equal(info(1).path, other);
	expect_state(1, DRIVES_IN);
	assert_string_equal(info(1).path, other);
	end();
}

static void expect_refused(unsigned slot, const char *to, const char *text)
{
	char why[320] = "";

	assert_int_equal(replace(slot, to, why, sizeof why), -QE_INVALID_REQUEST);
	if (!strstr(why, text))
		fail_msg("\"%s\" does not say \"%s\"", why, text);
	drives_look(k);
}

/* All is checked before anything is done. */
static void a_replacement_that_cannot_be_is_refused_and_changes_nothing(void **state)
{
	char other[100], again[100];

	start();
	snprintf(other, sizeof other, "%s9", path[1]);
	expect_refused(1, other, "there is no directory");
	expect_refused(1, "d9", "absolute");
	expect_refused(1, path[2], "is the path of slot 2");
	snprintf(again, sizeof again, "/%s/", path[2]);
	expect_refused(1, again, "is the path of slot 2");
	expect_refused(1, NULL, "not empty");
	expect_refused(1, path[1], "not empty");
	assert_int_equal(mkdir(other, 0755), 0);
	run("touch %s9/thesis", 1, 1);
	expect_refused(1, other, "is not empty: empty it first");
	run("rm -r %s9 && touch %s9", 1, 1);
	expect_refused(1, other, "Not a directory");
	assert_int_equal(info(1).state, DRIVES_IN);
	assert_string_equal(info(1).path, path[1]);
	assert_true(meta_writable(f.s));
	/* Nor does it end what another order was about. */
	assert_int_equal(with_ctx(drives_offline, 1), 0);
	for (unsigned i = 0; i < 50; i++) {
		drives_look(k);
		clock_sleep_ns(NS_PER_MS);
	}
	expect_refused(1, path[2], "is the path of slot 2");
	expect_refused(1, NULL, "not empty");
	assert_int_equal(info(1).state, DRIVES_OFFLINE);
	/* What a file system has of its own is nothing. */
	run("rm -r %s && mkdir -p %s/lost+found", 1, 1);
	char why[320];
	assert_int_equal(replace(1, NULL, why, sizeof why), 0);
	expect_state(1, DRIVES_IN);
	end();
}

/* Two cables are swapped: each drive is found by its identity. */
static void swapped_drives_find_their_slots(void **state)
{
	start();
	down();
	run("mv %s %s.x", 1, 1);
	up(); /* three of four: it writes */
	run("mv %s %s.y", 2, 2);
	run("mv %s.x %s", 1, 2);
	for (unsigned i = 0; i < 500 && !(slot_is_in(&f, 1) && meta_writable(f.s)); i++) {
		drives_look(k);
		clock_sleep_ns(NS_PER_MS);
	}
	assert_true(slot_is_in(&f, 1));
	assert_string_equal(info(1).path, path[2]);
	run("mv %s.y %s", 2, 1);
	expect_state(2, DRIVES_IN);
	assert_string_equal(info(2).path, path[1]);
	end();
}

/* Of a set below its quorum, whose list stands still. */
static void expect_out(unsigned slot, const char *why)
{
	struct meta_stats st;

	for (unsigned i = 0; i < 500 && strcmp(info(slot).reason, why) != 0; i++) {
		drives_look(k);
		clock_sleep_ns(NS_PER_MS);
	}
	assert_string_equal(info(slot).reason, why);
	assert_int_equal(info(slot).state, DRIVES_OUT);
	meta_stats(f.s, &st);
	assert_int_equal(st.isr.slot[slot].state, ISR_IN);
	assert_int_equal(st.state[slot], ISR_OUT);
}

/* Two of four are empty at the start: what is shown is what is there, not what the list says. */
static void drives_that_are_empty_at_a_start_are_not_in(void **state)
{
	start();
	down();
	for (unsigned i = 1; i <= 2; i++) {
		run("mv %s %s.away", i, i);
		run("mkdir %s", i, i);
	}
	up();
	assert_false(meta_writable(f.s));
	for (unsigned i = 1; i <= 2; i++)
		expect_out(i, "an empty directory: it can join when the set writes");
	assert_int_equal(info(0).state, DRIVES_IN);
	run("rmdir %s", 1, 1);
	run("mv %s.away %s", 1, 1);
	for (unsigned i = 0; i < 500 && !meta_writable(f.s); i++) {
		drives_look(k);
		clock_sleep_ns(NS_PER_MS);
	}
	expect_state(1, DRIVES_IN);
	assert_string_equal(info(1).reason, "");
	expect_state(2, DRIVES_IN); /* the empty one, as a replacement */
	assert_string_equal(info(2).reason, "");
	end();
}

static void a_set_below_its_quorum_writes_again(void **state)
{
	start();
	run("mv %s %s.away", 1, 1);
	expect_state(1, DRIVES_OUT);
	run("mv %s %s.away", 2, 2);
	drives_look(k);
	assert_false(meta_writable(f.s));
	assert_true(put(&f, META_DURABLE, 2, 22) < 0);
	assert_int_equal(get(&f, 1), 11);
	expect_out(2, "its directory is gone");
	run("mkdir %s", 2, 2);
	expect_out(2, "an empty directory: it can join when the set writes");
	run("rmdir %s", 2, 2);
	run("mv %s.away %s", 2, 2);
	for (unsigned i = 0; i < 500 && !meta_writable(f.s); i++) {
		drives_look(k);
		clock_sleep_ns(NS_PER_MS);
	}
	assert_true(meta_writable(f.s));
	expect_state(2, DRIVES_IN);
	assert_string_equal(info(2).reason, "");
	assert_int_equal(put(&f, META_DURABLE, 2, 22), 0);
	run("mv %s.away %s", 1, 1);
	expect_state(1, DRIVES_IN);
	assert_int_equal(get(&f, 2), 22);
	end();
}

/* A look ends, and the next does not wait for it again; when it has answered it is tried anew. */
static void a_directory_that_hangs_holds_up_nobody(void **state)
{
	timeout_ns = 4 * NS_PER_S; /* of all calls, on a busy machine too */
	start();
	run("mv %s %s.away", 1, 1);
	expect_state(1, DRIVES_OUT);
	__atomic_store_n(&hangs, 1, __ATOMIC_RELAXED);
	run("mv %s.away %s", 1, 1);
	unsigned before = __atomic_load_n(&opens, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < 100; i++)
		drives_look(k);
	assert_int_equal(info(1).state, DRIVES_OUT);
	assert_int_equal(__atomic_load_n(&opens, __ATOMIC_RELAXED), before + 1);
	__atomic_store_n(&hangs, -1, __ATOMIC_RELAXED);
	expect_state(1, DRIVES_IN);
	end();
	timeout_ns = 0;
}

/* At the end of the process: what hangs is neither waited for nor closed under whoever sits in it. */
static void a_directory_that_hangs_is_left(void **state)
{
	const char *paths[] = {"/tmp/0", "/tmp", "/tmp/2"};

	hangs = 0;
	k = drives_new(&(struct drives_params){.paths = paths, .n = 3, .open = open_drive, .timeout_ns = 50 * NS_PER_MS});
	assert_non_null(k);
	uint64_t since = clock_mono_ns();
	assert_ptr_equal(drives_free(k), k);
	assert_true(clock_mono_ns() - since < 5 * NS_PER_S);
	__atomic_store_n(&hangs, -1, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < 1000 && k; i++)
		k = drives_free(k);
	assert_null(k);
}

static void the_thread_looks_and_ends(void **state)
{
	start();
	assert_int_equal(drives_start(k), 0);
	run("mv %s %s.away", 1, 1);
	for (unsigned i = 0; i < 2000 && slot_is_in(&f, 1); i++)
		clock_sleep_ns(NS_PER_MS);
	run("mv %s.away %s", 1, 1);
	for (unsigned i = 0; i < 2000 && !slot_is_in(&f, 1); i++)
		clock_sleep_ns(NS_PER_MS);
	assert_true(slot_is_in(&f, 1));
	drives_stop(k);
	struct service_info si = {0};
	drives_watch(k, &si);
	assert_true(si.cycle > 1);
	assert_string_equal(si.note, "4 of 4 drives in sync");
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_drive_whose_directory_goes_comes_back),
		cmocka_unit_test(an_empty_directory_replaces_its_drive),
		cmocka_unit_test(a_mount_that_is_missing_is_not_formatted),
		cmocka_unit_test(what_is_no_mount_point_among_such_is_not_formatted),
		cmocka_unit_test(what_keeps_failing_is_tried_ever_more_rarely),
		cmocka_unit_test(a_drive_that_is_set_offline_stays_away),
		cmocka_unit_test(a_drive_moves_to_another_path),
		cmocka_unit_test(a_replacement_that_cannot_be_is_refused_and_changes_nothing),
		cmocka_unit_test(swapped_drives_find_their_slots),
		cmocka_unit_test(drives_that_are_empty_at_a_start_are_not_in),
		cmocka_unit_test(a_set_below_its_quorum_writes_again),
		cmocka_unit_test(a_directory_that_hangs_holds_up_nobody),
		cmocka_unit_test(a_directory_that_hangs_is_left),
		cmocka_unit_test(the_thread_looks_and_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
