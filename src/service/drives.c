/* SPDX-License-Identifier: Apache-2.0
 *
 * See drives.h: the keeper's thread, and what it does at a look.
 */
#include "service/drives.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/thread.h"
#include "drive/identity.h"
#include "service/drives_internal.h"

#define PERIOD_NS (3 * NS_PER_S)
#define BACKOFF_NS (60 * NS_PER_S)
#define SET_PERIODS 4 /* at most, between attempts to write again: clients wait for it */
#define GONE "its directory is gone"

/* ---- Opening and closing ------------------------------------------------------------------------------------------ */
static int open_posix(void *arg, const char *path, struct drive **ret)
{
	return drive_posix_open(path, ret);
}

int drives_open(const struct drives *k, struct opening **late, const char *path, struct drive **ret)
{
	return k->timeout_ns ? opening_run(late, k->open, k->arg, path, k->timeout_ns, ret) : k->open(k->arg, path, ret);
}

static const char *cure(int rc)
{
	if (rc == -QE_DRIVE_TIMEOUT)
		return "none: it is taken in when it answers";
	return rc == -ENOENT ? "create the directory, or mount the drive there" : "make it a directory that this user can write";
}

struct drives *drives_new(const struct drives_params *p)
{
	struct drives *k = calloc(1, sizeof *k);

	if (!k)
		return NULL;
	mutex_init(&k->lock, LOCK_QUEUE);
	cond_init(&k->wake);
	k->n = MIN(p->n, (unsigned)SUPER_MAX_SLOTS);
	k->period_ns = p->period_ns ? p->period_ns : PERIOD_NS;
	k->backoff_ns = p->backoff_ns ? p->backoff_ns : BACKOFF_NS;
	k->timeout_ns = k->n > 1 ? p->timeout_ns : 0; /* of one drive all wait anyway */
	k->open = p->open ? p->open : open_posix;
	k->arg = p->arg;
	for (unsigned i = 0; i < k->n; i++) {
		struct drives_entry *e = &k->e[i];
		e->path = strdup(p->paths[i]);
		if (!e->path)
			return drives_free(k);
		int rc = drives_open(k, &e->late, e->path, &e->d);
		if (rc < 0)
			log_error("drive", "cannot use the drive path=%s cause=\"%s\" cure=\"%s\"", e->path, drive_err_text(rc), cure(rc));
	}
	return k;
}

static bool entry_is_used(const struct drives_entry *e)
{
	return (e->d && drive_users(e->d)) || (e->late && !opening_is_over(e->late));
}

/* False: calls into its drive have not returned. It stays open and locked: what they still do must meet nobody else. */
static bool close_entry(struct drives *k, struct drives_entry *e)
{
	uint64_t since = clock_mono_ns();

	while (entry_is_used(e) && clock_mono_ns() - since < k->timeout_ns)
		clock_sleep_ns(NS_PER_MS);
	if (entry_is_used(e)) {
		log_warn("drive", "not waited for: the drive does not answer path=%s", e->path);
		return false;
	}
	e->d = drive_close(e->d);
	e->late = opening_free(e->late);
	return true;
}

struct drives *drives_free(struct drives *k)
{
	bool closed = true;

	if (!k)
		return NULL;
	for (unsigned i = 0; i < k->n; i++)
		closed &= close_entry(k, &k->e[i]);
	if (!closed)
		return k;
	for (unsigned i = 0; i < k->n; i++) {
		free(k->e[i].path);
		free(k->e[i].next_path);
	}
	cond_destroy(&k->wake);
	mutex_destroy(&k->lock);
	free(k);
	return NULL;
}

/* Whoever is stuck in a drive may still change it: that one stays locked. */
static void unlock(struct drive *d)
{
	if (!d || drive_is_out(d) || drive_changes(d) || d->lock_fd < 0)
		return;
	close(d->lock_fd);
	d->lock_fd = -1;
}

void drives_abandon(struct drives *k)
{
	for (unsigned i = 0; k && i < k->n; i++) {
		CLEANUP_DRIVE struct drive *d = k->running ? meta_drive_of(k->set, i) : drive_hold(k->e[i].d);
		unlock(d);
	}
}

