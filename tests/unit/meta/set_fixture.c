/* SPDX-License-Identifier: Apache-2.0
 *
 * See set_fixture.h.
 */
#include "set_fixture.h"

#include <errno.h>
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
	/* The bench needs no real drive, only the index copies sync: memory is faster. */
	const char *tmp = faulty && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TMPDIR");
	snprintf(f->root, sizeof f->root, "%s/quoin-meta-XXXXXX", tmp ? tmp : "/tmp");
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
		.spares = 2,
		.index_map_bytes = 64u << 20,
		.no_background = true,
		.queue_threads = false,
	};
}

/* Spares are kept whatever the machine has free. */
static int have_room(struct drive *d, struct drive_space *ret)
{
	*ret = (struct drive_space){.total_bytes = 64ull << 30, .free_bytes = 32ull << 30};
	return 0;
}

static void give_room(const struct fixture *f, struct drive *d)
{
	static struct drive_ops plain, faulty;
	struct drive_ops *ops = f->bench ? &faulty : &plain;

	if (!ops->space) {
		*ops = *d->ops;
		ops->space = have_room;
	}
	d->ops = ops;
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
		give_room(f, f->drive[i]);
		f->drive[i]->timeout_ns = f->drive_timeout_ns;
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

void fixture_open_known(struct fixture *f)
{
	fixture_reopen(f, ALL(f));
	/* Again, so that the log files are known to the faults under their own names. */
	fixture_kill(f);
	fixture_reopen(f, ALL(f));
}

void fixture_start_known(struct fixture *f, unsigned n, unsigned m)
{
	fixture_start(f, n, m, true);
	fixture_open_known(f);
}

void fixture_boot(struct fixture *f, uint32_t mask)
{
	fault_bench_rule(f->bench, NULL);
	fixture_reopen(f, mask);
}

unsigned missing_ranges(const struct fixture *f)
{
	struct meta_stats st;

	meta_stats(f->s, &st);
	return st.missing_ranges;
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

/* ---- Objects ------------------------------------------------------------------------------------------------------ */
#define BUCKET_ID 10
#define ROOT_ID 20

struct change {
	struct fixture *f;
	struct meta_batch *b;
	struct meta_view *v;
	uint64_t key;
	bool drop;
	struct row_entry e;        /* to be put */
	struct row_usage usage;    /* as signed */
};

static void put_dir(struct meta_batch *b, uint64_t id, uint64_t parent, uint32_t flags, const char *name)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	struct row_dir d = {.parent = parent, .bucket = BUCKET_ID, .flags = flags, .name = str_of(name)};
	struct meta_key k;

	row_dir_encode(&body, &d, NULL);
	key_u64(&k, id);
	meta_batch_put(b, TABLE_DIR, &k, buf_str(&body), 0);
}

static void make_bucket(struct meta_batch *b)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	struct meta_key k;

	key_u64(&k, BUCKET_ID);
	row_bucket_encode(&body, &(struct row_bucket){.root_dir = ROOT_ID, .name = STR_LIT("b")});
	meta_batch_put(b, TABLE_BUCKET, &k, buf_str(&body), 0);
	put_dir(b, ROOT_ID, 0, DIR_EXPLICIT, "");
}

static struct meta_row seen_row(struct meta_view *v, unsigned t, uint64_t id, bool *ret_present)
{
	struct meta_row row;
	struct meta_key k;

	key_u64(&k, id);
	int rc = meta_get_k(v, t, &k, &row);
	assert_true(rc >= 0);
	*ret_present = rc;
	if (!rc)
		row.body = (struct str){NULL, 0};
	return row;
}

static bool entry_of(struct meta_view *v, uint64_t dir, const char *name, struct meta_key *k, struct meta_row *row,
		     struct row_entry *e)
{
	key_u64_str(k, dir, str_of(name));
	int rc = meta_get_k(v, TABLE_ENTRY, k, row);
	assert_true(rc >= 0);
	if (rc)
		assert_int_equal(row_entry_decode(row->body, e), 0);
	return rc;
}

static void dir_name(uint64_t key, char *ret, size_t cap)
{
	snprintf(ret, cap, "d%u/", (unsigned)(key % SUBDIRS));
}

static void object_name(uint64_t key, char *ret, size_t cap)
{
	snprintf(ret, cap, "k%llu", (unsigned long long)key);
}

/* The object's entry: present, its key, its row. *ret_dir: 0 when even the directory is absent. */
static bool find_object(struct meta_view *v, uint64_t key, uint64_t *ret_dir, struct meta_key *k, struct meta_row *row,
			struct row_entry *e)
{
	char name[32];
	struct row_entry d;

