/* SPDX-License-Identifier: Apache-2.0
 *
 * The bench of faulty drives, for the files that make it. All under its lock.
 */
#ifndef QUOIN_DRIVE_FAULTY_BENCH_INTERNAL_H
#define QUOIN_DRIVE_FAULTY_BENCH_INTERNAL_H

#include "base/list.h"
#include "base/lock.h"
#include "drive/drive_faulty.h"
#include "drive/faulty_image_internal.h"

#define MAX_DRIVES 32

/* A name change that FAULT_TORN left without the flush of its directory. */
struct name_op {
	struct list node;
	enum { NAME_CREATE, NAME_RENAME, NAME_UNLINK } kind;
	char *from, *to;   /* CREATE, UNLINK: only from */
	int saved_fd;      /* what the name was before, -1: nothing */
};

/* A directory of the bench. Lives as long as the bench, over many opens. */
struct bench_drive {
	char *path;
	unsigned slot;
	int dirfd;
	unsigned life;        /* a power loss begins the next one; drives opened in an older one are dead */
	struct list images;
	struct list names;    /* struct name_op, oldest first */
};

struct fault_bench {
	struct mutex lock;       /* LOCK_DRIVE: everything */
	struct cond released;
	uint64_t releases;
	uint64_t random;
	uint64_t ops;
	uint64_t fired; /* rules, so often */
	bool stopped;
	unsigned open_drives;
	unsigned drives;
	struct bench_drive *drive[MAX_DRIVES];
	struct list rules;
	struct list hung;
};

/* faulty_power.c */
uint64_t bench_random(struct fault_bench *b);
/* Notes, before it is done, what would undo it; existed: the name whose old file is kept, for its content. */
int names_note(struct bench_drive *bd, int kind, const char *from, const char *to, const char *existed) WARN_UNUSED;
/* Nothing would be undone any more. One flushed directory counts for all: the bench does not tell them apart. */
void names_flush(struct bench_drive *bd);
void images_forget(struct bench_drive *bd);

#endif