unsigned drives_lend(struct drives *k, struct drive *ret[SUPER_MAX_SLOTS])
{
	unsigned n = 0;

	memset(ret, 0, SUPER_MAX_SLOTS * sizeof *ret);
	for (unsigned i = 0; i < k->n; i++) {
		ret[i] = k->e[i].d;
		n += ret[i] != NULL;
	}
	return n;
}

/* What the set did not take is closed: it is opened anew when it may join. */
void drives_attach(struct drives *k, struct meta_set *set)
{
	struct drives_entry by_slot[SUPER_MAX_SLOTS] = {0};
	bool taken[SUPER_MAX_SLOTS] = {false};

	k->set = set;
	for (unsigned slot = 0; slot < k->n; slot++) {
		CLEANUP_DRIVE struct drive *d = meta_drive_of(set, slot);
		for (unsigned i = 0; d && i < k->n; i++)
			if (k->e[i].d == d) {
				by_slot[slot] = k->e[i];
				by_slot[slot].lent = taken[i] = true;
			}
	}
	for (unsigned slot = 0, i = 0; slot < k->n; slot++) {
		if (by_slot[slot].path)
			continue;
		while (taken[i])
			i++;
		by_slot[slot] = k->e[i++];
		by_slot[slot].d = drive_close(by_slot[slot].d);
	}
	memcpy(k->e, by_slot, sizeof k->e);
}

/* ---- What becomes of a slot --------------------------------------------------------------------------------------- */
/* True: it is news. */
static bool note(struct drives *k, unsigned slot, const char *reason)
{
	struct drives_entry *e = &k->e[slot];
	MUTEX_GUARD(&k->lock);
	bool news = strcmp(e->reason, reason) != 0;

	snprintf(e->reason, sizeof e->reason, "%s", reason);
	return news;
}

static void say(struct drives *k, unsigned slot, const char *reason)
{
	struct drives_entry *e = &k->e[slot];

	if (note(k, slot, reason))
		log_warn("meta", "drive out slot=%u path=%s reason=\"%s\"", slot, e->path, reason);
}

static uint64_t pause_of(const struct drives *k, unsigned failures)
{
	return MIN(k->period_ns << MIN(failures, 16u), k->backoff_ns);
}

static void failed(struct drives *k, unsigned slot, const char *reason)
{
	struct drives_entry *e = &k->e[slot];

	say(k, slot, reason);
	mutex_lock(&k->lock);
	e->retry_ns = clock_mono_ns() + pause_of(k, e->failures++);
	mutex_unlock(&k->lock);
}

static void well(struct drives *k, unsigned slot)
{
	struct drives_entry *e = &k->e[slot];

	mutex_lock(&k->lock);
	e->reason[0] = '\0';
	e->failures = 0;
	e->retry_ns = 0;
	e->forced = false;
	mutex_unlock(&k->lock);
}

static bool flag(struct drives *k, const bool *f)
{
	MUTEX_GUARD(&k->lock);

	return *f;
}

/* The drive of a slot that is out comes back from the set. False: its I/O has not returned yet. */
static bool take_back(struct drives *k, unsigned slot)
{
	struct drives_entry *e = &k->e[slot];
	struct drive *old = NULL;

	if (e->lent && meta_slot_release(k->set, slot, &old) < 0)
		return false;
	e->lent = false;
	e->d = drive_close(e->d);
	mutex_lock(&k->lock);
	if (e->next_path) {
		free(e->path);
		e->path = e->next_path;
		e->next_path = NULL;
	}
	mutex_unlock(&k->lock);
	return true;
}

static bool is_due(struct drives *k, unsigned slot)
{
	MUTEX_GUARD(&k->lock);

	return !k->e[slot].offline && clock_mono_ns() >= k->e[slot].retry_ns;
}

/* ---- What stands at the path -------------------------------------------------------------------------------------- */
/* An empty directory where a drive of its own should be: a mount is missing (DRV-5, DRV-6). It lies on the root file system
 * and another drive does not, or is no mount point and all others are. */
