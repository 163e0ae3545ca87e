/* SPDX-License-Identifier: Apache-2.0
 *
 * Compaction: gives back the space of what was deleted or overwritten in segments that go on living in part (meta/heal.h,
 * meta_compact), at no more than its budget of bytes a second. To find what lives in a segment all rows of blobs are
 * read, so after a run it rests long enough that this takes a twentieth of the time of one CPU at most, unless it is poked.
 */
#ifndef QUOIN_SERVICE_COMPACT_H
#define QUOIN_SERVICE_COMPACT_H

#include "meta/heal.h"
#include "service/service.h"

struct compact;

struct compact *compact_new(struct meta_set *set); /* NULL: no memory */
struct compact *compact_free(struct compact *c); /* accepts NULL; returns NULL; no run is under way */
/* Of the row in the table of services, which calls it often. */
int compact_run(void *arg, struct service_run *r) WARN_UNUSED;

#endif
