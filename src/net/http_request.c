/* SPDX-License-Identifier: Apache-2.0
 *
 * One request, from its first line to done().
 *
 * Of libmicrohttpd 0.9.75: an answer queued in the first call of the handler closes the connection, so it is queued in
 * a later one, but for a refused body that the client shall not send; no connection is suspended in the first call (it
 * would be made again); an answer can be queued only at the first call and when the whole request has been received.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/http_internal.h"

#define POLLED_MAX 512             /* connections of a loop that wait in the ready list */
#define POLLED_NS (20 * NS_PER_MS) /* after that they are suspended */
#define EARLY_MAX (4u << 20)       /* a refused body up to this is read, so that the connection can go on */
#define READ_BLOCK (256u << 10)

static _Thread_local struct http_loop *current_loop;

/* ---- Life ----------------------------------------------------------------------------------------------------------- */
static struct http_request *request_new(struct http_conn *c)
{
	struct http_request *r = calloc(1, sizeof *r);

	if (!r)
		return NULL;
	op_ctx_init(&r->ctx, OP_S3);
	list_init(&r->node);
	r->conn = c;
	r->loop = c->loop;
	return r;
}

static void request_free(struct http_request *r)
{
	op_ctx_done(&r->ctx);
	free(r);
}

/* Looks random, differs from request to request, needs no system call (splitmix64). */
static uint64_t next_id(struct http_loop *l)
{
	uint64_t z = l->id_state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static void request_reset(struct http_request *r)
{
	struct arena keep = r->ctx.arena;
	struct http_conn *conn = r->conn;
	struct http_loop *loop = r->loop;

	arena_reset(&keep);
	memset(r, 0, offsetof(struct http_request, answer) + offsetof(struct http_answer, headers));
	r->ctx.origin = OP_S3;
	r->ctx.umask = 022;
	r->ctx.request_id = next_id(loop);
	r->ctx.arena = keep;
	r->conn = conn;
	r->loop = loop;
	list_init(&r->node);
}

static void drop_answer(struct http_request *r)
{
	if (r->answer.free_fn)
		r->answer.free_fn(r->answer.data);
	r->answer.free_fn = NULL;
}

/* The end: done(), then the request waits for its connection's next one, or goes with it. */
static void request_end(struct http_request *r, bool complete)
{
	struct http_loop *l = r->loop;

	ASSERT(!r->waiting);
	if (!list_empty(&r->node)) {
		list_del(&r->node);
		l->nactive--;
		atomic_fetch_sub_explicit(&l->in_flight, 1, memory_order_relaxed);
		l->server->p.handler.done(l->server->p.handler.arg, r, complete);
	}
	drop_answer(r);
	if (r->conn && r->conn->req == r)
		request_reset(r);
	else
		request_free(r);
}

static void on_hangup(void *arg)
{
	struct http_conn *c = arg;

	if (list_empty(&c->ended))
		list_add_tail(&c->loop->ended, &c->ended);
}

static bool wants_bytes(const struct http_request *r)
{
	return !r || ((r->state == HTTP_NEW || r->state == HTTP_BODY) && !r->waiting && !r->suspended && !r->polled);
}

void http_nudge_ended(struct http_loop *l)
{
	/* The client has shut this direction down already: it changes nothing but wakes who polls. */
	LIST_FOREACH (it, &l->ended) {
		struct http_conn *c = LIST_ENTRY(it, struct http_conn, ended);
		if (wants_bytes(c->req))
			(void)!shutdown(c->fd, SHUT_RD);
	}
}

static struct http_conn *conn_new(struct http_loop *l, struct MHD_Connection *mc)
{
	const union MHD_ConnectionInfo *ci = MHD_get_connection_info(mc, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct http_conn *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->loop = l;
	c->fd = ci ? ci->connect_fd : -1;
	c->hangup = (struct http_watch){.cb = on_hangup, .arg = c};
	list_init(&c->ended);
	struct epoll_event ev = {.events = EPOLLRDHUP | EPOLLET, .data.ptr = &c->hangup};
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, c->fd, &ev) < 0)
		c->fd = -1; /* the idle timeout ends it */
	return c;
}

