/* SPDX-License-Identifier: Apache-2.0
 *
 * The faulty drive: rules, the calls, and the bench of such drives. What a power loss leaves: faulty_power.c.
 *
 * A bench has one lock, held over the file I/O too: a test wants one order of all operations, not speed.
 */
#include "drive/drive_faulty.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fdio.h"
#include "base/lock.h"
#include "drive/drive_internal.h"
#include "drive/faulty_bench_internal.h"

#define OP_NAMES (-1)  /* in place of an enum drive_io_op */

struct rule {
	struct list node;
	struct fault_rule r;
	uint64_t matched;
};

struct hung_io {
	struct list node;
	struct drive_queue *q;
	struct drive_io *io;
};

struct faulty_drive {
	struct drive d;
	struct fault_bench *b;
	struct bench_drive *bd;
	unsigned life;
	struct drive *inner;     /* for what needs no lies: list, space */
};

struct faulty_file {
	struct drive_file f;
	int fd;
	struct image *image;
};

static struct faulty_drive *faulty_drive(struct drive *d)
{
	return CONTAINER_OF(d, struct faulty_drive, d);
}

static struct faulty_file *faulty_file(struct drive_file *f)
{
	return CONTAINER_OF(f, struct faulty_file, f);
}

static struct mutex *bench_lock(struct drive *d)
{
	return &faulty_drive(d)->b->lock;
}

/* ---- Rules ------------------------------------------------------------------------------------------------------ */

static bool rule_matches(const struct fault_rule *r, unsigned slot, const char *name, int op, bool queued)
{
	if (r->queued && !queued)
		return false;
	if (r->slot >= 0 && (unsigned)r->slot != slot)
		return false;
	if (r->name && strncmp(name, r->name, strlen(r->name)) != 0)
		return false;
	return r->op < 0 ? op != DRIVE_IO_READ : r->op == op;
}

/* Counts the operation and says what becomes of it. STOP: fail with -EIO. */
static enum fault_kind judge_locked(struct faulty_drive *fd, const char *name, int op, bool queued)
{
	struct fault_bench *b = fd->b;
	enum fault_kind kind = FAULT_NONE;

	if (b->stopped || fd->life != fd->bd->life)
		return FAULT_STOP;
	if (op != DRIVE_IO_READ)
		b->ops++;
	LIST_FOREACH(n, &b->rules) {
		struct rule *rule = LIST_ENTRY(n, struct rule, node);
		if (!rule_matches(&rule->r, fd->bd->slot, name, op, queued))
			continue;
		rule->matched++;
		bool fires = rule->matched == rule->r.nth || (!rule->r.once && rule->matched > rule->r.nth);
		if (fires && kind == FAULT_NONE) {
			kind = rule->r.kind;
			b->fired++;
		}
	}
	if (kind == FAULT_STOP || kind == FAULT_TORN)
		b->stopped = true;
	return kind;
}

static bool dead_locked(struct faulty_drive *fd)
{
	return fd->b->stopped || fd->life != fd->bd->life;
}

/* judge_locked for calls that return their result: one that hangs waits here. */
static enum fault_kind judge_wait_locked(struct faulty_drive *fd, const char *name, int op)
{
	struct fault_bench *b = fd->b;
	enum fault_kind kind = judge_locked(fd, name, op, false);

	if (kind != FAULT_HANG)
		return kind;
	for (uint64_t seen = b->releases; b->releases == seen;)
		cond_wait(&b->released, &b->lock);
	return dead_locked(fd) ? FAULT_STOP : FAULT_NONE;
}

/* ---- Data ------------------------------------------------------------------------------------------------------- */

static int read_locked(struct faulty_file *ff, void *p, size_t len, uint64_t off, enum fault_kind kind)
{
	if (kind == FAULT_STOP || kind == FAULT_ERROR || kind == FAULT_TORN)
		return -EIO;
	return fd_pread_full(ff->fd, p, len, off);
}

static int write_locked(struct faulty_file *ff, const void *p, size_t len, uint64_t off, unsigned flags,
			enum fault_kind kind)
{
	bool flushed = flags & DRIVE_DSYNC;
	size_t part;

	switch (kind) {
	case FAULT_STOP:
	case FAULT_ERROR:
		return -EIO;
	case FAULT_ENOSPC:
		return -ENOSPC;
	case FAULT_LOST:
		return 0;
	case FAULT_TORN:
		part = bench_random(faulty_drive(ff->f.drive)->b) % DIV_ROUND_UP(len, IMAGE_SECTOR) * IMAGE_SECTOR;
		if (part && image_write(ff->image, ff->fd, p, part, off, false) < 0)
			return -ENOMEM;
		return -EIO;
	case FAULT_MISDIRECTED:
		off += DRIVE_BLOCK;
		break;
	case FAULT_NONE:
	case FAULT_COLD:
	case FAULT_HANG:
		break;
	}
	return image_write(ff->image, ff->fd, p, len, off, flushed);
}

