/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of commands and what a command is given.
 */
#ifndef QUOIN_CLI_CMDS_INTERNAL_H
#define QUOIN_CLI_CMDS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/macros.h"
#include "cli/cli.h"
#include "conf/conf.h"

#define CLI_MAX_OPTIONS 8
#define CLI_MAX_WORDS 3 /* of a command's name */
#define CLI_USAGE 2 /* exit status */

struct cli_option {
	const char *name;       /* long form, without dashes */
	char short_name;        /* 0: none */
	const char *arg;        /* word for its argument; NULL: takes none */
	const char *key;        /* configuration key that it sets; NULL: the command looks at it */
	const char *help;
};

/* What the parser found. */
struct cli_args {
	const struct cli_command *cmd;
	const char *value[CLI_MAX_OPTIONS]; /* by position among the command's options; "" when it takes no argument */
	struct conf_flag *flags;            /* from options with a key, and from --set */
	size_t n_flags;
	char **rest;                        /* what is not an option */
	size_t n_rest;
	const struct cli_programs *programs;
};

typedef int cli_command_fn(const struct cli_args *args);

struct cli_command {
	const char *name;       /* up to CLI_MAX_WORDS words */
	const char *synopsis;   /* of what is not an option; "" for nothing */
	size_t min_rest, max_rest;
	bool hidden;            /* for scripts, not in the usage */
	cli_command_fn *run;
	const char *help;
	struct cli_option options[CLI_MAX_OPTIONS]; /* ends at a NULL name */
};

extern const struct cli_command cli_commands[];
extern const size_t cli_n_commands;

/* The value of --name, or NULL. */
const char *cli_arg(const struct cli_args *args, const char *name);
/* The command that argv[1..] names, the longest name that fits; *ret_words is how many words its name has. NULL: none. */
const struct cli_command *cli_command_find(int argc, char **argv, int *ret_words);
/* 0; or -EINVAL after saying on stderr what is wrong; or -ENOMEM. */
int cli_args_parse(const struct cli_command *cmd, int argc, char **argv, struct cli_args *ret) WARN_UNUSED;
void cli_args_free(struct cli_args *args);
void cli_usage(FILE *f);
void cli_usage_of(const struct cli_command *cmd, FILE *f);
/* 0; or the exit status after saying on stderr what is wrong. */
int cli_load_conf(const struct cli_args *args, struct conf **ret) WARN_UNUSED;

cli_command_fn cli_server;
cli_command_fn cli_fsck;
cli_command_fn cli_admin_info;
cli_command_fn cli_admin_inspect;
cli_command_fn cli_admin_drive_list;
cli_command_fn cli_admin_drive_offline;
cli_command_fn cli_admin_drive_online;
cli_command_fn cli_admin_drive_replace;
cli_command_fn cli_admin_heal;
cli_command_fn cli_admin_heal_status;
cli_command_fn cli_admin_scrub_start;
cli_command_fn cli_admin_scrub_status;
cli_command_fn cli_admin_scrub_report;
cli_command_fn cli_admin_service_list;
cli_command_fn cli_admin_service_run;
cli_command_fn cli_admin_service_pause;
cli_command_fn cli_admin_service_resume;
cli_command_fn cli_version;
cli_command_fn cli_help;
cli_command_fn cli_dump_commands;
cli_command_fn cli_dump_schema;

#endif