void http_on_connection(void *cls, struct MHD_Connection *mc, void **conn, enum MHD_ConnectionNotificationCode what)
{
	struct http_loop *l = cls;
	struct http_conn *c;

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		*conn = conn_new(l, mc);
		atomic_fetch_add_explicit(&l->connections, 1, memory_order_relaxed);
		return;
	}
	c = *conn;
	atomic_fetch_sub_explicit(&l->connections, 1, memory_order_relaxed);
	*conn = NULL;
	if (!c)
		return;
	if (c->fd >= 0)
		(void)!epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
	list_del(&c->ended);
	if (c->req)
		request_free(c->req);
	free(c);
}

void *http_on_uri(void *cls, const char *uri, struct MHD_Connection *mc)
{
	const union MHD_ConnectionInfo *ci = MHD_get_connection_info(mc, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct http_conn *c = ci ? ci->socket_context : NULL;
	struct http_request *r;

	if (!c)
		return NULL;
	if (!c->req)
		c->req = request_new(c);
	r = c->req;
	if (!r)
		return NULL;
	r->mhd = mc;
	r->target = arena_dup(&r->ctx.arena, uri, strlen(uri) + 1);
	return r;
}

void http_on_completed(void *cls, struct MHD_Connection *mc, void **req, enum MHD_RequestTerminationCode why)
{
	struct http_request *r = *req;
	struct http_loop *l = cls;

	*req = NULL;
	if (!r)
		return;
	l->progress = true;
	if (r->polled) {
		r->polled = false;
		l->npolled--;
	}
	r->mhd = NULL;
	if (why != MHD_REQUEST_TERMINATED_COMPLETED_OK)
		atomic_store_explicit(&r->gone, true, memory_order_relaxed);
	if (r->waiting) { /* it stays until the handler gives it back */
		atomic_store_explicit(&r->gone, true, memory_order_relaxed);
		r->conn->req = NULL;
		r->conn = NULL;
		return;
	}
	request_end(r, why == MHD_REQUEST_TERMINATED_COMPLETED_OK && r->state == HTTP_QUEUED);
}

/* ---- Waiting --------------------------------------------------------------------------------------------------------- */
static void suspend(struct http_request *r)
{
	struct http_loop *l = r->loop;

	if (r->polled) {
		r->polled = false;
		l->npolled--;
	}
	r->suspended = true;
	atomic_fetch_add_explicit(&l->suspends, 1, memory_order_relaxed);
	MHD_suspend_connection(r->mhd);
}

static void wait_for_answer(struct http_request *r)
{
	struct http_loop *l = r->loop;

	r->waiting = true;
	r->wait_since_ns = l->now_ns;
	if (l->npolled >= POLLED_MAX) {
		suspend(r);
		return;
	}
	r->polled = true;
	l->npolled++;
}

void http_resume(struct http_request *r)
{
	struct http_loop *l = r->loop;
	struct http_request *old = atomic_load_explicit(&l->ready, memory_order_relaxed);

	if (current_loop == l && l->running == r) {
		r->resumed = true;
		return;
	}
	do
		r->next_ready = old;
	while (!atomic_compare_exchange_weak_explicit(&l->ready, &old, r, memory_order_release, memory_order_relaxed));
	if (!old && current_loop != l)
		http_loop_wake(l);
}

/* ---- The answer ------------------------------------------------------------------------------------------------------ */
static void on_free(void *cls)
{
}

static ssize_t on_read(void *cls, uint64_t off, char *p, size_t len)
{
	struct http_request *r = cls;
	struct http_loop *l = r->loop;
	ssize_t n;

	l->progress = true;
	if (l->cutting)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	do {
		l->running = r;
		r->resumed = false;
		n = r->answer.reader(r, off, p, len);
		l->running = NULL;
	} while (n == -EAGAIN && r->resumed);
	if (n == -EAGAIN) {
		r->waiting = true;
		suspend(r);
		return 0;
	}
	if (n < 0)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	return n == 0 ? MHD_CONTENT_READER_END_OF_STREAM : n;
}

static struct MHD_Response *make_response(struct http_request *r)
{
	struct http_answer *a = &r->answer;
	static char nothing[1];
	void (*free_fn)(void *) = a->free_fn;

	switch (a->kind) {
	case HTTP_EMPTY:
		return MHD_create_response_from_buffer(0, nothing, MHD_RESPMEM_PERSISTENT);
	case HTTP_BUFFER:
		if (!free_fn)
			return MHD_create_response_from_buffer(a->len, a->data, MHD_RESPMEM_PERSISTENT);
		a->free_fn = NULL; /* libmicrohttpd's from here on */
		return MHD_create_response_from_buffer_with_free_callback(a->len, a->data, free_fn);
	case HTTP_HEAD:
		return MHD_create_response_from_callback(a->size, 1, on_read, r, on_free);
	case HTTP_READER:
		return MHD_create_response_from_callback(a->size == HTTP_SIZE_UNKNOWN ? MHD_SIZE_UNKNOWN : a->size,
		                                         (size_t)MIN(a->size, READ_BLOCK), on_read, r, on_free);
	}
	return NULL;
}

/* Gives the answer to libmicrohttpd. */
static enum MHD_Result queue_answer(struct http_request *r)
{
	struct http_answer *a = &r->answer;
	struct MHD_Response *resp = make_response(r);
	enum MHD_Result ok;

	if (!resp)
		return MHD_NO;
	r->state = HTTP_QUEUED;
	/* libmicrohttpd refuses an empty value; the blank is not part of what is received. */
	for (unsigned i = 0; i < a->nheaders; i++)
		(void)MHD_add_response_header(resp, a->headers[i].name, *a->headers[i].value ? a->headers[i].value : " ");
	if (a->close || r->loop->draining)
		(void)MHD_add_response_header(resp, "Connection", "close");
	r->loop->progress = true;
	ok = MHD_queue_response(r->mhd, a->status, resp);
	MHD_destroy_response(resp); /* only our reference */
	return ok;
}

/* The wait of r is over: go on with it. */
static void take_ready(struct http_request *r)
{
	struct http_loop *l = r->loop;

	r->waiting = false;
	l->progress = true;
	if (!r->mhd) {
		request_end(r, false);
		return;
	}
	if (r->polled) {
		r->polled = false;
		l->npolled--;
		ASSERT(r->answered);
		if (queue_answer(r) == MHD_NO) {
			r->answered = false; /* cut at the next call */
			r->state = HTTP_QUEUED;
		}
	} else if (r->suspended) {
		r->suspended = false;
		MHD_resume_connection(r->mhd);
	}
}

bool http_drain_ready(struct http_loop *l)
{
	struct http_request *r = atomic_exchange_explicit(&l->ready, NULL, memory_order_acquire), *first = NULL, *next;

	current_loop = l;
	for (; r; r = next) { /* oldest first */
		next = r->next_ready;
		r->next_ready = first;
		first = r;
	}
	for (r = first; r; r = next) {
		next = r->next_ready;
		take_ready(r);
	}
	return first != NULL;
}

void http_cut_all(struct http_loop *l)
{
	l->cutting = true;
	LIST_FOREACH_SAFE (it, &l->active) {
		struct http_request *r = LIST_ENTRY(it, struct http_request, node);
		if (r->suspended && r->mhd) {
			r->suspended = false;
			MHD_resume_connection(r->mhd);
		}
	}
}

/* ---- The handler ----------------------------------------------------------------------------------------------------- */
struct header_copy {
	struct http_request *r;
	unsigned n;
};

static enum MHD_Result copy_header(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_len,
                                   const char *value, size_t value_len)
{
	struct header_copy *c = cls;
	struct http_info *in = &c->r->info;
	struct http_header *h = &in->headers[c->n];

	if (c->n >= in->nheaders)
		return MHD_NO;
	h->name = arena_str(&c->r->ctx.arena, (struct str){name, name_len});
	h->value = arena_str(&c->r->ctx.arena, (struct str){value ? value : "", value ? value_len : 0});
	in->header_bytes += name_len + value_len + 4;
	c->n++;
	return MHD_YES;
}

static void read_length(struct http_request *r)
{
	struct http_info *in = &r->info;
	struct str v;

	if (http_request_header(r, "Transfer-Encoding", &v)) {
		in->has_length = true;
		in->content_length = HTTP_SIZE_UNKNOWN;
	} else if (http_request_header(r, "Content-Length", &v)) {
		in->has_length = true;
		if (str_to_u64(v, &in->content_length) < 0)
			in->content_length = 0; /* libmicrohttpd has refused it */
	}
	r->expect_continue = !in->http10 && http_request_header(r, "Expect", &v) &&
	                     str_eq_nocase(v, STR_LIT("100-continue"));
}

static void read_head(struct http_request *r, const char *method, const char *version)
{
	struct http_info *in = &r->info;
	struct header_copy c = {r, 0};
	struct str target = str_of(r->target);
	ptrdiff_t q = str_find(target, '?', 0);
	int n = MHD_get_connection_values_n(r->mhd, MHD_HEADER_KIND, NULL, NULL);

	in->method = arena_str(&r->ctx.arena, str_of(method));
	in->path = q < 0 ? target : str_sub(target, 0, (size_t)q);
	in->query = q < 0 ? STR_LIT("") : str_sub(target, (size_t)q + 1, target.len - (size_t)q - 1);
	in->nheaders = n > 0 ? (unsigned)n : 0;
	in->headers = arena_alloc(&r->ctx.arena, in->nheaders * sizeof *in->headers);
	in->header_bytes = target.len + in->method.len + 12;
	in->http10 = strcmp(version, "HTTP/1.0") == 0;
	(void)MHD_get_connection_values_n(r->mhd, MHD_HEADER_KIND, copy_header, &c);
	in->nheaders = c.n;
	read_length(r);
}

static enum MHD_Result call_begin(struct http_request *r, const char *method, const char *version)
{
	struct http_loop *l = r->loop;
	const struct http_handler *h = &l->server->p.handler;

	read_head(r, method, version);
	r->state = HTTP_BODY;
	list_add_tail(&l->active, &r->node);
	l->nactive++;
	atomic_fetch_add_explicit(&l->in_flight, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&l->requests, 1, memory_order_relaxed);
	l->running = r;
	h->begin(h->arg, r);
	l->running = NULL;
	/* A body that is not wanted: an early answer keeps it away, and costs the connection. */
	if (r->resumed && r->info.content_length != 0 && r->info.has_length &&
	    (r->expect_continue || (r->info.content_length > EARLY_MAX && r->info.content_length != HTTP_SIZE_UNKNOWN))) {
		r->answer.close = true;
		return queue_answer(r);
	}
	return MHD_YES;
}

static enum MHD_Result call_body(struct http_request *r, const char *p, size_t *size)
{
	struct http_loop *l = r->loop;
	const struct http_handler *h = &l->server->p.handler;

	while (*size && !r->answered) {
		size_t n;

		l->running = r;
		r->resumed = false;
		n = h->body(h->arg, r, p, *size);
		l->running = NULL;
		ASSERT(n <= *size);
		p += n;
		*size -= n;
		if (n == 0 && !r->resumed) {
			r->waiting = true;
			suspend(r);
			return MHD_YES;
		}
	}
	r->drained += *size;
	*size = 0;
	return r->drained > l->server->p.drain_max ? MHD_NO : MHD_YES;
}

static enum MHD_Result call_end(struct http_request *r)
{
	struct http_loop *l = r->loop;
	const struct http_handler *h = &l->server->p.handler;

	if (r->waiting) { /* polled; the answer may be being written by another thread: not looked at */
		if (l->now_ns - r->wait_since_ns > POLLED_NS)
			suspend(r);
		return MHD_YES;
	}
	if (r->state == HTTP_BODY) {
		r->state = HTTP_ENDED;
		if (!r->answered) {
			l->running = r;
			r->resumed = false;
			h->end(h->arg, r);
			l->running = NULL;
			if (!r->resumed) {
				wait_for_answer(r);
				return MHD_YES;
			}
		}
	}
	return r->answered && r->state == HTTP_ENDED ? queue_answer(r) : MHD_NO;
}

enum MHD_Result http_on_request(void *cls, struct MHD_Connection *mc, const char *url, const char *method,
                                const char *version, const char *data, size_t *size, void **req)
{
	struct http_request *r = *req;
	struct http_loop *l = cls;

	if (!r || l->cutting)
		return MHD_NO;
	if (r->state == HTTP_NEW) {
		l->progress = true;
		return call_begin(r, method, version);
	}
	if (*size) {
		l->progress = true;
		return call_body(r, data, size);
	}
	return call_end(r);
}

/* ---- What handlers call ---------------------------------------------------------------------------------------------- */
const struct http_info *http_request_info(const struct http_request *r)
{
	return &r->info;
}

struct op_ctx *http_request_ctx(struct http_request *r)
{
	return &r->ctx;
}

struct http_loop *http_request_loop(const struct http_request *r)
{
	return r->loop;
}

void http_request_set_user(struct http_request *r, void *user)
{
	r->user = user;
}

void *http_request_user(const struct http_request *r)
{
	return r->user;
}

bool http_request_gone(const struct http_request *r)
{
	return atomic_load_explicit(&r->gone, memory_order_relaxed);
}

bool http_request_header(const struct http_request *r, const char *name, struct str *ret)
{
	struct str want = str_of(name);

	for (unsigned i = 0; i < r->info.nheaders; i++)
		if (str_eq_nocase(r->info.headers[i].name, want)) {
			if (ret)
				*ret = r->info.headers[i].value;
			return true;
		}
	return false;
}

struct str http_request_peer(struct http_request *r)
{
	const union MHD_ConnectionInfo *ci = r->mhd ? MHD_get_connection_info(r->mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS)
	                                            : NULL;
	char text[INET6_ADDRSTRLEN] = "";
	unsigned port = 0;

	if (!ci || !ci->client_addr)
		return STR_LIT("");
	if (ci->client_addr->sa_family == AF_INET6) {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ci->client_addr;
		inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text);
		port = ntohs(in6->sin6_port);
		return str_of(arena_printf(&r->ctx.arena, "[%s]:%u", text, port));
	}
	if (ci->client_addr->sa_family == AF_INET) {
		struct sockaddr_in *in = (struct sockaddr_in *)ci->client_addr;
		inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
		port = ntohs(in->sin_port);
	}
	return str_of(arena_printf(&r->ctx.arena, "%s:%u", text, port));
}

