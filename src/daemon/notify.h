/* SPDX-License-Identifier: Apache-2.0
 *
 * The systemd readiness protocol (sd_notify(3)): one datagram to $NOTIFY_SOCKET. Without a socket nothing happens.
 */
#ifndef QUOIN_DAEMON_NOTIFY_H
#define QUOIN_DAEMON_NOTIFY_H

void daemon_notify(const char *state); /* "READY=1", "RELOADING=1\nMONOTONIC_USEC=...", "STOPPING=1" */

#endif
