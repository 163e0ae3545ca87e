/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening and closing an index copy, and its rows about itself.
 *
 * Rows of the table `meta` (with envelopes; not part of any sum): schema u32, 0 u32; position u64; sums: per table
 * u8 table, 0 7, rows u64, sum 16 (a little-endian number).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/fdio.h"
#include "drive/drive.h"
#include "meta/index_internal.h"

#define MAX_READERS 1024

/* ---- Guarded calls of LMDB ---- */

struct lmdb_call {
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	MDB_val *key, *value;
	const char *name;
	MDB_dbi *ret_dbi;
	unsigned flags;
	mode_t mode;
};

static int do_begin(void *arg)
{
	struct lmdb_call *c = arg;

	return mdb_txn_begin(c->env, NULL, c->flags, &c->txn);
}

static int do_env_open(void *arg)
{
	struct lmdb_call *c = arg;

	return mdb_env_open(c->env, c->name, c->flags, c->mode);
}

static int do_env_close(void *arg)
{
	mdb_env_close(arg);
	return 0;
}

static int do_env_sync(void *arg)
{
	return mdb_env_sync(arg, 1);
}

static int do_dbi_open(void *arg)
{
	struct lmdb_call *c = arg;

	return mdb_dbi_open(c->txn, c->name, c->flags, c->ret_dbi);
}

static int do_put(void *arg)
{
	struct lmdb_call *c = arg;

	return mdb_put(c->txn, c->dbi, c->key, c->value, 0);
}

/* ---- Rows of meta ---- */

int index_put_meta(struct index *ix, MDB_txn *txn, struct str key, const void *body, size_t len)
{
	uint8_t row[ENVELOPE_BYTES + INDEX_SUM_BYTES * TABLE_END];
	MDB_val k = {key.len, (void *)key.p}, v = {ENVELOPE_BYTES + len, row};
	struct lmdb_call c = {.txn = txn, .dbi = ix->dbi[TABLE_META], .key = &k, .value = &v};

	ASSERT(v.mv_size <= sizeof row);
	memcpy(row + ENVELOPE_BYTES, body, len);
	envelope_seal(TABLE_META, key, 0, row, v.mv_size);
	return index_rc(ix, guard_call(do_put, &c), "put");
}

int index_put_sums(struct index *ix, MDB_txn *txn, const struct index_sum sums[TABLE_END])
{
	uint8_t body[INDEX_SUM_BYTES * TABLE_END] = {0}, *p = body;

	for (unsigned t = 1; t < TABLE_END; t++, p += INDEX_SUM_BYTES) {
		p[0] = (uint8_t)t;
		le64_put(p + 8, sums[t].rows);
		memcpy(p + 16, sums[t].sum, 16);
	}
	return index_put_meta(ix, txn, INDEX_META_SUMS, body, (size_t)(p - body));
}

static int load_meta(struct index *ix)
{
	CLEANUP(arena_free) struct arena a = ARENA_INIT;
	struct index_txn *t;
	struct str row, body;
	uint64_t seq;
	int rc = index_txn_open(ix, &t);

	if (rc < 0)
		return rc;
	rc = index_get(t, TABLE_META, INDEX_META_SCHEMA, &a, &row, &seq);
	if (rc > 0)
		rc = row.len >= ENVELOPE_BYTES + 4 && le32_get(row.p + ENVELOPE_BYTES) == INDEX_SCHEMA ? 1 : -QE_DRIVE_FORMAT;
	if (rc > 0)
		rc = index_get(t, TABLE_META, INDEX_META_POSITION, &a, &row, &seq);
	if (rc > 0 && row.len >= ENVELOPE_BYTES + 8)
		atomic_store(&ix->position, le64_get(row.p + ENVELOPE_BYTES));
	if (rc > 0)
		rc = index_get(t, TABLE_META, INDEX_META_SUMS, &a, &row, &seq);
	index_txn_close(t);
	if (rc <= 0)
		return rc < 0 ? rc : index_damaged(ix, "no meta row");
	body = str_sub(row, ENVELOPE_BYTES, row.len - ENVELOPE_BYTES);
	for (; body.len >= INDEX_SUM_BYTES; body = str_sub(body, INDEX_SUM_BYTES, body.len - INDEX_SUM_BYTES)) {
		unsigned table = (uint8_t)body.p[0];

		if (table >= TABLE_END)
			return -QE_DRIVE_FORMAT;
		ix->sums[table].rows = le64_get(body.p + 8);
		memcpy(ix->sums[table].sum, body.p + 16, 16);
	}
	return 0;
}

int index_sums(struct index *ix, struct index_sum ret[TABLE_END])
{
	if (index_is_bad(ix))
		return -QE_CORRUPT;
	mutex_lock(&ix->lock);
	memcpy(ret, ix->sums, sizeof ix->sums);
	mutex_unlock(&ix->lock);
	return 0;
}

