/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of object/ share: a store on a real set of temporary directories, and calls that block.
 */
#ifndef QUOIN_TESTS_UNIT_OBJECT_STORE_UNIT_H
#define QUOIN_TESTS_UNIT_OBJECT_STORE_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ftw.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checksum.h"
#include "drive/drive_faulty.h"
#include "object/store_internal.h"

#define FIX_DRIVES 4

struct fix {
	char dir[64];
	struct drive *drive[FIX_DRIVES];
	struct meta_set *set;
	struct object_store *store;
	struct op_ctx ctx;
	struct fault_bench *bench; /* of fix_open_faulty: the drives lie, and nothing happens by time */
};

static inline int fix_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void fix_drive(struct fix *f, unsigned i)
{
	char path[96];

	snprintf(path, sizeof path, "%s/d%u", f->dir, i);
	mkdir(path, 0755);
	assert_int_equal(f->bench ? drive_faulty_open(f->bench, path, &f->drive[i]) : drive_posix_open(path, &f->drive[i]), 0);
}

static uint64_t fix_timeout_ns = 30 * NS_PER_S; /* what a drive may take; a test may choose */

/* With the first of the drives. */
static inline void fix_start_with(struct fix *f, unsigned drives)
{
	struct meta_params mp = {
		.n = FIX_DRIVES,
		.m = 2,
		.log2_journal_file = 24,
		.journal_files = 6,
		.segment_size = 64u << 20,
		.inline_max = 32768,
		.memtable_bytes = 64u << 20,
		.ordered_window_ns = 5 * NS_PER_S,
		.drive_timeout_ns = fix_timeout_ns,
		.checkpoint_idle_ns = 60 * NS_PER_S,
		.index_map_bytes = 1ull << 32,
		.applied = object_store_applied,
		.reset = object_store_reset,
	};
	struct object_params op = {.workers = 4, .uid = 1000, .gid = 1000};
	int rc;

	mp.arg = &f->store;
	mp.no_background = f->bench != NULL;
	for (unsigned i = 0; i < drives; i++) {
		fix_drive(f, i);
		mp.drives[i] = f->drive[i];
	}
	rc = meta_set_open(&mp, &f->ctx, &f->set);
	if (rc < 0)
		fprintf(stderr, "meta_set_open: %s (%s)\n", err_text(rc), f->ctx.detail);
	assert_int_equal(rc, 0);
	op.set = f->set;
	f->store = object_store_open(&op, &f->ctx);
	assert_non_null(f->store);
}

static inline void fix_start(struct fix *f)
{
	fix_start_with(f, FIX_DRIVES);
}

static inline void fix_stop(struct fix *f, bool kill)
{
	f->store = object_store_close(f->store);
	f->set = kill ? meta_set_kill(f->set) : meta_set_close(f->set);
	for (unsigned i = 0; i < FIX_DRIVES; i++)
		f->drive[i] = drive_close(f->drive[i]);
}

