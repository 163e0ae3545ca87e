/* SPDX-License-Identifier: Apache-2.0
 *
 * What all kinds of drives share: the checked calls, health, file references.
 */
#include "drive/drive.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "drive/drive_internal.h"

const char *const drive_dirs[4] = {"journal", "seg", "spare", "index"};

#define ADD(field, v) __atomic_fetch_add(&(field), (v), __ATOMIC_RELAXED)
#define GET(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)

int drive_init(struct drive *d, const struct drive_ops *ops, const char *path)
{
	d->ops = ops;
	d->lock_fd = -1;
	d->path = strdup(path);
	d->health = calloc(1, sizeof *d->health);
	if (!d->path || !d->health) {
		free(d->path);
		free(d->health);
		return -ENOMEM;
	}
	mutex_init(&d->health->lock, LOCK_DRIVE);
	return 0;
}

void drive_dir_path(const struct drive *d, char *ret)
{
	snprintf(ret, DRIVE_DIR_PATH, "/proc/self/fd/%d", d->dir_fd);
}

void drive_done(struct drive *d)
{
	mutex_destroy(&d->health->lock);
	free(d->health);
	free(d->path);
}

struct drive *drive_close(struct drive *d)
{
	if (!d)
		return NULL;
	int lock_fd = d->lock_fd;
	ASSERT(drive_users(d) == 0);
	d->ops->close(d);
	/* Last: whoever gets the lock next finds nothing of ours running. */
	if (lock_fd >= 0)
		close(lock_fd);
	return NULL;
}

struct drive *drive_hold(struct drive *d)
{
	if (d)
		ADD(d->users, 1);
	return d;
}

/* The last use is over before it is seen to be. */
void drive_unhold(struct drive *d)
{
	if (d)
		__atomic_fetch_sub(&d->users, 1, __ATOMIC_RELEASE);
}

unsigned drive_users(const struct drive *d)
{
	return __atomic_load_n(&d->users, __ATOMIC_ACQUIRE);
}

int drive_file_init(struct drive_file *f, struct drive *d, const char *name, uint64_t size)
{
	f->drive = d;
	f->refs = 1;
	f->size = size;
	f->name = strdup(name);
	if (!f->name)
		return -ENOMEM;
	drive_hold(d);
	return 0;
}

void drive_file_done(struct drive_file *f)
{
	free(f->name);
	drive_unhold(f->drive);
}

struct drive_file *drive_file_ref(struct drive_file *f)
{
	__atomic_fetch_add(&f->refs, 1, __ATOMIC_RELAXED);
	return f;
}

void drive_file_unref(struct drive_file *f)
{
	if (f && __atomic_sub_fetch(&f->refs, 1, __ATOMIC_ACQ_REL) == 0)
		f->drive->ops->close_file(f);
}

/* Answers that say something about a name, a file, a cache or what a file system can do, not about the drive's health. */
static bool is_failure(int rc)
{
	return rc < 0 && rc != -EAGAIN && rc != -ENOENT && rc != -EEXIST && rc != -EINVAL &&
	       rc != -EISDIR && rc != -ELOOP && rc != -EOPNOTSUPP && rc != -QE_END_OF_FILE;
}

const char *drive_err_text(int rc)
{
	switch (rc) {
	case -ETIMEDOUT:
	case -QE_DRIVE_TIMEOUT:
		return "no answer within drive.timeout";
	case -QE_DRIVE_FOREIGN:
		return "it belongs to another deployment, set or slot";
	case -QE_DRIVE_FORMAT:
		return "its format is unknown, newer or damaged";
	case -QE_DRIVE_LOCKED:
		return "it is in use by another quoin process";
	default:
		return err_text(rc);
	}
}

static void note_error(struct drive *d, const char *what, const char *name, int rc)
{
	struct drive_health *h = d->health;

	ADD(h->st.errors, 1);
	mutex_lock(&h->lock);
	h->st.last_error_ns = clock_wall_ns();
	snprintf(h->st.last_error, sizeof h->st.last_error, "%s %.40s: %s", what, name, drive_err_text(rc));
	mutex_unlock(&h->lock);
}

