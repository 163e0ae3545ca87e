/* SPDX-License-Identifier: Apache-2.0
 *
 * A local drive some of whose calls do not return before they are let go: writes at offset 0, syncs, lists, and changes of
 * names that begin with "held".
 */
#ifndef QUOIN_TESTS_UNIT_DRIVE_HELD_H
#define QUOIN_TESTS_UNIT_DRIVE_HELD_H

#include "base/lock.h"
#include "unit/drive/unit.h"

static struct {
	struct mutex lock;
	struct cond cond;
	bool holds;
	struct drive_ops ops;
	const struct drive_ops *real;
} held;

static inline void held_wait(bool is)
{
	mutex_lock(&held.lock);
	while (is && held.holds)
		cond_wait(&held.cond, &held.lock);
	mutex_unlock(&held.lock);
}

static inline int held_pwrite(struct drive_file *file, const void *p, size_t len, uint64_t off, unsigned flags)
{
	held_wait(off == 0);
	return held.real->pwrite(file, p, len, off, flags);
}

static inline int held_sync(struct drive_file *file)
{
	held_wait(true);
	return held.real->sync(file);
}

static inline int held_open(struct drive *of, const char *name, unsigned flags, uint64_t size, struct drive_file **ret)
{
	held_wait(strncmp(name, "held", 4) == 0);
	return held.real->open(of, name, flags, size, ret);
}

static inline int held_unlink(struct drive *of, const char *name)
{
	held_wait(strncmp(name, "held", 4) == 0);
	return held.real->unlink(of, name);
}

static inline int held_list(struct drive *of, const char *in, int (*fn)(void *arg, const char *name), void *arg)
{
	held_wait(true);
	return held.real->list(of, in, fn, arg);
}

/* Of the drive d. */
static inline void hold_calls(void)
{
	mutex_init(&held.lock, LOCK_DRIVE);
	cond_init(&held.cond);
	held.real = d->ops;
	held.ops = *d->ops;
	held.ops.open = held_open;
	held.ops.unlink = held_unlink;
	held.ops.list = held_list;
	held.ops.pwrite = held_pwrite;
	held.ops.sync = held_sync;
	held.holds = true;
	d->ops = &held.ops;
}

static inline void let_calls_go(void)
{
	mutex_lock(&held.lock);
	held.holds = false;
	cond_broadcast(&held.cond);
	mutex_unlock(&held.lock);
}

/* When all have returned. */
static inline void held_done(void)
{
	d->ops = held.real;
	cond_destroy(&held.cond);
	mutex_destroy(&held.lock);
}

#endif
