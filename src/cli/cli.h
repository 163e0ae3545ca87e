/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line. cmds.c has the table of commands; each is parsed by one parser from its row, so that usage, the
 * man pages' check and the code cannot differ. Commands talk to a running daemon through its admin API over HTTP and
 * never touch a drive.
 */
#ifndef QUOIN_CLI_CLI_H
#define QUOIN_CLI_CLI_H

struct conf;

/* Runs the daemon in the foreground; takes over c; returns the exit status. */
typedef int cli_server_fn(struct conf *c);

/* All of main(). Exit status: 0, 1 for a failure, 2 for a wrong command line or configuration. */
int cli_main(int argc, char **argv, cli_server_fn *run_server);

#endif
