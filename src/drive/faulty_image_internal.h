/* SPDX-License-Identifier: Apache-2.0
 *
 * One file of a faulty drive: which of its writes are not flushed, and what was there before. The file itself always
 * holds all that was written.
 *
 * Invariant: where two writes of the list overlap, `before` of the later one holds `after` of the earlier one. So
 * undoing all from the last to the first gives the medium, and doing the kept ones again in order gives what a power
 * loss left.
 * A flushed write cuts its range out of those that stay in the list (they are older): the medium has newer bytes there.
 */
#ifndef QUOIN_DRIVE_FAULTY_IMAGE_INTERNAL_H
#define QUOIN_DRIVE_FAULTY_IMAGE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/macros.h"

#define IMAGE_SECTOR 512

struct image {
	struct list node;       /* of the drive's images */
	char *name;
	int refs;               /* the drive's list, and each open file */
	uint64_t flushed_size;
	struct list writes;     /* struct image_write, oldest first */
};

struct image_write {
	struct list node;
	uint64_t off;
	size_t len;
	bool lost;              /* of a failed sync: never flushed any more */
	uint8_t *after;         /* inside bytes */
	uint8_t bytes[];        /* before, then after */
};

enum image_fate { IMAGE_KEEP, IMAGE_DROP, IMAGE_TEAR };

struct image_judge {
	enum image_fate (*fate)(void *arg, const char *name, uint64_t off, size_t len);
	bool (*keep_sector)(void *arg); /* asked for each sector of a torn write */
	void *arg;
};

struct image *image_new(const char *name, uint64_t size);
void image_ref(struct image *im);
void image_unref(struct image *im);
int image_write(struct image *im, int fd, const void *p, size_t len, uint64_t off, bool flushed) WARN_UNUSED;
int image_zero(struct image *im, int fd, uint64_t off, uint64_t len) WARN_UNUSED;
int image_flush(struct image *im, int fd) WARN_UNUSED;
void image_fail_flush(struct image *im);
/* Reads from here on see what the medium has under lost writes. */
int image_drop_clean(struct image *im, int fd) WARN_UNUSED;
/* The file becomes what the power loss leaves; the list is empty afterwards. */
int image_power_loss(struct image *im, int fd, const struct image_judge *judge) WARN_UNUSED;

#endif