static int sync_locked(struct faulty_file *ff, enum fault_kind kind)
{
	switch (kind) {
	case FAULT_STOP:
	case FAULT_TORN:
		return -EIO;
	case FAULT_ERROR:
	case FAULT_ENOSPC:
		image_fail_flush(ff->image);
		return kind == FAULT_ERROR ? -EIO : -ENOSPC;
	case FAULT_LOST:
		return 0;
	default:
		return image_flush(ff->image, ff->fd);
	}
}

static int faulty_pread(struct drive_file *f, void *p, size_t len, uint64_t off, unsigned flags)
{
	MUTEX_GUARD(bench_lock(f->drive));
	enum fault_kind kind = judge_wait_locked(faulty_drive(f->drive), f->name, DRIVE_IO_READ);

	if (kind == FAULT_COLD && flags & DRIVE_NOWAIT)
		return -EAGAIN;
	return read_locked(faulty_file(f), p, len, off, kind);
}

static int faulty_pwrite(struct drive_file *f, const void *p, size_t len, uint64_t off, unsigned flags)
{
	MUTEX_GUARD(bench_lock(f->drive));
	enum fault_kind kind = judge_wait_locked(faulty_drive(f->drive), f->name, DRIVE_IO_WRITE);

	return len ? write_locked(faulty_file(f), p, len, off, flags, kind) : 0;
}

static int faulty_sync(struct drive_file *f)
{
	MUTEX_GUARD(bench_lock(f->drive));

	return sync_locked(faulty_file(f), judge_wait_locked(faulty_drive(f->drive), f->name, DRIVE_IO_SYNC));
}

static int faulty_drop_clean(struct drive_file *f)
{
	MUTEX_GUARD(bench_lock(f->drive));

	if (dead_locked(faulty_drive(f->drive)))
		return -EIO;
	return image_drop_clean(faulty_file(f)->image, faulty_file(f)->fd);
}

static int faulty_punch(struct drive_file *f, uint64_t off, uint64_t len)
{
	MUTEX_GUARD(bench_lock(f->drive));
	struct faulty_file *ff = faulty_file(f);

	switch (judge_wait_locked(faulty_drive(f->drive), f->name, DRIVE_IO_WRITE)) {
	case FAULT_NONE:
	case FAULT_COLD:
	case FAULT_HANG:
	case FAULT_MISDIRECTED:
		return image_zero(ff->image, ff->fd, off, len);
	case FAULT_LOST:
		return 0;
	case FAULT_ENOSPC:
		return -ENOSPC;
	default:
		return -EIO;
	}
}

static int run_locked(struct drive_io *io, enum fault_kind kind)
{
	struct faulty_file *ff = faulty_file(io->file);

	switch (io->op) {
	case DRIVE_IO_READ:
		return read_locked(ff, io->buf, io->len, io->off, kind);
	case DRIVE_IO_WRITE:
		return write_locked(ff, io->buf, io->len, io->off, io->flags, kind);
	case DRIVE_IO_SYNC:
		return sync_locked(ff, kind);
	}
	return -EINVAL;
}

static void faulty_submit(struct drive_queue *q, struct drive_io *io)
{
	struct faulty_drive *fd = faulty_drive(io->file->drive);

	mutex_lock(&fd->b->lock);
	enum fault_kind kind = judge_locked(fd, io->file->name, (int)io->op, true);
	struct hung_io *h = kind == FAULT_HANG ? malloc(sizeof *h) : NULL;
	if (h) {
		h->q = q;
		h->io = io;
		list_add_tail(&fd->b->hung, &h->node);
		mutex_unlock(&fd->b->lock);
		return;
	}
	int rc = run_locked(io, kind);
	mutex_unlock(&fd->b->lock);
	/* The queue's lock ranks before ours. */
	drive_queue_ready(q, io, rc);
}

/* ---- Names ------------------------------------------------------------------------------------------------------ */

static struct image *find_image(struct bench_drive *bd, const char *name)
{
	LIST_FOREACH(n, &bd->images) {
		struct image *im = LIST_ENTRY(n, struct image, node);
		if (strcmp(im->name, name) == 0)
			return im;
	}
	return NULL;
}

