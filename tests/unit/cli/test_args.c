/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmds_internal.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define MAX_WORDS 16

/* Splits line in place and parses it; the words must live as long as the result. */
static int parse(char *line, struct cli_args *ret)
{
	static char *argv[MAX_WORDS];
	const struct cli_command *cmd;
	int argc = 0, words = 0;
	char *rest = line, *word;

	while ((word = strsep(&rest, " ")) != NULL)
		argv[argc++] = word;
	argv[argc] = NULL;
	cmd = cli_command_find(argc, argv, &words);
	return cmd ? cli_args_parse(cmd, argc - words, argv + words, ret) : -ENOENT;
}

static void options_and_arguments_may_be_mixed(void **state)
{
	char line[] = "quoin server /a -c file /b --set drive.timeout=1s --address :1 --set a=b=c";
	struct cli_args a;

	assert_int_equal(parse(line, &a), 0);
	assert_string_equal(a.cmd->name, "server");
	assert_int_equal(a.n_rest, 2);
	assert_string_equal(a.rest[1], "/b");
	assert_string_equal(cli_arg(&a, "config"), "file");
	assert_null(cli_arg(&a, "mount"));
	assert_int_equal(a.n_flags, 3);
	assert_string_equal(a.flags[0].key, "drive.timeout");
	assert_string_equal(a.flags[0].value, "1s");
	assert_string_equal(a.flags[1].key, "address");
	assert_string_equal(a.flags[1].where, "--address");
	assert_string_equal(a.flags[2].value, "b=c");
	cli_args_free(&a);
}

static void commands_may_have_two_words(void **state)
{
	char line[] = "quoin admin inspect --json bucket -- --key";
	struct cli_args a;

	assert_int_equal(parse(line, &a), 0);
	assert_string_equal(a.cmd->name, "admin inspect");
	assert_non_null(cli_arg(&a, "json"));
	assert_string_equal(a.rest[1], "--key");
	cli_args_free(&a);
}

static void wrong_lines_are_refused(void **state)
{
	char lines[][64] = {"quoin admin info extra",  "quoin admin inspect b",  "quoin server --set =x /a",
	                    "quoin server --set x /a", "quoin server --json /a", "quoin server --address",
	                    "quoin version -c x"};
	char none[][64] = {"quoin", "quoin admin", "quoin admi info", "quoin servers"};
	struct cli_args a;

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		assert_int_equal(parse(lines[i], &a), -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		assert_int_equal(parse(none[i], &a), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_and_arguments_may_be_mixed),
		cmocka_unit_test(commands_may_have_two_words),
		cmocka_unit_test(wrong_lines_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
