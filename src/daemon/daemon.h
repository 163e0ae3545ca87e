/* SPDX-License-Identifier: Apache-2.0
 *
 * The daemon: builds every layer from the configuration and runs until it is told to stop.
 */
#ifndef QUOIN_DAEMON_DAEMON_H
#define QUOIN_DAEMON_DAEMON_H

struct conf;

/* Runs in the foreground. Takes over c, which conf_check_server() has passed. Called once, with no thread started and
 * standard descriptors open. Answers readiness at /health/ready and to systemd when both faces serve; SIGTERM and
 * SIGINT drain and unmount; SIGHUP reloads by conf_reload(). Returns the exit status of the process: 0 after a clean
 * stop, 1 with the reason logged. Ends the process itself (WIRE_EXIT_LEFT) when a drive that hangs keeps it from that. */
int daemon_run(struct conf *c);

#endif
