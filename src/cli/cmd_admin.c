/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmds_internal.h"

#include <errno.h>

#include "cli/admin_client_internal.h"
#include "cli/output_internal.h"

#define ADMIN_PREFIX "/quoin/admin/v1"

/* NULL: it was said on stderr why. */
static json_t *parse(const struct buf *body)
{
	json_error_t err;
	json_t *j = json_loadb(body->data ? body->data : "", body->len, 0, &err);

	if (!j)
		fprintf(stderr, "quoin: the answer is not JSON: %s; is this address a quoin server?\n", err.text);
	return j;
}

static int print_text(const json_t *j)
{
	CLEANUP_BUF struct buf text = BUF_INIT;

	output_text(j, &text);
	fputs(buf_cstr(&text), stdout);
	return buf_err(&text) ? 1 : 0;
}

static int print_json(const struct buf *body)
{
	fwrite(body->data, 1, body->len, stdout);
	if (body->len > 0 && body->data[body->len - 1] != '\n')
		putchar('\n');
	return 0;
}

/* Asks the server. 0 and the answer; or the exit status after saying on stderr what failed. */
static int ask(const struct cli_args *args, const char *method, const char *path, const struct admin_param *params,
               size_t n_params, struct buf *ret)
{
	CLEANUP(conf_freep) struct conf *c = NULL;
	struct admin_client client;
	int rc = cli_load_conf(args, &c);

	if (rc != 0)
		return rc;
	rc = admin_client_init(&client, c, cli_arg(args, "endpoint"));
	if (rc == 0)
		rc = admin_client_call(&client, method, path, params, n_params, ret);
	admin_client_free(&client);
	if (rc == -ENOMEM)
		fprintf(stderr, "quoin: out of memory\n");
	return rc < 0 ? 1 : 0;
}

static int show(const struct cli_args *args, const char *method, const char *path, const struct admin_param *params,
                size_t n_params)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	int rc = ask(args, method, path, params, n_params, &body);

	if (rc != 0)
		return rc;
	if (cli_arg(args, "json"))
		return print_json(&body);
	CLEANUP(json_decrefp) json_t *j = parse(&body);
	return j ? print_text(j) : 1;
}

/* A list of which people see some columns, and --json all members. */
static int show_columns(const struct cli_args *args, const char *path, const char *const *columns, size_t n)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	int rc = ask(args, "GET", path, NULL, 0, &body);

	if (rc != 0)
		return rc;
	if (cli_arg(args, "json"))
		return print_json(&body);
	CLEANUP(json_decrefp) json_t *all = parse(&body);
	CLEANUP(json_decrefp) json_t *some = all ? output_pick(all, columns, n) : NULL;
	return some ? print_text(some) : 1;
}

int cli_admin_info(const struct cli_args *args)
{
	return show(args, "GET", ADMIN_PREFIX "/info", NULL, 0);
}

int cli_admin_inspect(const struct cli_args *args)
{
	const struct admin_param params[] = {{"bucket", args->rest[0]}, {"key", args->rest[1]}};

	return show(args, "GET", ADMIN_PREFIX "/inspect", params, ARRAY_SIZE(params));
}

int cli_admin_service_list(const struct cli_args *args)
{
	static const char *const columns[] = {"name", "state", "cycle", "failures", "ended", "took_seconds", "next", "note"};

	return show_columns(args, ADMIN_PREFIX "/services", columns, ARRAY_SIZE(columns));
}

static int service(const struct cli_args *args, const char *path)
{
	const struct admin_param params[] = {{"name", args->rest[0]}};

	return show(args, "POST", path, params, ARRAY_SIZE(params));
}

int cli_admin_service_run(const struct cli_args *args)
{
	return service(args, ADMIN_PREFIX "/services/run");
}

int cli_admin_service_pause(const struct cli_args *args)
{
	return service(args, ADMIN_PREFIX "/services/pause");
}

int cli_admin_service_resume(const struct cli_args *args)
{
	return service(args, ADMIN_PREFIX "/services/resume");
}
