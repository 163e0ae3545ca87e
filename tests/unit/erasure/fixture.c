/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t next_id = 0x1000;

static uint64_t new_id(void *arg)
{
	return __atomic_add_fetch(&next_id, 1, __ATOMIC_RELAXED);
}

static uint64_t epoch(void *arg)
{
	return 7;
}

static void on_error(void *arg, unsigned slot, int rc)
{
	struct fixture *f = arg;

	__atomic_fetch_or(&f->reported, 1u << slot, __ATOMIC_RELAXED);
}

static void on_sealed(void *arg, const struct segment_info *info)
{
	struct fixture *f = arg;
	unsigned i = __atomic_fetch_add(&f->sealed_n, 1, __ATOMIC_RELAXED);

	if (i < ARRAY_SIZE(f->sealed))
		f->sealed[i] = *info;
}

static void slot_path(const struct fixture *f, unsigned slot, char *ret, size_t cap)
{
	snprintf(ret, cap, "%s/d%02u", f->root, slot);
}

void fixture_open(struct fixture *f)
{
	char path[96];
	struct erasure_params p = {
		.n = f->n,
		.k = f->k,
		.m = f->m,
		.need = f->k + (f->n == 2 * f->m),
		.set = 3,
		.segment_size = f->segment_size,
		.drive_timeout_ns = f->timeout_ns,
		.new_id = new_id,
		.epoch = epoch,
	};

	for (unsigned i = 0; i < f->n; i++) {
		slot_path(f, i, path, sizeof path);
		if (f->bench)
			assert_int_equal(drive_faulty_open(f->bench, path, &f->drive[i]), 0);
		else
			assert_int_equal(drive_posix_open(path, &f->drive[i]), 0);
		p.drives[i] = f->drive[i];
	}
	f->set = erasure_set_new(&p);
	assert_non_null(f->set);
	erasure_on_slot_error(f->set, on_error, f);
	erasure_on_sealed(f->set, on_sealed, f);
}

void fixture_close(struct fixture *f)
{
	f->set = erasure_set_free(f->set);
	for (unsigned i = 0; i < f->n; i++)
		f->drive[i] = drive_close(f->drive[i]);
}

void fixture_reopen(struct fixture *f)
{
	fixture_close(f);
	fixture_open(f);
}