/* ---- Opening ---- */

static int open_table(struct index *ix, MDB_txn *txn, const char *name, unsigned flags, MDB_dbi *ret)
{
	struct lmdb_call c = {.txn = txn, .name = name, .flags = flags, .ret_dbi = ret};

	return index_rc(ix, guard_call(do_dbi_open, &c), "open of a table");
}

/* All tables and the meta rows in one transaction: a copy is whole or empty. */
static int open_tables(struct index *ix, bool create)
{
	struct lmdb_call c = {.env = ix->env, .flags = create ? 0 : MDB_RDONLY};
	uint8_t schema[8] = {0}, zero[8] = {0};
	int rc = index_rc(ix, guard_call(do_begin, &c), "begin");

	if (rc < 0)
		return rc;
	rc = open_table(ix, c.txn, NULL, 0, &ix->main);
	for (unsigned t = 1; t < TABLE_END && rc == 0; t++)
		rc = open_table(ix, c.txn, meta_table_name(t), create ? MDB_CREATE : 0, &ix->dbi[t]);
	if (create) {
		le32_put(schema, INDEX_SCHEMA);
		if (rc == 0)
			rc = index_put_meta(ix, c.txn, INDEX_META_SCHEMA, schema, sizeof schema);
		if (rc == 0)
			rc = index_put_meta(ix, c.txn, INDEX_META_POSITION, zero, sizeof zero);
		if (rc == 0)
			rc = index_put_sums(ix, c.txn, ix->sums);
	}
	if (rc < 0) {
		index_abort(c.txn);
		return rc;
	}
	return index_commit(ix, c.txn); /* keeps the handles, in a read transaction too */
}

/* 1: the main database is empty: nothing was ever committed. */
static int is_empty(struct index *ix)
{
	MDB_stat st;
	int rc = mdb_env_stat(ix->env, &st);

	return rc ? index_rc(ix, rc, "stat") : st.ms_entries == 0;
}

