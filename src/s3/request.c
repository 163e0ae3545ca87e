/* SPDX-License-Identifier: Apache-2.0
 *
 * The handler of net/http_server for S3: from the first header to the row's handler; start and stop.
 */
#include "s3/request.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/log.h"

static struct s3_request *request_of(struct http_request *h)
{
	return http_request_user(h);
}

static int begin(struct s3_request *r)
{
	int rc;

	if (r->in->header_bytes > S3_HEADER_BYTES + OBJECT_KEY_MAX * 3)
		return -QE_HEADERS_TOO_LARGE;
	rc = uri_parse_query(s3_arena(r), r->in->query, S3_QUERY_MAX, &r->query, &r->nquery);
	if (rc < 0)
		return op_fail(r->ctx, -QE_INVALID_ARGUMENT, "The query string cannot be parsed.");
	if (s3_health(r))
		return 0;
	rc = s3_route(r);
	if (rc < 0)
		return rc;
	if (!r->route || !r->route->open) {
		rc = s3_auth(r);
		if (rc < 0)
			return rc;
	}
	if (!r->op && !r->route) /* told only to those who may know */
		return -QE_METHOD_NOT_ALLOWED;
	rc = s3_body_init(r);
	if (rc < 0)
		return rc;
	if (r->op && r->op->begin)
		r->op->begin(r);
	return 0;
}

static void on_begin(void *arg, struct http_request *h)
{
	struct op_ctx *ctx = http_request_ctx(h);
	struct s3_request *r = arena_zalloc(&ctx->arena, sizeof *r);
	int rc;

	r->srv = arg;
	r->http = h;
	r->in = http_request_info(h);
	r->ctx = ctx;
	r->trailer_algo = S3_ALGO_NONE;
	r->want.algo = S3_ALGO_NONE;
	r->bucket = r->key = STR_LIT("");
	r->head = str_eqc(r->in->method, "HEAD");
	http_request_set_user(h, r);
	r->beginning = true;
	rc = begin(r);
	if (rc < 0)
		s3_error(r, rc);
	r->beginning = false;
}

static size_t on_body(void *arg, struct http_request *h, const char *p, size_t len)
{
	return s3_body_feed(request_of(h), p, len);
}

static void on_end(void *arg, struct http_request *h)
{
	struct s3_request *r = request_of(h);

	if (s3_fails(r, r->deferred) || s3_fails(r, s3_body_end(r)))
		return;
	if (r->route) {
		struct str rest = str_sub(r->in->path, strlen(r->route->prefix), r->in->path.len - strlen(r->route->prefix));
		r->answered = true; /* the other front answers */
		r->route->handler(r->route->arg, h, rest, buf_str(&r->small));
		return;
	}
	r->op->run(r);
}

static void on_done(void *arg, struct http_request *h, bool complete)
{
	struct s3_request *r = request_of(h);

	if (r->cleanup)
		r->cleanup(r);
	object_put_free(r->put);
	buf_free(&r->small);
	if (r->free_fn && !r->answered)
		r->free_fn(r->data);
	log_debug("s3", "%s %.*s/%.*s status=%u complete=%d req=%016llx", r->op ? r->op->name : "-", STR_FMT(r->bucket),
	          STR_FMT(r->key), r->status, complete, (unsigned long long)r->ctx->request_id);
}

/* After each turn of a loop: what the handlers submitted becomes a record. */
static void on_turn(void *arg, struct http_loop *l)
{
	struct s3_server *s = arg;

	meta_drive(object_store_set(s->store));
}

static void on_meta_event(void *arg)
{
	/* the turn that follows calls meta_drive */
}

/* ---- Start and stop -------------------------------------------------------------------------------------------------- */
static char *copy_of(const char *s)
{
	char *c = strdup(s ? s : "");

	ASSERT(c != NULL);
	return c;
}

static unsigned default_loops(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n <= 4 ? 1 : (unsigned)n / 4;
}

static void server_identity(struct s3_server *s)
{
	char name[256] = "";
	uint8_t sha[32];

	uuid_format(meta_deployment_id(object_store_set(s->store)), s->deployment);
	if (gethostname(name, sizeof name - 1) < 0)
		name[0] = '\0';
	sigv4_sha256(name, strlen(name), sha);
	hex_encode(sha, sizeof sha, s->host_id);
}

static struct s3_server *server_free(struct s3_server *s)
{
	free(s->address);
	free(s->access_key);
	if (s->secret_key)
		explicit_bzero(s->secret_key, strlen(s->secret_key));
	free(s->secret_key);
	free(s->region);
	free(s->domain);
	free(s->server_name);
	if (s->loops)
		explicit_bzero(s->loops, s->p.loops * sizeof *s->loops);
	free(s->loops);
	free(s);
	return NULL;
}

static struct s3_server *server_new(const struct s3_params *p)
{
	struct s3_server *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	s->p = *p;
	s->p.loops = p->loops ? p->loops : default_loops();
	s->store = p->store;
	s->address = copy_of(p->address);
	s->access_key = copy_of(p->access_key);
	s->secret_key = copy_of(p->secret_key);
	s->region = copy_of(p->region);
	s->domain = copy_of(p->domain);
	s->server_name = copy_of(p->server_name ? p->server_name : "quoin");
	s->loops = calloc(s->p.loops, sizeof *s->loops);
	if (!s->loops)
		return server_free(s);
	server_identity(s);
	return s;
}

struct s3_server *s3_server_start(const struct s3_params *p, struct op_ctx *ctx)
{
	struct s3_server *s = server_new(p);
	struct meta_set *set = object_store_set(p->store);
	int fd, rc;

	if (!s)
		return NULL;
	s->http = http_server_start(&(struct http_params){.address = s->address,
	                                                  .loops = s->p.loops,
	                                                  .max_connections = p->max_connections,
	                                                  .idle_timeout_s = p->idle_timeout_s,
	                                                  .handler = {on_begin, on_body, on_end, on_done, on_turn, s}},
	                            ctx);
	if (!s->http)
		return server_free(s);
	fd = meta_event_fd(set);
	rc = fd < 0 ? 0 : http_loop_add_fd(http_server_loop(s->http, 0), fd, on_meta_event, s);
	if (rc < 0) {
		op_fail(ctx, rc, "cannot watch the journal's events");
		return s3_server_stop(s, 0);
	}
	meta_attach_loop(set, true);
	http_loop_wake(http_server_loop(s->http, 0));
	s->loops[0].attached = true;
	return s;
}

struct s3_server *s3_server_stop(struct s3_server *s, uint64_t grace_ns)
{
	if (!s)
		return NULL;
	s->http = http_server_stop(s->http, grace_ns);
	if (s->loops[0].attached)
		meta_attach_loop(object_store_set(s->store), false);
	return server_free(s);
}

unsigned s3_server_port(const struct s3_server *s)
{
	return http_server_port(s->http);
}

void s3_server_http_stats(const struct s3_server *s, struct http_stats *ret)
{
	http_server_stats(s->http, ret);
}