void fixture_start(struct fixture *f, unsigned n, unsigned k, unsigned m, uint64_t segment_size, bool faulty)
{
	char path[96];

	*f = (struct fixture){.n = n, .k = k, .m = m, .segment_size = segment_size};
	snprintf(f->root, sizeof f->root, "erasure-test-XXXXXX");
	assert_non_null(mkdtemp(f->root));
	for (unsigned i = 0; i < n; i++) {
		slot_path(f, i, path, sizeof path);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	if (faulty)
		f->bench = fault_bench_new(1);
	fixture_open(f);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

void fixture_end(struct fixture *f)
{
	if (f->set)
		fixture_close(f);
	fault_bench_free(f->bench);
	assert_int_equal(nftw(f->root, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* ---- Bytes ------------------------------------------------------------------------------------------------------- */
uint64_t rnd(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static uint64_t word(uint64_t seed, uint64_t i)
{
	uint64_t state = seed * 0x100000001b3ull + i;

	return rnd(&state);
}

void pattern_fill(uint64_t seed, uint64_t at, uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len;) {
		uint64_t w = word(seed, (at + i) / 8);
		size_t in = (at + i) % 8, n = MIN(8 - in, len - i);
		memcpy(p + i, (uint8_t *)&w + in, n);
		i += n;
	}
}

bool pattern_check(uint64_t seed, uint64_t at, const uint8_t *p, size_t len)
{
	uint8_t *want = malloc(len + 1);

	pattern_fill(seed, at, want, len);
	bool same = memcmp(want, p, len) == 0;
	free(want);
	return same;
}

/* ---- Blobs ------------------------------------------------------------------------------------------------------- */
int blob_write_max(struct fixture *f, uint64_t seed, uint64_t len, uint64_t max_len, struct erasure_blob *ret)
{
	struct erasure_writer *w;
	uint32_t stripe = erasure_stripe_bytes(f->set, SEGMENT_LARGE);
	int rc = erasure_writer_open(f->set, max_len, &w);

	for (uint64_t at = 0; rc == 0 && at < len; at += stripe) {
		uint32_t n = (uint32_t)MIN(stripe, len - at);
		uint8_t *buf = aligned_alloc(4096, stripe);
		assert_non_null(buf);
		pattern_fill(seed, at, buf, n);
		rc = erasure_writer_push(w, buf, n, free, buf);
		if (rc < 0)
			erasure_writer_abort(w);
	}
	return rc < 0 ? rc : erasure_writer_finish(w, ret);
}

int blob_write(struct fixture *f, uint64_t seed, uint64_t len, struct erasure_blob *ret)
{
	return blob_write_max(f, seed, len, len, ret);
}

static int blob_crcs(void *arg, uint64_t first, unsigned n, uint32_t *ret)
{
	const struct erasure_blob *b = arg;

	for (unsigned i = 0; i < n; i++) {
		uint64_t at = first + i;
		unsigned s = 0;
		while (s < b->nstripes && at >= (uint64_t)b->stripes[s].ncell * b->stripes[s].blocks_per_cell)
			at -= (uint64_t)b->stripes[s].ncell * b->stripes[s].blocks_per_cell, s++;
		assert_true(s < b->nstripes);
		ret[i] = b->stripes[s].crc[at];
	}
	return 0;
}

struct erasure_place blob_place(const struct erasure_blob *b)
{
	return (struct erasure_place){
		.segment = b->segment,
		.offset_4k = b->offset_4k,
		.stored_len = b->stored_len,
		.block_log2 = b->block_log2,
		.crcs = blob_crcs,
		.arg = (void *)b,
	};
}

int blob_read(struct fixture *f, const struct erasure_blob *b, uint64_t start, size_t len, uint8_t *dst, bool *degraded)
{
	struct erasure_place at = blob_place(b);
	struct erasure_read met = {0};

	int rc = erasure_read(f->set, &at, start, len, dst, 0, &met);
	if (degraded)
		*degraded = met.degraded;
	return rc;
}

void blob_expect(struct fixture *f, const struct erasure_blob *b, uint64_t seed, bool *ret_degraded)
{
	uint8_t *p = malloc(b->stored_len);
	uint64_t state = seed + 99;
	bool degraded;

	assert_int_equal(blob_read(f, b, 0, b->stored_len, p, &degraded), 0);
	assert_true(pattern_check(seed, 0, p, b->stored_len));
	if (ret_degraded)
		*ret_degraded = degraded;
	for (unsigned i = 0; i < 12; i++) {
		uint64_t start = rnd(&state) % b->stored_len;
		size_t len = 1 + rnd(&state) % (b->stored_len - start);
		size_t small = 1 + rnd(&state) % 9000;
		if (i % 2)
			len = MIN(len, small);
		memset(p, 0xee, len);
		assert_int_equal(blob_read(f, b, start, len, p, NULL), 0);
		assert_true(pattern_check(seed, start, p, len));
	}
	free(p);
}

/* ---- Damage ------------------------------------------------------------------------------------------------------ */
void segment_path(const struct fixture *f, unsigned slot, uint64_t id, char *ret, size_t cap)
{
	char dir[96], name[SEGMENT_NAME_MAX];

	slot_path(f, slot, dir, sizeof dir);
	segment_name(id, name);
	snprintf(ret, cap, "%s/%s", dir, name);
}

void flip_byte(struct fixture *f, unsigned slot, uint64_t segment, uint64_t off)
{
	char path[160];
	uint8_t b;

	segment_path(f, slot, segment, path, sizeof path);
	int fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &b, 1, (off_t)off), 1);
	b ^= 0x40;
	assert_int_equal(pwrite(fd, &b, 1, (off_t)off), 1);
	close(fd);
}

void delete_file(struct fixture *f, unsigned slot, uint64_t segment)
{
	char path[160];

	segment_path(f, slot, segment, path, sizeof path);
	assert_int_equal(unlink(path), 0);
}

unsigned blob_slot(const struct erasure_blob *b, unsigned cell)
{
	return (cell + b->info.rotation) % b->info.n;
}

void cold_slots(struct fixture *f, uint32_t slots)
{
	fault_bench_rule(f->bench, NULL);
	for (unsigned s = 0; s < f->n; s++)
		if (slots >> s & 1)
			fault_bench_rule(f->bench, &(struct fault_rule){
				.kind = FAULT_COLD, .slot = (int)s, .op = DRIVE_IO_READ, .nth = 1});
}

void drives_out(struct fixture *f, uint32_t slots)
{
	for (unsigned s = 0; s < f->n; s++)
		drive_set_out(f->drive[s], slots >> s & 1, "test");
}
