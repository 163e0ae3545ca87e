/* SPDX-License-Identifier: Apache-2.0
 *
 * Drives, healing, scrub. What is begun is followed to its end, unless the answer is wanted as JSON; ending the command
 * does not end the work.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/admin_internal.h"
#include "cli/progress.h"

#define LOOK_NS (500 * NS_PER_MS)

/* ---- Drives ------------------------------------------------------------------------------------------------------- */
int cli_admin_drive_list(const struct cli_args *args)
{
	static const char *const columns[] = {"slot",       "path", "state",  "healing", "missing_ranges", "total_bytes",
					      "free_bytes", "full", "errors", "retry",   "reason"};

	return admin_show_columns(args, "/drives", columns, ARRAY_SIZE(columns));
}

static int drive(const struct cli_args *args, const char *path)
{
	const struct admin_param params[] = {{"drive", args->rest[0]}, {"path", args->n_rest > 1 ? args->rest[1] : NULL}};

	return admin_show(args, "POST", path, params, ARRAY_SIZE(params));
}

int cli_admin_drive_offline(const struct cli_args *args)
{
	return drive(args, "/drives/offline");
}

int cli_admin_drive_online(const struct cli_args *args)
{
	return drive(args, "/drives/online");
}

int cli_admin_drive_replace(const struct cli_args *args)
{
	return drive(args, "/drives/replace");
}

/* ---- Following ---------------------------------------------------------------------------------------------------- */
#define MAX_ASKED 8

struct followed {
	char path[64];
	struct admin_param params[MAX_ASKED]; /* of the answer that it began with */
	char value[MAX_ASKED][24];
	size_t n;
	struct progress_shown shown;
};

/* 1: it has finished; 0: not yet; or the negative exit status, also when not all is whole. */
static int look(const struct cli_args *args, struct followed *f)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	int rc = admin_ask(args, "GET", f->path, f->params, f->n, &body);

	if (rc != 0)
		return -rc;
	CLEANUP(json_decrefp) json_t *j = admin_parse(&body);
	const json_t *progress = json_object_get(j, "progress");
	if (!progress) {
		fprintf(stderr, "quoin: the server does not tell how far it is\n");
		return -1;
	}
	bool finished = json_is_true(json_object_get(progress, "finished"));
	progress_show(&f->shown, progress, finished);
	return finished && json_integer_value(json_object_get(progress, "failed")) > 0 ? -1 : finished;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct admin_param *)a)->name, ((const struct admin_param *)b)->name);
}

static int follow(const struct cli_args *args, json_t *begun)
{
	struct followed f = {.shown = {.terminal = isatty(STDOUT_FILENO), .percent = -1}};
	const char *what = json_string_value(json_object_get(begun, "follow")), *key;
	json_t *v;
	int rc;

	if (!what)
		return 1;
	snprintf(f.path, sizeof f.path, "/%s", what);
	json_object_foreach (begun, key, v) {
		if (!json_is_integer(v) || f.n == MAX_ASKED)
			continue;
		snprintf(f.value[f.n], sizeof f.value[f.n], "%" JSON_INTEGER_FORMAT, json_integer_value(v));
		f.params[f.n] = (struct admin_param){key, f.value[f.n]};
		f.n++;
	}
	qsort(f.params, f.n, sizeof f.params[0], by_name); /* as they are signed */
	while ((rc = look(args, &f)) == 0)
		clock_sleep_ns(LOOK_NS);
	return rc > 0 ? 0 : -rc;
}

static int begin(const struct cli_args *args, const char *path, const struct admin_param *params, size_t n_params)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	int rc = admin_ask(args, "POST", path, params, n_params, &body);

	if (rc != 0)
		return rc;
	if (cli_arg(args, "json"))
		return admin_print_json(&body);
	CLEANUP(json_decrefp) json_t *j = admin_parse(&body);
	return j ? follow(args, j) : 1;
}

int cli_admin_heal(const struct cli_args *args)
{
	CLEANUP_FREE char *bucket = args->n_rest ? strdup(args->rest[0]) : NULL;
	char *slash = bucket ? strchr(bucket, '/') : NULL;
	const struct admin_param params[] = {
		{"bucket", bucket},
		{"deep", cli_arg(args, "deep") ? "true" : NULL},
		{"prefix", slash ? slash + 1 : NULL},
	};

	if (slash)
		*slash = '\0';
	if (bucket && !*bucket) {
		fprintf(stderr, "quoin: \"%s\" names no bucket; write BUCKET or BUCKET/PREFIX\n", args->rest[0]);
		return 2;
	}
	return begin(args, "/heal", params, ARRAY_SIZE(params));
}

int cli_admin_heal_status(const struct cli_args *args)
{
	return admin_show(args, "GET", "/heal", NULL, 0);
}

int cli_admin_scrub_start(const struct cli_args *args)
{
	return begin(args, "/scrub", NULL, 0);
}

/* How far it is, in a line. */
int cli_admin_scrub_status(const struct cli_args *args)
{
	CLEANUP_BUF struct buf body = BUF_INIT, line = BUF_INIT;
	int rc = admin_ask(args, "GET", "/scrub", NULL, 0, &body);

	if (rc != 0)
		return rc;
	if (cli_arg(args, "json"))
		return admin_print_json(&body);
	CLEANUP(json_decrefp) json_t *j = admin_parse(&body);
	if (!j)
		return 1;
	progress_line(json_object_get(j, "progress"), false, &line);
	printf("%s: %s\n", json_string_value(json_object_get(j, "state")), buf_cstr(&line));
	return 0;
}

int cli_admin_scrub_report(const struct cli_args *args)
{
	return admin_show(args, "GET", "/scrub", NULL, 0);
}