	*ret_dir = 0;
	dir_name(key, name, sizeof name);
	if (!entry_of(v, ROOT_ID, name, k, row, &d))
		return false;
	*ret_dir = d.id;
	object_name(key, name, sizeof name);
	return entry_of(v, d.id, name, k, row, e);
}

/* The directory of the key, made when it is not there. */
static uint64_t use_dir(struct change *c)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	struct row_entry d = {.kind = ENTRY_DIR};
	struct meta_key k;
	struct meta_row row;
	bool present;
	char name[32];

	dir_name(c->key, name, sizeof name);
	row = seen_row(c->v, TABLE_DIR, ROOT_ID, &present);
	if (present)
		meta_batch_dir_seen(c->b, ROOT_ID, &row);
	present = entry_of(c->v, ROOT_ID, name, &k, &row, &d);
	meta_batch_expect(c->b, TABLE_ENTRY, &k, &row, present);
	if (present) {
		row = seen_row(c->v, TABLE_DIR, d.id, &present);
		assert_true(present);
		meta_batch_dir_seen(c->b, d.id, &row);
		return d.id;
	}
	d.id = meta_new_id(c->f->s);
	row_entry_encode(&body, &d, NULL);
	meta_batch_put(c->b, TABLE_ENTRY, &k, buf_str(&body), 0);
	name[strlen(name) - 1] = '\0';
	put_dir(c->b, d.id, ROOT_ID, 0, name);
	meta_batch_dir_delta(c->b, ROOT_ID, 0, 1, 0, 0);
	return d.id;
}

static void drop_content(struct change *c, const struct row_object *o)
{
	bool present;

	c->usage.bytes -= o->size;
	c->usage.stored -= o->size;
	if (!o->extents)
		return;
	struct meta_row row = seen_row(c->v, TABLE_BLOB, o->extent[0].blob, &present);
	assert_true(present);
	meta_batch_blob_ref(c->b, o->extent[0].blob, &row, -1);
}

static void build_entry(struct change *c, uint64_t dir)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	struct row_entry old;
	struct meta_key k;
	struct meta_row row;
	char name[32];
	uint16_t stamp;

	object_name(c->key, name, sizeof name);
	bool present = entry_of(c->v, dir, name, &k, &row, &old);
	meta_batch_expect(c->b, TABLE_ENTRY, &k, &row, present);
	if (present)
		drop_content(c, &old.obj);
	int n = (c->drop ? 0 : 1) - present;
	c->usage.objects += (uint64_t)n;
	c->usage.versions += (uint64_t)n;
	meta_batch_dir_delta(c->b, dir, n, n, 0, 0);
	if (c->drop) {
		meta_batch_del(c->b, TABLE_ENTRY, &k);
		return;
	}
	c->usage.bytes += c->e.obj.size;
	c->usage.stored += c->e.obj.size;
	row_entry_encode(&body, &c->e, &stamp);
	meta_batch_put(c->b, TABLE_ENTRY, &k, buf_str(&body), stamp);
}

static void build_change(struct change *c)
{
	struct meta_key k;
	bool present;

	meta_batch_view(c->b, c->v);
	struct meta_row row = seen_row(c->v, TABLE_BUCKET, BUCKET_ID, &present);
	key_u64(&k, BUCKET_ID);
	meta_batch_expect(c->b, TABLE_BUCKET, &k, &row, present);
	if (!present)
		make_bucket(c->b);
	build_entry(c, use_dir(c));
	row = seen_row(c->v, TABLE_USAGE, BUCKET_ID, &present);
	meta_batch_usage_delta(c->b, BUCKET_ID, &row, &c->usage);
}

static struct change new_change(struct fixture *f, uint64_t key, uint64_t value)
{
	struct change c = {.f = f, .key = key};

	c.e = (struct row_entry){.kind = ENTRY_OBJECT, .key_id = key, .id = key};
	c.e.obj.crc64nvme = value;
	return c;
}

static void change_batch(struct change *c, enum meta_promise promise)
{
	c->b = meta_batch_new(c->f->s, promise, OP_S3);
	c->usage = (struct row_usage){0};
	assert_non_null(c->b);
	build_change(c);
}

