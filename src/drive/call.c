/* SPDX-License-Identifier: Apache-2.0
 *
 * The calls of a drive, bounded by its timeout_ns. One that does not return is given up, and its drive is out from then on, so
 * that no other waits as long. The given-up call keeps the drive, its file and a copy of the bytes until it returns; meanwhile
 * it counts as a change and as a user of the drive (drive_changes, drive_users): who waits for both to fall to 0 before the
 * drive is taken in again is not overtaken by it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bounded.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "drive/drive_internal.h"

#define PREWRITE_STEP (16u << 20) /* for each as many bytes that a call writes it may take a timeout more */
#define NAMESPACE_TIMEOUTS 4      /* a busy disk takes seconds to make, name or remove a large file, and is well */

struct call {
	struct bounded b;
	struct drive *d;           /* held */
	struct drive_call c;       /* file: referenced; names and bytes: copies */
	struct drive_file *opened;
	struct buf names;          /* of CALL_LIST, each with its 0 */
	uint64_t deadline_ns;
};

static int note_name(void *arg, const char *name)
{
	struct buf *b = arg;

	buf_add(b, name, strlen(name) + 1);
	return buf_err(b);
}

static int make_call(struct drive *d, const struct drive_call *c, struct drive_file **ret)
{
	const struct drive_ops *ops = d->ops;

	switch (c->op) {
	case CALL_OPEN:
		return ops->open(d, c->name, c->flags, c->off, ret);
	case CALL_PREAD:
		return ops->pread(c->file, c->buf, c->len, c->off, c->flags);
	case CALL_PWRITE:
		return ops->pwrite(c->file, c->buf, c->len, c->off, c->flags);
	case CALL_SYNC:
		return ops->sync(c->file);
	case CALL_DROP_CLEAN:
		return ops->drop_clean(c->file);
	case CALL_PUNCH:
		return ops->punch(c->file, c->off, c->len);
	case CALL_MKDIR:
		return ops->mkdir(d, c->name);
	case CALL_RENAME:
		return ops->rename(d, c->name, c->to);
	case CALL_UNLINK:
		return ops->unlink(d, c->name);
	case CALL_LIST:
		return ops->list(d, c->name, note_name, c->names);
	}
	return -EINVAL;
}

static int call_run(struct bounded *b)
{
	struct call *k = CONTAINER_OF(b, struct call, b);

	return make_call(k->d, &k->c, &k->opened);
}

static bool call_wanted(struct bounded *b)
{
	struct call *k = CONTAINER_OF(b, struct call, b);

	if (drive_is_out(k->d))
		return false;
	if (clock_mono_ns() < k->deadline_ns)
		return true;
	drive_set_out(k->d, true, "no answer within the drive timeout");
	return false;
}

static void call_end(struct bounded *b)
{
	struct call *k = CONTAINER_OF(b, struct call, b);
	struct drive *d = k->d;

	drive_file_unref(k->opened);
	drive_file_unref(k->c.file);
	free((char *)(uintptr_t)k->c.name);
	free((char *)(uintptr_t)k->c.to);
	buf_free(&k->names);
	free(k->c.buf);
	free(k);
	drive_change_end(d);
	drive_unhold(d);
}

static void *copy_of(const struct drive_call *c)
{
	void *p;

	if (posix_memalign(&p, DRIVE_BLOCK, ALIGN_UP(MAX(c->len, (size_t)1), DRIVE_BLOCK)))
		return NULL;
	if (c->op == CALL_PWRITE)
		memcpy(p, c->buf, c->len);
	return p;
}

static uint64_t allowed_ns(const struct drive *d, const struct drive_call *c)
{
	switch (c->op) {
	case CALL_OPEN:
		return d->timeout_ns * (NAMESPACE_TIMEOUTS + (c->flags & DRIVE_PREWRITE ? c->off / PREWRITE_STEP : 0));
	case CALL_PUNCH:
	case CALL_MKDIR:
	case CALL_RENAME:
	case CALL_UNLINK:
	case CALL_LIST: /* waits for those in its directory */
		return d->timeout_ns * NAMESPACE_TIMEOUTS;
	default:
		return d->timeout_ns * (1 + c->len / PREWRITE_STEP);
	}
}

static struct call *call_new(struct drive *d, const struct drive_call *c)
{
	struct call *k = calloc(1, sizeof *k);

	if (!k)
		return NULL;
	drive_hold(d);
	drive_change_begin(d);
	k->b = (struct bounded){.run = call_run, .end = call_end, .wanted = call_wanted};
	k->d = d;
	k->c = *c;
	k->c.file = c->file ? drive_file_ref(c->file) : NULL;
	k->c.name = c->name ? strdup(c->name) : NULL;
	k->c.to = c->to ? strdup(c->to) : NULL;
	k->c.buf = c->buf ? copy_of(c) : NULL;
	k->c.names = &k->names;
	k->deadline_ns = clock_mono_ns() + allowed_ns(d, c);
	if ((!c->name || k->c.name) && (!c->to || k->c.to) && (!c->buf || k->c.buf))
		return k;
	call_end(&k->b);
	return NULL;
}

int drive_call(struct drive *d, const struct drive_call *c, struct drive_file **ret)
{
	if (!d->timeout_ns)
		return make_call(d, c, ret);
	struct call *k = call_new(d, c);
	if (!k)
		return -ENOMEM;
	if (!bounded_run(&k->b))
		return -QE_DRIVE_TIMEOUT;
	int rc = k->b.rc;
	if (c->op == CALL_PREAD && rc == 0)
		memcpy(c->buf, k->c.buf, c->len);
	if (c->op == CALL_OPEN && rc == 0) {
		*ret = k->opened;
		k->opened = NULL;
	}
	if (c->op == CALL_LIST && rc == 0) {
		*c->names = k->names;
		k->names = (struct buf)BUF_INIT;
	}
	bounded_end(&k->b);
	return rc;
}
