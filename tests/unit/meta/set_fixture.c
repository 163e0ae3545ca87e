/* SPDX-License-Identifier: Apache-2.0
 *
 * See set_fixture.h.
 */
#include "set_fixture.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

uint64_t rnd64(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

void pattern(uint64_t seed, uint8_t *p, size_t len)
{
	uint64_t state = seed;

	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = rnd64(&state);
		memcpy(p + i, &v, len - i < 8 ? len - i : 8);
	}
}

void fixture_start(struct fixture *f, unsigned n, unsigned m, bool faulty)
{
	char path[96];

	if (!getenv("QUOIN_TEST_LOG"))
		log_set_level(LOG_L_ERROR - 1);
	*f = (struct fixture){.n = n, .m = m};
	snprintf(f->root, sizeof f->root, "%s/quoin-meta-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	assert_non_null(mkdtemp(f->root));
	for (unsigned i = 0; i < n; i++) {
		snprintf(path, sizeof path, "%s/d%u", f->root, i);
		assert_int_equal(mkdir(path, 0755), 0);
	}
	if (faulty)
		f->bench = fault_bench_new(1);
	f->p = (struct meta_params){
		.n = n,
		.m = m,
		.log2_journal_file = 20,
		.journal_files = 8,
		.segment_size = 8u << 20,
		.index_map_bytes = 64u << 20,
		.no_background = true,
		.queue_threads = false,
	};
}

int fixture_open(struct fixture *f, uint32_t mask)
{
	struct op_ctx ctx;
	char path[96];

	for (unsigned i = 0; i < f->n; i++) {
		f->p.drives[i] = NULL;
		if (!(mask & 1u << i))
			continue;
		snprintf(path, sizeof path, "%s/d%u", f->root, i);
		int rc = f->bench ? drive_faulty_open(f->bench, path, &f->drive[i]) : drive_posix_open(path, &f->drive[i]);
		if (rc < 0)
			continue;
		f->p.drives[i] = f->drive[i];
	}
	op_ctx_init(&ctx, OP_ADMIN);
	int rc = meta_set_open(&f->p, &ctx, &f->s);
	snprintf(f->detail, sizeof f->detail, "%s", ctx.detail);
	op_ctx_done(&ctx);
	if (rc < 0) {
		f->s = NULL;
		fixture_close_drives(f);
	}
	return rc;
}

void fixture_close_drives(struct fixture *f)
{
	for (unsigned i = 0; i < f->n; i++)
		f->drive[i] = drive_close(f->drive[i]);
}

void fixture_close(struct fixture *f)
{
	f->s = meta_set_close(f->s);
	fixture_close_drives(f);
}

void fixture_kill(struct fixture *f)
{
	f->s = meta_set_kill(f->s);
	fixture_close_drives(f);
}

void fixture_reopen(struct fixture *f, uint32_t mask)
{
	int rc = fixture_open(f, mask);

	if (rc < 0)
		fail_msg("open: %s (%s)", err_text(rc), f->detail);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

void fixture_end(struct fixture *f)
{
	if (f->s)
		fixture_kill(f);
	if (f->bench)
		fault_bench_free(f->bench);
	(void)nftw(f->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- Rows --------------------------------------------------------------------------------------------------------- */
static void doc_key(struct meta_key *k, uint64_t key)
{
	key_u64(k, key);
}

static void put_row(struct meta_batch *b, uint64_t key, uint64_t value)
{
	struct meta_key k;
	uint8_t body[8];

	doc_key(&k, key);
	le64_put(body, value);
	meta_batch_put(b, TABLE_DOC, &k, (struct str){(char *)body, 8}, 0);
}

struct meta_batch *put_batch(struct fixture *f, enum meta_promise promise, uint64_t key, uint64_t value)
{
	struct meta_batch *b = meta_batch_new(f->s, promise, OP_S3);

	assert_non_null(b);
	put_row(b, key, value);
	return b;
}

static int commit(struct meta_batch *b)
{
	int rc = meta_commit(b);

	meta_batch_free(b);
	return rc;
}

int put(struct fixture *f, enum meta_promise promise, uint64_t key, uint64_t value)
{
	return commit(put_batch(f, promise, key, value));
}

static uint64_t view_get(struct meta_view *v, uint64_t key)
{
	struct meta_row row;
	struct meta_key k;

	doc_key(&k, key);
	int rc = meta_get_k(v, TABLE_DOC, &k, &row);
	assert_true(rc >= 0);
	return rc ? le64_get(row.body.p) : 0;
}

uint64_t get(struct fixture *f, uint64_t key)
{
	CLEANUP_VIEW struct meta_view *v = NULL;

	assert_int_equal(meta_view_open(f->s, &v), 0);
	return view_get(v, key);
}

int get_durable(struct fixture *f, uint64_t key, uint64_t *ret)
{
	struct meta_view *v;

	assert_int_equal(meta_view_open(f->s, &v), 0);
	*ret = view_get(v, key);
	uint64_t seq = meta_view_consulted(v);
	meta_view_close(v);
	return meta_wait_blocking(f->s, seq);
}

/* ---- Blobs -------------------------------------------------------------------------------------------------------- */
int put_blob(struct fixture *f, enum meta_promise promise, uint64_t key, uint64_t seed, uint32_t len)
{
	struct meta_batch *b = meta_batch_new(f->s, promise, OP_S3);
	uint64_t id = meta_new_id(f->s);
	uint8_t *p = meta_batch_payload(b, len);

	assert_non_null(p);
	pattern(seed, p, len);
	meta_batch_blob_inline(b, id, p, len, 1);
	put_row(b, key, id);
	return commit(b);
}

static void nothing(void *arg)
{
}

int put_large(struct fixture *f, enum meta_promise promise, uint64_t key, uint64_t seed, uint32_t len)
{
	struct erasure_set *e = meta_erasure(f->s);
	uint32_t stripe = erasure_stripe_bytes(e, SEGMENT_LARGE);
	uint8_t *data = aligned_alloc(4096, (len / stripe + 1) * (size_t)stripe);
	struct erasure_writer *w;
	struct erasure_blob eb;

	pattern(seed, data, len);
	int rc = erasure_writer_open(e, len, &w);
	if (rc == 0) {
		for (uint32_t at = 0; rc == 0 && at < len; at += stripe)
			rc = erasure_writer_push(w, data + at, len - at < stripe ? len - at : stripe, nothing, NULL);
		int end = erasure_writer_finish(w, &eb);
		rc = rc ? rc : end;
	}
	if (rc == 0) {
		struct meta_batch *b = meta_batch_new(f->s, promise, OP_S3);
		uint64_t id = meta_new_id(f->s);
		meta_batch_blob_large(b, id, &eb, 1);
		put_row(b, key, id);
		rc = commit(b);
	}
	free(data);
	return rc;
}

int check_blob(struct fixture *f, uint64_t key, uint64_t seed, uint32_t len)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	uint8_t *want = malloc(len), *have = malloc(len);

	assert_int_equal(meta_view_open(f->s, &v), 0);
	uint64_t id = view_get(v, key);
	int rc = id ? meta_blob_read(v, id, 0, len, have, 0) : 0;
	pattern(seed, want, len);
	if (rc == 0 && id)
		rc = memcmp(want, have, len) == 0 ? 1 : 2;
	free(want);
	free(have);
	return rc;
}

int drop_blob(struct fixture *f, uint64_t key)
{
	struct meta_batch *b = meta_batch_new(f->s, META_DURABLE, OP_S3);
	struct meta_view *v;
	struct meta_row row;
	struct meta_key k;

	assert_int_equal(meta_view_open(f->s, &v), 0);
	meta_batch_view(b, v);
	uint64_t id = view_get(v, key);
	key_u64(&k, id);
	assert_int_equal(meta_get_k(v, TABLE_BLOB, &k, &row), 1);
	meta_batch_blob_ref(b, id, &row, -1);
	doc_key(&k, key);
	meta_batch_del(b, TABLE_DOC, &k);
	meta_view_close(v);
	return commit(b);
}

/* ---- Faults ------------------------------------------------------------------------------------------------------- */
struct keeping {
	uint32_t journal, segments;
};

static bool keep(void *arg, unsigned slot, const char *name, uint64_t off, size_t len)
{
	const struct keeping *k = arg;

	if (strncmp(name, "journal/", 8) == 0)
		return k->journal & 1u << slot;
	return k->segments & 1u << slot;
}

void lose_power(struct fixture *f, uint32_t journal, uint32_t segments)
{
	struct keeping k = {journal, segments};

	fault_bench_power_loss_by(f->bench, ALL(f), keep, &k);
}

void stop_at_journal(struct fixture *f, enum drive_io_op op, unsigned nth)
{
	fault_bench_rule(f->bench, NULL);
	fault_bench_rule(f->bench, &(struct fault_rule){
		.kind = FAULT_STOP, .slot = -1, .name = "journal/", .op = (int)op, .nth = nth});
}

void fail_io(struct fixture *f, unsigned slot, const char *name, enum drive_io_op op, unsigned nth)
{
	fault_bench_rule(f->bench, &(struct fault_rule){
		.kind = FAULT_ERROR, .slot = (int)slot, .name = name, .op = (int)op, .nth = nth, .once = true});
}

void rot_last_record(struct fixture *f, unsigned slot)
{
	char path[128];
	uint8_t block[4096];
	off_t last = 0;

	snprintf(path, sizeof path, "%s/d%u/journal/0000000000000001.log", f->root, slot);
	int fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	for (off_t off = 4096; pread(fd, block, sizeof block, off) == (ssize_t)sizeof block; off += 4096)
		if (memcmp(block, "QJR1", 4) == 0)
			last = off;
	assert_true(last > 0);
	assert_int_equal(pread(fd, block, sizeof block, last), sizeof block);
	block[100] ^= 1;
	assert_int_equal(pwrite(fd, block, sizeof block, last), sizeof block);
	close(fd);
}

void make_blank(struct fixture *f, unsigned slot)
{
	char path[96];

	snprintf(path, sizeof path, "%s/d%u", f->root, slot);
	(void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	assert_int_equal(mkdir(path, 0755), 0);
}