/* content(arg, b) adds the blob to the batch. */
static int change(struct change *c, enum meta_promise promise, void (*content)(void *arg, struct meta_batch *b), void *arg)
{
	int rc;

	do {
		assert_int_equal(meta_view_open(c->f->s, &c->v), 0);
		change_batch(c, promise);
		meta_view_close(c->v);
		if (content)
			content(arg, c->b);
		rc = meta_commit(c->b);
		meta_batch_free(c->b);
	} while (rc == -QE_CONFLICT);
	return rc;
}

int put(struct fixture *f, enum meta_promise promise, uint64_t key, uint64_t value)
{
	struct change c = new_change(f, key, value);

	return change(&c, promise, NULL, NULL);
}

int drop(struct fixture *f, uint64_t key)
{
	struct change c = new_change(f, key, 0);

	c.drop = true;
	return change(&c, META_DURABLE, NULL, NULL);
}

bool object_find(struct meta_view *v, uint64_t key, struct row_entry *e)
{
	struct meta_key k;
	struct meta_row row;
	uint64_t dir;

	return find_object(v, key, &dir, &k, &row, e);
}

/* ---- Batches of the test's own ------------------------------------------------------------------------------------ */
struct meta_batch *put_batch(struct fixture *f, struct meta_view *v, uint64_t key, uint64_t value)
{
	struct change c = new_change(f, key, value);

	c.v = v;
	change_batch(&c, META_ORDERED);
	return c.b;
}

struct meta_batch *drop_batch(struct fixture *f, struct meta_view *v, uint64_t key)
{
	struct change c = new_change(f, key, 0);
	struct row_entry e;

	if (!object_find(v, key, &e))
		return NULL;
	c.v = v;
	c.drop = true;
	change_batch(&c, META_ORDERED);
	return c.b;
}

/* Rows of a directory of the root as the view has them. */
struct dir_rows {
	char name[32];
	bool present;
	struct meta_key entry_key, dir_key;
	struct meta_row entry_row, dir_row;
	struct row_entry e;
	struct row_dir d;
};

static void look_at_dir(struct meta_view *v, unsigned dir, struct dir_rows *r)
{
	dir_name(dir, r->name, sizeof r->name);
	r->present = entry_of(v, ROOT_ID, r->name, &r->entry_key, &r->entry_row, &r->e);
	r->name[strlen(r->name) - 1] = '\0';
	if (!r->present)
		return;
	bool there;
	r->dir_row = seen_row(v, TABLE_DIR, r->e.id, &there);
	assert_true(there);
	assert_int_equal(row_dir_decode(r->dir_row.body, &r->d), 0);
	key_u64(&r->dir_key, r->e.id);
}

/* A batch on the root: bucket, entry and counters are given. */
static struct meta_batch *root_batch(struct fixture *f, struct meta_view *v, const struct dir_rows *r, int live, int children,
				     int objects)
{
	struct meta_batch *b = meta_batch_new(f->s, META_ORDERED, OP_FUSE);
	struct row_usage u = {.objects = (uint64_t)objects, .versions = (uint64_t)objects};
	struct meta_row row;
	bool present;

	meta_batch_view(b, v);
	row = seen_row(v, TABLE_DIR, ROOT_ID, &present);
	meta_batch_dir_seen(b, ROOT_ID, &row);
	meta_batch_expect(b, TABLE_ENTRY, &r->entry_key, &r->entry_row, r->present);
	if (r->present)
		meta_batch_expect(b, TABLE_DIR, &r->dir_key, &r->dir_row, true);
	meta_batch_dir_delta(b, ROOT_ID, live, children, 0, 0);
	row = seen_row(v, TABLE_USAGE, BUCKET_ID, &present);
	meta_batch_usage_delta(b, BUCKET_ID, &row, &u);
	return b;
}

struct meta_batch *mkdir_batch(struct fixture *f, struct meta_view *v, unsigned dir)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	struct dir_rows r;

	look_at_dir(v, dir, &r);
	if (r.present && (r.d.flags & DIR_EXPLICIT))
		return NULL;
	struct meta_batch *b = root_batch(f, v, &r, !r.present || r.d.live == 0, !r.present, 1);
	if (r.present) {
		r.d.flags |= DIR_EXPLICIT;
		row_dir_encode(&body, &r.d, NULL);
		meta_batch_put(b, TABLE_DIR, &r.dir_key, buf_str(&body), 0);
		return b;
	}
	r.e = (struct row_entry){.kind = ENTRY_DIR, .id = meta_new_id(f->s)};
	row_entry_encode(&body, &r.e, NULL);
	meta_batch_put(b, TABLE_ENTRY, &r.entry_key, buf_str(&body), 0);
	put_dir(b, r.e.id, ROOT_ID, DIR_EXPLICIT, r.name);
	return b;
}