static bool is_not_mounted(struct drives *k, unsigned slot)
{
	const struct drive *blank = k->e[slot].d;
	unsigned others = 0, off_root = 0, mounted = 0;

	if (flag(k, &k->e[slot].forced))
		return false;
	for (unsigned i = 0; i < k->n; i++) {
		CLEANUP_DRIVE struct drive *d = i != slot ? meta_drive_of(k->set, i) : NULL;
		if (!d)
			continue;
		others++;
		off_root += !d->root_disk;
		mounted += d->mount_point;
	}
	return (blank->root_disk && off_root) || (!blank->mount_point && others && mounted == others);
}

/* Drives are told by their identity: one of another slot that has none is looked at there. */
static void swap_paths(struct drives *k, unsigned a, unsigned b)
{
	mutex_lock(&k->lock);
	char *path = k->e[a].path;
	k->e[a].path = k->e[b].path;
	k->e[b].path = path;
	mutex_unlock(&k->lock);
	struct drive *d = k->e[a].d;
	k->e[a].d = k->e[b].d;
	k->e[b].d = d;
	struct opening *late = k->e[a].late;
	k->e[a].late = k->e[b].late;
	k->e[b].late = late;
}

/* 1: it may join; 0: not now, and why has been told. */
static int open_anew(struct drives *k, unsigned *slot)
{
	struct drives_entry *e = &k->e[*slot];
	struct identity id;

	int rc = drives_open(k, &e->late, e->path, &e->d);
	if (rc < 0) {
		e->d = NULL;
		say(k, *slot, rc == -ENOENT ? GONE : drive_err_text(rc));
		return 0;
	}
	rc = identity_read(e->d, &id);
	if (rc == 0 && memcmp(id.deployment, meta_deployment_id(k->set), 16) == 0 && id.slot < k->n && id.slot != *slot &&
	    !k->e[id.slot].d) {
		swap_paths(k, *slot, id.slot);
		*slot = id.slot;
		e = &k->e[*slot];
		if (!is_due(k, *slot))
			e->d = drive_close(e->d);
		return e->d != NULL;
	}
	if (rc != -ENODATA || !is_not_mounted(k, *slot))
		return 1; /* what is wrong with it the set tells */
	e->d = drive_close(e->d);
	failed(k, *slot, "an empty directory on the file system around it: is the drive mounted?");
	return 0;
}

/* ---- A look at the set that writes -------------------------------------------------------------------------------- */
static void join(struct drives *k, unsigned slot)
{
	struct drives_entry *e = &k->e[slot];
	struct op_ctx ctx;

	op_ctx_init(&ctx, OP_ADMIN);
	int rc = meta_slot_join(k->set, e->d, slot, &ctx);
	e->lent = rc != -EBUSY;
	if (rc < 0)
		failed(k, slot, ctx.detail);
	else
		well(k, slot);
	op_ctx_done(&ctx);
}

static void look_at_out(struct drives *k, unsigned slot)
{
	if (!take_back(k, slot) || !is_due(k, slot))
		return;
	if (open_anew(k, &slot))
		join(k, slot);
}

/* What an operator wishes of a slot that is in. */
static const char *wish(struct drives *k, unsigned slot)
{
	MUTEX_GUARD(&k->lock);

	return k->e[slot].offline ? "set offline" : k->e[slot].next_path ? "replaced" : NULL;
}

/* Its descriptors work on, but nobody would find it at a start, and what was written could not be read then. */
static bool is_gone(const struct drives_entry *e)
{
	int rc = e->d ? identity_check(e->d) : 0;

	return rc == -ENOENT || rc == -ENOTDIR;
}

static void look_at_in(struct drives *k, unsigned slot)
{
	bool gone = is_gone(&k->e[slot]);
	const char *why = gone ? GONE : wish(k, slot);

	if (!why || meta_slot_remove(k->set, slot, gone, why) < 0)
		return;
	note(k, slot, why); /* the set has logged it */
	look_at_out(k, slot);
}

/* ---- A look at the set below W ------------------------------------------------------------------------------------ */
static void give_up_lost(struct drives *k, unsigned slot)
{
	struct drives_entry *e = &k->e[slot];

	if (e->lent && is_gone(e))
		drive_set_out(e->d, true, GONE);
	if (e->d && drive_is_out(e->d))
		(void)!take_back(k, slot);
}