static int checked(struct drive *d, const char *what, const char *name, int rc)
{
	/* What is refused because the drive is out says nothing new, and must not hide why it is. */
	bool refused = rc == -EIO && drive_is_out(d);

	if (is_failure(rc) && !refused)
		note_error(d, what, name, rc);
	return rc;
}

void drive_account(struct drive_file *f, enum drive_io_op op, int rc, size_t len, uint64_t since_ns)
{
	static const char *const what[] = {"read", "write", "sync"};
	struct drive_stats *st = &f->drive->health->st;
	uint64_t ns = clock_mono_ns() - since_ns;

	switch (op) {
	case DRIVE_IO_READ:
		ADD(st->reads, 1);
		ADD(st->read_ns, ns);
		ADD(st->bytes_read, rc < 0 ? 0 : len);
		break;
	case DRIVE_IO_WRITE:
		ADD(st->writes, 1);
		ADD(st->write_ns, ns);
		ADD(st->bytes_written, rc < 0 ? 0 : len);
		break;
	case DRIVE_IO_SYNC:
		ADD(st->syncs, 1);
		ADD(st->sync_ns, ns);
		break;
	}
	checked(f->drive, what[op], f->name, rc);
}

static bool misaligned(const void *p, size_t len, uint64_t off, unsigned flags)
{
	return (flags & DRIVE_DIRECT) && (((uintptr_t)p | len | off) & (DRIVE_BLOCK - 1));
}

/* Counts from before the look at `out` on: whoever has set it and then finds no change under way will see none. */
void drive_change_begin(struct drive *d)
{
	__atomic_fetch_add(&d->changes, 1, __ATOMIC_SEQ_CST);
}

void drive_change_end(struct drive *d)
{
	__atomic_fetch_sub(&d->changes, 1, __ATOMIC_RELEASE);
}

static void change_endp(struct drive **d)
{
	drive_change_end(*d);
}

#define DRIVE_CHANGES(of)                                                                                              \
	CLEANUP(change_endp) struct drive *changing = (of);                                                                \
	drive_change_begin(changing)

unsigned drive_changes(const struct drive *d)
{
	return __atomic_load_n(&d->changes, __ATOMIC_SEQ_CST);
}

int drive_open(struct drive *d, const char *name, unsigned flags, uint64_t size, struct drive_file **ret)
{
	DRIVE_CHANGES(d);

	if (drive_is_out(d))
		return -EIO;
	return checked(d, flags & DRIVE_CREATE ? "create" : "open", name,
		       drive_call(d, &(struct drive_call){.op = CALL_OPEN, .name = name, .flags = flags, .off = size}, ret));
}

int drive_pread(struct drive_file *f, void *p, size_t len, uint64_t off, unsigned flags)
{
	if (drive_is_out(f->drive))
		return -EIO;
	if (misaligned(p, len, off, flags))
		return -EINVAL;
	uint64_t since_ns = clock_mono_ns();
	struct drive_call c = {.op = CALL_PREAD, .file = f, .flags = flags, .buf = p, .len = len, .off = off};
	/* What is in memory is there at once. */
	int rc = flags & DRIVE_NOWAIT ? f->drive->ops->pread(f, p, len, off, flags) : drive_call(f->drive, &c, NULL);
	drive_account(f, DRIVE_IO_READ, rc, len, since_ns);
	return rc;
}

int drive_pwrite(struct drive_file *f, const void *p, size_t len, uint64_t off, unsigned flags)
{
	DRIVE_CHANGES(f->drive);

	if (drive_is_out(f->drive))
		return -EIO;
	if (misaligned(p, len, off, flags))
		return -EINVAL;
	uint64_t since_ns = clock_mono_ns();
	struct drive_call c = {.op = CALL_PWRITE, .file = f, .flags = flags, .buf = (void *)(uintptr_t)p, .len = len, .off = off};
	int rc = drive_call(f->drive, &c, NULL);
	drive_account(f, DRIVE_IO_WRITE, rc, len, since_ns);
	return rc;
}

int drive_sync(struct drive_file *f)
{
	DRIVE_CHANGES(f->drive);

	if (drive_is_out(f->drive))
		return -EIO;
	uint64_t since_ns = clock_mono_ns();
	int rc = drive_call(f->drive, &(struct drive_call){.op = CALL_SYNC, .file = f}, NULL);
	drive_account(f, DRIVE_IO_SYNC, rc, 0, since_ns);
	return rc;
}