static void forget_image(struct bench_drive *bd, const char *name)
{
	struct image *im = find_image(bd, name);

	if (im) {
		list_del(&im->node);
		image_unref(im);
	}
}

static int make_parent(struct bench_drive *bd, const char *name)
{
	char dir[256];
	const char *slash = strrchr(name, '/');

	if (!slash)
		return 0;
	int n = snprintf(dir, sizeof dir, "%.*s", (int)(slash - name), name);
	if (n >= (int)sizeof dir)
		return -ENAMETOOLONG;
	return mkdirat(bd->dirfd, dir, 0700) == 0 || errno == EEXIST ? 0 : -errno;
}

/* 1: go on; 0: answer success and do nothing; -errno. TORN goes on too, its caller notes how to undo it. */
static int begin_names(struct faulty_drive *fd, const char *name, bool *ret_torn)
{
	enum fault_kind kind = judge_wait_locked(fd, name, OP_NAMES);

	*ret_torn = kind == FAULT_TORN;
	switch (kind) {
	case FAULT_STOP:
	case FAULT_ERROR:
		return -EIO;
	case FAULT_ENOSPC:
		return -ENOSPC;
	case FAULT_LOST:
		return 0;
	default:
		return 1;
	}
}

/* The end of a name change: flushed, or torn off before that. */
static int end_names(struct bench_drive *bd, bool torn, int rc)
{
	if (torn)
		return -EIO;
	if (rc == 0)
		names_flush(bd);
	return rc;
}

static int create_fd(struct faulty_drive *fd, const char *name, uint64_t size)
{
	struct bench_drive *bd = fd->bd;
	bool torn;
	int rc = begin_names(fd, name, &torn);

	if (rc <= 0)
		return rc < 0 ? rc : -EIO;
	rc = make_parent(bd, name);
	if (rc < 0)
		return rc;
	int f = openat(bd->dirfd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_CREAT | O_EXCL, 0600);
	if (f < 0)
		return -errno;
	rc = ftruncate(f, (off_t)size) == 0 ? 0 : -errno;
	if (torn && rc == 0)
		rc = names_note(bd, NAME_CREATE, name, NULL, NULL);
	rc = end_names(bd, torn, rc);
	if (rc < 0)
		close(f);
	return rc < 0 ? rc : f;
}

