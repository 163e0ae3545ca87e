/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "cli/output_internal.h"

#define BAR_WIDTH 24
#define STEP_PERCENT 10 /* between two lines that are no bar */

static uint64_t number(const json_t *o, const char *name)
{
	json_int_t v = json_integer_value(json_object_get(o, name));

	return v > 0 ? (uint64_t)v : 0;
}

static int percent_of(const json_t *p)
{
	uint64_t done = number(p, "done"), total = number(p, "total");

	bool finished = json_is_true(json_object_get(p, "finished")), whole = finished && !number(p, "failed");

	if (whole)
		return 100;
	return total ? MIN((int)(100 * (double)MIN(done, total) / (double)total), finished ? 99 : 100) : 0;
}

static void add_bar(int percent, struct buf *ret)
{
	int full = percent * BAR_WIDTH / 100;

	buf_add_char(ret, '[');
	for (int i = 0; i < BAR_WIDTH; i++)
		buf_add_char(ret, i < full ? '#' : '-');
	buf_add_c(ret, "] ");
}

static void add_amount(uint64_t v, bool bytes, struct buf *ret)
{
	if (bytes)
		output_size(v, ret);
	else
		buf_addf(ret, "%" PRIu64, v);
}

static bool in_bytes(const char *unit)
{
	return unit && strcmp(unit, "bytes") == 0;
}

/* "3 of 12 segments" */
static void add_share(const json_t *p, const char *unit, struct buf *ret)
{
	add_amount(number(p, "done"), in_bytes(unit), ret);
	buf_add_c(ret, " of ");
	add_amount(number(p, "total"), in_bytes(unit), ret);
	if (unit && !in_bytes(unit))
		buf_addf(ret, " %s", unit);
}

void progress_line(const json_t *p, bool bar, struct buf *ret)
{
	const char *unit = json_string_value(json_object_get(p, "unit")), *text = json_string_value(json_object_get(p, "text"));
	const char *waits = json_string_value(json_object_get(p, "waits"));
	double eta = json_number_value(json_object_get(p, "eta_seconds"));

	if (bar)
		add_bar(percent_of(p), ret);
	buf_addf(ret, "%3d %%  ", percent_of(p));
	/* Where there was nothing to count the text says what it came to. */
	bool counts = number(p, "total") || !text || !json_is_true(json_object_get(p, "finished"));
	if (counts)
		add_share(p, unit, ret);
	if (number(p, "per_second")) {
		buf_add_c(ret, ", ");
		add_amount(number(p, "per_second"), in_bytes(unit), ret);
		buf_add_c(ret, "/s");
	}
	if (eta > 0) {
		buf_add_c(ret, ", ");
		output_seconds(eta, ret);
		buf_add_c(ret, " left");
	}
	if (text)
		buf_addf(ret, counts ? ": %s" : "%s", text);
	if (waits)
		buf_addf(ret, "; it waits: %s", waits);
}

void progress_show(struct progress_shown *s, const json_t *p, bool finished)
{
	CLEANUP_BUF struct buf line = BUF_INIT;
	int percent = percent_of(p);
	bool waits = json_is_string(json_object_get(p, "waits")), news = waits && !s->waits;

	s->waits = waits;
	progress_line(p, s->terminal, &line);
	if (s->terminal) {
		unsigned width = (unsigned)line.len;
		printf("\r%s%*s%s", buf_cstr(&line), width < s->width ? (int)(s->width - width) : 0, "", finished ? "\n" : "");
		s->width = width;
	} else if (finished || news || s->percent < 0 || percent >= s->percent + STEP_PERCENT) {
		printf("%s\n", buf_cstr(&line));
		s->percent = percent;
	}
	fflush(stdout);
}
