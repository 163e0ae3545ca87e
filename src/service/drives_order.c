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
#include "base/str.h"
#include "drive/identity.h"
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

/* (L) Where the drive of a slot is, or is to be. */
static const char *path_of(const struct drives_entry *e)
{
	return e->next_path ? e->next_path : e->path;
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
		d->state = e->offline ? DRIVES_OFFLINE : st.state[i] == ISR_IN ? DRIVES_IN :
			   st.state[i] == ISR_JOINING ? DRIVES_JOINING : DRIVES_OUT;
		snprintf(d->path, sizeof d->path, "%s", path_of(e));
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

/* ---- Replacing ---------------------------------------------------------------------------------------------------- */
static struct str next_name(const char **p)
{
	const char *from = *p + strspn(*p, "/");

	*p = from + strcspn(from, "/");
	return (struct str){from, (size_t)(*p - from)};
}

/* Also when one has more slashes, or one at its end. */
static bool same_path(const char *a, const char *b)
{
	struct str x, y;

	if ((*a == '/') != (*b == '/'))
		return false;
	do {
		x = next_name(&a);
		y = next_name(&b);
	} while (x.len && str_eq(x, y));
	return !x.len && !y.len;
}

/* (L) */
static int check_unused(const struct drives *k, unsigned slot, const char *path, struct op_ctx *ctx)
{
	for (unsigned i = 0; i < k->n; i++)
		if (i != slot && (same_path(k->e[i].path, path) || same_path(path_of(&k->e[i]), path)))
			return op_fail(ctx, -QE_INVALID_REQUEST, "%s is the path of slot %u: give an empty directory of its own",
				       path, i);
	return 0;
}

/* Where the new drive is to be: *ret is the caller's. */
static int choose_path(struct drives *k, unsigned slot, const char *path, struct op_ctx *ctx, char **ret)
{
	if (path && path[0] != '/')
		return op_fail(ctx, -QE_INVALID_REQUEST, "%s is no absolute path, and the server works in another directory "
			       "than you", path);
	MUTEX_GUARD(&k->lock);
	int rc = path ? check_unused(k, slot, path, ctx) : 0;
	if (rc < 0)
		return rc;
	*ret = strdup(path ? path : path_of(&k->e[slot]));
	return *ret ? 0 : -ENOMEM;
}

/* Names cause and cure of a directory that may not take a slot. */
static int refuse(struct op_ctx *ctx, int rc, const char *path)
{
	switch (rc) {
	case -ENOENT:
		return op_fail(ctx, -QE_INVALID_REQUEST, "there is no directory %s: create it, or mount the new drive "
			       "there", path);
	case 0:
	case -QE_DRIVE_FOREIGN:
	case -QE_DRIVE_FORMAT:
		return op_fail(ctx, -QE_INVALID_REQUEST, "%s is not empty: empty it first, or give the path of an empty "
			       "directory", path);
	case -QE_DRIVE_LOCKED:
		return op_fail(ctx, -QE_INVALID_REQUEST, "%s is a drive in use, and not empty: set it offline and empty it first, or give "
			       "the path of an empty directory", path);
	case -QE_DRIVE_TIMEOUT:
		return op_fail(ctx, rc, "%s: %s; check the device", path, drive_err_text(rc));
	case -ENOMEM:
		return rc;
	default:
		return op_fail(ctx, -QE_INVALID_REQUEST, "%s cannot be used: %s; give a directory that the server can write", path,
			       err_text(rc));
	}
}

/* Nothing is there but what a drive's file system or a format that was cut short leaves. */
static int check_blank(const struct drives *k, const char *path, struct op_ctx *ctx)
{
	struct opening *late = NULL;
	struct drive *d = NULL;
	struct identity id;
	int rc = drives_open(k, &late, path, &d);

	if (rc == 0)
		rc = identity_read(d, &id);
	drive_close(d);
	opening_free(late);
	return rc == -ENODATA ? 0 : refuse(ctx, rc, path);
}

/* What was so before. */
static bool hold_off(struct drives *k, unsigned slot)
{
	MUTEX_GUARD(&k->lock);
	bool was = k->e[slot].offline;

	k->e[slot].offline = true;
	return was;
}

/* Takes *path over. Another slot may have been given it meanwhile. */
static int note_replacement(struct drives *k, unsigned slot, char **path, struct op_ctx *ctx)
{
	struct drives_entry *e = &k->e[slot];
	MUTEX_GUARD(&k->lock);

	int rc = check_unused(k, slot, *path, ctx);
	if (rc < 0)
		return rc;
	free(e->next_path);
	e->next_path = *path;
	*path = NULL;
	e->forced = true;
	return 0;
}

/* A set below its write quorum takes nobody in. Whoever replaces a drive then says that the old one is lost for good. */
static int give_up_old(struct drives *k, unsigned slot, struct op_ctx *ctx)
{
	return meta_writable(k->set) ? 0 : meta_slot_give_up(k->set, slot, ctx);
}

int drives_replace(struct drives *k, unsigned slot, const char *path, struct op_ctx *ctx)
{
	CLEANUP_FREE char *to = NULL;
	int rc = check_slot(k, slot, ctx);

	if (rc == 0)
		rc = choose_path(k, slot, path, ctx, &to);
	if (rc == 0)
		rc = check_blank(k, to, ctx);
	if (rc < 0)
		return rc;
	/* First, so that a look in between does not bring the old one back. */
	bool was_offline = hold_off(k, slot);
	rc = take_out(k, slot, "replaced", ctx);
	if (rc == 0)
		rc = give_up_old(k, slot, ctx);
	if (rc == 0)
		rc = note_replacement(k, slot, &to, ctx);
	set_offline(k, slot, rc < 0 && was_offline);
	return rc;
}
