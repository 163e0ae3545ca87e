/* SPDX-License-Identifier: Apache-2.0
 *
 * What the monitor remembers of a drive, and how it judges what it sees: without a set and without a log, for tests.
 */
#ifndef QUOIN_SERVICE_MONITOR_INTERNAL_H
#define QUOIN_SERVICE_MONITOR_INTERNAL_H

#include "drive/drive.h"
#include "drive/super.h"
#include "service/monitor.h"

struct monitor_sample { /* of a drive, now */
	bool present;
	enum isr_state state;
	struct drive_stats st;
};

struct monitor_memory {
	bool seen;
	struct monitor_sample last;
	struct monitor_drive told;
	uint64_t errors_told, errors_told_ns; /* mono */
	unsigned slow_looks;                  /* in a row */
};

enum monitor_event {
	MONITOR_STATE = 1,   /* present or state differ from the last look */
	MONITOR_ERRORS = 2,  /* errors that the log was not told of yet */
	MONITOR_SLOW = 4,
	MONITOR_FAST = 8     /* no longer slow */
};

/* Takes the sample in. peers_ns: what a write and its flush takes on the other drives (monitor_peers). The events. */
unsigned monitor_judge(struct monitor_memory *m, const struct monitor_sample *now, uint64_t peers_ns, uint64_t mono_ns,
		       uint64_t wall_ns);
/* The median over the drives but `slot` that take writes; 0: there are none to compare with. */
uint64_t monitor_peers(const struct monitor_memory *m, unsigned n, unsigned slot);

#endif
