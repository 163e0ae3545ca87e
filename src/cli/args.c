/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmds_internal.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

static size_t n_options(const struct cli_command *cmd)
{
	size_t n = 0;

	while (n < CLI_MAX_OPTIONS && cmd->options[n].name)
		n++;
	return n;
}

const char *cli_arg(const struct cli_args *args, const char *name)
{
	for (size_t i = 0; i < n_options(args->cmd); i++)
		if (strcmp(args->cmd->options[i].name, name) == 0)
			return args->value[i];
	return NULL;
}

/* How many words of argv the command's name matches, 0 when it is not this one. */
static int words_matched(const char *name, int argc, char **argv)
{
	struct str rest = str_of(name), word;
	int n = 0;

	while (rest.len > 0 && str_split(&rest, ' ', &word)) {
		n++;
		if (n >= argc || !str_eqc(word, argv[n]))
			return 0;
	}
	return n;
}

const struct cli_command *cli_command_find(int argc, char **argv, int *ret_words)
{
	const struct cli_command *best = NULL;
	int most = 0;

	for (size_t i = 0; i < cli_n_commands; i++) {
		int n = words_matched(cli_commands[i].name, argc, argv);

		if (n <= most)
			continue;
		most = n;
		best = &cli_commands[i];
	}
	if (best)
		*ret_words = most;
	return best;
}

static int add_flag(struct cli_args *a, const char *key, size_t key_len, const char *value, const char *option)
{
	struct conf_flag *flags = reallocarray(a->flags, a->n_flags + 1, sizeof(*flags));
	char *k = strndup(key, key_len), *where = NULL;

	if (flags)
		a->flags = flags;
	if (!flags || !k || asprintf(&where, "--%s", option) < 0) {
		free(k);
		return -ENOMEM;
	}
	flags[a->n_flags++] = (struct conf_flag){.key = k, .value = value, .where = where};
	return 0;
}

static int take_option(struct cli_args *a, size_t i, const char *value)
{
	const struct cli_option *o = &a->cmd->options[i];
	const char *eq;

	a->value[i] = o->arg ? value : "";
	if (o->key)
		return add_flag(a, o->key, strlen(o->key), value, o->name);
	if (strcmp(o->name, "set") != 0)
		return 0;
	eq = strchr(value, '=');
	if (!eq || eq == value) {
		fprintf(stderr, "quoin: --set %s: there is no key or no value; write --set KEY=VALUE\n", value);
		return -EINVAL;
	}
	return add_flag(a, value, (size_t)(eq - value), eq + 1, "set");
}

struct getopt_tables {
	char shorts[2 * CLI_MAX_OPTIONS + 2];
	struct option longs[CLI_MAX_OPTIONS + 2];
};

#define LONG_BASE 256
#define LONG_HELP (LONG_BASE + CLI_MAX_OPTIONS)

static void make_tables(const struct cli_command *cmd, struct getopt_tables *t)
{
	size_t s = 0, n = n_options(cmd);

	*t = (struct getopt_tables){0};
	t->shorts[s++] = 'h';
	for (size_t i = 0; i < n; i++) {
		const struct cli_option *o = &cmd->options[i];

		t->longs[i] = (struct option){o->name, o->arg ? required_argument : no_argument, NULL, LONG_BASE + (int)i};
		if (o->short_name) {
			t->shorts[s++] = o->short_name;
			if (o->arg)
				t->shorts[s++] = ':';
		}
	}
	t->longs[n] = (struct option){"help", no_argument, NULL, LONG_HELP};
}

static int option_index(const struct cli_command *cmd, int c)
{
	if (c >= LONG_BASE)
		return c - LONG_BASE;
	for (size_t i = 0; i < n_options(cmd); i++)
		if (cmd->options[i].short_name == c)
			return (int)i;
	return -1;
}

static int take_rest(struct cli_args *a, int argc, char **argv)
{
	a->rest = argv + optind;
	a->n_rest = (size_t)(argc - optind);
	if (a->n_rest < a->cmd->min_rest || a->n_rest > a->cmd->max_rest) {
		fprintf(stderr, "quoin: %s takes %s; see quoin help %s\n", a->cmd->name,
		        a->cmd->max_rest == 0 ? "no arguments" : a->cmd->synopsis, a->cmd->name);
		return -EINVAL;
	}
	return 0;
}

int cli_args_parse(const struct cli_command *cmd, int argc, char **argv, struct cli_args *ret)
{
	struct getopt_tables t;
	int c, rc = 0;

	*ret = (struct cli_args){.cmd = cmd};
	make_tables(cmd, &t);
	optind = 0; /* glibc: start anew */
	while (rc == 0 && (c = getopt_long(argc, argv, t.shorts, t.longs, NULL)) != -1) {
		if (c == 'h' || c == LONG_HELP) {
			cli_usage_of(cmd, stdout);
			cli_args_free(ret);
			exit(0);
		}
		if (c == '?') /* getopt has said why */
			rc = -EINVAL;
		else
			rc = take_option(ret, (size_t)option_index(cmd, c), optarg);
	}
	if (rc == 0)
		rc = take_rest(ret, argc, argv);
	if (rc < 0)
		cli_args_free(ret);
	return rc;
}

void cli_args_free(struct cli_args *args)
{
	for (size_t i = 0; i < args->n_flags; i++) {
		free((char *)(uintptr_t)args->flags[i].key);
		free((char *)(uintptr_t)args->flags[i].where);
	}
	free(args->flags);
	*args = (struct cli_args){.cmd = args->cmd};
}

int cli_load_conf(const struct cli_args *args, struct conf **ret)
{
	bool drives = args->cmd->run == cli_server || args->cmd->run == cli_fsck;
	struct conf_sources src = {
		.file = cli_arg(args, "config"),
		.flags = args->flags,
		.n_flags = args->n_flags,
		.drives = drives ? (const char *const *)args->rest : NULL,
		.n_drives = drives ? args->n_rest : 0,
	};
	struct conf_error err;
	int rc;

	if (!src.file)
		src.file = getenv("QUOIN_CONFIG");
	rc = conf_load(&src, ret, &err);
	if (rc == 0 && drives && (rc = conf_check_server(*ret, &err)) < 0) {
		conf_free(*ret);
		*ret = NULL;
	}
	if (rc == -ENOMEM)
		snprintf(err.text, sizeof(err.text), "out of memory");
	if (rc < 0)
		fprintf(stderr, "quoin: %s\n", err.text);
	return rc < 0 ? CLI_USAGE : 0;
}
