/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/str.h"
#include "conf/schema.h"

static char path[] = "/tmp/quoin-conf-XXXXXX";

static void write_file(const char *text, size_t len)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

/* Loads text as a file; the error's text, without the path in front, must start with expected. */
static void refused_n(const char *text, size_t len, const char *expected)
{
	struct conf_sources src = {.file = path};
	struct conf_error err;
	struct conf *c = NULL;

	write_file(text, len);
	assert_int_equal(conf_load(&src, &c, &err), -QE_CONFIG);
	assert_null(c);
	assert_int_equal(strncmp(err.text, path, strlen(path)), 0);
	if (strncmp(err.text + strlen(path), expected, strlen(expected)) != 0)
		fail_msg("got \"%s\", expected \"%s\"", err.text, expected);
}

static void refused(const char *text, const char *expected)
{
	refused_n(text, strlen(text), expected);
}

static struct conf *loaded(const char *text)
{
	struct conf_sources src = {.file = path};
	struct conf_error err;
	struct conf *c = NULL;

	write_file(text, strlen(text));
	if (conf_load(&src, &c, &err) < 0)
		fail_msg("%s", err.text);
	return c;
}

static int clear_environment(void **state)
{
	char env[64];

	for (size_t i = 0; i < conf_n_keys; i++) {
		struct str rest = str_of(conf_keys[i].env), piece;

		conf_key_env(&conf_keys[i], env, sizeof(env));
		unsetenv(env);
		while (rest.len > 0 && str_split(&rest, ' ', &piece)) {
			snprintf(env, sizeof(env), "%.*s", STR_FMT(piece));
			unsetenv(env);
		}
	}
	return 0;
}

static void defaults_hold_without_any_source(void **state)
{
	struct conf_sources src = {0};
	struct conf_error err;
	CLEANUP(conf_freep) struct conf *c = NULL;

	assert_int_equal(conf_load(&src, &c, &err), 0);
	assert_string_equal(c->address, ":9000");
	assert_string_equal(c->region, "us-east-1");
	assert_string_equal(c->mount_path, "");
	assert_true(c->drive_timeout_ns == UINT64_C(5000000000));
	assert_true(c->journal_file_bytes == 64 << 20);
	assert_true(c->parity == CONF_AUTO);
	assert_true(c->mount_file_mode == 0644);
	assert_true(c->mount_allow_other);
	assert_true(c->default_credentials);
	assert_int_equal(c->warnings.n, 1);
	assert_int_equal(conf_check_server(c, &err), -QE_CONFIG);
}

static void a_file_sets_nested_keys(void **state)
{
	CLEANUP(conf_freep)
	struct conf *c = loaded("# comment\n"
	                        "drives: [\"/d{1...3}\", /e]\n"
	                        "drive:\n  timeout: 250ms\n"
	                        "mount: {path: /mnt, file_mode: 0600, allow_other: no}\n"
	                        "root:\n  user: alice\n  password: 'secret: #1'\n"
	                        "parity: 1\nlog.level: debug\njournal:\n");
	struct conf_error err;

	assert_int_equal(c->drives.n, 4);
	assert_string_equal(c->drives.v[2], "/d3");
	assert_string_equal(c->drives.v[3], "/e");
	assert_true(c->drive_timeout_ns == 250000000);
	assert_string_equal(c->mount_path, "/mnt");
	assert_true(c->mount_file_mode == 0600);
	assert_false(c->mount_allow_other);
	assert_string_equal(c->root_password, "secret: #1");
	assert_true(c->log_level == LOG_L_DEBUG);
	assert_false(c->default_credentials);
	assert_int_equal(conf_parity(c), 1);
	assert_int_equal(conf_check_server(c, &err), 0);
}

static void an_empty_file_is_fine(void **state)
{
	conf_free(loaded(""));
	conf_free(loaded("# only a comment\n"));
	conf_free(loaded("---\n...\n"));
}

static void wrong_files_are_refused_with_their_line(void **state)
{
	refused("address: :9000\ndrve: 5\n", ":2: drve: unknown key");
	refused("drive:\n  timeout: 5s\n  timeot: 5s\n", ":3: drive.timeot: unknown key; did you mean drive.timeout?");
	refused("\n\ndrive: 5s\n", ":3: drive: this is a section");
	refused("address: [a, b]\n", ":1: address: the value is a list");
	refused("address: {a: b}\n", ":1: address: the value is a mapping");
	refused("region:\n", ":1: region: there is no value");
	refused("drives: [[a]]\n", ":1: drives: an item is not a text");
	refused("drives:\n- /a\n- /b\n- /a\n", ":4: drives: /a is there twice");
	refused("log.level: debug\nlog.level: debug\n", ":2: log.level: the key is there twice");
	refused("- a\n", ":1: the file is not a mapping");
	refused("words\n", ":1: the file is not a mapping");
	refused("? [a]\n: b\n", ":1: a key is not a word");
	refused("log.level: debug\n---\nlog.level: debug\n", ":3: a second YAML document");
	refused("log.level: \"debug\n", ":2: not valid YAML");
	refused("region: \"a\\0b\"\n", ":1: region: the value has a NUL");
	refused("drive: &a {timeout: *a}\n", ":1: drive.timeout: the value is a mapping");
	refused("drive: &a {x: *a}\n", ":1: drive.x: unknown key");
	refused_n("\xff\xfe\0", 3, ":");
	refused_n("etag: m\0d5\n", 10, ":1: not valid YAML");
}

