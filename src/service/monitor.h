/* SPDX-License-Identifier: Apache-2.0
 *
 * Watches the drives of a set, and tells the log what nobody else does, once per change and by the drive's path: that a
 * drive is not in sync at the start, has I/O errors, became slow beside the others. Since when it is in its state, and how
 * fast it is, is kept for admin. It acts on nothing: what errs or hangs is taken out by the set, which tells that itself.
 */
#ifndef QUOIN_SERVICE_MONITOR_H
#define QUOIN_SERVICE_MONITOR_H

#include "meta/meta.h"
#include "service/service.h"

struct monitor;

struct monitor_drive {
	uint64_t since_ns;                   /* wall: in this state, as far as this process has seen */
	uint64_t read_ns, write_ns, sync_ns; /* of one operation, smoothed; 0: none yet */
	bool slow;                           /* far slower than the other drives */
};

struct monitor *monitor_new(struct meta_set *set); /* NULL: no memory */
struct monitor *monitor_free(struct monitor *m);   /* accepts NULL; returns NULL */
int monitor_run(void *arg, struct service_run *r) WARN_UNUSED; /* arg: the monitor; one look */
void monitor_drive(struct monitor *m, unsigned slot, struct monitor_drive *ret);

#endif
