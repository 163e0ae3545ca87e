/* SPDX-License-Identifier: Apache-2.0
 *
 * What operators see and order of drives. The keeper's thread does it (drives.c): here it is checked, noted and, where a
 * drive is to leave, asked of the set.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "service/drives_internal.h"

void drives_poke(struct drives *k)
{
	mutex_lock(&k->lock);
	for (unsigned i = 0; i < k->n; i++)
		k->e[i].retry_ns = 0;
	k->poked = true;
	cond_signal(&k->wake);
	mutex_unlock(&k->lock);
}

unsigned drives_list(struct drives *k, struct drives_info *ret, unsigned max)
{
	uint64_t mono = clock_mono_ns(), wall = clock_wall_ns();
	struct meta_stats st;
	unsigned n = 0;

	meta_stats(k->set, &st);
	for (unsigned i = 0; i < k->n && n < max; i++) {
		struct drives_info *d = &ret[n++];
		struct drives_entry *e = &k->e[i];
		*d = (struct drives_info){.slot = i};
		meta_slot_why(k->set, i, d->reason, sizeof d->reason);
		MUTEX_GUARD(&k->lock);
		d->state = e->offline ? DRIVES_OFFLINE : st.isr.slot[i].state == ISR_IN ? DRIVES_IN :
			   st.isr.slot[i].state == ISR_JOINING ? DRIVES_JOINING : DRIVES_OUT;
		snprintf(d->path, sizeof d->path, "%s", e->path);
		if (*e->reason)
			snprintf(d->reason, sizeof d->reason, "%s", e->reason);
		d->failures = e->failures;
		d->retry_ns = e->retry_ns > mono ? wall + (e->retry_ns - mono) : 0;
	}
	return n;
}

/* The slot leaves now, if it is in. */
static int take_out(struct drives *k, unsigned slot, const char *why, struct op_ctx *ctx)
{
	int rc = meta_slot_remove(k->set, slot, false, why);

	if (rc == -QE_QUORUM_WRITE)
		return op_fail(ctx, rc, "without the drive of slot %u too few are in sync for the set to write", slot);
	if (rc == -QE_BUSY)
		return op_fail(ctx, rc, "slot %u has the only good copy of the index; others are being made, try again", slot);
	return rc == -EINVAL ? 0 : rc; /* it was out already */
}

static int check_slot(const struct drives *k, unsigned slot, struct op_ctx *ctx)
{
	return slot < k->n ? 0 : op_fail(ctx, -ENOENT, "there is no slot %u: the set has %u drives", slot, k->n);
}

static void set_offline(struct drives *k, unsigned slot, bool offline)
{
	mutex_lock(&k->lock);
	k->e[slot].offline = offline;
	mutex_unlock(&k->lock);
	drives_poke(k);
}

int drives_offline(struct drives *k, unsigned slot, struct op_ctx *ctx)
{
	int rc = check_slot(k, slot, ctx);

	if (rc < 0)
		return rc;
	/* First, so that a look in between does not bring it back. */
	set_offline(k, slot, true);
	rc = take_out(k, slot, "set offline", ctx);
	if (rc < 0)
		set_offline(k, slot, false);
	return rc;
}

int drives_online(struct drives *k, unsigned slot, struct op_ctx *ctx)
{
	int rc = check_slot(k, slot, ctx);

	if (rc == 0)
		set_offline(k, slot, false);
	return rc;
}

static int choose_path(struct drives *k, unsigned slot, const char *path, struct op_ctx *ctx)
{
	MUTEX_GUARD(&k->lock);

	for (unsigned i = 0; i < k->n; i++)
		if (i != slot && strcmp(k->e[i].path, path) == 0)
			return op_fail(ctx, -EINVAL, "%s is the path of slot %u", path, i);
	char *copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	free(k->e[slot].next_path);
	k->e[slot].next_path = copy;
	return 0;
}

int drives_replace(struct drives *k, unsigned slot, const char *path, struct op_ctx *ctx)
{
	int rc = check_slot(k, slot, ctx);

	if (rc < 0)
		return rc;
	/* First, so that a look in between does not bring the old one back. */
	set_offline(k, slot, true);
	rc = take_out(k, slot, "replaced", ctx);
	if (rc == 0 && path)
		rc = choose_path(k, slot, path, ctx);
	mutex_lock(&k->lock);
	k->e[slot].forced |= rc == 0;
	mutex_unlock(&k->lock);
	set_offline(k, slot, false);
	return rc;
}