/* A bit for each page, all 0; memory is taken for those that are used. */
static int bits_new(const struct pages *px, _Atomic uint64_t **ret)
{
	void *p = mmap(NULL, px->bits_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	*ret = p;
	return 0;
}

static int map_pages(struct index *ix, const char *file, uint64_t map_bytes)
{
	CLEANUP_FD int fd = open(file, O_RDONLY | O_CLOEXEC);
	struct pages *px = &ix->pages;
	MDB_stat st;
	void *p;

	if (fd < 0)
		return -errno;
	if (mdb_env_stat(ix->env, &st))
		return -QE_CORRUPT;
	px->size = st.ms_psize;
	px->len = map_bytes;
	p = mmap(NULL, px->len, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	px->map = p;
	px->in_memory = page_in_memory;
	/* Transactions begin under a lock, and read the two meta pages. Where they cannot be locked they are in use anyway. */
	(void)!mlock(p, 2 * (size_t)px->size);
	if (madvise(p, px->len, MADV_RANDOM) < 0)
		return -errno;
	px->bits_len = ALIGN_UP(px->len / px->size / 8 + 8, 4096);
	int rc = bits_new(px, &px->checked);
	if (rc == 0)
		rc = bits_new(px, &px->free);
	if (rc == 0)
		rc = bits_new(px, &px->seen);
	if (rc < 0)
		return rc;
	atomic_store(&px->free_txn, UINT64_MAX);
	return 0;
}

enum how { HOW_READ, HOW_OPEN, HOW_CREATE };

static int open_env(struct index *ix, const char *dir, uint64_t map_bytes, enum how how)
{
	struct lmdb_call c = {.name = dir, .flags = MDB_NOTLS | MDB_NOMETASYNC | MDB_NORDAHEAD, .mode = 0600};
	int rc = mdb_env_create(&ix->env), dead;

	if (rc)
		return -ENOMEM;
	c.env = ix->env;
	if (how == HOW_READ)
		c.flags |= MDB_RDONLY | MDB_NOLOCK;
	rc = mdb_env_set_mapsize(ix->env, map_bytes);
	if (!rc)
		rc = mdb_env_set_maxdbs(ix->env, 32);
	if (!rc)
		rc = mdb_env_set_maxreaders(ix->env, MAX_READERS);
	if (!rc)
		rc = mdb_env_set_assert(ix->env, guard_assert);
	if (!rc)
		rc = guard_call(do_env_open, &c);
	if (!rc && how != HOW_READ)
		rc = mdb_reader_check(ix->env, &dead);
	return index_rc(ix, rc, "open");
}

/* LMDB keeps its table of readers in a file beside the data, by a shared mapping. Of a drive that hangs a store into it may
 * not return: each view would wait for that drive. Nobody else reads the copy, so the file is one in memory, with a name on
 * the drive for as long as it is being opened. */
static int open_with_readers(struct index *ix, const char *dir, uint64_t map_bytes, enum how how)
{
	char lock[PATH_MAX], target[40];
	CLEANUP_FD int fd = memfd_create("quoin-index-readers", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (snprintf(lock, sizeof lock, "%s/lock.mdb", dir) >= (int)sizeof lock)
		return -ENAMETOOLONG;
	snprintf(target, sizeof target, "/proc/self/fd/%d", fd);
	/* The drive is locked, so nobody else has it open: what a dead process left there is of no use. */
	if (unlink(lock) < 0 && errno != ENOENT)
		return -errno;
	if (symlink(target, lock) < 0)
		return -errno;
	int rc = open_env(ix, dir, map_bytes, how);
	return unlink(lock) < 0 && rc == 0 ? -errno : rc;
}

/* 1: there is a data file, and its meta pages are good. 0: none, or one that was never written. */
static int check_data_file(const char *file)
{
	CLEANUP_FD int fd = open(file, O_RDONLY | O_CLOEXEC);
	struct stat st;
	int rc;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size == 0)
		return 0;
	rc = pages_check_file(fd);
	return rc < 0 ? rc : 1;
}

static int open_at(struct index *ix, const char *drive_path, uint64_t map_bytes, enum how how)
{
	char dir[PATH_MAX], file[PATH_MAX];
	bool fits, create = how == HOW_CREATE;
	int rc;

	fits = snprintf(dir, sizeof dir, "%s/index", drive_path) < (int)sizeof dir;
	fits = fits && snprintf(file, sizeof file, "%s/" INDEX_DATA_FILE, drive_path) < (int)sizeof file;
	if (!fits)
		return -ENAMETOOLONG;
	if (create && mkdir(dir, 0700) < 0 && errno != EEXIST)
		return -errno;
	rc = check_data_file(file);
	if (rc < 0)
		return rc;
	if (rc == 0 && !create)
		return -ENOENT;
	rc = how == HOW_READ ? open_env(ix, dir, map_bytes, how) : open_with_readers(ix, dir, map_bytes, how);
	if (rc == 0)
		rc = map_pages(ix, file, map_bytes);
	if (rc == 0)
		rc = is_empty(ix);
	if (rc < 0)
		return rc;
	if (rc && !create)
		return index_damaged(ix, "empty");
	create = rc;
	rc = open_tables(ix, create);
	if (rc == 0 && create)
		rc = index_rc(ix, guard_call(do_env_sync, ix->env), "sync");
	if (rc == 0 && create)
		rc = fd_fsync_dir(dir);
	if (rc == 0 && create)
		rc = fd_fsync_dir(drive_path);
	return rc < 0 ? rc : load_meta(ix);
}

static int open_as(const char *drive_path, uint64_t map_bytes, enum how how, struct index **ret)
{
	struct index *ix = calloc(1, sizeof *ix);
	int rc;

	if (!ix)
		return -ENOMEM;
	guard_install();
	mutex_init(&ix->lock, LOCK_POOL);
	list_init(&ix->idle);
	rc = open_at(ix, drive_path, ALIGN_UP(MAX(map_bytes, 1u << 20), 65536), how);
	if (rc < 0)
		ix = index_close(ix);
	else
		*ret = ix;
	return rc;
}

int index_open(const char *drive_path, uint64_t map_bytes, bool create, struct index **ret)
{
	return open_as(drive_path, map_bytes, create ? HOW_CREATE : HOW_OPEN, ret);
}

int index_open_read(const char *drive_path, uint64_t map_bytes, struct index **ret)
{
	return open_as(drive_path, map_bytes, HOW_READ, ret);
}

struct index *index_close(struct index *ix)
{
	struct list *l;

	if (!ix)
		return NULL;
	while ((l = list_pop(&ix->idle)))
		index_txn_free(LIST_ENTRY(l, struct index_txn, node));
	if (ix->env && guard_call(do_env_close, ix->env) < 0)
		index_damaged(ix, "close");
	if (ix->pages.map)
		munmap((void *)ix->pages.map, ix->pages.len);
	if (ix->pages.checked)
		munmap((void *)ix->pages.checked, ix->pages.bits_len);
	if (ix->pages.free)
		munmap((void *)ix->pages.free, ix->pages.bits_len);
	if (ix->pages.seen)
		munmap((void *)ix->pages.seen, ix->pages.bits_len);
	drive_file_unref(ix->pages.file);
	mutex_destroy(&ix->lock);
	free(ix);
	return NULL;
}
