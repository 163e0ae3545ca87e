/* SPDX-License-Identifier: Apache-2.0
 *
 * The identity file: codec, the lock, and telling a blank drive from somebody else's directory.
 */
#include "drive/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/checksum.h"
#include "base/err.h"
#include "base/fdio.h"
#include "base/str.h"
#include "drive/drive_internal.h"
#include "drive/super.h"

#define IDENTITY_FORMAT 1
#define CRC_OFF (DRIVE_BLOCK - 4)

/* Offsets in the block. */
enum { AT_FORMAT = 4, AT_DEPLOYMENT = 6, AT_DRIVE = 22, AT_POOL = 38, AT_CREATED = 50, AT_FEATURES = 58 };

static void encode(const struct identity *id, uint8_t *block)
{
	const uint16_t place[] = {id->pool, id->set, id->slot, id->n, id->k, id->m};

	memset(block, 0, DRIVE_BLOCK);
	memcpy(block, "QIDN", 4);
	le16_put(block + AT_FORMAT, IDENTITY_FORMAT);
	memcpy(block + AT_DEPLOYMENT, id->deployment, 16);
	memcpy(block + AT_DRIVE, id->drive, 16);
	for (unsigned i = 0; i < ARRAY_SIZE(place); i++)
		le16_put(block + AT_POOL + 2 * i, place[i]);
	le64_put(block + AT_CREATED, id->created_ns);
	le64_put(block + AT_FEATURES, 0);
	le32_put(block + CRC_OFF, checksum_crc32c(0, block, CRC_OFF));
}

static bool crc_ok(const uint8_t *block)
{
	return le32_get(block + CRC_OFF) == checksum_crc32c(0, block, CRC_OFF);
}

static int decode(const uint8_t *block, struct identity *ret)
{
	uint16_t *const place[] = {&ret->pool, &ret->set, &ret->slot, &ret->n, &ret->k, &ret->m};

	if (memcmp(block, "QIDN", 4) != 0 || le16_get(block + AT_FORMAT) != IDENTITY_FORMAT || !crc_ok(block) ||
	    le64_get(block + AT_FEATURES) != 0)
		return -QE_DRIVE_FORMAT;
	ret->damaged = false;
	memcpy(ret->deployment, block + AT_DEPLOYMENT, 16);
	memcpy(ret->drive, block + AT_DRIVE, 16);
	for (unsigned i = 0; i < ARRAY_SIZE(place); i++)
		*place[i] = le16_get(block + AT_POOL + 2 * i);
	ret->created_ns = le64_get(block + AT_CREATED);
	return 0;
}

/* ---- The lock --------------------------------------------------------------------------------------------------- */

