/* SPDX-License-Identifier: Apache-2.0
 *
 * The codec of the journal: what is written comes back; whatever else is read is refused or stays within its bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "base/err.h"
#include "meta/envelope.h"
#include "meta/record.h"
#include "meta/tables.h"
#include "rnd.h"

#define K 2
#define NCELL 4

static uint32_t crcs[NCELL * 8];

static struct erasure_stripe stripe(unsigned i)
{
	return (struct erasure_stripe){
		.segment = 77 + i,
		.offset_4k = 1 + 16 * i,
		.cell_4k = 128,
		.ncell = NCELL,
		.block_log2 = 16,
		.slot_mask = 0xb,
		.blocks_per_cell = 8,
		.crc = crcs,
	};
}

static void put_batch(struct buf *b, uint64_t seq, unsigned nstripes, unsigned nops, uint64_t inline_off, uint32_t inline_len)
{
	size_t at = record_batch_begin(b);
	char value[100] = {0};

	for (unsigned i = 0; i < nstripes; i++) {
		struct erasure_stripe st = stripe(i);
		record_stripe_put(b, &st, 7);
	}
	for (unsigned i = 0; i < nops; i++)
		record_op_put(b, &(struct record_op){
			.table = TABLE_ENTRY,
			.del = i % 3 == 2,
			.key = {"some key", 4 + i % 4},
			.value = {value, i % 3 == 2 ? 0 : ENVELOPE_BYTES + i % 50},
		});
	record_batch_end(b, at, &(struct record_batch){
		.promise = 1,
		.origin = 2,
		.nops = (uint16_t)nops,
		.ncells = (uint16_t)nstripes,
		.inline_len = inline_len,
		.seq = seq,
		.inline_off = inline_off,
	});
}

static struct record_head group_head(const struct buf *body, uint32_t nbatch, uint32_t cell_len)
{
	return (struct record_head){
		.type = RECORD_GROUP,
		.len = record_len((uint32_t)body->len, cell_len),
		.nbatch = nbatch,
		.log = 3,
		.epoch = 9,
		.first_seq = 100,
		.durable_seq = 90,
		.wall_ns = 12345,
		.prev_crc = 0xabcdef,
		.body_crc = checksum_crc32c(0, body->data, body->len),
		.body_len = (uint32_t)body->len,
		.cells = 0xf,
		.cell_len = cell_len,
	};
}

/* Walks everything; the number of ops, or an error. */
static int walk(const struct record_head *h, const void *body)
{
	struct record_body dec;
	struct record_batch b;
	struct record_op op;
	struct erasure_stripe st;
	struct arena a = ARENA_INIT;
	int n = 0, rc = record_body_decode(h, body, NCELL, &dec);

	while (rc >= 0 && (rc = record_batch_next(&dec.batches, &b)) > 0) {
		while ((rc = record_stripe_next(&b.cells, &a, &st)) > 0)
			n += st.crc[st.ncell * st.blocks_per_cell - 1] == 1;
		while (rc >= 0 && (rc = record_op_next(&b.ops, &op)) > 0)
			n += 1 + (op.value.len && op.value.p[op.value.len - 1] == 1);
	}
	arena_free(&a);
	return rc < 0 ? rc : n;
}

