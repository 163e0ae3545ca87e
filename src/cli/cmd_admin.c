/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmds_internal.h"

#include <errno.h>

#include "cli/admin_client_internal.h"
#include "cli/output_internal.h"

#define ADMIN_PREFIX "/quoin/admin/v1"

static int print_text(struct buf *body)
{
	CLEANUP_BUF struct buf text = BUF_INIT;
	json_error_t err;
	json_t *j = json_loadb(body->data ? body->data : "", body->len, 0, &err);

	if (!j) {
		fprintf(stderr, "quoin: the answer is not JSON: %s; is this address a quoin server?\n", err.text);
		return 1;
	}
	output_text(j, &text);
	fputs(buf_cstr(&text), stdout);
	json_decref(j);
	return buf_err(&text) ? 1 : 0;
}

static int get(const struct cli_args *args, const char *path, const struct admin_param *params, size_t n_params)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	CLEANUP(conf_freep) struct conf *c = NULL;
	struct admin_client client;
	int rc = cli_load_conf(args, &c);

	if (rc != 0)
		return rc;
	rc = admin_client_init(&client, c, cli_arg(args, "endpoint"));
	if (rc == 0)
		rc = admin_client_get(&client, path, params, n_params, &body);
	admin_client_free(&client);
	if (rc == -ENOMEM)
		fprintf(stderr, "quoin: out of memory\n");
	if (rc < 0)
		return 1;
	if (!cli_arg(args, "json"))
		return print_text(&body);
	fwrite(body.data, 1, body.len, stdout);
	if (body.len > 0 && body.data[body.len - 1] != '\n')
		putchar('\n');
	return 0;
}

int cli_admin_info(const struct cli_args *args)
{
	return get(args, ADMIN_PREFIX "/info", NULL, 0);
}

int cli_admin_inspect(const struct cli_args *args)
{
	const struct admin_param params[] = {{"bucket", args->rest[0]}, {"key", args->rest[1]}};

	return get(args, ADMIN_PREFIX "/inspect", params, ARRAY_SIZE(params));
}