/* Locks a file of the drive, or with name NULL its directory. The descriptor, -QE_DRIVE_LOCKED, or -errno. */
static int lock_path(struct drive *d, const char *name)
{
	int fd = openat(d->dir_fd, name ? name : ".", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	int rc = errno == EWOULDBLOCK ? -QE_DRIVE_LOCKED : -errno;
	close(fd);
	return rc;
}

/* proc(5): "3: FLOCK  ADVISORY  WRITE 4711 fd:01:393218 0 EOF". The process, if it is about that file; else 0. */
static pid_t parse_lock(struct str line, const char *file)
{
	struct str word[6], w;
	unsigned n = 0;
	uint64_t pid;

	while (n < ARRAY_SIZE(word) && str_split(&line, ' ', &w))
		if (w.len)
			word[n++] = w;
	if (n < ARRAY_SIZE(word) || !str_eqc(word[1], "FLOCK") || !str_eqc(word[5], file))
		return 0;
	return str_to_u64(word[4], &pid) == 0 && pid <= INT_MAX ? (pid_t)pid : 0;
}

pid_t identity_holder(const char *path)
{
	char name[PATH_MAX], file[64], line[256];
	struct stat st;
	pid_t holder = 0;

	snprintf(name, sizeof name, "%s/%s", path, IDENTITY_NAME);
	FILE *f = stat(name, &st) == 0 ? fopen("/proc/locks", "re") : NULL;
	if (!f)
		return 0;
	snprintf(file, sizeof file, "%02x:%02x:%llu", major(st.st_dev), minor(st.st_dev), (unsigned long long)st.st_ino);
	while (!holder && fgets(line, sizeof line, f))
		holder = parse_lock(str_of(line), file);
	fclose(f);
	return holder;
}

static void adopt(struct drive *d, const struct identity *id, int lock_fd)
{
	d->lock_fd = lock_fd;
	d->slot = id->slot;
	memcpy(d->id, id->drive, 16);
}

/* ---- Blank or foreign ------------------------------------------------------------------------------------------- */

static int found_entry(void *arg, const char *name)
{
	return 1;
}

/* 1: has entries. */
static int dir_used(struct drive *d, const char *name)
{
	int rc = drive_list(d, name, found_entry, NULL);

	/* Not a directory: not what we would have made. */
	return rc == -ENOTDIR ? 1 : rc;
}

/* The name is something else than a file. */
static bool is_odd(int rc)
{
	return rc == -EINVAL || rc == -ELOOP || rc == -EISDIR || rc == -ENXIO;
}

/* 1: the file is not a superblock that a format wrote or was about to write. */
static int super_foreign(struct drive *d)
{
	CLEANUP_FREE uint8_t *block = malloc(DRIVE_BLOCK);
	struct drive_file *f;
	struct super s;
	int rc = block ? drive_open(d, SUPER_NAME, 0, 0, &f) : -ENOMEM;

	if (rc < 0)
		return is_odd(rc) ? 1 : rc;
	bool foreign = f->size > SUPER_FILE_SIZE;
	for (uint64_t off = 0; !foreign && rc == 0 && off + DRIVE_BLOCK <= f->size; off += DRIVE_BLOCK) {
		rc = drive_pread(f, block, DRIVE_BLOCK, off, 0);
		if (rc == 0 && super_decode(block, &s) < 0)
			foreign = block[0] != 0 || memcmp(block, block + 1, DRIVE_BLOCK - 1) != 0;
	}
	drive_file_unref(f);
	return rc < 0 ? rc : foreign;
}

/* 1: foreign. */
static int check_entry(void *arg, const char *name)
{
	struct drive *d = arg;

	if (strcmp(name, "lost+found") == 0 || strcmp(name, IDENTITY_TMP_NAME) == 0)
		return 0;
	for (unsigned i = 0; i < ARRAY_SIZE(drive_dirs); i++)
		if (strcmp(name, drive_dirs[i]) == 0)
			return dir_used(d, name);
	return strcmp(name, SUPER_NAME) == 0 ? super_foreign(d) : 1;
}

/* -ENODATA, -QE_DRIVE_FORMAT, or -errno. */
static int check_blank(struct drive *d)
{
	int rc = drive_list(d, ".", check_entry, d);

	if (rc == 0)
		return -ENODATA;
	return rc > 0 ? -QE_DRIVE_FORMAT : rc;
}

/* ---- Reading and writing ---------------------------------------------------------------------------------------- */

/* The superblock names the drive and its place as well. Only the time of the format stands in the file alone. */
static int identity_from_super(struct drive *d, const uint8_t *block, struct identity *ret)
{
	CLEANUP_FREE struct super *s = malloc(sizeof *s);
	int rc = s ? super_read(d, true, s) : -ENOMEM;

	if (rc < 0)
		return rc == -QE_CORRUPT ? -QE_DRIVE_FORMAT : rc;
	*ret = (struct identity){
		.pool = s->pool,
		.set = s->set,
		.slot = s->slot,
		.n = s->n,
		.k = s->k,
		.m = s->m,
		.created_ns = le64_get(block + AT_CREATED),
		.damaged = true,
	};
	memcpy(ret->deployment, s->deployment, 16);
	memcpy(ret->drive, s->drive, 16);
	return 0;
}

static int read_block(struct drive_file *f, struct identity *ret)
{
	CLEANUP_FREE uint8_t *block = malloc(DRIVE_BLOCK);

	if (!block)
		return -ENOMEM;
	if (f->size != DRIVE_BLOCK)
		return -QE_DRIVE_FORMAT;
	int rc = drive_pread(f, block, DRIVE_BLOCK, 0, 0);
	if (rc == 0)
		rc = decode(block, ret);
	return rc == -QE_DRIVE_FORMAT && !crc_ok(block) ? identity_from_super(f->drive, block, ret) : rc;
}

int identity_read(struct drive *d, struct identity *ret)
{
	struct drive_file *f;
	struct identity id = {0};
	int rc = drive_open(d, IDENTITY_NAME, 0, 0, &f);

	if (rc == -ENOENT)
		return check_blank(d);
	if (rc < 0)
		return is_odd(rc) ? -QE_DRIVE_FORMAT : rc;
	int fd = d->lock_fd >= 0 ? d->lock_fd : lock_path(d, IDENTITY_NAME);
	rc = fd < 0 ? fd : read_block(f, &id);
	drive_file_unref(f);
	if (rc < 0) {
		if (fd >= 0 && fd != d->lock_fd)
			close(fd);
		return rc;
	}
	adopt(d, &id, fd);
	*ret = id;
	return 0;
}

int identity_mend(struct drive *d, struct identity *id)
{
	CLEANUP_FREE uint8_t *block = malloc(DRIVE_BLOCK);
	struct drive_file *f;

	ASSERT(id->damaged && d->lock_fd >= 0);
	if (!block)
		return -ENOMEM;
	int rc = drive_open(d, IDENTITY_NAME, 0, 0, &f);
	if (rc < 0)
		return rc;
	encode(id, block);
	/* In place, under the lock: what is cut short is still damaged. */
	rc = drive_pwrite(f, block, DRIVE_BLOCK, 0, DRIVE_DSYNC);
	drive_file_unref(f);
	if (rc == 0)
		id->damaged = false;
	return rc;
}

int identity_check(struct drive *d)
{
	CLEANUP_BUF struct buf path = BUF_INIT;
	struct stat held, now;

	buf_addf(&path, "%s/%s", d->path, IDENTITY_NAME);
	if (buf_err(&path))
		return -ENOMEM;
	if (d->lock_fd < 0 || fstat(d->lock_fd, &held) != 0 || stat(buf_cstr(&path), &now) != 0)
		return d->lock_fd < 0 ? -ENOENT : -errno;
	return held.st_dev == now.st_dev && held.st_ino == now.st_ino ? 0 : -ENOENT;
}

static int write_tmp(struct drive *d, const struct identity *id)
{
	CLEANUP_FREE uint8_t *block = malloc(DRIVE_BLOCK);
	struct drive_file *f;

	if (!block)
		return -ENOMEM;
	encode(id, block);
	int rc = drive_unlink(d, IDENTITY_TMP_NAME);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	rc = drive_open(d, IDENTITY_TMP_NAME, DRIVE_CREATE | DRIVE_PREWRITE, DRIVE_BLOCK, &f);
	if (rc < 0)
		return rc;
	rc = drive_pwrite(f, block, DRIVE_BLOCK, 0, DRIVE_DSYNC);
	drive_file_unref(f);
	return rc;
}

int identity_format(struct drive *d, const struct identity *id)
{
	struct identity old;

	if (d->lock_fd >= 0)
		return -EEXIST;
	/* Keeps out another process that formats the same drive. */
	CLEANUP_FD int dir_fd = lock_path(d, NULL);
	if (dir_fd < 0)
		return dir_fd;
	int rc = identity_read(d, &old);
	if (rc != -ENODATA)
		return rc == 0 ? -EEXIST : rc;
	rc = write_tmp(d, id);
	if (rc < 0)
		return rc;
	/* Locked under its temporary name: when the identity appears, it is held already. */
	int fd = lock_path(d, IDENTITY_TMP_NAME);
	if (fd < 0)
		return fd;
	rc = drive_rename(d, IDENTITY_TMP_NAME, IDENTITY_NAME);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	adopt(d, id, fd);
	return 0;
}