static void head_comes_back(void **state)
{
	struct buf body = BUF_INIT;
	uint8_t raw[RECORD_HEAD_BYTES];
	struct record_head back;

	put_batch(&body, 100, 1, 5, 0, 4000);
	buf_add_zero(&body, 4 * NCELL);
	struct record_head h = group_head(&body, 1, record_payload_cell(4000, K));
	record_head_encode(&h, raw);
	assert_int_equal(record_head_decode(raw, &back), 0);
	assert_int_equal(back.len, h.len);
	assert_int_equal(back.head_crc, h.head_crc);
	assert_int_equal(back.cell_len, 2048);
	assert_int_equal(record_seqs(&back), 1);
	for (unsigned bit = 0; bit < 8 * RECORD_HEAD_BYTES; bit++) {
		raw[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_true(record_head_decode(raw, &back) < 0);
		raw[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(walk(&h, body.data), 5);
	buf_free(&body);
}

static void a_lone_small_object_is_one_block_per_drive(void **state)
{
	assert_int_equal(record_len(1200, record_payload_cell(4096, 2)), 4096);
	assert_int_equal(record_payload_cell(1, 3), 64);
	for (unsigned n = 1; n <= 16; n++)
		for (uint64_t seq = 0; seq < 40; seq++)
			for (unsigned c = 0; c < n; c++)
				assert_int_equal(record_slot_cell(record_cell_slot(c, seq, n), seq, n), c);
}

static void control_bodies_come_back(void **state)
{
	struct record_epoch e = {.epoch = 9, .last_seq = 99, .last_crc = 5, .isr = {.n = 3, .k = 2, .m = 1, .w = 2, .reason = "why"}};
	struct record_ckpt c = {.position = 50, .start = {.log = 4, .off = 8192, .first_seq = 51}, .mask = 7, .rows = 3, .sum = {1}};
	struct buf body = BUF_INIT;
	struct record_body dec;

	e.isr.slot[1].state = ISR_IN;
	record_epoch_put(&body, &e);
	put_batch(&body, 99, 0, 2, 0, 0);
	struct record_head h = group_head(&body, 1, 0);
	h.type = RECORD_EPOCH;
	assert_int_equal(record_body_decode(&h, body.data, NCELL, &dec), 0);
	assert_int_equal(dec.epoch.last_seq, 99);
	assert_int_equal(dec.epoch.isr.slot[1].state, ISR_IN);
	assert_int_equal(record_seqs(&h), 0);
	h.epoch = 8; /* another one than the body tells */
	assert_true(record_body_decode(&h, body.data, NCELL, &dec) < 0);
	buf_reset(&body);
	record_isr_put(&body, &e.isr);
	put_batch(&body, 100, 0, 2, 0, 0);
	h = group_head(&body, 1, 0);
	h.type = RECORD_ISR;
	assert_int_equal(record_body_decode(&h, body.data, NCELL, &dec), 0);
	assert_string_equal(dec.epoch.isr.reason, "why");
	buf_reset(&body);
	record_ckpt_put(&body, &c);
	h = group_head(&body, 0, 0);
	h.type = RECORD_CKPT;
	assert_int_equal(record_body_decode(&h, body.data, NCELL, &dec), 0);
	assert_int_equal(dec.ckpt.position, 50);
	assert_int_equal(dec.ckpt.start.off, 8192);
	assert_int_equal(dec.ckpt.sum[0], 1);
	buf_free(&body);
}

static void file_headers_come_back(void **state)
{
	struct log_head h = {.deployment = {1}, .drive = {2}, .set = 3, .slot = 4, .log = 5, .first_seq = 6, .prev_seq = 5, .prev_crc = 7};
	struct log_head back;
	uint8_t block[LOG_HEAD_BYTES];

	log_head_encode(&h, block);
	assert_int_equal(log_head_decode(block, &back), 0);
	assert_int_equal(back.log, 5);
	assert_int_equal(back.prev_crc, 7);
	block[30] ^= 1;
	assert_true(log_head_decode(block, &back) < 0);
}

/* Bodies with good checksums whose insides are hostile: in memory of exactly their size, so that a read behind it is seen. */
static void hostile_bodies_stay_within_their_bytes(void **state)
{
	struct buf body = BUF_INIT;

	rnd_init(7);
	for (unsigned i = 0; i < 60000; i++) {
		buf_reset(&body);
		unsigned kind = rnd_below(3);
		if (kind == 1)
			record_isr_put(&body, &(struct isr_body){.n = 3, .k = 2, .m = 1, .w = 2});
		if (kind == 2)
			record_epoch_put(&body, &(struct record_epoch){.epoch = 9, .last_seq = 99, .isr = {.n = 3}});
		put_batch(&body, kind == 2 ? 99 : 100, i % 3, i % 5, 0, 8);
		if (kind == 0)
			put_batch(&body, 101, i % 2, i % 4, 8, 8);
		for (unsigned j = 0; j < 1 + i % 4; j++) {
			size_t at = rnd() % body.len;
			body.data[at] = (char)(rnd() % 4 ? rnd() : 0xff);
		}
		size_t len = rnd() % 3 ? body.len : rnd() % (body.len + 1);
		void *exact = malloc(len ? len : 1);
		memcpy(exact, body.data, len);
		struct buf cut = {.data = exact, .len = len};
		struct record_head h = group_head(&cut, kind ? 1 : 2, kind || i % 2 ? 0 : 64);
		h.type = (uint16_t)(kind == 0 ? RECORD_GROUP : kind == 1 ? RECORD_ISR : RECORD_EPOCH);
		(void)walk(&h, exact);
		free(exact);
	}
	buf_free(&body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(head_comes_back),
		cmocka_unit_test(a_lone_small_object_is_one_block_per_drive),
		cmocka_unit_test(control_bodies_come_back),
		cmocka_unit_test(file_headers_come_back),
		cmocka_unit_test(hostile_bodies_stay_within_their_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
