/* SPDX-License-Identifier: Apache-2.0
 *
 * The lying twin of a local drive, for tests (STORAGE.md section 9, fault model). Every write goes to the file in the
 * directory at once, so that closing a drive, or the death of the process, leaves all that was written. For each write
 * that is not flushed the bench keeps the bytes before and after; from that it makes any state that a power loss may
 * leave. The calls that flush their directory before they return (create, rename, unlink) are flushed, unless
 * FAULT_TORN ends the process inside one. Nothing is really fsynced, so this is fast.
 *
 * A bench holds the drives of a set, so that the n-th operation can be counted over all of them. What is not flushed
 * outlives drive_close. A life of a test: open the drives, add rules, work, close all drives; perhaps a power loss;
 * fault_bench_rule(b, NULL), unless the rules shall go on; open them again. A path keeps its slot, which
 * is the order of the first opens, also when another directory stands there.
 *
 * It knows only what goes through it: index/ does not. No O_DIRECT; DRIVE_NOWAIT reads wait, unless FAULT_COLD.
 */
#ifndef QUOIN_DRIVE_DRIVE_FAULTY_H
#define QUOIN_DRIVE_DRIVE_FAULTY_H

#include "drive/drive.h"

struct fault_bench;

enum fault_kind {
	FAULT_NONE,
	FAULT_STOP,        /* from this operation on everything fails with -EIO and changes nothing: the process is dead,
			    * on all drives, until all are closed (a new process) or the rules are cleared */
	FAULT_ERROR,       /* this operation fails with -EIO; a failed sync leaves its pages clean: reads see them until
			    * drive_drop_clean, no later sync flushes them, a power loss drops them */
	FAULT_TORN,        /* this write puts down a part; a name change is done but not flushed; then as FAULT_STOP */
	FAULT_LOST,        /* this write reports success and does nothing, also when synced */
	FAULT_MISDIRECTED, /* this write goes 4 KiB too far */
	FAULT_ENOSPC,
	FAULT_COLD,        /* this read is not in the page cache: -EAGAIN with DRIVE_NOWAIT, any other is as ever */
	FAULT_HANG         /* asynchronous I/O does not begin until fault_bench_release; other calls do not return */
};

struct fault_rule {
	enum fault_kind kind;
	int slot;              /* -1: any drive */
	const char *name;      /* prefix of the file's name, NULL: any */
	int op;                /* enum drive_io_op, or -1: any that changes something (what fault_bench_ops counts) */
	bool queued;           /* only I/O that was submitted to a queue */
	uint64_t nth;          /* fires at the nth match, counted from 1 */
	bool once;             /* else at every match from there on */
};

struct fault_bench *fault_bench_new(uint64_t seed);
struct fault_bench *fault_bench_free(struct fault_bench *b);
/* Wraps a directory, again after it was closed as often as one likes; at most 32 in a bench. */
int drive_faulty_open(struct fault_bench *b, const char *path, struct drive **ret) WARN_UNUSED;
/* Added (the name is not copied); NULL clears all and ends FAULT_STOP. The first rule that fires decides. */
void fault_bench_rule(struct fault_bench *b, const struct fault_rule *rule);
bool fault_bench_stopped(const struct fault_bench *b);     /* by FAULT_STOP or FAULT_TORN */
uint64_t fault_bench_ops(const struct fault_bench *b);     /* mutating operations so far (writes, syncs, names) */
uint64_t fault_bench_fired(const struct fault_bench *b);   /* operations that a rule has decided so far */
void fault_bench_release(struct fault_bench *b);           /* lets hung I/O finish */
/* Power loss of the drives in the mask (bit per slot): each unflushed write is kept, dropped or torn at 512 bytes, each
 * at random from the seed. The directories then hold what the medium held; these drives fail until they are closed. */
void fault_bench_power_loss(struct fault_bench *b, uint32_t drive_mask);
/* As above, but keep(arg, slot, name, off, len) decides for each unflushed write (in the order of writing per file) and
 * each unflushed name (off and len 0). Writes of a failed sync are dropped unasked. */
void fault_bench_power_loss_by(struct fault_bench *b, uint32_t drive_mask,
			       bool (*keep)(void *arg, unsigned slot, const char *name, uint64_t off, size_t len), void *arg);
uint64_t fault_bench_missed_syncs(const struct fault_bench *b); /* files with unflushed writes, all drives */

#endif
