/* SPDX-License-Identifier: Apache-2.0
 *
 * Healing and scrubbing by the table of services: what is told of them, what is kept over a restart, when they begin.
 */
#include "service/heal.h"
#include "service/scrub.h"

#include "unit/meta/rot.h"
#include "unit/meta/set_fixture.h"

#include <string.h>

#include "base/clock.h"
#include "base/err.h"

struct scene {
	struct fixture f;
	struct object_store *store;
	struct heal *heal;
	struct scrub *scrub;
	struct services *services;
};

static void services_open(struct scene *sc, uint64_t period_ns)
{
	const struct object_params op = {.set = sc->f.s, .workers = 1};
	struct op_ctx ctx;

	op_ctx_init(&ctx, OP_ADMIN);
	sc->store = object_store_open(&op, &ctx);
	op_ctx_done(&ctx);
	assert_non_null(sc->store);
	sc->heal = heal_new(sc->store);
	sc->scrub = scrub_new(sc->f.s, period_ns);
	assert_true(sc->heal && sc->scrub);
	const struct service rows[] = {
		{.name = "heal", .run = heal_run, .arg = sc->heal},
		{.name = "scrub", .run = scrub_run, .arg = sc->scrub},
	};
	assert_int_equal(services_start(rows, 2, &sc->services), 0);
}

static void services_close(struct scene *sc)
{
	services_stop(sc->services);
	heal_free(sc->heal);
	scrub_free(sc->scrub);
	assert_null(object_store_close(sc->store));
}

/* One run to its end. */
static void run(struct scene *sc, unsigned row)
{
	struct service_info before[2], now[2];

	services_list(sc->services, before, 2);
	assert_int_equal(services_poke(sc->services, before[row].name), 0);
	for (unsigned i = 0; i < 20000; i++) {
		services_list(sc->services, now, 2);
		if (now[row].cycle > before[row].cycle && now[row].state == SERVICE_WAITING) {
			assert_int_equal(now[row].failures, 0);
			return;
		}
		clock_sleep_ns(NS_PER_MS);
	}
	fail_msg("the run never ended");
}

static void scene_open(struct scene *sc)
{
	fixture_start(&sc->f, 4, 2, false);
	sc->f.p.segment_size = 2u << 20;
	assert_int_equal(fixture_open(&sc->f, ALL(&sc->f)), 0);
	for (uint64_t k = 0; k < 6; k++)
		assert_int_equal(put_large(&sc->f, META_DURABLE, k, k, 700000), 0);
}

static void missing_cells_are_filled_and_told(void **state)
{
	struct scene sc;
	struct heal_status st;

	scene_open(&sc);
	fixture_close(&sc.f);
	fixture_reopen(&sc.f, 7);
	for (uint64_t k = 10; k < 16; k++)
		assert_int_equal(put_large(&sc.f, META_DURABLE, k, k, 700000), 0);
	fixture_close(&sc.f);
	fixture_reopen(&sc.f, ALL(&sc.f));
	services_open(&sc, NS_PER_S);
	heal_status(sc.heal, &st);
	assert_true(st.missing_ranges > 0);
	run(&sc, 0);
	heal_status(sc.heal, &st);
	assert_int_equal(st.missing_ranges, 0);
	assert_true(st.drive[3].s.bytes_done >= 6 * 350000);
	assert_int_equal(st.drive[3].bytes_queued, 0);
	assert_int_equal(st.drive[3].eta_ns, 0);
	assert_true(st.drive[3].bytes_per_s > 0);
	assert_int_equal(st.drive[0].s.bytes_done, 0);
	services_close(&sc);
	fixture_end(&sc.f);
}

static void report_bytes(void **state)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct scrub_report r = {.cycle = 3,
	                         .started_ns = 1,
	                         .ended_ns = 2,
	                         .position = 0x0102030405060708,
	                         .segments = 4,
	                         .stripes = 5,
	                         .bytes = 6,
	                         .index_copies = 7,
	                         .index_bad = 8},
	                    back;

	r.slot[1] = (struct scrub_slot){.bad = 9, .repaired = 10, .failed = 11};
	r.lost_before = 12;
	r.lost = (struct meta_lost_list){.stripes = 13, .n = 1};
	r.lost.at[0].segment = 14;
	r.lost.at[0].from_4k = 15;
	r.lost.at[0].to_4k = 16;
	r.lost.at[0].cells = 17;
	scrub_report_encode(&r, 2, &b);
	assert_int_equal(b.len, 68 + 2 * 24 + 16 + 18);
	assert_memory_equal(b.data + 68 + 2 * 24, "\14\0\0\0\0\0\0\0\15\0\0\0\0\0\0\0", 16);
	assert_memory_equal(b.data + 68 + 2 * 24 + 16, "\16\0\0\0\0\0\0\0\17\0\0\0\20\0\0\0\21\0", 18);
	assert_memory_equal(b.data, "\2\0\2\0\3\0\0\0\0\0\0\0", 12);
	assert_memory_equal(b.data + 28, "\x08\7\6\5\4\3\2\1", 8);
	assert_int_equal(b.data[60], 7);
	assert_int_equal(b.data[68 + 24], 9);
	assert_int_equal(scrub_report_decode(buf_str(&b), &back), 0);
	assert_memory_equal(&back, &r, sizeof r);
	assert_int_equal(scrub_report_decode(str_sub(buf_str(&b), 0, b.len - 1), &back), -QE_CORRUPT);
	b.data[0] = 1;
	assert_int_equal(scrub_report_decode(buf_str(&b), &back), -QE_CORRUPT);
	assert_int_equal(scrub_report_decode((struct str){"", 0}, &back), -QE_CORRUPT);
}

