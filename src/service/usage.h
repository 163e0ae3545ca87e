/* SPDX-License-Identifier: Apache-2.0
 *
 * The scanner. Usage is exact from counters that each change keeps up, so nothing here adds it up: a run recounts
 * everything from the rows, from time to time, and tells in the log and to admin where a counter is not what the rows say.
 * It mends nothing: a counter that is wrong means a bug or damage, and `quoin fsck` tells which.
 */
#ifndef QUOIN_SERVICE_USAGE_H
#define QUOIN_SERVICE_USAGE_H

#include "base/buf.h"
#include "meta/meta.h"
#include "service/service.h"

struct usage_scan;

struct usage_report {
	uint64_t cycle;       /* scans that came to their end since the start; 0: none */
	uint64_t ended_ns;    /* wall, of the newest */
	uint64_t took_ns;
	uint64_t rows;        /* that it looked at */
	unsigned differences;
};

struct usage_scan *usage_scan_new(struct meta_set *set); /* NULL: no memory */
struct usage_scan *usage_scan_free(struct usage_scan *u); /* accepts NULL; returns NULL */
int usage_scan_run(void *arg, struct service_run *r) WARN_UNUSED; /* arg: the scan */
/* lines: the differences of the newest scan, one a line, the first ones only when there are many. */
void usage_scan_report(struct usage_scan *u, struct usage_report *ret, struct buf *lines);

#endif