struct meta_batch *rmdir_batch(struct fixture *f, struct meta_view *v, unsigned dir)
{
	struct dir_rows r;

	look_at_dir(v, dir, &r);
	if (!r.present || !(r.d.flags & DIR_EXPLICIT) || r.d.children)
		return NULL;
	struct meta_batch *b = root_batch(f, v, &r, -1, -1, -1);
	meta_batch_del(b, TABLE_DIR, &r.dir_key);
	meta_batch_del(b, TABLE_ENTRY, &r.entry_key);
	return b;
}

int dir_state(struct fixture *f, unsigned dir)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct dir_rows r;

	assert_int_equal(meta_view_open(f->s, &v), 0);
	look_at_dir(v, dir, &r);
	return r.present ? (r.d.flags & DIR_EXPLICIT ? 2 : 1) : 0;
}

uint64_t get(struct fixture *f, uint64_t key)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct row_entry e;

	assert_int_equal(meta_view_open(f->s, &v), 0);
	return object_find(v, key, &e) ? e.obj.crc64nvme : 0;
}

int get_durable(struct fixture *f, uint64_t key, uint64_t *ret)
{
	struct meta_view *v;
	struct row_entry e;

	assert_int_equal(meta_view_open(f->s, &v), 0);
	*ret = object_find(v, key, &e) ? e.obj.crc64nvme : 0;
	uint64_t seq = meta_view_consulted(v);
	meta_view_close(v);
	return meta_wait_blocking(f->s, seq);
}

void expect_counters(struct fixture *f)
{
	CLEANUP_BUF struct buf lines = BUF_INIT;
	int rc = meta_recount(f->s, NULL, NULL, &lines);

	if (rc != 0)
		fail_msg("%d counters differ: %s", rc, buf_cstr(&lines));
}

/* ---- Blobs -------------------------------------------------------------------------------------------------------- */
struct content {
	uint64_t id, seed;
	uint32_t len;
	struct erasure_blob *eb;
};

static void add_inline(void *arg, struct meta_batch *b)
{
	const struct content *c = arg;
	uint8_t *p = meta_batch_payload(b, c->len);

	assert_non_null(p);
	pattern(c->seed, p, c->len);
	meta_batch_blob_inline(b, c->id, p, c->len, 1);
}

static void add_large(void *arg, struct meta_batch *b)
{
	const struct content *c = arg;

	meta_batch_blob_large(b, c->id, c->eb, 1);
}

static int put_content(struct fixture *f, enum meta_promise promise, uint64_t key, struct content *ct,
		       void (*add)(void *arg, struct meta_batch *b))
{
	struct change c = new_change(f, key, ct->seed);

	ct->id = meta_new_id(f->s);
	c.e.obj.size = ct->len;
	c.e.obj.extents = 1;
	c.e.obj.extent[0] = (struct row_extent){.kind = EXTENT_BLOB, .blob = ct->id, .len = ct->len};
	return change(&c, promise, add, ct);
}

int put_blob(struct fixture *f, enum meta_promise promise, uint64_t key, uint64_t seed, uint32_t len)
{
	struct content ct = {.seed = seed, .len = len};

	return put_content(f, promise, key, &ct, add_inline);
}

/* Each part has a buffer of its own, which stays until the last of its writes has returned: a hung one reads it late. */
static int push_part(struct erasure_writer *w, uint64_t seed, uint32_t at, uint32_t len, uint32_t stripe)
{
	CLEANUP_FREE uint8_t *all = malloc(at + len);
	uint8_t *part = aligned_alloc(4096, stripe);

	assert_non_null(all);
	assert_non_null(part);
	pattern(seed, all, at + len);
	memcpy(part, all + at, len);
	return erasure_writer_push(w, part, len, free, part);
}

int large_begin(struct fixture *f, uint64_t seed, uint32_t len, struct erasure_blob *ret)
{
	CLEANUP_ERASURE struct erasure_set *e = meta_erasure_hold(f->s);
	uint32_t stripe = erasure_stripe_bytes(e, SEGMENT_LARGE);
	struct erasure_writer *w;
	int rc = erasure_writer_open(e, len, &w);

	if (rc < 0)
		return rc;
	for (uint32_t at = 0; rc == 0 && at < len; at += stripe)
		rc = push_part(w, seed, at, MIN(len - at, stripe), stripe);
	int end = erasure_writer_finish(w, ret);
	if (rc < 0 && end == 0)
		erasure_blob_free(ret);
	return rc ? rc : end;
}

