/* SPDX-License-Identifier: Apache-2.0
 *
 * Background work over the core, as one table: what runs, how often, with how many threads, at what rate, how far it is.
 * wire.c fills the table; admin/ shows it. A row has either a run function, which gets threads here, or a watch function
 * that tells of work which a lower layer does on threads of its own.
 *
 * The story of a run: it is due (first_ns after the start, then every period_ns, or at once when it was poked), no run of
 * the row is under way, and the row is not paused. Its threads call run() together. run() works in small steps; between
 * them it asks service_run_spend, which keeps the budget and tells when to end. A run that takes longer than its period
 * is not started twice: the next one follows it.
 */
#ifndef QUOIN_SERVICE_SERVICE_H
#define QUOIN_SERVICE_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"

#define SERVICES_MAX 16
#define SERVICE_NOTE_MAX 160

struct services;
struct service_run;
struct service_info;

struct service { /* a row; strings are borrowed for good */
	const char *name;     /* one word; its threads are called qn-NAME */
	uint64_t first_ns;    /* from the start of the table to the first run; with a period only */
	uint64_t period_ns;   /* from the start of a run to the start of the next; 0: only when poked */
	uint64_t pause_ns;    /* rest between the end of a run and the start of the next, at least; a poke ends it */
	uint64_t budget;      /* units a second, all threads together; 0: as fast as it goes */
	unsigned concurrency; /* threads of a run; 0: one */
	int (*run)(void *arg, struct service_run *r); /* 0 or an error, which is logged and shown */
	void (*watch)(void *arg, struct service_info *ret); /* instead of run: fills what it knows */
	void *arg;
};

enum service_state { SERVICE_WAITING, SERVICE_RUNNING, SERVICE_PAUSED };

struct service_info {
	const char *name;
	uint64_t period_ns, budget;
	unsigned concurrency;
	enum service_state state;
	uint64_t cycle;      /* runs begun since the start */
	uint64_t failures;   /* runs that gave an error */
	uint64_t started_ns; /* wall, of the newest run; 0: none yet */
	uint64_t ended_ns;   /* wall, of the newest run that ended; 0: none yet */
	uint64_t took_ns;    /* of the newest run that ended */
	uint64_t next_ns;    /* wall; 0: not planned */
	uint64_t done, total; /* progress of the newest run; total 0: not known */
	char note[SERVICE_NOTE_MAX]; /* what the newest run has to say; "": nothing */
};

/* Copies the rows and starts their threads. 0, -ENOMEM, -EAGAIN. */
int services_start(const struct service *rows, unsigned n, struct services **ret) WARN_UNUSED;
/* Tells all runs to end, waits for them. Accepts NULL; returns NULL. */
struct services *services_stop(struct services *s);
/* Fills up to max, in the order of the table; how many. */
unsigned services_list(struct services *s, struct service_info *ret, unsigned max);
/* A run as soon as may be: now, when it is resumed, or once more when one is under way. -ENOENT: no such row;
 * -EOPNOTSUPP: a row that is only watched. */
int services_poke(struct services *s, const char *name) WARN_UNUSED;
/* Paused: the run under way is told to end, none begins. Resumed: what was cut off begins anew. Errors as above. */
int services_pause(struct services *s, const char *name, bool paused) WARN_UNUSED;

/* ---- For run() ---------------------------------------------------------------------------------------------------- */
unsigned service_run_thread(const struct service_run *r); /* 0 .. concurrency - 1 */
bool service_run_poked(const struct service_run *r);      /* it was poked, not only due */
bool service_run_ends(const struct service_run *r);       /* it is told to end: return 0 soon */
/* Takes n units of the budget and waits until they are there. False: it is told to end. */
bool service_run_spend(struct service_run *r, uint64_t n) WARN_UNUSED;
void service_run_progress(struct service_run *r, uint64_t done, uint64_t total);
void service_run_note(struct service_run *r, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
