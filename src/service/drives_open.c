/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bounded.h"
#include "base/clock.h"
#include "base/err.h"
#include "service/drives_internal.h"

struct opening {
	struct bounded b;
	unsigned refs;       /* atomic: of its thread, and of who asked */
	bool gone;           /* atomic: it has returned, too late */
	drives_open_fn open;
	void *arg;
	char *path;
	struct drive *d;
	uint64_t deadline_ns;
};

static struct opening *opening_of(struct bounded *b)
{
	return CONTAINER_OF(b, struct opening, b);
}

static int run(struct bounded *b)
{
	struct opening *o = opening_of(b);

	return o->open(o->arg, o->path, &o->d);
}

static bool wanted(struct bounded *b)
{
	return clock_mono_ns() < opening_of(b)->deadline_ns;
}

struct opening *opening_free(struct opening *o)
{
	if (!o || __atomic_sub_fetch(&o->refs, 1, __ATOMIC_ACQ_REL))
		return NULL;
	free(o->path);
	free(o);
	return NULL;
}

bool opening_is_over(const struct opening *o)
{
	return __atomic_load_n(&o->gone, __ATOMIC_ACQUIRE);
}

static void end(struct bounded *b)
{
	struct opening *o = opening_of(b);

	drive_close(o->d);
	o->d = NULL;
	__atomic_store_n(&o->gone, true, __ATOMIC_RELEASE);
	opening_free(o);
}

static struct opening *opening_new(drives_open_fn open, void *arg, const char *path, uint64_t timeout_ns)
{
	struct opening *o = calloc(1, sizeof *o);

	if (!o)
		return NULL;
	o->b = (struct bounded){.run = run, .end = end, .wanted = wanted};
	o->refs = 2;
	o->open = open;
	o->arg = arg;
	o->deadline_ns = clock_mono_ns() + timeout_ns;
	o->path = strdup(path);
	if (!o->path) {
		free(o);
		return NULL;
	}
	return o;
}

int opening_run(struct opening **late, drives_open_fn open, void *arg, const char *path, uint64_t timeout_ns, struct drive **ret)
{
	if (*late && !opening_is_over(*late))
		return -QE_DRIVE_TIMEOUT;
	*late = opening_free(*late);
	struct opening *o = opening_new(open, arg, path, timeout_ns);
	if (!o)
		return -ENOMEM;
	if (!bounded_run(&o->b)) {
		*late = o;
		return -QE_DRIVE_TIMEOUT;
	}
	int rc = o->b.rc;
	if (rc == 0) {
		*ret = o->d;
		(*ret)->timeout_ns = timeout_ns;
		o->d = NULL;
	}
	bounded_end(&o->b);
	opening_free(o);
	return rc;
}