/* With one thread there is no conflict: the blob is taken over by the first batch. */
int put_large_begun(struct fixture *f, enum meta_promise promise, uint64_t key, uint64_t seed, uint32_t len, struct erasure_blob *eb)
{
	struct content ct = {.seed = seed, .len = len, .eb = eb};

	return put_content(f, promise, key, &ct, add_large);
}

int put_large(struct fixture *f, enum meta_promise promise, uint64_t key, uint64_t seed, uint32_t len)
{
	struct erasure_blob eb;
	int rc = large_begin(f, seed, len, &eb);

	return rc ? rc : put_large_begun(f, promise, key, seed, len, &eb);
}

int check_blob(struct fixture *f, uint64_t key, uint64_t seed, uint32_t len)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	CLEANUP_FREE uint8_t *want = malloc(len), *have = malloc(len);
	struct row_entry e;

	if (!want || !have)
		return -ENOMEM;
	int rc = meta_view_open(f->s, &v);
	if (rc == -ENOMEM)
		return rc;
	assert_int_equal(rc, 0);
	if (!object_find(v, key, &e))
		return 0;
	if (e.obj.size != len || e.obj.extents != 1)
		return 2;
	rc = meta_blob_read(v, e.obj.extent[0].blob, 0, len, have, 0);
	if (rc < 0)
		return rc;
	pattern(seed, want, len);
	return memcmp(want, have, len) == 0 ? 1 : 2;
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

/* ---- Drives that come back ---------------------------------------------------------------------------------------- */
static int count_segment(void *arg, const char *name)
{
	*(unsigned *)arg += str_ends(str_of(name), STR_LIT(".seg"));
	return 0;
}

unsigned segment_files(struct fixture *f, uint32_t slots)
{
	unsigned n = 0;

	for (unsigned i = 0; i < f->n; i++)
		if (slots & 1u << i)
			assert_int_equal(drive_list(f->drive[i], "seg", count_segment, &n), 0);
	return n;
}

bool slot_is_in(struct fixture *f, unsigned slot)
{
	struct meta_stats st;

	meta_stats(f->s, &st);
	return st.isr.slot[slot].state == ISR_IN;
}

void drive_leaves(struct fixture *f, unsigned slot)
{
	int rc = -QE_BUSY;

	/* Until there is another good index copy. */
	for (unsigned i = 0; i < 5000 && rc == -QE_BUSY; i++) {
		rc = meta_slot_remove(f->s, slot, false, "the test says so");
		if (rc == -QE_BUSY)
			clock_sleep_ns(NS_PER_MS);
	}
	assert_int_equal(rc, 0);
	assert_false(slot_is_in(f, slot));
}

void drive_given_back(struct fixture *f, unsigned slot)
{
	struct drive *old = NULL;
	int rc = -EBUSY;

	for (unsigned i = 0; i < 20000 && rc == -EBUSY; i++) {
		rc = meta_slot_release(f->s, slot, &old);
		if (rc == -EBUSY)
			clock_sleep_ns(NS_PER_MS);
	}
	assert_int_equal(rc, 0);
	if (old)
		assert_ptr_equal(old, f->drive[slot]);
	f->drive[slot] = drive_close(f->drive[slot]);
}

int drive_joins(struct fixture *f, unsigned slot)
{
	struct op_ctx ctx;
	char path[96];

	snprintf(path, sizeof path, "%s/d%u", f->root, slot);
	assert_int_equal(f->bench ? drive_faulty_open(f->bench, path, &f->drive[slot]) :
				    drive_posix_open(path, &f->drive[slot]), 0);
	give_room(f, f->drive[slot]);
	f->drive[slot]->timeout_ns = f->drive_timeout_ns;
	op_ctx_init(&ctx, OP_ADMIN);
	int rc = meta_slot_join(f->s, f->drive[slot], slot, &ctx);
	snprintf(f->detail, sizeof f->detail, "%s", ctx.detail);
	op_ctx_done(&ctx);
	return rc;
}

void drive_returns(struct fixture *f, unsigned slot)
{
	drive_given_back(f, slot);
	int rc = drive_joins(f, slot);
	if (rc < 0)
		fail_msg("slot %u does not join: %s (%s)", slot, err_text(rc), f->detail);
	assert_true(slot_is_in(f, slot));
}

void make_blank(struct fixture *f, unsigned slot)
{
	char path[96];

	snprintf(path, sizeof path, "%s/d%u", f->root, slot);
	(void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	assert_int_equal(mkdir(path, 0755), 0);
}
