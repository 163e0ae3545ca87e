/* SPDX-License-Identifier: Apache-2.0
 *
 * The lying twin of a local drive, for tests (STORAGE.md section 9, fault model). It keeps, for each file, the bytes
 * that are flushed and the list of writes that are not; renames, creations and unlinks are unflushed until their
 * directory is. From that it makes any state that a power loss may leave.
 *
 * A bench holds the drives of a set, so that the n-th operation can be counted over all of them.
 */
#ifndef QUOIN_DRIVE_DRIVE_FAULTY_H
#define QUOIN_DRIVE_DRIVE_FAULTY_H

#include "drive/drive.h"

struct fault_bench;

enum fault_kind {
	FAULT_NONE,
	FAULT_STOP,        /* from this operation on everything fails with -EIO and changes nothing: the process is dead */
	FAULT_ERROR,       /* this operation fails with -EIO; a failed sync leaves its pages clean (lost) */
	FAULT_TORN,        /* this write puts down a part, then as FAULT_STOP */
	FAULT_LOST,        /* this write reports success and does nothing, also when synced */
	FAULT_MISDIRECTED, /* this write goes 4 KiB too far */
	FAULT_ENOSPC,
	FAULT_HANG         /* asynchronous I/O does not complete until fault_bench_release */
};

struct fault_rule {
	enum fault_kind kind;
	int slot;              /* -1: any drive */
	const char *name;      /* prefix of the file's name, NULL: any */
	int op;                /* enum drive_io_op, or -1: any, namespace operations included */
	uint64_t nth;          /* fires at the nth match, counted from 1 */
	bool once;             /* else at every match from there on */
};

struct fault_bench *fault_bench_new(uint64_t seed);
struct fault_bench *fault_bench_free(struct fault_bench *b);
/* Wraps a directory; identity, super, journal and segments go through the bench, index/ does not. */
int drive_faulty_open(struct fault_bench *b, const char *path, struct drive **ret) WARN_UNUSED;
void fault_bench_rule(struct fault_bench *b, const struct fault_rule *rule); /* added; NULL clears all */
uint64_t fault_bench_ops(const struct fault_bench *b);     /* mutating operations so far (writes, syncs, names) */
void fault_bench_release(struct fault_bench *b);           /* lets hung I/O finish */
/* Power loss of the drives in the mask (bit per opened drive): each unflushed write is kept, dropped or torn at 512
 * bytes, each at random from the seed. The directories then hold what the medium held; open drives must be closed. */
void fault_bench_power_loss(struct fault_bench *b, uint32_t drive_mask);
/* As above, but keep(arg, slot, name, off, len) decides for each unflushed write. */
void fault_bench_power_loss_by(struct fault_bench *b, uint32_t drive_mask,
			       bool (*keep)(void *arg, unsigned slot, const char *name, uint64_t off, size_t len), void *arg);
uint64_t fault_bench_missed_syncs(const struct fault_bench *b); /* files with unflushed writes, all drives */

#endif
