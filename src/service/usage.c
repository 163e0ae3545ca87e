/* SPDX-License-Identifier: Apache-2.0 */
#include "service/usage.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/lock.h"
#include "base/log.h"

#define LINES_MAX 20 /* in the log and told to admin */

struct usage_scan {
	struct meta_set *set;
	struct mutex lock; /* LOCK_QUEUE: what is told */
	struct usage_report report;
	struct buf lines;
};

struct scanning {
	struct service_run *r;
	uint64_t rows;
};

struct usage_scan *usage_scan_new(struct meta_set *set)
{
	struct usage_scan *u = calloc(1, sizeof *u);

	if (!u)
		return NULL;
	u->set = set;
	u->lines = (struct buf)BUF_INIT;
	mutex_init(&u->lock, LOCK_QUEUE);
	return u;
}

struct usage_scan *usage_scan_free(struct usage_scan *u)
{
	if (!u)
		return NULL;
	mutex_destroy(&u->lock);
	buf_free(&u->lines);
	free(u);
	return NULL;
}

/* It holds a view open, so it is not slowed down by a budget. */
static bool step(void *arg, uint64_t rows)
{
	struct scanning *s = arg;

	s->rows = rows;
	service_run_progress(s->r, rows, 0);
	return !service_run_ends(s->r);
}

static void log_lines(struct str lines, unsigned differences)
{
	struct str line;
	unsigned n = 0;

	while (n < LINES_MAX && lines.len > 0 && str_split(&lines, '\n', &line) && line.len > 0) {
		log_error("usage", "a counter is not what the rows say: %.*s", (int)line.len, line.p);
		n++;
	}
	if (differences > n)
		log_error("usage", "and %u more; quoin fsck on the stopped set tells all", differences - n);
}

static void cut_lines(struct buf *lines)
{
	unsigned n = 0;

	for (size_t i = 0; i < lines->len; i++)
		if (lines->data[i] == '\n' && ++n == LINES_MAX)
			lines->len = i + 1;
}

int usage_scan_run(void *arg, struct service_run *r)
{
	struct usage_scan *u = arg;
	struct scanning s = {.r = r};
	CLEANUP_BUF struct buf lines = BUF_INIT;
	uint64_t begun = clock_mono_ns();
	int n = meta_recount(u->set, step, &s, &lines);

	if (n == -ECANCELED)
		return 0;
	if (n < 0 || buf_err(&lines))
		return n < 0 ? n : buf_err(&lines);
	log_lines(buf_str(&lines), (unsigned)n);
	service_run_note(r, "%" PRIu64 " rows, %d differences", s.rows, n);
	MUTEX_GUARD(&u->lock);
	u->report = (struct usage_report){
		.cycle = u->report.cycle + 1,
		.ended_ns = clock_wall_ns(),
		.took_ns = clock_mono_ns() - begun,
		.rows = s.rows,
		.differences = (unsigned)n,
	};
	cut_lines(&lines);
	buf_reset(&u->lines);
	buf_add_str(&u->lines, buf_str(&lines));
	return 0;
}

void usage_scan_report(struct usage_scan *u, struct usage_report *ret, struct buf *lines)
{
	MUTEX_GUARD(&u->lock);
	*ret = u->report;
	buf_add_str(lines, buf_str(&u->lines));
}
