/* SPDX-License-Identifier: Apache-2.0
 *
 * What a power loss leaves of the drives of a bench: of each file (faulty_image.c does one), and of the names. See
 * faulty_bench_internal.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fdio.h"
#include "drive/faulty_bench_internal.h"

#define COPY_CHUNK (1024 * 1024)

/* splitmix64 */
uint64_t bench_random(struct fault_bench *b)
{
	uint64_t z = (b->random += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/* ---- What is noted for it ---------------------------------------------------------------------------------------- */
static void name_op_free(struct name_op *op)
{
	fd_closep(&op->saved_fd);
	free(op->from);
	free(op->to);
	free(op);
}

int names_note(struct bench_drive *bd, int kind, const char *from, const char *to, const char *existed)
{
	struct name_op *op = calloc(1, sizeof *op);

	if (!op)
		return -ENOMEM;
	op->kind = kind;
	op->from = strdup(from);
	op->to = to ? strdup(to) : NULL;
	op->saved_fd = existed ? openat(bd->dirfd, existed, O_RDONLY | O_CLOEXEC) : -1;
	if (!op->from || (to && !op->to)) {
		name_op_free(op);
		return -ENOMEM;
	}
	list_add_tail(&bd->names, &op->node);
	return 0;
}

void names_flush(struct bench_drive *bd)
{
	struct list *n;

	while ((n = list_pop(&bd->names)) != NULL)
		name_op_free(LIST_ENTRY(n, struct name_op, node));
}

void images_forget(struct bench_drive *bd)
{
	struct list *n;

	while ((n = list_pop(&bd->images)) != NULL)
		image_unref(LIST_ENTRY(n, struct image, node));
}

/* Another directory stands at the path: what was unflushed in the one before went with it. */
/* ---- Power loss ------------------------------------------------------------------------------------------------- */

struct power_loss {
	struct fault_bench *b;
	struct bench_drive *bd;
	bool (*keep)(void *arg, unsigned slot, const char *name, uint64_t off, size_t len); /* NULL: at random */
	void *arg;
};

static enum image_fate fate(void *arg, const char *name, uint64_t off, size_t len)
{
	struct power_loss *pl = arg;

	if (pl->keep)
		return pl->keep(pl->arg, pl->bd->slot, name, off, len) ? IMAGE_KEEP : IMAGE_DROP;
	return (enum image_fate)(bench_random(pl->b) % 3);
}

static bool keep_sector(void *arg)
{
	return bench_random(((struct power_loss *)arg)->b) & 1;
}

static int copy_back(struct bench_drive *bd, int from_fd, const char *name)
{
	CLEANUP_FREE char *p = malloc(COPY_CHUNK);
	CLEANUP_FD int fd = openat(bd->dirfd, name, O_RDWR | O_CLOEXEC | O_CREAT | O_EXCL, 0600);
	uint64_t off = 0;
	ssize_t n;

	if (fd < 0 || !p)
		return -EIO;
	while ((n = pread(from_fd, p, COPY_CHUNK, (off_t)off)) > 0) {
		int rc = fd_pwrite_full(fd, p, (size_t)n, off);
		if (rc < 0)
			return rc;
		off += (uint64_t)n;
	}
	return n < 0 ? -errno : 0;
}

static int undo_name(struct bench_drive *bd, struct name_op *op)
{
	switch (op->kind) {
	case NAME_CREATE:
		return unlinkat(bd->dirfd, op->from, 0) == 0 ? 0 : -errno;
	case NAME_RENAME:
		if (renameat(bd->dirfd, op->to, bd->dirfd, op->from) != 0)
			return -errno;
		return op->saved_fd < 0 ? 0 : copy_back(bd, op->saved_fd, op->to);
	case NAME_UNLINK:
		return copy_back(bd, op->saved_fd, op->from);
	}
	return -EINVAL;
}

/* A new file whose creation was cut short may have any size. */
static int tear_name(struct power_loss *pl, struct name_op *op)
{
	CLEANUP_FD int fd = op->kind == NAME_CREATE ? openat(pl->bd->dirfd, op->from, O_RDWR | O_CLOEXEC) : -1;
	struct stat st;

	if (fd < 0)
		return 0;
	if (fstat(fd, &st) != 0)
		return -errno;
	uint64_t size = bench_random(pl->b) % ((uint64_t)st.st_size / IMAGE_SECTOR + 1) * IMAGE_SECTOR;
	return ftruncate(fd, (off_t)size) == 0 ? 0 : -errno;
}

static int lose_names(struct power_loss *pl)
{
	int rc = 0;

	while (!list_empty(&pl->bd->names)) {
		struct name_op *op = LIST_ENTRY(pl->bd->names.prev, struct name_op, node);
		enum image_fate f = fate(pl, op->from, 0, 0);
		if (rc == 0 && f != IMAGE_KEEP)
			rc = f == IMAGE_DROP ? undo_name(pl->bd, op) : tear_name(pl, op);
		list_del(&op->node);
		name_op_free(op);
	}
	return rc;
}

static int lose_drive(struct power_loss *pl)
{
	const struct image_judge judge = {fate, keep_sector, pl};

	LIST_FOREACH(n, &pl->bd->images) {
		struct image *im = LIST_ENTRY(n, struct image, node);
		if (list_empty(&im->writes))
			continue;
		CLEANUP_FD int fd = openat(pl->bd->dirfd, im->name, O_RDWR | O_CLOEXEC);
		int rc = fd < 0 ? -errno : image_power_loss(im, fd, &judge);
		if (rc < 0)
			return rc;
	}
	images_forget(pl->bd);
	return lose_names(pl);
}

void fault_bench_power_loss_by(struct fault_bench *b, uint32_t drive_mask,
			       bool (*keep)(void *arg, unsigned slot, const char *name, uint64_t off, size_t len), void *arg)
{
	MUTEX_GUARD(&b->lock);

	for (unsigned i = 0; i < b->drives; i++) {
		struct power_loss pl = {b, b->drive[i], keep, arg};
		if (!(drive_mask & (1U << i)))
			continue;
		b->drive[i]->life++;
		/* The bench must not lie about its own work. */
		int rc = lose_drive(&pl);
		ASSERT(rc == 0);
	}
}

void fault_bench_power_loss(struct fault_bench *b, uint32_t drive_mask)
{
	fault_bench_power_loss_by(b, drive_mask, NULL, NULL);
}
