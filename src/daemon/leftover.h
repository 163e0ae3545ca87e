/* SPDX-License-Identifier: Apache-2.0
 *
 * What a killed daemon can leave: a mount that hangs and, for as long as it does, a dead process that still has the locks of
 * its drives (fusefs/guard.c says why, and does away with it at once, unless it was killed as well).
 */
#ifndef QUOIN_DAEMON_LEFTOVER_H
#define QUOIN_DAEMON_LEFTOVER_H

#include "conf/conf.h"

/* If that is so with the mount point and a drive of the configuration, the mount is aborted, and the end of the process waited
 * for. Does nothing to a daemon that lives, be it stopped or slow. Failures are logged: opening the drives will say the rest. */
void leftover_release(const struct conf *c);

#endif
