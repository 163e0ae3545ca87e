/* SPDX-License-Identifier: Apache-2.0 */
#include "drive/faulty_image_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fdio.h"

#define ZERO_CHUNK (1024 * 1024)

static struct image_write *write_of(struct list *n)
{
	return LIST_ENTRY(n, struct image_write, node);
}

struct image *image_new(const char *name, uint64_t size)
{
	struct image *im = calloc(1, sizeof *im);

	if (!im)
		return NULL;
	im->name = strdup(name);
	if (!im->name) {
		free(im);
		return NULL;
	}
	im->refs = 1;
	im->flushed_size = size;
	list_init(&im->node);
	list_init(&im->writes);
	return im;
}

static void forget_writes(struct image *im)
{
	struct list *n;

	while ((n = list_pop(&im->writes)) != NULL)
		free(write_of(n));
}

void image_ref(struct image *im)
{
	im->refs++;
}

void image_unref(struct image *im)
{
	if (--im->refs > 0)
		return;
	forget_writes(im);
	free(im->name);
	free(im);
}

static struct image_write *write_new(uint64_t off, size_t len)
{
	struct image_write *w = calloc(1, sizeof *w + 2 * len);

	if (w) {
		w->off = off;
		w->len = len;
		w->after = w->bytes + len;
	}
	return w;
}

/* Like a read, but what lies behind the end of the file is zero. */
static int read_padded(int fd, uint8_t *p, size_t len, uint64_t off)
{
	while (len > 0) {
		ssize_t n = pread(fd, p, len, (off_t)off);
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		p += n;
		len -= (size_t)n;
		off += (uint64_t)n;
	}
	memset(p, 0, len);
	return 0;
}

/* The part of w in [from, to) as a write of its own behind w. */
static int add_part(struct image_write *w, uint64_t from, uint64_t to)
{
	if (from >= to)
		return 0;
	struct image_write *part = write_new(from, (size_t)(to - from));
	if (!part)
		return -ENOMEM;
	memcpy(part->bytes, w->bytes + (from - w->off), part->len);
	memcpy(part->after, w->after + (from - w->off), part->len);
	part->lost = w->lost;
	list_add_head(&w->node, &part->node);
	return 0;
}

/* Takes [off, off + len) out of every write from the oldest up to, not including, `end`. */
static int cut(struct image *im, struct list *end, uint64_t off, uint64_t len)
{
	for (struct list *n = im->writes.next, *next; n != end; n = next) {
		struct image_write *w = write_of(n);
		uint64_t w_end = w->off + w->len;
		next = n->next;
		if (w_end <= off || off + len <= w->off)
			continue;
		int rc = add_part(w, off + len, w_end);
		if (rc == 0)
			rc = add_part(w, w->off, MIN(off, w_end));
		if (rc < 0)
			return rc;
		list_del(n);
		free(w);
	}
	return 0;
}

int image_write(struct image *im, int fd, const void *p, size_t len, uint64_t off, bool flushed)
{
	if (flushed) {
		int rc = fd_pwrite_full(fd, p, len, off);
		if (rc < 0)
			return rc;
		im->flushed_size = MAX(im->flushed_size, off + len);
		return cut(im, &im->writes, off, len);
	}
	struct image_write *w = write_new(off, len);
	if (!w)
		return -ENOMEM;
	memcpy(w->after, p, len);
	int rc = read_padded(fd, w->bytes, len, off);
	if (rc == 0)
		rc = fd_pwrite_full(fd, p, len, off);
	if (rc < 0) {
		free(w);
		return rc;
	}
	list_add_tail(&im->writes, &w->node);
	return 0;
}

int image_zero(struct image *im, int fd, uint64_t off, uint64_t len)
{
	CLEANUP_FREE uint8_t *zeros = calloc(1, ZERO_CHUNK);
	struct stat st;
	int rc = zeros ? 0 : -ENOMEM;

	if (rc == 0 && fstat(fd, &st) != 0)
		rc = -errno;
	if (rc < 0)
		return rc;
	uint64_t end = MIN(off + len, (uint64_t)st.st_size);
	while (rc == 0 && off < end) {
		/* Holes are zero already, and may be large. */
		off_t data = lseek(fd, (off_t)off, SEEK_DATA);
		if (data < 0 || (uint64_t)data >= end)
			return data < 0 && errno != ENXIO ? -errno : 0;
		off = (uint64_t)data;
		size_t n = MIN(end - off, (uint64_t)ZERO_CHUNK);
		rc = image_write(im, fd, zeros, n, off, false);
		off += n;
	}
	return rc;
}

int image_flush(struct image *im, int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return -errno;
	LIST_FOREACH_SAFE(n, &im->writes) {
		struct image_write *w = write_of(n);
		if (w->lost)
			continue;
		int rc = cut(im, n, w->off, w->len);
		if (rc < 0)
			return rc;
		list_del(n);
		free(w);
	}
	im->flushed_size = (uint64_t)st.st_size;
	return 0;
}

void image_fail_flush(struct image *im)
{
	LIST_FOREACH(n, &im->writes)
		write_of(n)->lost = true;
}

static int undo_all(struct image *im, int fd)
{
	for (struct list *n = im->writes.prev; n != &im->writes; n = n->prev) {
		struct image_write *w = write_of(n);
		int rc = fd_pwrite_full(fd, w->bytes, w->len, w->off);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int image_drop_clean(struct image *im, int fd)
{
	int rc = undo_all(im, fd);

	LIST_FOREACH_SAFE(n, &im->writes) {
		struct image_write *w = write_of(n);
		if (w->lost) {
			list_del(n);
			free(w);
			continue;
		}
		if (rc == 0)
			rc = read_padded(fd, w->bytes, w->len, w->off);
		if (rc == 0)
			rc = fd_pwrite_full(fd, w->after, w->len, w->off);
	}
	return rc;
}

static int put_torn(int fd, const struct image_write *w, const struct image_judge *judge)
{
	int rc = 0;

	for (size_t at = 0; at < w->len && rc == 0;) {
		size_t n = MIN(w->len - at, (size_t)(IMAGE_SECTOR - (w->off + at) % IMAGE_SECTOR));
		if (judge->keep_sector(judge->arg))
			rc = fd_pwrite_full(fd, w->after + at, n, w->off + at);
		at += n;
	}
	return rc;
}

static int put_again(struct image *im, int fd, const struct image_write *w, const struct image_judge *judge)
{
	switch (w->lost ? IMAGE_DROP : judge->fate(judge->arg, im->name, w->off, w->len)) {
	case IMAGE_KEEP:
		return fd_pwrite_full(fd, w->after, w->len, w->off);
	case IMAGE_TEAR:
		return put_torn(fd, w, judge);
	case IMAGE_DROP:
		break;
	}
	return 0;
}

int image_power_loss(struct image *im, int fd, const struct image_judge *judge)
{
	int rc = undo_all(im, fd);

	if (rc == 0 && ftruncate(fd, (off_t)im->flushed_size) != 0)
		rc = -errno;
	LIST_FOREACH(n, &im->writes) {
		if (rc == 0)
			rc = put_again(im, fd, write_of(n), judge);
	}
	forget_writes(im);
	return rc;
}
