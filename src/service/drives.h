/* SPDX-License-Identifier: Apache-2.0
 *
 * The drive keeper: opens the drives of a set, owns them, and brings each back that left. One thread looks every few seconds
 * and when it is poked:
 *
 *   a drive in sync whose directory is gone from its path (pulled, unmounted, replaced) is taken out
 *   a slot that is out gives its drive back once all its I/O has returned; the path is opened anew and joins: the same drive
 *   with what it missed, an empty directory as its replacement (meta_slot_join); while the set is read-only, the drives that
 *   are there revive it (meta_set_revive)
 *
 * What must not come back does not: a slot that an operator set offline, until online or the next start; an empty directory
 * on the root file system, while other drives of the set are not on it: its drive is not mounted. One that keeps failing is
 * tried again after ever longer pauses. The log tells each change once, in one form: "drive out slot= path= reason=" and
 * "drive in slot= path=".
 */
#ifndef QUOIN_SERVICE_DRIVES_H
#define QUOIN_SERVICE_DRIVES_H

#include "meta/meta.h"
#include "service/service.h"

struct drives;

struct drives_params {
	const char *const *paths;
	unsigned n;
	uint64_t period_ns;  /* between two looks: 3 s */
	uint64_t backoff_ns; /* the longest pause before a drive that failed is tried again: 60 s */
	uint64_t timeout_ns; /* what opening a drive, and a call of one, may take; 0: no limit */
	int (*open)(void *arg, const char *path, struct drive **ret); /* NULL: drive_posix_open */
	void *arg;
};

/* Opens what can be opened; the rest is logged, and as good as absent. NULL: no memory. */
struct drives *drives_new(const struct drives_params *p);
/* Lends the open ones to the set, by place in paths; how many. */
unsigned drives_lend(struct drives *k, struct drive *ret[SUPER_MAX_SLOTS]);
/* The set is up: finds out which path is which slot. */
void drives_attach(struct drives *k, struct meta_set *set);
int drives_start(struct drives *k) WARN_UNUSED; /* the thread. 0 or -EAGAIN */
void drives_stop(struct drives *k);             /* ends it, before the set is closed; accepts NULL */
/* Closes the drives, after the set. Returns NULL; or the keeper, when calls into a drive do not return within the timeout:
 * the log names it, and it stays as it is, the others are closed. Accepts NULL. */
struct drives *drives_free(struct drives *k) WARN_UNUSED;
/* For a process that ends at once, though its set may not be closed yet: lets go of the locks of all drives that are in no
 * call which changes them. drives_free has not been called. Accepts NULL. */
void drives_abandon(struct drives *k);
void drives_look(struct drives *k);             /* one look: what the thread does; by others only while there is none */
void drives_watch(void *arg, struct service_info *ret); /* the row of the table of services; arg: the keeper */

/* ---- For operators ------------------------------------------------------------------------------------------------ */
enum drives_state { DRIVES_IN, DRIVES_JOINING, DRIVES_OUT, DRIVES_OFFLINE };
struct drives_info {
	unsigned slot;
	enum drives_state state;
	char path[256];
	char reason[320];    /* why it is not in; "": nothing is known */
	unsigned failures;   /* attempts in a row */
	uint64_t retry_ns;   /* wall; 0: at the next look */
};
unsigned drives_list(struct drives *k, struct drives_info *ret, unsigned max); /* by slot; how many */
/* Takes the drive out and keeps it closed, so that it may be unmounted or pulled. -ENOENT: no such slot; -QE_QUORUM_WRITE:
 * too few would be left in sync; -QE_BUSY: its index copy is the only good one yet. */
int drives_offline(struct drives *k, unsigned slot, struct op_ctx *ctx) WARN_UNUSED;
int drives_online(struct drives *k, unsigned slot, struct op_ctx *ctx) WARN_UNUSED;
/* The blank directory at path (NULL: at the one of now) takes the slot, on the root file system too, because an operator says
 * so. The configuration must name a new path before the next start. Everything is checked before anything is changed:
 * -QE_INVALID_REQUEST: not absolute, absent, not blank, in use, or another slot's; -QE_DRIVE_TIMEOUT; then errors as
 * drives_offline. One that is refused leaves the slot as it was. */
int drives_replace(struct drives *k, unsigned slot, const char *path, struct op_ctx *ctx) WARN_UNUSED;
void drives_poke(struct drives *k);             /* looks now, without pauses */

#endif
