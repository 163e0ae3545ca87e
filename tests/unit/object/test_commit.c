/* SPDX-License-Identifier: Apache-2.0
 *
 * Many changes at a time: on one key, in one directory that comes and goes, with conditions; holds and orphans;
 * notifications and what waits for them; name locks.
 */
#include "unit/object/store_unit.h"

static int setup(void **state)
{
	struct fix *f = calloc(1, sizeof *f);

	fix_open(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	fix_close(f);
	free(f);
	return 0;
}

/* ---- Storms --------------------------------------------------------------------------------------------------------- */
struct storm {
	struct fix *f;
	struct mutex lock;
	unsigned left, ok, refused, failed;
};

struct one_put {
	struct storm *s;
	struct object_put *p;
	struct object_info info;
};

static void put_done(void *arg, int rc)
{
	struct one_put *o = arg;
	struct storm *s = o->s;

	mutex_lock(&s->lock);
	if (rc == 0)
		s->ok++;
	else if (rc == -QE_PRECONDITION)
		s->refused++;
	else
		s->failed++;
	s->left--;
	mutex_unlock(&s->lock);
}

static void end_done(void *arg, int rc)
{
	assert_int_equal(rc, 0);
}

static unsigned storm_left(struct storm *s)
{
	unsigned n;

	mutex_lock(&s->lock);
	n = s->left;
	mutex_unlock(&s->lock);
	return n;
}

static void storm_run(struct fix *f, struct storm *s, unsigned n, struct object_cond cond, unsigned keys)
{
	struct one_put *puts = calloc(n, sizeof *puts);
	char key[32];

	memset(s, 0, sizeof *s);
	s->f = f;
	s->left = n;
	mutex_init(&s->lock, LOCK_QUEUE);
	for (unsigned i = 0; i < n; i++) {
		struct object_put_args a = {.bucket = STR_LIT("bucket"), .size = 10 + (i % 3) * 1000, .cond = cond};

		snprintf(key, sizeof key, "storm/%u", i % keys);
		a.key = str_of(key);
		puts[i].s = s;
		assert_int_equal(object_put_begin(f->store, &f->ctx, &a, &puts[i].p), 0);
		while (object_put_size(puts[i].p) < a.size) {
			ssize_t len;
			void *room = object_put_room(puts[i].p, &len, NULL, NULL);

			assert_non_null(room);
			fix_bytes(room, (size_t)len, object_put_size(puts[i].p), i);
			assert_int_equal(object_put_filled(puts[i].p, (size_t)len), 0);
		}
		assert_int_equal(object_put_end(puts[i].p, end_done, NULL), 0);
	}
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(object_put_commit(puts[i].p, &f->ctx, (struct str){NULL, 0}, STR_LIT(""), &puts[i].info,
		                                   put_done, &puts[i]),
		                 0);
	while (storm_left(s) > 0) {
		meta_drive(f->set);
		clock_sleep_ns(NS_PER_MS / 10);
	}
	for (unsigned i = 0; i < n; i++)
		object_put_free(puts[i].p);
	free(puts);
	arena_reset(&f->ctx.arena);
}

static void puts_on_one_key_end_one_after_the_other(void **state)
{
	struct fix *f = *state;
	struct object_bucket_info b;
	struct storm s;
	uint64_t seq;

	storm_run(f, &s, 300, (struct object_cond){0}, 1);
	assert_int_equal(s.ok, 300);
	assert_int_equal(object_bucket_head(f->store, &f->ctx, STR_LIT("bucket"), &b, &seq), 0);
	assert_int_equal(b.usage.objects, 1);
	fix_check(f);
}

static void one_of_many_creates(void **state)
{
	struct fix *f = *state;
	struct storm s;

	storm_run(f, &s, 200, (struct object_cond){.if_none_match = STR_LIT("*")}, 4);
	assert_int_equal(s.ok, 4);
	assert_int_equal(s.refused, 196);
}

static void puts_on_many_keys_go_together(void **state)
{
	struct fix *f = *state;
	struct meta_stats before, after;
	struct storm s;

	meta_stats(f->set, &before);
	storm_run(f, &s, 400, (struct object_cond){0}, 400);
	meta_stats(f->set, &after);
	assert_int_equal(s.ok, 400);
	assert_true(after.flush_rounds - before.flush_rounds < 100);
	fix_check(f);
}

struct churn {
	struct fix *f;
	unsigned n;
};

/* The directory is made by the first key and goes with the last one, all the time. */
static void *churn_main(void *arg)
{
	struct churn *c = arg;
	struct op_ctx ctx;
	char key[64];

	op_ctx_init(&ctx, OP_S3);
	for (unsigned i = 0; i < 60; i++) {
		struct object_put_args a = {.bucket = STR_LIT("bucket"), .size = 5};
		struct object_put *p;
		struct fix f = *c->f;

		snprintf(key, sizeof key, "comes/and/goes/%u", c->n);
		a.key = str_of(key);
		ASSERT(object_put_begin(f.store, &ctx, &a, &p) == 0);
		ASSERT(fix_put_body(p, 5, i) == 0);
		ASSERT(object_put_commit(p, &ctx, (struct str){NULL, 0}, STR_LIT(""), NULL, NULL, NULL) == 0);
		object_put_free(p);
		ASSERT(object_delete(f.store, &ctx, STR_LIT("bucket"), a.key, STR_LIT(""), NULL, NULL, NULL) == 0);
		arena_reset(&ctx.arena);
	}
	op_ctx_done(&ctx);
	return NULL;
}

static void an_implicit_directory_comes_and_goes(void **state)
{
	struct fix *f = *state;
	struct churn c[6];
	pthread_t t[6];

	for (unsigned i = 0; i < 6; i++) {
		c[i] = (struct churn){f, i};
		assert_int_equal(thread_start(&t[i], "qn-churn", churn_main, &c[i]), 0);
	}
	for (unsigned i = 0; i < 6; i++)
		thread_join(t[i]);
	fix_check(f);
	assert_int_equal(object_bucket_delete(f->store, &f->ctx, STR_LIT("bucket"), NULL, NULL), 0);
}

/* ---- Holds ------------------------------------------------------------------------------------------------------------ */
static unsigned rows_of(struct fix *f, enum meta_table t)
{
	struct meta_view *v;
	struct meta_iter *it;
	struct meta_row row;
	unsigned n = 0;
	int rc;

	assert_int_equal(meta_view_open(f->set, &v), 0);
	assert_int_equal(meta_iter_open(v, t, &it), 0);
	for (rc = meta_iter_seek(it, "", 0, &row); rc == 1; rc = meta_iter_next(it, &row))
		n++;
	meta_iter_close(it);
	meta_view_close(v);
	return n;
}

static void wait_gone(struct fix *f, enum meta_table t)
{
	for (unsigned i = 0; i < 1000 && rows_of(f, t) > 0; i++)
		clock_sleep_ns(5 * NS_PER_MS);
	assert_int_equal(rows_of(f, t), 0);
}

static uint64_t file_id(struct fix *f, const char *key)
{
	struct object_handle *h = fix_get(f, str_of(key));
	uint64_t id = object_handle_info(h)->file_id;

	object_close(h);
	return id;
}

static void a_held_file_becomes_an_orphan(void **state)
{
	struct fix *f = *state;
	uint64_t id;

	for (unsigned kill = 0; kill < 2; kill++) {
		assert_int_equal(fix_put(f, STR_LIT("held"), 50000, 1), 0);
		id = file_id(f, "held");
		store_hold(f->store, id);
		assert_int_equal(fix_put(f, STR_LIT("held"), 10, 2), 0);
		assert_int_equal(rows_of(f, TABLE_ORPHAN), 1);
		assert_int_equal(rows_of(f, TABLE_FILE), 1);
		fix_check(f);
		if (kill) {
			/* Nobody holds it after a restart. */
			atomic_store(&f->store->closing, true);
			store_unhold(f->store, id);
			fix_stop(f, true);
			fix_start(f);
		} else {
			store_unhold(f->store, id);
		}
		wait_gone(f, TABLE_ORPHAN);
		assert_int_equal(rows_of(f, TABLE_FILE), 0);
		fix_check(f);
	}
	assert_int_equal(fix_put(f, STR_LIT("held"), 50000, 1), 0);
	id = file_id(f, "held");
	store_hold(f->store, id);
	assert_int_equal(fix_delete(f, STR_LIT("held")), 0);
	assert_int_equal(rows_of(f, TABLE_ORPHAN), 1);
	store_unhold(f->store, id);
	wait_gone(f, TABLE_ORPHAN);
	wait_gone(f, TABLE_BLOB);
}

/* Two of them share a blob. One that is held again stays. */
static void orphans_of_one_moment_go_together(void **state)
{
	enum { N = 150 };
	struct fix *f = *state;
	struct meta_stats before, after;
	uint64_t id[N];

	for (unsigned i = 0; i < N; i++) {
		char key[16];
		struct object_copy_args a = {.src_bucket = STR_LIT("bucket"), .src_key = STR_LIT("o0"), .bucket = STR_LIT("bucket")};
		struct object_info info;

		snprintf(key, sizeof key, "o%u", i);
		a.key = str_of(key);
		if (i == 1)
			assert_int_equal(object_copy(f->store, &f->ctx, &a, &info, NULL, NULL), 0);
		else
			assert_int_equal(fix_put(f, a.key, 3000, i), 0);
		id[i] = file_id(f, key);
		store_hold(f->store, id[i]);
	}
	for (unsigned i = 0; i < N; i++) {
		char key[16];

		snprintf(key, sizeof key, "o%u", i);
		assert_int_equal(fix_delete(f, str_of(key)), 0);
	}
	assert_int_equal(rows_of(f, TABLE_ORPHAN), N);
	store_hold(f->store, id[7]);
	meta_stats(f->set, &before);
	for (unsigned i = 0; i < N; i++)
		store_unhold(f->store, id[i]);
	for (unsigned i = 0; i < 1000 && rows_of(f, TABLE_ORPHAN) > 1; i++)
		clock_sleep_ns(5 * NS_PER_MS);
	assert_int_equal(rows_of(f, TABLE_ORPHAN), 1);
	assert_int_equal(rows_of(f, TABLE_BLOB), 1);
	fix_check(f);
	meta_stats(f->set, &after);
	assert_true(after.batches - before.batches < N / 2);
	store_unhold(f->store, id[7]);
	wait_gone(f, TABLE_ORPHAN);
	wait_gone(f, TABLE_BLOB);
}

/* Three names of one blob, one of which goes and is asked for three times before the reaper comes to it. */
static void an_orphan_that_is_asked_for_again_goes_once(void **state)
{
	struct fix *f = *state;
	struct object_copy_args a = {.src_bucket = STR_LIT("bucket"), .src_key = STR_LIT("o0"), .bucket = STR_LIT("bucket")};
	struct object_info info;
	uint64_t id;

	assert_int_equal(fix_put(f, STR_LIT("o0"), 3000, 1), 0);
	a.key = STR_LIT("o1");
	assert_int_equal(object_copy(f->store, &f->ctx, &a, &info, NULL, NULL), 0);
	a.key = STR_LIT("o2");
	assert_int_equal(object_copy(f->store, &f->ctx, &a, &info, NULL, NULL), 0);
	id = file_id(f, "o0");
	store_hold(f->store, id);
	assert_int_equal(fix_delete(f, STR_LIT("o0")), 0);
	mutex_lock(&f->store->hold_lock);
	store_ids_must_add(&f->store->orphans, id);
	store_ids_must_add(&f->store->orphans, id);
	mutex_unlock(&f->store->hold_lock);
	store_unhold(f->store, id);
	wait_gone(f, TABLE_ORPHAN);
	fix_check(f);
	fix_assert_content(f, STR_LIT("o1"), 3000, 1);
	fix_assert_content(f, STR_LIT("o2"), 3000, 1);
}

/* What could not go while the set was read-only goes once it writes again. */
static void orphans_go_when_the_set_writes_again(void **state)
{
	struct drive *back[SUPER_MAX_SLOTS] = {NULL};
	struct fix *f = *state;

	assert_int_equal(fix_put(f, STR_LIT("held"), 50000, 1), 0);
	uint64_t id = file_id(f, "held");
	store_hold(f->store, id);
	assert_int_equal(fix_delete(f, STR_LIT("held")), 0);
	atomic_store(&f->store->closing, true);
	store_unhold(f->store, id);
	fix_stop(f, true);

	fix_start_with(f, 2);
	assert_false(meta_writable(f->set));
	assert_int_equal(rows_of(f, TABLE_ORPHAN), 1);
	for (unsigned i = 2; i < FIX_DRIVES; i++) {
		fix_drive(f, i);
		back[i] = f->drive[i];
	}
	assert_int_equal(meta_set_revive(f->set, back, &f->ctx), 0);
	wait_gone(f, TABLE_ORPHAN);
	wait_gone(f, TABLE_BLOB);
}

static void metadata_in_place_keeps_what_is_held(void **state)
{
	struct fix *f = *state;
	struct object_copy_args a = {
		.src_bucket = STR_LIT("bucket"),
		.src_key = STR_LIT("self"),
		.bucket = STR_LIT("bucket"),
		.key = STR_LIT("self"),
		.replace_meta = true,
	};
	const uint64_t lens[] = {60000, 200u << 20}; /* a blob; a map */

	for (unsigned i = 0; i < ARRAY_SIZE(lens); i++) {
		struct object_info info;
		uint64_t id;

		assert_int_equal(fix_put(f, a.key, lens[i], i), 0);
		id = file_id(f, "self");
		store_hold(f->store, id);
		assert_int_equal(object_copy(f->store, &f->ctx, &a, &info, NULL, NULL), 0);
		assert_int_equal(rows_of(f, TABLE_ORPHAN), 1);
		fix_check(f);
		store_unhold(f->store, id);
		wait_gone(f, TABLE_ORPHAN);
		fix_check(f);
		fix_assert_content(f, a.key, lens[i], i);
	}
}

/* ---- Notifications ------------------------------------------------------------------------------------------------------ */
struct mount {
	struct mutex lock;
	struct cond cond;
	bool stuck;
	unsigned told;
	char last[64];
};

static bool mount_held(void *arg, const struct notify_change *c)
{
	return c->kind == NOTIFY_ENTRY;
}

static void mount_deliver(void *arg, const struct notify_change *c)
{
	struct mount *m = arg;

	mutex_lock(&m->lock);
	while (m->stuck)
		cond_wait(&m->cond, &m->lock);
	m->told++;
	snprintf(m->last, sizeof m->last, "%.*s", (int)c->name_len, c->name);
	mutex_unlock(&m->lock);
}

static void an_answer_waits_for_its_notification(void **state)
{
	static const struct notify_ops ops = {.held = mount_held, .deliver = mount_deliver};
	struct fix *f = *state;
	struct mount m = {.stuck = true};
	struct notify_mount *n;
	struct object_waiter w;
	struct fix_wait fw;

	fix_wait_init(&fw);
	mutex_init(&m.lock, LOCK_INODE);
	cond_init(&m.cond);
	assert_int_equal(fix_put(f, STR_LIT("told"), 10, 1), 0);
	n = notify_mount_add(f->store, &ops, &m);
	assert_non_null(n);
	assert_int_equal(
		object_delete(f->store, &f->ctx, STR_LIT("bucket"), STR_LIT("told"), STR_LIT(""), NULL, fix_done, &fw), 0);
	meta_drive(f->set);
	assert_int_equal(meta_sync(f->set), 0);
	clock_sleep_ns(20 * NS_PER_MS);
	mutex_lock(&fw.lock);
	assert_false(fw.done);
	mutex_unlock(&fw.lock);
	assert_true(notify_done_seq(f->store) < meta_applied_seq(f->set));
	mutex_lock(&m.lock);
	m.stuck = false;
	cond_broadcast(&m.cond);
	mutex_unlock(&m.lock);
	assert_int_equal(fix_wait_for(&fw), 0);
	assert_int_equal(m.told, 1);
	assert_string_equal(m.last, "told");
	memset(&w, 0, sizeof w);
	assert_true(object_wait(f->store, meta_durable_seq(f->set), &w));
	/* The change of a mount is not told to itself; one that is removed holds nobody up. */
	assert_int_equal(fix_put(f, STR_LIT("told"), 10, 1), 0);
	assert_int_equal(m.told, 2);
	notify_mount_remove(n);
	assert_int_equal(fix_put(f, STR_LIT("told"), 10, 1), 0);
	assert_int_equal(m.told, 2);
	cond_destroy(&m.cond);
	mutex_destroy(&m.lock);
}

/* ---- Name locks --------------------------------------------------------------------------------------------------------- */
static unsigned granted_order[8], granted_n;

static void note_granted(struct nslock_req *r)
{
	granted_order[granted_n++] = (unsigned)(uintptr_t)r->arg;
}

static void name_locks_are_fair(void **state)
{
	struct nslock t;
	struct nslock_req r[6];

	(void)state;
	nslock_init(&t);
	granted_n = 0;
	for (unsigned i = 0; i < 6; i++)
		r[i] = (struct nslock_req){
			.key = 7, .exclusive = i == 2 || i == 5, .granted = note_granted, .arg = (void *)(uintptr_t)i};
	assert_true(nslock_acquire(&t, &r[0]));
	assert_true(nslock_acquire(&t, &r[1]));
	assert_false(nslock_acquire(&t, &r[2])); /* a writer waits for both readers */
	assert_false(nslock_acquire(&t, &r[3])); /* and later readers for it */
	assert_false(nslock_acquire(&t, &r[4]));
	assert_false(nslock_acquire(&t, &r[5]));
	nslock_release(&t, &r[0]);
	assert_int_equal(granted_n, 0);
	nslock_release(&t, &r[1]);
	assert_int_equal(granted_n, 1);
	assert_int_equal(granted_order[0], 2);
	nslock_release(&t, &r[2]);
	assert_int_equal(granted_n, 3);
	nslock_release(&t, &r[3]);
	nslock_release(&t, &r[4]);
	assert_int_equal(granted_n, 4);
	assert_int_equal(granted_order[3], 5);
	nslock_release(&t, &r[5]);
	nslock_release(&t, &r[5]);
	nslock_done(&t);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(puts_on_one_key_end_one_after_the_other), T(one_of_many_creates),
		T(puts_on_many_keys_go_together),           T(an_implicit_directory_comes_and_goes),
		T(orphans_of_one_moment_go_together),
		T(an_orphan_that_is_asked_for_again_goes_once),
		T(orphans_go_when_the_set_writes_again),
		T(a_held_file_becomes_an_orphan),           T(metadata_in_place_keeps_what_is_held),
		T(an_answer_waits_for_its_notification),    cmocka_unit_test(name_locks_are_fair),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
