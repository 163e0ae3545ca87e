/* SPDX-License-Identifier: Apache-2.0
 *
 * Healing what lies below a prefix, because somebody asked for it.
 */
#include "service/heal.h"

#include "unit/meta/rot.h"
#include "unit/object/store_unit.h"

#define LARGE 300000u

struct scene {
	struct fix f;
	struct heal *heal;
	struct services *services;
};

static void scene_open(struct scene *sc)
{
	fix_open(&sc->f);
	for (unsigned i = 0; i < 6; i++) {
		char key[32];
		snprintf(key, sizeof key, "%s/large%u", i % 2 ? "a" : "b", i);
		assert_int_equal(fix_put(&sc->f, str_of(key), LARGE + i, i), 0);
		snprintf(key, sizeof key, "%s/small%u", i % 2 ? "a" : "b", i);
		assert_int_equal(fix_put(&sc->f, str_of(key), 9000 + i, i), 0);
	}
	assert_int_equal(meta_checkpoint(sc->f.set), 0);
	fix_stop(&sc->f, false); /* a start seals the segments */
	fix_start(&sc->f);
	sc->heal = heal_new(sc->f.store);
	const struct service row = {.name = "heal", .run = heal_run, .arg = sc->heal};
	assert_int_equal(services_start(&row, 1, &sc->services), 0);
}

static void scene_close(struct scene *sc)
{
	services_stop(sc->services);
	heal_free(sc->heal);
	fix_close(&sc->f);
}

static struct heal_request request(struct scene *sc, struct str prefix, bool deep)
{
	struct heal_status st;

	assert_int_equal(heal_request(sc->heal, STR_LIT("bucket"), prefix, deep), 0);
	assert_int_equal(services_poke(sc->services, "heal"), 0);
	for (unsigned i = 0; i < 20000; i++) {
		heal_status(sc->heal, &st);
		if (st.request.state == HEAL_DONE)
			return st.request;
		assert_int_not_equal(st.request.state, HEAL_FAILED);
		clock_sleep_ns(NS_PER_MS);
	}
	fail_msg("the request never ended");
	return st.request;
}

static unsigned missing(struct scene *sc)
{
	struct heal_status st;

	heal_status(sc->heal, &st);
	return st.missing_ranges;
}

static void lose_file(struct scene *sc, unsigned slot)
{
	char name[ROT_NAME_MAX];

	rot_segment(sc->f.set, SEGMENT_LARGE, 0, slot, name);
	CLEANUP_FREE char *path = testdir_path(sc->f.dir, name);
	assert_int_equal(unlink(path), 0);
}

static void only_the_prefix_is_looked_at(void **state)
{
	struct heal_request r;
	struct scene sc;

	scene_open(&sc);
	r = request(&sc, STR_LIT("a/"), true);
	assert_int_equal(r.objects, 3 * 2);
	assert_int_equal(r.blobs, 3 * 2);
	assert_int_equal(r.bad, 0);
	assert_string_equal(r.bucket, "bucket");
	assert_string_equal(r.prefix, "a/");
	assert_true(r.ended_ns >= r.started_ns && r.started_ns);
	r = request(&sc, STR_LIT("b/small"), false);
	assert_int_equal(r.objects, 3);
	r = request(&sc, STR_LIT(""), false);
	assert_int_equal(r.objects, 6 * 2);
	scene_close(&sc);
}

static void deep_finds_rot_and_shallow_absent_files(void **state)
{
	struct heal_request r;
	struct scene sc;

	scene_open(&sc);
	for (unsigned slot = 0; slot < FIX_DRIVES; slot += 3) {
		rot_first_cell(sc.f.set, sc.f.dir, slot);
		r = request(&sc, STR_LIT(""), false);
		assert_int_equal(r.bad, 0);
		r = request(&sc, STR_LIT(""), true);
		assert_int_equal(r.bad, 1);
		assert_int_equal(r.repaired, 1);
		assert_int_equal(r.failed, 0);
		/* One file: it is filled as a whole, before the request ends. */
		lose_file(&sc, slot);
		r = request(&sc, STR_LIT(""), slot);
		assert_int_equal(r.bad, r.repaired + r.failed + r.lost);
		assert_int_equal(r.lost, 1);
		assert_false(r.unfilled);
		assert_int_equal(missing(&sc), 0);
		r = request(&sc, STR_LIT(""), true);
		assert_int_equal(r.bad, 0);
	}
	scene_close(&sc);
}

static void what_cannot_be_asked_for_is_refused(void **state)
{
	struct scene sc;

	scene_open(&sc);
	assert_int_equal(heal_request(sc.heal, STR_LIT("nobody"), STR_LIT(""), false), -QE_NO_SUCH_BUCKET);
	assert_int_equal(services_pause(sc.services, "heal", true), 0);
	assert_int_equal(heal_request(sc.heal, STR_LIT("bucket"), STR_LIT(""), false), 0);
	assert_int_equal(heal_request(sc.heal, STR_LIT("bucket"), STR_LIT(""), false), -QE_BUSY);
	scene_close(&sc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_prefix_is_looked_at),
		cmocka_unit_test(deep_finds_rot_and_shallow_absent_files),
		cmocka_unit_test(what_cannot_be_asked_for_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