void http_reply_header(struct http_request *r, const char *name, struct str value)
{
	struct http_answer *a = &r->answer;
	struct str copy;
	char *text;

	ASSERT(!r->answered);
	if (a->nheaders == HTTP_REPLY_HEADERS)
		return;
	if (value.len == 0)
		value = STR_LIT(" "); /* libmicrohttpd takes no empty value */
	copy = arena_str(&r->ctx.arena, value);
	text = (char *)copy.p;
	for (size_t i = 0; i < copy.len; i++) {
		if (text[i] == '\t')
			text[i] = ' '; /* nor a tab */
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return;
	}
	a->headers[a->nheaders].name = name;
	a->headers[a->nheaders++].value = text;
}

void http_reply_clear(struct http_request *r)
{
	ASSERT(!r->answered);
	drop_answer(r);
	r->answer.nheaders = 0;
}

void http_reply_headerf(struct http_request *r, const char *name, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (n >= 0)
		http_reply_header(r, name, (struct str){text, MIN((size_t)n, sizeof text - 1)});
}

static void give_answer(struct http_request *r, unsigned status, enum http_body kind)
{
	ASSERT(!r->answered);
	r->answer.status = status;
	r->answer.kind = kind;
	r->answered = true;
	http_resume(r);
}

void http_reply_empty(struct http_request *r, unsigned status)
{
	give_answer(r, status, HTTP_EMPTY);
}

void http_reply_head(struct http_request *r, unsigned status, uint64_t size)
{
	r->answer.size = size;
	give_answer(r, status, size ? HTTP_HEAD : HTTP_EMPTY);
}

void http_reply_buffer(struct http_request *r, unsigned status, void *p, size_t len, void (*free_fn)(void *))
{
	r->answer.data = p;
	r->answer.len = len;
	r->answer.free_fn = free_fn;
	give_answer(r, status, HTTP_BUFFER);
}

void http_reply_reader(struct http_request *r, unsigned status, uint64_t size, http_reader_fn reader)
{
	r->answer.size = size;
	r->answer.reader = reader;
	give_answer(r, status, HTTP_READER);
}

void http_reply_close(struct http_request *r)
{
	r->answer.close = true;
}