/* Drives that left, opened anew. Blank ones have nothing to say here (R1). */
static void gather(struct drives *k, struct drive *ret[SUPER_MAX_SLOTS])
{
	unsigned n = 0;

	for (unsigned i = 0; i < k->n; i++) {
		struct identity id;
		unsigned slot = i;
		give_up_lost(k, i);
		if (k->e[i].d || !is_due(k, i) || !open_anew(k, &slot))
			continue;
		int rc = identity_read(k->e[slot].d, &id);
		if (rc == 0 && (id.slot != slot || memcmp(id.deployment, meta_deployment_id(k->set), 16) != 0))
			rc = -QE_DRIVE_FOREIGN;
		if (rc == 0) {
			ret[n++] = k->e[slot].d;
			note(k, slot, "it is here; the set waits for more drives");
			continue;
		}
		k->e[slot].d = drive_close(k->e[slot].d);
		say(k, slot, rc == -ENODATA ? "an empty directory: it can join when the set writes" : drive_err_text(rc));
	}
}

static void revive(struct drives *k)
{
	struct drive *drives[SUPER_MAX_SLOTS] = {NULL};
	struct op_ctx ctx;

	if (clock_mono_ns() < k->set_retry_ns)
		return;
	gather(k, drives);
	op_ctx_init(&ctx, OP_ADMIN);
	int rc = meta_set_revive(k->set, drives, &ctx);
	if (rc < 0) {
		if (k->set_failures == 0)
			log_warn("meta", "the set cannot write yet: %s", *ctx.detail ? ctx.detail : err_text(rc));
		k->set_retry_ns = clock_mono_ns() + MIN(pause_of(k, k->set_failures++), SET_PERIODS * k->period_ns);
	} else {
		k->set_failures = 0;
	}
	op_ctx_done(&ctx);
	/* What was not taken is opened anew for the next attempt. */
	for (unsigned i = 0; i < k->n; i++) {
		CLEANUP_DRIVE struct drive *d = meta_drive_of(k->set, i);
		k->e[i].lent = d && d == k->e[i].d;
		if (!k->e[i].lent)
			k->e[i].d = drive_close(k->e[i].d);
		else if (rc == 0)
			well(k, i);
	}
}

/* ---- The thread --------------------------------------------------------------------------------------------------- */
void drives_look(struct drives *k)
{
	struct meta_stats st;

	if (!meta_writable(k->set))
		revive(k);
	for (unsigned i = 0; i < k->n && meta_writable(k->set) && !flag(k, &k->stop); i++) {
		meta_stats(k->set, &st);
		if (st.isr.slot[i].state == ISR_IN)
			look_at_in(k, i);
		else
			look_at_out(k, i);
	}
	mutex_lock(&k->lock);
	k->looks++;
	mutex_unlock(&k->lock);
}

static void *drives_main(void *arg)
{
	struct drives *k = arg;

	mutex_lock(&k->lock);
	while (!k->stop) {
		uint64_t next = clock_mono_ns() + k->period_ns;
		while (!k->stop && !k->poked && cond_wait_until(&k->wake, &k->lock, next))
			;
		k->poked = false;
		if (k->stop)
			break;
		mutex_unlock(&k->lock);
		drives_look(k);
		mutex_lock(&k->lock);
	}
	mutex_unlock(&k->lock);
	return NULL;
}

int drives_start(struct drives *k)
{
	/* What was left aside at the start is looked at soon. */
	drives_poke(k);
	int rc = thread_start(&k->thread, "qn-drives", drives_main, k);
	k->running = rc == 0;
	return rc;
}

void drives_stop(struct drives *k)
{
	if (!k || !k->running)
		return;
	mutex_lock(&k->lock);
	k->stop = true;
	cond_signal(&k->wake);
	mutex_unlock(&k->lock);
	thread_join(k->thread);
	k->running = false;
}

void drives_watch(void *arg, struct service_info *ret)
{
	struct drives *k = arg;
	struct meta_stats st;
	unsigned in = 0;

	meta_stats(k->set, &st);
	for (unsigned i = 0; i < k->n; i++)
		in += st.state[i] == ISR_IN;
	mutex_lock(&k->lock);
	ret->period_ns = k->period_ns;
	ret->cycle = k->looks;
	mutex_unlock(&k->lock);
	snprintf(ret->note, sizeof ret->note, "%u of %u drives in sync", in, k->n);
}
