/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/admin_internal.h"

#include <errno.h>

#include "cli/output_internal.h"

#define ADMIN_PREFIX "/quoin/admin/v1"

json_t *admin_parse(const struct buf *body)
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

int admin_print_json(const struct buf *body)
{
	fwrite(body->data, 1, body->len, stdout);
	if (body->len > 0 && body->data[body->len - 1] != '\n')
		putchar('\n');
	return 0;
}

int admin_ask(const struct cli_args *args, const char *method, const char *path, const struct admin_param *params,
              size_t n_params, struct buf *ret)
{
	CLEANUP_BUF struct buf whole = BUF_INIT;
	CLEANUP(conf_freep) struct conf *c = NULL;
	struct admin_client client;
	int rc = cli_load_conf(args, &c);

	if (rc != 0)
		return rc;
	buf_addf(&whole, ADMIN_PREFIX "%s", path);
	rc = admin_client_init(&client, c, cli_arg(args, "endpoint"));
	if (rc == 0)
		rc = admin_client_call(&client, method, buf_cstr(&whole), params, n_params, ret);
	admin_client_free(&client);
	if (rc == -ENOMEM)
		fprintf(stderr, "quoin: out of memory\n");
	return rc < 0 ? 1 : 0;
}

int admin_show(const struct cli_args *args, const char *method, const char *path, const struct admin_param *params,
               size_t n_params)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	int rc = admin_ask(args, method, path, params, n_params, &body);

	if (rc != 0)
		return rc;
	if (cli_arg(args, "json"))
		return admin_print_json(&body);
	CLEANUP(json_decrefp) json_t *j = admin_parse(&body);
	return j ? print_text(j) : 1;
}

int admin_show_columns(const struct cli_args *args, const char *path, const char *const *columns, size_t n)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	int rc = admin_ask(args, "GET", path, NULL, 0, &body);

	if (rc != 0)
		return rc;
	if (cli_arg(args, "json"))
		return admin_print_json(&body);
	CLEANUP(json_decrefp) json_t *all = admin_parse(&body);
	CLEANUP(json_decrefp) json_t *some = all ? output_pick(all, columns, n) : NULL;
	return some ? print_text(some) : 1;
}

int cli_admin_info(const struct cli_args *args)
{
	return admin_show(args, "GET", "/info", NULL, 0);
}

int cli_admin_inspect(const struct cli_args *args)
{
	const struct admin_param params[] = {{"bucket", args->rest[0]}, {"key", args->rest[1]}};

	return admin_show(args, "GET", "/inspect", params, ARRAY_SIZE(params));
}

int cli_admin_service_list(const struct cli_args *args)
{
	static const char *const columns[] = {"name", "state", "cycle", "failures", "ended", "took_seconds", "next", "note"};

	return admin_show_columns(args, "/services", columns, ARRAY_SIZE(columns));
}

static int service(const struct cli_args *args, const char *path)
{
	const struct admin_param params[] = {{"name", args->rest[0]}};

	return admin_show(args, "POST", path, params, ARRAY_SIZE(params));
}

int cli_admin_service_run(const struct cli_args *args)
{
	return service(args, "/services/run");
}

int cli_admin_service_pause(const struct cli_args *args)
{
	return service(args, "/services/pause");
}

int cli_admin_service_resume(const struct cli_args *args)
{
	return service(args, "/services/resume");
}
