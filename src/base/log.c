/* SPDX-License-Identifier: Apache-2.0
 *
 * Log lines. Each goes out in one write(2) of at most PIPE_BUF bytes, so lines of several threads do not mix and no
 * lock is needed.
 */
#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

static const struct {
	const char *name;
	int syslog;
} levels[] = {
	[LOG_L_ERROR] = {"error", 3},
	[LOG_L_WARN] = {"warn", 4},
	[LOG_L_INFO] = {"info", 6},
	[LOG_L_DEBUG] = {"debug", 7},
};

static atomic_int current_level = LOG_L_INFO;
static bool to_journal;
static pthread_once_t journal_once = PTHREAD_ONCE_INIT;

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

int log_level_parse(const char *name, enum log_level *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		if (strcmp(name, levels[i].name))
			continue;
		*ret = (enum log_level)i;
		return 0;
	}
	return -EINVAL;
}

bool log_enabled(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&current_level, memory_order_relaxed);
}

/* systemd.exec(5): JOURNAL_STREAM is inherited, so it counts only when it names the file that stderr is. */
static void find_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char mine[64];
	struct stat st;

	if (!stream || fstat(STDERR_FILENO, &st) < 0)
		return;
	snprintf(mine, sizeof mine, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	to_journal = strcmp(stream, mine) == 0;
}

static size_t put_prefix(char *line, size_t cap, enum log_level level, const char *area)
{
	char now[CLOCK_ISO_LEN + 1];
	int n;

	if (to_journal) {
		n = snprintf(line, cap, "<%d>%s %s ", levels[level].syslog, levels[level].name, area);
	} else {
		clock_format_iso(clock_wall_ns(), now);
		n = snprintf(line, cap, "%s %s %s ", now, levels[level].name, area);
	}
	return n < 0 ? 0 : MIN((size_t)n, cap - 1);
}

void log_write(enum log_level level, const char *area, const char *fmt, ...)
{
	int saved_errno = errno;
	char line[PIPE_BUF];
	size_t len;
	va_list ap;
	int n;

	if (!log_enabled(level))
		return;
	pthread_once(&journal_once, find_journal);
	len = put_prefix(line, sizeof line, level, area);
	va_start(ap, fmt);
	n = vsnprintf(line + len, sizeof line - len, fmt, ap);
	va_end(ap);
	/* The NUL of a cut line gives its place to the line feed. */
	if (n > 0)
		len += MIN((size_t)n, sizeof line - len - 1);
	/* Text of a client must not be able to forge a line or drive a terminal. */
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[len++] = '\n';
	while (write(STDERR_FILENO, line, len) < 0 && errno == EINTR)
		;
	errno = saved_errno;
}
