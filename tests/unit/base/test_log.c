/* SPDX-License-Identifier: Apache-2.0
 *
 * The log: its line format, levels, and what a message cannot do.
 */
#include "unit/base/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/log.h"

static char out[20000];

/* Writes one line through fn in a child, so that JOURNAL_STREAM is looked at afresh. */
static void capture(void (*fn)(void), bool journal)
{
	FILE *f = tmpfile();
	int status;
	size_t n;
	pid_t pid;

	assert_non_null(f);
	pid = fork();
	if (pid == 0) {
		dup2(fileno(f), STDERR_FILENO);
		if (journal) {
			struct stat st;
			char text[64];

			fstat(STDERR_FILENO, &st);
			snprintf(text, sizeof text, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
			setenv("JOURNAL_STREAM", text, 1);
		} else {
			setenv("JOURNAL_STREAM", "1:1", 1);
		}
		fn();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	rewind(f);
	n = fread(out, 1, sizeof out - 1, f);
	out[n] = '\0';
	fclose(f);
}

static void write_plain(void)
{
	log_info("net", "listening port=%d", 9000);
}

static void write_debug(void)
{
	log_debug("net", "unseen");
	log_set_level(LOG_L_DEBUG);
	log_debug("net", "seen");
}

static void write_forged(void)
{
	log_error("s3", "key=%s", "a\n2026 error forged\x1b[31m");
}

static void write_long(void)
{
	log_warn("s3", "%*d", 10000, 1);
}

static void lines_have_time_level_area(void **state)
{
	capture(write_plain, false);
	assert_int_equal(out[10], 'T');
	assert_int_equal(out[23], 'Z');
	assert_string_equal(out + 24, " info net listening port=9000\n");
}

static void journal_lines_have_a_priority(void **state)
{
	capture(write_plain, true);
	assert_string_equal(out, "<6>info net listening port=9000\n");
}

static void levels_filter(void **state)
{
	enum log_level level;

	capture(write_debug, true);
	assert_string_equal(out, "<7>debug net seen\n");
	assert_int_equal(log_level_parse("warn", &level), 0);
	assert_int_equal(level, LOG_L_WARN);
	assert_int_equal(log_level_parse("loud", &level), -EINVAL);
}

static void one_message_is_one_line(void **state)
{
	capture(write_forged, true);
	assert_string_equal(out, "<3>error s3 key=a?2026 error forged?[31m\n");
	capture(write_long, true);
	assert_int_equal(strlen(out), 4096);
	assert_int_equal(out[4095], '\n');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_have_time_level_area),
		cmocka_unit_test(journal_lines_have_a_priority),
		cmocka_unit_test(levels_filter),
		cmocka_unit_test(one_message_is_one_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