static void scrub_repairs_reports_and_rests(void **state)
{
	struct scene sc;
	struct scrub_report r, again;

	scene_open(&sc);
	rot_first_cell(sc.f.s, sc.f.root, 2);
	services_open(&sc, 3600 * NS_PER_S);
	run(&sc, 1);
	scrub_report(sc.scrub, &r);
	assert_int_equal(r.cycle, 1);
	assert_true(r.started_ns && r.ended_ns >= r.started_ns);
	assert_true(r.segments >= 2 && r.stripes >= 6 && r.bytes > 0);
	assert_int_equal(r.slot[2].bad, 1);
	assert_int_equal(r.slot[2].repaired, 1);
	assert_int_equal(r.slot[1].bad, 0);
	assert_int_equal(r.index_copies, 4);
	assert_int_equal(r.index_bad, 0);
	run(&sc, 1); /* not before the period is over */
	scrub_report(sc.scrub, &again);
	assert_memory_equal(&again, &r, sizeof r);
	scrub_request(sc.scrub);
	run(&sc, 1);
	scrub_report(sc.scrub, &again);
	assert_int_equal(again.cycle, 2);
	assert_int_equal(again.slot[2].bad, 0);
	services_close(&sc);
	/* It is known after a restart, and a due one begins. */
	fixture_close(&sc.f);
	fixture_reopen(&sc.f, ALL(&sc.f));
	services_open(&sc, 3600 * NS_PER_S);
	run(&sc, 1);
	scrub_report(sc.scrub, &r);
	assert_memory_equal(&again, &r, sizeof r);
	services_close(&sc);
	services_open(&sc, 1);
	run(&sc, 1);
	scrub_report(sc.scrub, &r);
	assert_int_equal(r.cycle, 3);
	services_close(&sc);
	fixture_end(&sc.f);
}

static void count_lost(void *arg, const struct meta_lost_blob *b)
{
	unsigned *n = arg;

	assert_int_equal(b->offset, 4096);
	assert_int_equal(b->bytes, 700000);
	assert_string_equal(b->names, "b/d0/k0");
	++*n;
}

static void expect_lost(struct scene *sc, unsigned n)
{
	struct scrub_report r;
	unsigned told = 0;

	run(sc, 1);
	scrub_report(sc->scrub, &r);
	assert_int_equal(scrub_unreadable(&r), n);
	assert_int_equal(r.lost.n, n);
	assert_int_equal(scrub_lost(sc->scrub, count_lost, &told), 0);
	assert_int_equal(told, n);
}

/* Three of four cells of a stripe are bad: known over a restart, until a scrub finds nothing any more. */
static void what_cannot_be_read_is_known(void **state)
{
	struct scene sc;

	scene_open(&sc);
	for (unsigned slot = 0; slot < 3; slot++)
		rot_first_cell(sc.f.s, sc.f.root, slot);
	services_open(&sc, 3600 * NS_PER_S);
	expect_lost(&sc, 1);
	services_close(&sc);
	fixture_close(&sc.f);
	fixture_reopen(&sc.f, ALL(&sc.f));
	services_open(&sc, 3600 * NS_PER_S);
	expect_lost(&sc, 1);
	assert_int_equal(drop(&sc.f, 0), 0);
	scrub_request(sc.scrub);
	expect_lost(&sc, 0);
	services_close(&sc);
	fixture_end(&sc.f);
}

static void scrub_goes_on_where_it_was(void **state)
{
	struct scrub_report r = {.cycle = 5, .started_ns = 1, .segments = 1000, .position = UINT64_MAX};
	CLEANUP_BUF struct buf body = BUF_INIT;
	struct meta_key k;
	struct scene sc;

	scene_open(&sc);
	scrub_report_encode(&r, 4, &body);
	key_u64(&k, 0);
	k.b[k.len++] = META_DOC_SCRUB;
	struct meta_batch *b = meta_batch_new(sc.f.s, META_DURABLE, OP_HEAL);
	meta_batch_put(b, TABLE_DOC, &k, buf_str(&body), 0);
	assert_int_equal(meta_commit(b), 0);
	meta_batch_free(b);
	services_open(&sc, NS_PER_S);
	run(&sc, 1);
	scrub_report(sc.scrub, &r);
	assert_int_equal(r.cycle, 5);
	assert_int_equal(r.segments, 1000); /* all of them lie behind it */
	assert_true(r.ended_ns > 0);
	services_close(&sc);
	fixture_end(&sc.f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(missing_cells_are_filled_and_told),
		cmocka_unit_test(report_bytes),
		cmocka_unit_test(scrub_repairs_reports_and_rests),
		cmocka_unit_test(what_cannot_be_read_is_known),
		cmocka_unit_test(scrub_goes_on_where_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
