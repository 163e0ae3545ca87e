/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line. cmds.c has the table of commands; each is parsed by one parser from its row, so that usage, the
 * man pages' check and the code cannot differ. Commands talk to a running daemon through its admin API over HTTP and
 * never touch a drive; those that do are given from outside.
 */
#ifndef QUOIN_CLI_CLI_H
#define QUOIN_CLI_CLI_H

#include <stdbool.h>

struct conf;

/* Exit status of fsck, whose 2 would say that it found damage. */
#define CLI_FSCK_UNCHECKED 3

/* What works on drives itself. Each takes over c and returns the exit status. */
struct cli_programs {
	int (*server)(struct conf *c);          /* runs the daemon in the foreground */
	int (*fsck)(struct conf *c, bool json, bool deep); /* checks the drives of c */
};

/* All of main(). Exit status: 0, 1 for a failure, 2 for a wrong command line or configuration. */
int cli_main(int argc, char **argv, const struct cli_programs *programs);

#endif