static void files_that_cannot_be_read_are_refused(void **state)
{
	struct conf_sources src = {.file = "/nonexistent/quoin.yaml"};
	struct conf_error err;
	struct conf *c = NULL;
	size_t len = (1 << 20) + 1;
	char *big = malloc(len);

	assert_int_equal(conf_load(&src, &c, &err), -QE_CONFIG);
	assert_non_null(strstr(err.text, "cannot be read"));
	memset(big, '#', len);
	refused_n(big, len, ": the file is larger than 1 MiB");
	free(big);
}

static void flags_win_over_environment_over_file(void **state)
{
	const struct conf_flag flag = {"region", "from-flag", "--set"};
	struct conf_sources src = {.file = path};
	struct conf_error err;
	struct conf *c;
	static const char *const expected[] = {"from-file", "from-minio", "from-quoin", "from-flag"};

	write_file("region: from-file\n", 18);
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		if (i == 1)
			setenv("MINIO_REGION_NAME", "from-minio", 1);
		if (i == 2)
			setenv("QUOIN_REGION", "from-quoin", 1);
		if (i == 3) {
			src.flags = &flag;
			src.n_flags = 1;
		}
		assert_int_equal(conf_load(&src, &c, &err), 0);
		assert_string_equal(c->region, expected[i]);
		conf_free(c);
	}
}

static void drives_of_the_command_line_replace_the_others(void **state)
{
	const char *const drives[] = {"/x{1...2}", "/y"};
	struct conf_sources src = {.file = path, .drives = drives, .n_drives = 2};
	struct conf_error err;
	CLEANUP(conf_freep) struct conf *c = NULL;

	write_file("drives: /a\n", 11);
	setenv("MINIO_VOLUMES", "/b /c", 1);
	assert_int_equal(conf_load(&src, &c, &err), 0);
	assert_int_equal(c->drives.n, 3);
	assert_string_equal(c->drives.v[0], "/x1");
	assert_string_equal(c->drives.v[2], "/y");
}

static void empty_variables_count_as_not_set(void **state)
{
	struct conf_sources src = {0};
	struct conf_error err;
	CLEANUP(conf_freep) struct conf *c = NULL;

	setenv("QUOIN_ROOT_USER", "", 1);
	setenv("MINIO_ACCESS_KEY", "old-name", 1);
	setenv("MINIO_VOLUMES", "  /b   /c ", 1);
	assert_int_equal(conf_load(&src, &c, &err), 0);
	assert_string_equal(c->root_user, "old-name");
	assert_int_equal(c->drives.n, 2);
}

static void a_wrong_variable_is_named(void **state)
{
	struct conf_sources src = {0};
	struct conf_error err;
	struct conf *c = NULL;

	setenv("MINIO_ADDRESS", "x", 1);
	assert_int_equal(conf_load(&src, &c, &err), -QE_CONFIG);
	assert_non_null(strstr(err.text, "environment: MINIO_ADDRESS"));
}

static void parity_follows_the_number_of_drives(void **state)
{
	static const unsigned expected[] = {0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4};

	for (size_t n = 0; n < ARRAY_SIZE(expected); n++)
		assert_int_equal(conf_default_parity(n), expected[n]);
}

static void reload_applies_what_it_may_and_keeps_the_rest(void **state)
{
	CLEANUP(conf_freep) struct conf *c = loaded("log.level: info\nregion: eu-1\ndrives: /a\n"), *new = NULL;
	struct conf_changes ch;
	struct conf_error err;

	write_file("log.level: debug\nregion: eu-2\ndrives: [/a, /b]\n", 47);
	assert_int_equal(conf_reload(c, &new, &ch, &err), 0);
	assert_int_equal(ch.n_applied, 1);
	assert_true(conf_changed(&ch, "log.level"));
	assert_int_equal(ch.n_restart, 2);
	assert_true(new->log_level == LOG_L_DEBUG);
	assert_string_equal(new->region, "eu-1");
	assert_int_equal(new->drives.n, 1);
	conf_changes_free(&ch);
}

static void reload_of_a_wrong_file_changes_nothing(void **state)
{
	CLEANUP(conf_freep) struct conf *c = loaded("log.level: info\n"), *new = NULL;
	struct conf_changes ch;
	struct conf_error err;

	write_file("log.level: loud\n", 16);
	assert_int_equal(conf_reload(c, &new, &ch, &err), -QE_CONFIG);
	assert_null(new);
}

static int make_path(void **state)
{
	int fd = mkstemp(path);

	return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state)
{
	return unlink(path);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, clear_environment)
	const struct CMUnitTest tests[] = {
		T(defaults_hold_without_any_source),
		T(a_file_sets_nested_keys),
		T(an_empty_file_is_fine),
		T(wrong_files_are_refused_with_their_line),
		T(files_that_cannot_be_read_are_refused),
		T(flags_win_over_environment_over_file),
		T(drives_of_the_command_line_replace_the_others),
		T(empty_variables_count_as_not_set),
		T(a_wrong_variable_is_named),
		T(parity_follows_the_number_of_drives),
		T(reload_applies_what_it_may_and_keeps_the_rest),
		T(reload_of_a_wrong_file_changes_nothing),
	};

	return cmocka_run_group_tests(tests, make_path, remove_path);
}