static int open_fd(struct faulty_drive *fd, const char *name, unsigned flags, uint64_t *size)
{
	struct stat st;
	int f;

	if (flags & DRIVE_CREATE) {
		f = create_fd(fd, name, *size);
	} else {
		f = openat(fd->bd->dirfd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
		f = f < 0 ? -errno : f;
	}
	if (f < 0)
		return f;
	if (fstat(f, &st) != 0) {
		int rc = -errno;
		close(f);
		return rc;
	}
	*size = (uint64_t)st.st_size;
	return f;
}

static struct image *get_image(struct bench_drive *bd, const char *name, uint64_t size)
{
	struct image *im = find_image(bd, name);

	if (!im) {
		im = image_new(name, size);
		if (!im)
			return NULL;
		list_add_tail(&bd->images, &im->node);
	}
	image_ref(im);
	return im;
}

static int faulty_open(struct drive *d, const char *name, unsigned flags, uint64_t size, struct drive_file **ret)
{
	MUTEX_GUARD(bench_lock(d));
	struct faulty_drive *fd = faulty_drive(d);

	if (dead_locked(fd))
		return -EIO;
	struct faulty_file *ff = calloc(1, sizeof *ff);
	if (!ff)
		return -ENOMEM;
	int rc = ff->fd = open_fd(fd, name, flags, &size);
	if (rc >= 0) {
		ff->image = get_image(fd->bd, name, size);
		rc = ff->image ? drive_file_init(&ff->f, d, name, size) : -ENOMEM;
	}
	if (rc < 0) {
		if (ff->image)
			image_unref(ff->image);
		fd_closep(&ff->fd);
		free(ff);
		return rc;
	}
	*ret = &ff->f;
	return 0;
}

static void faulty_close_file(struct drive_file *f)
{
	MUTEX_GUARD(bench_lock(f->drive));
	struct faulty_file *ff = faulty_file(f);

	image_unref(ff->image);
	close(ff->fd);
	drive_file_done(f);
	free(ff);
}

static int faulty_mkdir(struct drive *d, const char *name)
{
	MUTEX_GUARD(bench_lock(d));
	struct faulty_drive *fd = faulty_drive(d);
	bool torn;
	int rc = begin_names(fd, name, &torn);

	if (rc <= 0)
		return rc;
	rc = mkdirat(fd->bd->dirfd, name, 0700) == 0 || errno == EEXIST ? 0 : -errno;
	return end_names(fd->bd, torn, rc);
}

static int faulty_rename(struct drive *d, const char *from, const char *to)
{
	MUTEX_GUARD(bench_lock(d));
	struct faulty_drive *fd = faulty_drive(d);
	struct bench_drive *bd = fd->bd;
	bool torn;
	int rc = begin_names(fd, from, &torn);

	if (rc <= 0)
		return rc;
	rc = make_parent(bd, to);
	if (rc == 0 && faccessat(bd->dirfd, from, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
		rc = -errno;
	if (rc == 0 && torn)
		rc = names_note(bd, NAME_RENAME, from, to, to);
	char *name = rc == 0 ? strdup(to) : NULL;
	if (rc == 0 && (!name || renameat(bd->dirfd, from, bd->dirfd, to) != 0))
		rc = name ? -errno : -ENOMEM;
	struct image *im = find_image(bd, from);
	if (rc == 0) {
		forget_image(bd, to);
		if (im) {
			free(im->name);
			im->name = name;
			name = NULL;
		}
	}
	free(name);
	return end_names(bd, torn, rc);
}

static int faulty_unlink(struct drive *d, const char *name)
{
	MUTEX_GUARD(bench_lock(d));
	struct faulty_drive *fd = faulty_drive(d);
	bool torn;
	int rc = begin_names(fd, name, &torn);

	if (rc <= 0)
		return rc;
	rc = faccessat(fd->bd->dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : -errno;
	if (rc == 0 && torn)
		rc = names_note(fd->bd, NAME_UNLINK, name, NULL, name);
	if (rc == 0 && unlinkat(fd->bd->dirfd, name, 0) != 0)
		rc = -errno;
	if (rc == 0)
		forget_image(fd->bd, name);
	return end_names(fd->bd, torn, rc);
}

static bool is_dead(struct drive *d)
{
	MUTEX_GUARD(bench_lock(d));

	return dead_locked(faulty_drive(d));
}

static int faulty_list(struct drive *d, const char *dir, int (*fn)(void *arg, const char *name), void *arg)
{
	/* Without the lock: fn may use the drive. */
	if (is_dead(d))
		return -EIO;
	return faulty_drive(d)->inner->ops->list(faulty_drive(d)->inner, dir, fn, arg);
}

static int faulty_space(struct drive *d, struct drive_space *ret)
{
	if (is_dead(d))
		return -EIO;
	return faulty_drive(d)->inner->ops->space(faulty_drive(d)->inner, ret);
}

/* ---- The drive -------------------------------------------------------------------------------------------------- */

static void faulty_close(struct drive *d)
{
	struct faulty_drive *fd = faulty_drive(d);

	mutex_lock(&fd->b->lock);
	fd->b->open_drives--;
	mutex_unlock(&fd->b->lock);
	drive_close(fd->inner);
	drive_done(d);
	free(fd);
}

static const struct drive_ops faulty_ops = {
	.close = faulty_close,
	.open = faulty_open,
	.close_file = faulty_close_file,
	.pread = faulty_pread,
	.pwrite = faulty_pwrite,
	.sync = faulty_sync,
	.drop_clean = faulty_drop_clean,
	.punch = faulty_punch,
	.mkdir = faulty_mkdir,
	.rename = faulty_rename,
	.unlink = faulty_unlink,
	.list = faulty_list,
	.space = faulty_space,
	.submit = faulty_submit,
};

static void follow_path(struct bench_drive *bd)
{
	struct stat old, now;
	int fd = open(bd->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fstat(bd->dirfd, &old) != 0 || fstat(fd, &now) != 0 ||
	    (old.st_dev == now.st_dev && old.st_ino == now.st_ino && old.st_nlink)) {
		fd_closep(&fd);
		return;
	}
	close(bd->dirfd);
	bd->dirfd = fd;
	images_forget(bd);
	names_flush(bd); /* forgets them */
}

static struct bench_drive *get_bench_drive(struct fault_bench *b, const char *path)
{
	for (unsigned i = 0; i < b->drives; i++)
		if (strcmp(b->drive[i]->path, path) == 0) {
			follow_path(b->drive[i]);
			return b->drive[i];
		}
	ASSERT(b->drives < MAX_DRIVES);
	struct bench_drive *bd = calloc(1, sizeof *bd);
	if (!bd)
		return NULL;
	bd->path = strdup(path);
	bd->dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!bd->path || bd->dirfd < 0) {
		fd_closep(&bd->dirfd);
		free(bd->path);
		free(bd);
		return NULL;
	}
	list_init(&bd->images);
	list_init(&bd->names);
	bd->slot = b->drives;
	b->drive[b->drives++] = bd;
	return bd;
}

int drive_faulty_open(struct fault_bench *b, const char *path, struct drive **ret)
{
	struct faulty_drive *fd = calloc(1, sizeof *fd);
	int rc = fd ? drive_posix_open(path, &fd->inner) : -ENOMEM;

	if (rc == 0)
		rc = drive_init(&fd->d, &faulty_ops, path);
	if (rc < 0) {
		if (fd)
			drive_close(fd->inner);
		free(fd);
		return rc;
	}
	MUTEX_GUARD(&b->lock);
	struct bench_drive *bd = get_bench_drive(b, path);
	if (!bd) {
		drive_close(fd->inner);
		drive_done(&fd->d);
		free(fd);
		return -ENOMEM;
	}
	fd->b = b;
	fd->bd = bd;
	fd->life = bd->life;
	fd->d.root_disk = fd->inner->root_disk;
	fd->d.mount_point = fd->inner->mount_point;
	fd->d.dir_fd = fd->inner->dir_fd;
	if (b->open_drives++ == 0)
		b->stopped = false;
	*ret = &fd->d;
	return 0;
}

/* ---- The bench -------------------------------------------------------------------------------------------------- */

struct fault_bench *fault_bench_new(uint64_t seed)
{
	struct fault_bench *b = calloc(1, sizeof *b);

	if (!b)
		return NULL;
	mutex_init(&b->lock, LOCK_DRIVE);
	cond_init(&b->released);
	b->random = seed;
	list_init(&b->rules);
	list_init(&b->hung);
	return b;
}

struct fault_bench *fault_bench_free(struct fault_bench *b)
{
	if (!b)
		return NULL;
	ASSERT(b->open_drives == 0 && list_empty(&b->hung));
	fault_bench_rule(b, NULL);
	for (unsigned i = 0; i < b->drives; i++) {
		images_forget(b->drive[i]);
		names_flush(b->drive[i]);
		close(b->drive[i]->dirfd);
		free(b->drive[i]->path);
		free(b->drive[i]);
	}
	cond_destroy(&b->released);
	mutex_destroy(&b->lock);
	free(b);
	return NULL;
}

void fault_bench_rule(struct fault_bench *b, const struct fault_rule *r)
{
	MUTEX_GUARD(&b->lock);
	struct list *n;

	if (r) {
		struct rule *rule = calloc(1, sizeof *rule);
		ASSERT(rule);
		rule->r = *r;
		list_add_tail(&b->rules, &rule->node);
		return;
	}
	while ((n = list_pop(&b->rules)) != NULL)
		free(LIST_ENTRY(n, struct rule, node));
	b->stopped = false;
}

bool fault_bench_stopped(const struct fault_bench *b)
{
	MUTEX_GUARD((struct mutex *)(uintptr_t)&b->lock);

	return b->stopped;
}

uint64_t fault_bench_fired(const struct fault_bench *b)
{
	struct fault_bench *w = (struct fault_bench *)b;
	MUTEX_GUARD(&w->lock);

	return b->fired;
}

uint64_t fault_bench_ops(const struct fault_bench *b)
{
	MUTEX_GUARD((struct mutex *)(uintptr_t)&b->lock);

	return b->ops;
}

void fault_bench_release(struct fault_bench *b)
{
	struct list hung = LIST_INIT(hung);
	struct list *n;

	mutex_lock(&b->lock);
	b->releases++;
	cond_broadcast(&b->released);
	list_splice_tail(&hung, &b->hung);
	mutex_unlock(&b->lock);
	while ((n = list_pop(&hung)) != NULL) {
		struct hung_io *h = LIST_ENTRY(n, struct hung_io, node);
		mutex_lock(&b->lock);
		int rc = run_locked(h->io, dead_locked(faulty_drive(h->io->file->drive)) ? FAULT_STOP : FAULT_NONE);
		mutex_unlock(&b->lock);
		drive_queue_ready(h->q, h->io, rc);
		free(h);
	}
}

uint64_t fault_bench_missed_syncs(const struct fault_bench *b)
{
	MUTEX_GUARD((struct mutex *)(uintptr_t)&b->lock);
	uint64_t count = 0;

	for (unsigned i = 0; i < b->drives; i++)
		LIST_FOREACH(n, &b->drive[i]->images)
			count += !list_empty(&LIST_ENTRY(n, struct image, node)->writes);
	return count;
}
