/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening the directory of a drive, bounded: where its file system hangs that does not return (drives_open.c).
 */
#ifndef QUOIN_SERVICE_DRIVES_INTERNAL_H
#define QUOIN_SERVICE_DRIVES_INTERNAL_H

#include "drive/drive.h"

typedef int (*drives_open_fn)(void *arg, const char *path, struct drive **ret);

struct opening; /* one that was given up */

/* As open does; -QE_DRIVE_TIMEOUT: it was given up and is *late until it has returned; meanwhile there is no other attempt.
 * The drive's calls are bounded by the same timeout. */
int opening_run(struct opening **late, drives_open_fn open, void *arg, const char *path, uint64_t timeout_ns, struct drive **ret)
	WARN_UNUSED;
struct opening *opening_free(struct opening *late); /* whoever asked forgets it; accepts NULL, returns NULL */

#endif
