/* SPDX-License-Identifier: Apache-2.0
 *
 * One allocation fails, each in turn, in the life of a set (life.h), in its recovery, and in what it does in the background
 * (chores.h): an error answer, or an assertion that is there on purpose; nothing that was answered is lost, and the set
 * starts again. The linker puts these functions
 * before those of the C library (--wrap), for the program's own calls only. QUOIN_CRASH_STEP=1 tries every allocation.
 */
#include "chores.h"
#include "life.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Where memory cannot fail, by function: what is decided is on its way to every drive, or there is nobody to be told. */
static const char *const on_purpose[] = {
	"block_new",          /* arena: rows of a view, of a group */
	"grow",               /* hash */
	"group_init",         /* one for the life of a set */
	"row_touch",          /* sequencer: a batch changes what others of its group have changed */
	"segment_note",
	"take_segments",
	"numbers_body",       /* the group is accepted, and built as a whole */
	"group_finish",
	"wrec_get",
	"round_add",          /* a flush that is not begun would never be answered */
	"apply_ops",          /* the record is written: memory must follow it */
	"missing_make",       /* a hole that is forgotten would be read */
	"erasure_missing_add",
	"segment_close_slot", /* a file that is in use must be noted */
	"erasure_seal_open",
	"epoch_batch",        /* start and recovery: the process says why it ends, and starts again */
	"adopt",
	"window_prepare",
};

static atomic_bool armed;
static atomic_ulong calls, fails_at;

static bool fails_now(void)
{
	return atomic_load(&armed) && atomic_fetch_add(&calls, 1) + 1 == atomic_load(&fails_at);
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
int __real_posix_memalign(void **ret, size_t align, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
int __wrap_posix_memalign(void **ret, size_t align, size_t n);

void *__wrap_malloc(size_t n)
{
	return fails_now() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	return fails_now() ? NULL : __real_realloc(p, n);
}

int __wrap_posix_memalign(void **ret, size_t align, size_t n)
{
	return fails_now() ? ENOMEM : __real_posix_memalign(ret, align, n);
}

/* Lives in memory that parent and child share: what the child has answered is known however it ends. */
struct shared {
	struct life l;
	unsigned long calls;
};

static struct shared *shared_new(void)
{
	void *p = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

/* In a child: the life, with the nth allocation failing; its end, orderly. The fixture's own checks end it too. */
static void child(struct shared *sh, unsigned long nth, bool recovery, int err)
{
	struct fixture *f = &sh->l.f;

	dup2(err, 2);
	setenv("CMOCKA_TEST_ABORT", "1", 1);
	if (!recovery)
		fixture_reopen(f, ALL(f));
	atomic_store(&fails_at, nth);
	atomic_store(&armed, true);
	if (!recovery)
		life_run(&sh->l);
	else if (fixture_open(f, ALL(f)) < 0)
		_exit(0);
	atomic_store(&armed, false);
	sh->calls = atomic_load(&calls);
	fixture_close(f);
	_exit(0);
}

/* In a child: a chore, with the nth allocation failing. */
static void chore_child(struct shared *sh, unsigned long nth, const struct chore *c, int err)
{
	dup2(err, 2);
	setenv("CMOCKA_TEST_ABORT", "1", 1);
	chore_begin(c, &sh->l.f, false);
	atomic_store(&fails_at, nth);
	atomic_store(&armed, true);
	(void)!c->work(&sh->l.f);
	atomic_store(&armed, false);
	sh->calls = atomic_load(&calls);
	fixture_close(&sh->l.f);
	_exit(0);
}

/* The child's messages when it did not end by itself; "" when it did. chore NULL: the life or its recovery. */
static void run_child(struct shared *sh, unsigned long nth, bool recovery, const struct chore *chore, char *ret_said, size_t cap)
{
	int pipes[2], status;
	size_t len = 0;
	ssize_t n;

	assert_int_equal(pipe(pipes), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(pipes[0]);
		if (chore)
			chore_child(sh, nth, chore, pipes[1]);
		child(sh, nth, recovery, pipes[1]);
	}
	close(pipes[1]);
	while ((n = read(pipes[0], ret_said + len, cap - 1 - len)) > 0)
		len += (size_t)n;
	close(pipes[0]);
	ret_said[len] = '\0';
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		ret_said[0] = '\0';
	else if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
		fail_msg("allocation %lu: the process ends with %x: %s", nth, (unsigned)status, ret_said);
}

static void expect_on_purpose(const char *said, const char *what, unsigned long nth)
{
	bool known = said[0] == '\0' || strstr(said, "tests/unit/") != NULL;

	for (unsigned i = 0; i < sizeof on_purpose / sizeof *on_purpose; i++) {
		char text[64];
		snprintf(text, sizeof text, ": %s: assertion failed", on_purpose[i]);
		known |= strstr(said, text) != NULL;
	}
	if (!known)
		fail_msg("%s, allocation %lu: %s", what, nth, said);
}

/* False: there were fewer allocations. */
static bool chore_fails(const struct chore *c, unsigned long nth)
{
	struct shared *sh = shared_new();
	char said[4096];

	run_child(sh, nth, false, c, said, sizeof said);
	bool met = sh->calls == 0 || sh->calls >= nth;
	expect_on_purpose(said, c->name, nth);
	chore_end(&sh->l.f, c->name, nth);
	munmap(sh, sizeof *sh);
	return met;
}

static void any_allocation_of_a_chore_may_fail(void **state)
{
	unsigned by = life_step(53);

	for (unsigned i = 0; i < chores_n; i++)
		for (unsigned long nth = 1; chore_fails(&chores[i], nth); nth += by)
			;
}

/* False: there were fewer allocations. */
static bool one_failure(unsigned long nth, bool recovery)
{
	struct shared *sh = shared_new();
	char said[4096];
	bool met;

	fixture_start(&sh->l.f, 3, 1, false);
	if (recovery) {
		run_child(sh, 0, false, NULL, said, sizeof said);
		assert_string_equal(said, "");
	}
	sh->calls = 0;
	run_child(sh, nth, recovery, NULL, said, sizeof said);
	met = sh->calls == 0 || sh->calls >= nth;
	expect_on_purpose(said, "the life of a set", nth);
	life_reopen(&sh->l.f, "an allocation that failed", nth);
	life_expect(&sh->l, sh->l.done, "an allocation that failed", nth);
	fixture_close(&sh->l.f);
	fixture_end(&sh->l.f);
	munmap(sh, sizeof *sh);
	return met;
}

static void any_allocation_may_fail(void **state)
{
	unsigned by = life_step(41);

	for (unsigned long nth = 1; one_failure(nth, false); nth += by)
		;
}

static void any_allocation_of_recovery_may_fail(void **state)
{
	unsigned by = life_step(31);

	for (unsigned long nth = 1; one_failure(nth, true); nth += by)
		;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_allocation_may_fail),
		cmocka_unit_test(any_allocation_of_recovery_may_fail),
		cmocka_unit_test(any_allocation_of_a_chore_may_fail),
	};

	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 1); /* what is lost with the power is not asked for here */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
