/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/routes.h"

#include <errno.h>
#include <stdlib.h>

#include "admin/admin.h"
#include "base/err.h"
#include "base/uri.h"
#include "object/store.h"

struct answer {
	struct object_waiter waiter;
	struct http_request *r;
	struct buf body;
	int rc;
};

static void reply(struct answer *a, int rc)
{
	unsigned status = 200;
	size_t len;

	if (rc < 0) {
		const struct op_ctx *ctx = http_request_ctx(a->r);
		const struct err_info *e = err_lookup(rc);

		status = (unsigned)e->http_status;
		buf_reset(&a->body);
		if (admin_error(e->s3_code, *ctx->detail ? ctx->detail : e->text, &a->body) < 0)
			buf_reset(&a->body); /* no memory: the status alone */
	}
	http_reply_header(a->r, "Content-Type", STR_LIT("application/json"));
	char *text = buf_take(&a->body, &len);
	if (text)
		http_reply_buffer(a->r, status, text, len, free);
	else
		http_reply_empty(a->r, rc < 0 ? status : 500);
}

static void waited(struct object_waiter *w, int rc)
{
	struct answer *a = CONTAINER_OF(w, struct answer, waiter);

	reply(a, a->rc < 0 ? a->rc : rc);
}

/* What an answer shows must be durable first (STORAGE.md, Visibility): everything that is applied now. */
static void answer(struct admin_params *p, struct answer *a)
{
	if (object_wait(p->store, meta_applied_seq(object_store_set(p->store)), &a->waiter))
		reply(a, a->rc);
}

static struct answer *answer_new(struct admin_params *p, struct http_request *r)
{
	struct answer *a = arena_zalloc(&http_request_ctx(r)->arena, sizeof *a);

	a->r = r;
	a->waiter.done = waited;
	a->waiter.store = p->store;
	return a;
}

static struct str param(struct http_request *r, const char *name)
{
	struct uri_param *params;
	struct str v = {"", 0};
	unsigned n;

	if (uri_parse_query(&http_request_ctx(r)->arena, http_request_info(r)->query, 16, &params, &n) == 0)
		uri_param_get(params, n, name, &v);
	return v;
}

static void handle(void *arg, struct http_request *r, struct str rest, struct str body)
{
	struct admin_params *p = arg;
	struct op_ctx *ctx = http_request_ctx(r);
	struct answer *a = answer_new(p, r);

	if (!str_eqc(http_request_info(r)->method, "GET"))
		a->rc = op_fail(ctx, -QE_METHOD_NOT_ALLOWED, "only GET is known here");
	else if (str_eqc(rest, "info"))
		a->rc = admin_info(p, ctx, &a->body);
	else if (str_eqc(rest, "inspect"))
		a->rc = admin_inspect(p, ctx, param(r, "bucket"), param(r, "key"), &a->body);
	else
		a->rc = op_fail(ctx, -QE_INVALID_REQUEST, "no such admin call; known: info, inspect");
	answer(p, a);
}

const struct http_route *daemon_routes(struct admin_params *a, unsigned *ret_n)
{
	static struct http_route routes[1];

	routes[0] = (struct http_route){.prefix = "/quoin/admin/v1/", .body_max = 4096, .handler = handle, .arg = a};
	*ret_n = ARRAY_SIZE(routes);
	return routes;
}
