/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/routes.h"

#include <errno.h>
#include <stdlib.h>

#include "admin/admin.h"
#include "base/err.h"
#include "object/store.h"

struct answer {
	struct object_waiter waiter;
	struct work work;
	struct admin_params *admin;
	struct admin_request call;
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

	/* Below the write quorum nothing more becomes durable, and an operator needs the state of the set most. What a key
	 * holds is another matter (R5'). */
	if (a->rc < 0 || !str_eqc(a->call.path, "inspect"))
		rc = a->rc;
	reply(a, rc);
}

/* What an answer shows must be durable first (STORAGE.md, Visibility), or never will be: everything that is applied now. */
static void answer(struct answer *a)
{
	struct object_store *s = a->admin->store;

	if (object_wait(s, meta_applied_seq(object_store_set(s)), &a->waiter))
		reply(a, a->rc);
}

static struct answer *answer_new(struct admin_params *p, struct http_request *r)
{
	struct answer *a = arena_zalloc(&http_request_ctx(r)->arena, sizeof *a);

	a->r = r;
	a->admin = p;
	a->waiter.done = waited;
	a->waiter.store = p->store;
	return a;
}

#define PARAMS_MAX 16

/* What changes something may wait for the set, which this loop may be about to lead. */
static void call_on_worker(struct work *w)
{
	struct answer *a = CONTAINER_OF(w, struct answer, work);

	a->rc = admin_call(a->admin, http_request_ctx(a->r), &a->call, &a->body);
	answer(a);
}

static void handle(void *arg, struct http_request *r, struct str rest, struct str body)
{
	struct admin_params *p = arg;
	struct op_ctx *ctx = http_request_ctx(r);
	const struct http_info *in = http_request_info(r);
	struct answer *a = answer_new(p, r);
	struct uri_param *params = NULL;

	a->call = (struct admin_request){.method = in->method, .path = rest};
	a->rc = uri_parse_query(&ctx->arena, in->query, PARAMS_MAX, &params, &a->call.nparams);
	a->call.params = params;
	if (a->rc < 0) {
		a->rc = op_fail(ctx, -QE_INVALID_REQUEST, "the query has bad escapes, or more than %u parameters", PARAMS_MAX);
		answer(a);
	} else if (str_eqc(in->method, "GET")) {
		a->rc = admin_call(p, ctx, &a->call, &a->body);
		answer(a);
	} else {
		a->work.run = call_on_worker;
		workq_push(object_store_workers(p->store), &a->work);
	}
}

const struct http_route *daemon_routes(struct admin_params *a, unsigned *ret_n)
{
	static struct http_route routes[1];

	routes[0] = (struct http_route){.prefix = "/quoin/admin/v1/", .body_max = 4096, .handler = handle, .arg = a};
	*ret_n = ARRAY_SIZE(routes);
	return routes;
}
