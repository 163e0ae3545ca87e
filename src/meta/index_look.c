/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening an index copy, going through it, closing it: of a drive that may hang. What does not return within a few drive
 * timeouts, or gets no further for as long, is given up, and its drive is out. It then keeps the drive and the copy, and
 * closes that when it returns; until then the slot does not give its drive back.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/bounded.h"
#include "base/clock.h"
#include "base/err.h"
#include "meta/set_internal.h"

#define TIMEOUTS 4 /* names are made and removed, as in drive/call.c */

enum look_what { LOOK_OPEN, LOOK_ASK, LOOK_CLOSE };

struct look {
	struct bounded b;
	struct drive *d;             /* held */
	enum look_what what;
	struct index_opening how;
	bool (*ask)(struct index *ix);
	struct index *ix;            /* closed when nobody takes it */
	uint64_t seen, moved_ns;     /* of who waits: index_progress, and when it last changed */
};

static struct look *look_of(struct bounded *b)
{
	return CONTAINER_OF(b, struct look, b);
}

static int open_as(const struct drive *d, const struct index_opening *how, struct index **ret)
{
	char dir[DRIVE_DIR_PATH];

	drive_dir_path(d, dir);
	return how->read ? index_open_read(dir, how->map_bytes, ret) : index_open(dir, how->map_bytes, how->create, ret);
}

static int look_run(struct bounded *b)
{
	struct look *l = look_of(b);

	switch (l->what) {
	case LOOK_OPEN:
		return open_as(l->d, &l->how, &l->ix);
	case LOOK_ASK:
		return l->ask(l->ix);
	case LOOK_CLOSE:
		l->ix = index_close(l->ix);
		return 0;
	}
	return -EINVAL;
}

static bool look_wanted(struct bounded *b)
{
	struct look *l = look_of(b);
	uint64_t now = clock_mono_ns(), at = l->what == LOOK_ASK ? index_progress(l->ix) : 0;

	if (at != l->seen) {
		l->seen = at;
		l->moved_ns = now;
	}
	if (now - l->moved_ns < TIMEOUTS * l->d->timeout_ns)
		return true;
	drive_set_out(l->d, true, "its index copy does not answer");
	return false;
}

static void look_end(struct bounded *b)
{
	struct look *l = look_of(b);
	struct drive *d = l->d;

	index_close(l->ix);
	free(l);
	drive_unhold(d);
}

/* Takes over the copy. NULL: no memory, it is the caller's still. */
static struct look *look_new(struct drive *d, enum look_what what, struct index *ix)
{
	struct look *l = calloc(1, sizeof *l);

	if (!l)
		return NULL;
	*l = (struct look){
		.b = {.run = look_run, .end = look_end, .wanted = look_wanted},
		.d = drive_hold(d),
		.what = what,
		.ix = ix,
		.moved_ns = clock_mono_ns(),
	};
	return l;
}

static int read_bounded(struct drive *d, struct index *ix)
{
	struct drive_file *f;
	int rc = drive_open(d, INDEX_DATA_FILE, 0, 0, &f);

	if (rc == 0)
		index_read_through(ix, f);
	return rc;
}

int index_open_of(struct drive *d, const struct index_opening *how, struct index **ret)
{
	if (drive_is_out(d))
		return -EIO;
	if (!d->timeout_ns)
		return open_as(d, how, ret);
	struct look *l = look_new(d, LOOK_OPEN, NULL);
	if (!l)
		return -ENOMEM;
	l->how = *how;
	if (!bounded_run(&l->b))
		return -QE_DRIVE_TIMEOUT;
	int rc = l->b.rc;
	if (rc == 0)
		rc = read_bounded(d, l->ix);
	if (rc == 0) {
		*ret = l->ix;
		l->ix = NULL;
	}
	bounded_end(&l->b);
	return rc;
}

int index_ask(struct drive *d, struct index **ix, bool (*fn)(struct index *ix))
{
	if (!d->timeout_ns)
		return fn(*ix);
	struct look *l = look_new(d, LOOK_ASK, *ix);
	if (!l)
		return -ENOMEM;
	l->ask = fn;
	if (!bounded_run(&l->b)) {
		*ix = NULL;
		return -QE_DRIVE_TIMEOUT;
	}
	int rc = l->b.rc;
	l->ix = NULL;
	bounded_end(&l->b);
	if (rc == 0 && index_is_doubtful(*ix)) {
		index_close_of(d, *ix);
		*ix = NULL;
		return -QE_DRIVE_TIMEOUT;
	}
	return rc;
}

void index_close_of(struct drive *d, struct index *ix)
{
	struct look *l = ix && d && d->timeout_ns ? look_new(d, LOOK_CLOSE, ix) : NULL;

	if (!l)
		index_close(ix);
	else if (bounded_run(&l->b))
		bounded_end(&l->b);
}
