/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmds_internal.h"

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "conf/schema.h"

static void print_option(const struct cli_option *o, FILE *f)
{
	char left[64];

	snprintf(left, sizeof(left), "%s%c%s--%s%s%s", o->short_name ? "-" : " ", o->short_name ? o->short_name : ' ',
	         o->short_name ? ", " : "  ", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
	fprintf(f, "  %-28s %s\n", left, o->help);
}

void cli_usage_of(const struct cli_command *cmd, FILE *f)
{
	fprintf(f, "usage: quoin %s%s%s%s\n\n%s\n", cmd->name, cmd->options[0].name ? " [OPTION...]" : "",
	        cmd->synopsis[0] ? " " : "", cmd->synopsis, cmd->help);
	if (!cmd->options[0].name)
		return;
	fprintf(f, "\noptions:\n");
	for (size_t i = 0; i < CLI_MAX_OPTIONS && cmd->options[i].name; i++)
		print_option(&cmd->options[i], f);
}

void cli_usage(FILE *f)
{
	fprintf(f, "usage: quoin COMMAND [OPTION...] [ARGUMENT...]\n\ncommands:\n");
	for (size_t i = 0; i < cli_n_commands; i++)
		if (!cli_commands[i].hidden)
			fprintf(f, "  %-20s %s\n", cli_commands[i].name, cli_commands[i].help);
	fprintf(f, "\nSee quoin help COMMAND, and quoin(1).\n");
}

int cli_version(const struct cli_args *args)
{
	printf("quoin %s\n", PACKAGE_VERSION);
	return 0;
}

int cli_help(const struct cli_args *args)
{
	char *argv[2 + CLI_MAX_WORDS] = {NULL};
	CLEANUP_BUF struct buf name = BUF_INIT;
	const struct cli_command *cmd;
	int words;

	if (args->n_rest == 0) {
		cli_usage(stdout);
		return 0;
	}
	for (size_t i = 0; i < args->n_rest; i++) {
		argv[1 + i] = args->rest[i];
		buf_addf(&name, "%s%s", i ? " " : "", args->rest[i]);
	}
	cmd = cli_command_find((int)args->n_rest + 1, argv, &words);
	if (!cmd) {
		fprintf(stderr, "quoin: %s: no such command; quoin help lists them\n", buf_cstr(&name));
		return CLI_USAGE;
	}
	cli_usage_of(cmd, stdout);
	return 0;
}

/* "COMMAND" and "COMMAND<tab>--OPTION" lines. */
int cli_dump_commands(const struct cli_args *args)
{
	for (size_t i = 0; i < cli_n_commands; i++) {
		const struct cli_command *cmd = &cli_commands[i];

		if (cmd->hidden)
			continue;
		printf("%s\n", cmd->name);
		for (size_t j = 0; j < CLI_MAX_OPTIONS && cmd->options[j].name; j++)
			printf("%s\t--%s\n", cmd->name, cmd->options[j].name);
	}
	return 0;
}

int cli_dump_schema(const struct cli_args *args)
{
	conf_schema_dump(stdout);
	return 0;
}

int cli_server(const struct cli_args *args)
{
	struct conf *c = NULL;
	int rc = cli_load_conf(args, &c);

	if (rc != 0)
		return rc;
	log_set_level((enum log_level)c->log_level);
	for (size_t i = 0; i < c->warnings.n; i++)
		log_warn("conf", "%s", c->warnings.v[i]);
	return args->programs->server(c);
}

int cli_fsck(const struct cli_args *args)
{
	struct conf *c = NULL;
	int rc = cli_load_conf(args, &c);

	return rc != 0 ? CLI_FSCK_UNCHECKED :
			 args->programs->fsck(c, cli_arg(args, "json") != NULL, cli_arg(args, "deep") != NULL);
}

/* The command, with "--version" and "--help" accepted for what everybody tries first. */
static const struct cli_command *find(int argc, char **argv, int *ret_words)
{
	static char version[] = "version", help[] = "help";

	if (argc > 1 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0))
		argv[1] = version;
	else if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
		argv[1] = help;
	return cli_command_find(argc, argv, ret_words);
}

int cli_main(int argc, char **argv, const struct cli_programs *programs)
{
	const struct cli_command *cmd;
	struct cli_args args;
	int words = 0, rc;

	if (argc < 2) {
		cli_usage(stderr);
		return CLI_USAGE;
	}
	cmd = find(argc, argv, &words);
	if (!cmd) {
		fprintf(stderr, "quoin: %s: no such command; quoin help lists them\n", argv[1]);
		return CLI_USAGE;
	}
	argv[words] = argv[0]; /* getopt's messages start with the program's name */
	if (cli_args_parse(cmd, argc - words, argv + words, &args) < 0)
		return CLI_USAGE;
	args.programs = programs;
	rc = cmd->run(&args);
	cli_args_free(&args);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "quoin: cannot write the answer: %s\n", strerror(errno));
		rc = 1;
	}
	return rc;
}
