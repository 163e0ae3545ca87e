/* SPDX-License-Identifier: Apache-2.0
 *
 * quoin fsck: opens the drives for reading only and prints what the check finds, a line or a JSON object each.
 */
#ifndef QUOIN_DAEMON_FSCK_H
#define QUOIN_DAEMON_FSCK_H

#include <stdbool.h>

struct conf;

/* Takes over c, which names the drives. deep: the payload is read, too. Exit status: 0 clean, 1 findings that the daemon repairs by itself, 2 damage that
 * needs an operator, CLI_FSCK_UNCHECKED. */
int fsck_run(struct conf *c, bool json, bool deep);

#endif
