/* SPDX-License-Identifier: Apache-2.0
 *
 * Work in steps, each of which must end within its time. When one does not, a thread calls `overdue` once, with its name,
 * and no step begins any more: whoever begins the next one waits until that call has returned.
 */
#ifndef QUOIN_BASE_WATCHDOG_H
#define QUOIN_BASE_WATCHDOG_H

#include <stdint.h>

#include "base/macros.h"

struct watchdog;

/* NULL: no memory, no thread. The functions below accept NULL: nobody watches then. */
struct watchdog *watchdog_new(void (*overdue)(void *arg, const char *step), void *arg);
void watchdog_step(struct watchdog *w, const char *step, uint64_t within_ns); /* the one before has ended */
struct watchdog *watchdog_free(struct watchdog *w);                           /* the last one has; returns NULL */

#endif