static inline void fix_open_on(struct fix *f, struct fault_bench *bench)
{
	memset(f, 0, sizeof *f);
	f->bench = bench;
	op_ctx_init(&f->ctx, OP_S3);
	snprintf(f->dir, sizeof f->dir, "/tmp/quoin-object-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	fix_start(f);
	assert_int_equal(object_bucket_create(f->store, &f->ctx, STR_LIT("bucket"), NULL, NULL), 0);
}

static inline void fix_open(struct fix *f)
{
	fix_open_on(f, NULL);
}

static inline void fix_open_faulty(struct fix *f)
{
	fix_open_on(f, fault_bench_new(1));
}

/* Counters are exact after every test. */
static inline void fix_check(struct fix *f)
{
	CLEANUP_BUF struct buf lines = BUF_INIT;
	int n = meta_recount(f->set, NULL, NULL, &lines);

	if (n != 0)
		fprintf(stderr, "recount: %d\n%s", n, buf_cstr(&lines));
	assert_int_equal(n, 0);
}

static inline void fix_close(struct fix *f)
{
	fix_check(f);
	fix_stop(f, false);
	op_ctx_done(&f->ctx);
	if (f->bench)
		fault_bench_free(f->bench);
	nftw(f->dir, fix_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- Calls --------------------------------------------------------------------------------------------------------- */
struct fix_wait {
	struct mutex lock;
	struct cond cond;
	bool done;
	int rc;
};

static inline void fix_wait_init(struct fix_wait *w)
{
	memset(w, 0, sizeof *w);
	mutex_init(&w->lock, LOCK_QUEUE);
	cond_init(&w->cond);
}

static inline void fix_wake(void *arg)
{
	struct fix_wait *w = arg;

	mutex_lock(&w->lock);
	w->done = true;
	cond_signal(&w->cond);
	mutex_unlock(&w->lock);
}

static inline void fix_done(void *arg, int rc)
{
	((struct fix_wait *)arg)->rc = rc;
	fix_wake(arg);
}

static inline int fix_wait_for(struct fix_wait *w)
{
	mutex_lock(&w->lock);
	while (!w->done)
		cond_wait(&w->cond, &w->lock);
	w->done = false;
	mutex_unlock(&w->lock);
	return w->rc;
}

static inline bool fix_woken(struct fix_wait *w)
{
	MUTEX_GUARD(&w->lock);

	return w->done;
}

/* Bytes of a body, by position and seed. */
static inline void fix_bytes(uint8_t *p, size_t n, uint64_t at, uint64_t seed)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t x = ((at + i) / 8 + 1) * 0x9e3779b97f4a7c15ull ^ seed * 0xff51afd7ed558ccdull;

		x ^= x >> 29;
		p[i] = (uint8_t)(x >> (8 * ((at + i) & 7)));
	}
}

static inline int fix_put_body(struct object_put *p, uint64_t len, uint64_t seed)
{
	struct fix_wait w;
	uint64_t at = 0;
	int rc;

	fix_wait_init(&w);
	while (at < len) {
		ssize_t n;
		uint8_t *room = object_put_room(p, &n, fix_wake, &w);

		if (!room && n < 0)
			return (int)n;
		if (!room) {
			fix_wait_for(&w);
			continue;
		}
		if (fix_woken(&w))
			return -EPROTO; /* resumed, but not told to wait */
		n = (ssize_t)MIN((uint64_t)n, len - at);
		fix_bytes(room, (size_t)n, at, seed);
		rc = object_put_filled(p, (size_t)n);
		if (rc < 0)
			return rc;
		at += (uint64_t)n;
	}
	rc = object_put_end(p, fix_done, &w);
	return rc < 0 ? rc : fix_wait_for(&w);
}

/* ret_etag (may be NULL): 40 bytes. */
static inline int fix_put_args(struct fix *f, const struct object_put_args *a, uint64_t len, uint64_t seed,
                               char *ret_etag)
{
	struct object_info info;
	struct object_put *p;
	int rc = object_put_begin(f->store, &f->ctx, a, &p);

	if (rc < 0)
		return rc;
	rc = fix_put_body(p, len, seed);
	if (rc == 0)
		rc = object_put_commit(p, &f->ctx, (struct str){NULL, 0}, (struct str){"", 0}, &info, NULL, NULL);
	if (rc == 0 && ret_etag)
		snprintf(ret_etag, 40, "%.*s", STR_FMT(info.etag));
	object_put_free(p);
	return rc;
}

static inline int fix_put(struct fix *f, struct str key, uint64_t len, uint64_t seed)
{
	struct object_put_args a = {.bucket = STR_LIT("bucket"), .key = key, .size = len};

	return fix_put_args(f, &a, len, seed, NULL);
}

static inline int fix_delete(struct fix *f, struct str key)
{
	return object_delete(f->store, &f->ctx, STR_LIT("bucket"), key, STR_LIT(""), NULL, NULL, NULL);
}

static inline struct object_handle *fix_get(struct fix *f, struct str key)
{
	struct object_handle *h = NULL;
	uint64_t seq;
	int rc = object_open(f->store, &f->ctx, STR_LIT("bucket"), key, STR_LIT(""), &h, &seq);

	return rc < 0 ? NULL : h;
}

static inline int fix_head(struct fix *f, struct str key)
{
	struct object_handle *h = NULL;
	uint64_t seq;
	int rc = object_open(f->store, &f->ctx, STR_LIT("bucket"), key, STR_LIT(""), &h, &seq);

	object_close(h);
	return rc;
}

/* The whole content is that of (len, seed). */
static inline void fix_assert_handle(struct object_handle *h, uint64_t len, uint64_t seed)
{
	const struct object_info *i = object_handle_info(h);
	CLEANUP_FREE uint8_t *got = malloc(1u << 20), *want = malloc(1u << 20);

	assert_int_equal(i->size, len);
	for (uint64_t at = 0; at < len;) {
		size_t n = (size_t)MIN(len - at, (uint64_t)(1u << 20));

		assert_int_equal(object_read(h, at, n, got, 0), 0);
		fix_bytes(want, n, at, seed);
		assert_memory_equal(got, want, n);
		at += n;
	}
}

static inline void fix_assert_content(struct fix *f, struct str key, uint64_t len, uint64_t seed)
{
	struct object_handle *h = fix_get(f, key);

	assert_non_null(h);
	fix_assert_handle(h, len, seed);
	object_close(h);
}

#endif
