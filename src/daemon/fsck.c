/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/fsck.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "conf/conf.h"
#include "daemon/wire.h"
#include "drive/drive.h"
#include "meta/fsck.h"

#define SHOW_NS (200 * NS_PER_MS) /* between two looks at how far it is */

struct output {
	json_t *findings; /* NULL: text */
	enum fsck_grade worst;
	unsigned n;
	struct progress_shown shown; /* terminal false: nothing is shown */
	uint64_t shown_ns;           /* mono */
};

static void print_place(const struct fsck_place *p)
{
	for (struct str rest = str_of(p->owners), line; rest.len > 0 && str_split(&rest, '\n', &line);)
		printf("    of %.*s\n", STR_FMT(line));
}

static json_t *place_json(const struct fsck_place *p)
{
	json_t *owners = json_array();
	char segment[20];

	for (struct str rest = str_of(p->owners), line; rest.len > 0 && str_split(&rest, '\n', &line);)
		json_array_append_new(owners, json_stringn(line.p, line.len));
	snprintf(segment, sizeof segment, "%016" PRIx64, p->segment);
	return json_pack("{s:s, s:I, s:I, s:i, s:o}", "segment", segment, "offset", (json_int_t)p->offset, "bytes",
			 (json_int_t)p->bytes, "cells", (int)p->cells, "owners", owners);
}

static void tell(void *arg, const struct fsck_finding *f)
{
	static const char *const grades[] = {"", "repaired", "damage"};
	struct output *o = arg;

	o->n++;
	o->worst = MAX(o->worst, f->grade);
	if (o->findings) {
		json_t *j = json_pack("{s:s?, s:s, s:s, s:s, s:s}", "drive", f->drive, "grade", grades[f->grade], "found", f->what,
				      "meaning", f->meaning, "cure", f->cure);
		if (f->place)
			json_object_set_new(j, "place", place_json(f->place));
		json_array_append_new(o->findings, j);
		return;
	}
	printf("%s: %s: %s (%s); to do: %s\n", f->grade == FSCK_DAMAGE ? "DAMAGE" : "repaired at start",
	       f->drive ? f->drive : "the set", f->what, f->meaning, f->cure);
	if (f->place)
		print_place(f->place);
}

static void progress(void *arg, uint64_t done, uint64_t total)
{
	struct output *o = arg;
	uint64_t now = clock_mono_ns();

	if (!o->shown.terminal || (done < total && now - o->shown_ns < SHOW_NS))
		return;
	o->shown_ns = now;
	CLEANUP(json_decrefp) json_t *j = json_pack("{s:s, s:I, s:I, s:b}", "unit", "bytes", "done", (json_int_t)done, "total",
						    (json_int_t)total, "finished", done == total);
	progress_show(&o->shown, j, done == total);
}

/* How many could be. */
static unsigned open_drives(const struct conf *c, struct fsck_params *p)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->drives.n; i++) {
		char what[128];
		int rc = drive_posix_open_read(c->drives.v[i], &p->drives[i]);

		if (rc == 0) {
			n++;
			continue;
		}
		snprintf(what, sizeof what, "it cannot be opened: %s", drive_err_text(rc));
		p->tell(p->arg, &(struct fsck_finding){
			.grade = FSCK_DAMAGE,
			.drive = c->drives.v[i],
			.what = what,
			.meaning = "the set must do without it",
			.cure = "mount the drive there",
		});
	}
	return n;
}

static void print_end(const struct output *o, const struct fsck_counts *n, bool deep, int status)
{
	if (!o->findings) {
		printf("%u findings; looked at %" PRIu64 " drives, %" PRIu64 " journal records, %" PRIu64 " rows, %" PRIu64
		       " blobs, %" PRIu64 " segments; ",
		       o->n, n->drives, n->records, n->rows, n->blobs, n->segments);
		if (deep)
			printf("read %" PRIu64 " bytes of payload\n", n->bytes);
		else
			printf("the payload itself was not read\n");
		return;
	}
	json_t *j = json_pack("{s:i, s:{s:I, s:I, s:I, s:I, s:I, s:I}, s:O}", "status", status, "looked_at", "drives",
			      (json_int_t)n->drives, "records", (json_int_t)n->records, "rows", (json_int_t)n->rows, "blobs",
			      (json_int_t)n->blobs, "segments", (json_int_t)n->segments, "payload_bytes", (json_int_t)n->bytes,
			      "findings", o->findings);
	json_dumpf(j, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(j);
}

int fsck_run(struct conf *c, bool json, bool deep)
{
	struct output o = {
		.findings = json ? json_array() : NULL,
		.shown = {.terminal = !json && isatty(STDOUT_FILENO), .percent = -1},
	};
	struct fsck_params p = {
		.index_map_bytes = WIRE_INDEX_MAP_BYTES,
		.deep = deep,
		.progress = progress,
		.tell = tell,
		.arg = &o,
	};
	struct fsck_counts counts = {0};
	struct op_ctx ctx;

	/* What recovery would say of a start is not news here; findings are told as such. */
	log_set_level(LOG_L_ERROR);
	op_ctx_init(&ctx, OP_ADMIN);
	int rc = open_drives(c, &p) ? 0 : op_fail(&ctx, -ENOENT, "none of the drives can be opened");
	if (rc == 0)
		rc = meta_fsck(&p, &ctx, &counts);
	int status = rc < 0 ? CLI_FSCK_UNCHECKED : (int)o.worst;
	if (rc < 0)
		fprintf(stderr, "quoin: the check could not be made: %s\n", *ctx.detail ? ctx.detail : err_text(rc));
	else
		print_end(&o, &counts, deep, status);
	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++)
		drive_close(p.drives[i]);
	op_ctx_done(&ctx);
	json_decref(o.findings);
	conf_free(c);
	return status;
}
