/* SPDX-License-Identifier: Apache-2.0
 *
 * Builds every layer from the configuration, bottom up, and takes them down in the opposite order.
 */
#ifndef QUOIN_DAEMON_WIRE_H
#define QUOIN_DAEMON_WIRE_H

#include "base/macros.h"
#include "base/op_ctx.h"

struct conf;
struct fusefs_guard;
struct wire;

/* Address space of an index copy. ThreadSanitizer leaves little of it to the program. */
#ifdef UNDER_TSAN
#define WIRE_INDEX_MAP_BYTES (8ull << 30)
#else
#define WIRE_INDEX_MAP_BYTES (1ull << 40)
#endif

/* Drives, set, store, both faces. What cannot be had is logged with its cause and cure. guard: of the mount, NULL: none; in use
 * until the wire is down. 0 or a negative error. */
int wire_up(const struct conf *c, struct fusefs_guard *guard, struct wire **ret) WARN_UNUSED;
/* Drains S3, unmounts, publishes dirty data, checkpoints, closes. Accepts NULL and a half-built one. Returns NULL; or what
 * drives that hang still need, which the log names: all else is closed, and the process ends by _exit. When a step does not
 * end it does not return: the process ends then, unmounted and with that status. */
struct wire *wire_down(struct wire *w) WARN_UNUSED;
#define WIRE_EXIT_LEFT 3

#endif
