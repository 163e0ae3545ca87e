/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/schema.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "conf/conf.h"

static void names_are_unique_and_no_key_is_a_section(void **state)
{
	for (size_t i = 0; i < conf_n_keys; i++) {
		assert_ptr_equal(conf_key_find(str_of(conf_keys[i].name)), &conf_keys[i]);
		assert_false(conf_key_is_section(str_of(conf_keys[i].name)));
		assert_string_not_equal(conf_keys[i].help, "");
	}
}

static bool has_word(const char *words, const char *word)
{
	struct str rest = str_of(words), piece;

	while (rest.len > 0 && str_split(&rest, ' ', &piece))
		if (str_eqc(piece, word))
			return true;
	return false;
}

static void no_two_keys_share_an_environment_variable(void **state)
{
	char env[64];

	for (size_t i = 0; i < conf_n_keys; i++) {
		conf_key_env(&conf_keys[i], env, sizeof(env));
		for (size_t j = 0; j < conf_n_keys; j++)
			assert_false(conf_keys[j].env && has_word(conf_keys[j].env, env));
	}
}

static void environment_names_follow_the_keys(void **state)
{
	char env[64];

	conf_key_env(conf_key_find(STR_LIT("journal.file_size")), env, sizeof(env));
	assert_string_equal(env, "QUOIN_JOURNAL_FILE_SIZE");
}

static void sections_are_prefixes_up_to_a_dot(void **state)
{
	assert_true(conf_key_is_section(STR_LIT("drive")));
	assert_false(conf_key_is_section(STR_LIT("driv")));
	assert_false(conf_key_is_section(STR_LIT("drives")));
	assert_false(conf_key_is_section(STR_LIT("")));
}

static const char *nearest(const char *name)
{
	const struct conf_key *k = conf_key_nearest(str_of(name));

	return k ? k->name : NULL;
}

static void typos_find_the_key_that_was_meant(void **state)
{
	assert_string_equal(nearest("drive.timout"), "drive.timeout");
	assert_string_equal(nearest("adress"), "address");
	assert_string_equal(nearest("http.timeout"), "drive.timeout");
	assert_null(nearest("entirely.different"));
	assert_null(nearest(""));
	assert_null(nearest("x"));
}

static void each_type_refuses_what_it_is_not(void **state)
{
	static const char *const bad[][2] = {
		{"journal.files", "four"},
		{"journal.files", "3"},
		{"journal.files", ""},
		{"inline_max", "2MiB"},
		{"inline_max", "32 apples"},
		{"drive.timeout", "-5s"},
		{"mount.file_mode", "0999"},
		{"mount.file_mode", "010000"},
		{"mount.allow_other", "maybe"},
		{"log.level", "DEBUG"},
		{"parity", "EC:"},
		{"parity", "9"},
		{"segment.size", "65MiB"},
		{"address", "9000"},
		{"root.user", "ab"},
		{"region", ""},
		{"drives", "/a /a"},
		{"drives", "/d{1...17}"},
		{"drives", "http://h/d"},
		{"inline_max", "auto"},
	};
	struct conf *c = calloc(1, sizeof(*c));
	char why[512];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		why[0] = '\0';
		assert_int_equal(conf_key_set(conf_key_find(str_of(bad[i][0])), c, str_of(bad[i][1]), why, sizeof(why)),
		                 -EINVAL);
		assert_string_not_equal(why, "");
	}
	conf_free(c);
}

static void a_short_buffer_for_the_reason_is_safe(void **state)
{
	struct conf *c = calloc(1, sizeof(*c));
	char why[16];

	for (size_t size = 1; size <= sizeof(why); size++)
		for (size_t i = 0; i < conf_n_keys; i++)
			if (conf_key_set(&conf_keys[i], c, STR_LIT("\x01 {"), why, size) < 0)
				assert_true(memchr(why, '\0', size) != NULL);
	conf_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_unique_and_no_key_is_a_section),
		cmocka_unit_test(no_two_keys_share_an_environment_variable),
		cmocka_unit_test(environment_names_follow_the_keys),
		cmocka_unit_test(sections_are_prefixes_up_to_a_dot),
		cmocka_unit_test(typos_find_the_key_that_was_meant),
		cmocka_unit_test(each_type_refuses_what_it_is_not),
		cmocka_unit_test(a_short_buffer_for_the_reason_is_safe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