int drive_drop_clean(struct drive_file *f)
{
	if (drive_is_out(f->drive))
		return -EIO;
	return checked(f->drive, "drop cache of", f->name,
		       drive_call(f->drive, &(struct drive_call){.op = CALL_DROP_CLEAN, .file = f}, NULL));
}

int drive_punch(struct drive_file *f, uint64_t off, uint64_t len)
{
	DRIVE_CHANGES(f->drive);

	if (drive_is_out(f->drive))
		return -EIO;
	return checked(f->drive, "punch", f->name,
		       drive_call(f->drive, &(struct drive_call){.op = CALL_PUNCH, .file = f, .off = off, .len = len}, NULL));
}

int drive_mkdir(struct drive *d, const char *name)
{
	DRIVE_CHANGES(d);

	if (drive_is_out(d))
		return -EIO;
	return checked(d, "mkdir", name, drive_call(d, &(struct drive_call){.op = CALL_MKDIR, .name = name}, NULL));
}

int drive_rename(struct drive *d, const char *from, const char *to)
{
	DRIVE_CHANGES(d);

	if (drive_is_out(d))
		return -EIO;
	return checked(d, "rename", from, drive_call(d, &(struct drive_call){.op = CALL_RENAME, .name = from, .to = to}, NULL));
}

int drive_unlink(struct drive *d, const char *name)
{
	DRIVE_CHANGES(d);

	if (drive_is_out(d))
		return -EIO;
	return checked(d, "unlink", name, drive_call(d, &(struct drive_call){.op = CALL_UNLINK, .name = name}, NULL));
}

int drive_list(struct drive *d, const char *dir, int (*fn)(void *arg, const char *name), void *arg)
{
	CLEANUP_BUF struct buf names = BUF_INIT;
	struct str rest, name;

	if (drive_is_out(d))
		return -EIO;
	int rc = checked(d, "list", dir, drive_call(d, &(struct drive_call){.op = CALL_LIST, .name = dir, .names = &names}, NULL));
	for (rest = buf_str(&names); rc == 0 && str_split(&rest, '\0', &name);)
		if (name.len) /* not the end */
			rc = fn(arg, name.p);
	return rc;
}

int drive_space(struct drive *d, struct drive_space *ret)
{
	if (drive_is_out(d))
		return -EIO;

	int rc = checked(d, "statvfs", ".", d->ops->space(d, ret));

	if (rc == 0)
		ret->free_bytes = MIN(ret->free_bytes + GET(d->spare_bytes), ret->total_bytes);
	return rc;
}

void drive_set_spare_bytes(struct drive *d, uint64_t bytes)
{
	__atomic_store_n(&d->spare_bytes, bytes, __ATOMIC_RELAXED);
}

void drive_stats(struct drive *d, struct drive_stats *ret)
{
	struct drive_stats *st = &d->health->st;
	MUTEX_GUARD(&d->health->lock);

	*ret = (struct drive_stats){
		.reads = GET(st->reads),
		.writes = GET(st->writes),
		.syncs = GET(st->syncs),
		.errors = GET(st->errors),
		.bytes_read = GET(st->bytes_read),
		.bytes_written = GET(st->bytes_written),
		.read_ns = GET(st->read_ns),
		.write_ns = GET(st->write_ns),
		.sync_ns = GET(st->sync_ns),
		.last_error_ns = st->last_error_ns,
		.out = drive_is_out(d),
	};
	memcpy(ret->last_error, st->last_error, sizeof ret->last_error);
}

void drive_set_out(struct drive *d, bool out, const char *why)
{
	struct drive_health *h = d->health;

	if (why) {
		mutex_lock(&h->lock);
		h->st.last_error_ns = clock_wall_ns();
		snprintf(h->st.last_error, sizeof h->st.last_error, "%s", why);
		mutex_unlock(&h->lock);
	}
	__atomic_store_n(&h->st.out, out, __ATOMIC_SEQ_CST);
}

bool drive_is_out(const struct drive *d)
{
	return __atomic_load_n(&d->health->st.out, __ATOMIC_ACQUIRE);
}
