/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP server: a thin interface of our own over libmicrohttpd with external epoll.
 *
 * The story of a request: one of the server's event loops (a thread each) accepts the connection and parses the request
 * line and headers; begin() is told. Each piece of the body goes to body(); end() tells that it is complete. At any
 * time from begin() on the handler answers with one http_reply_*() call, from whichever thread; then, when the answer
 * has been sent or could not be, done() ends the request. Small requests are finished on the loop's thread without a
 * hand-over: a handler that has its answer at once gives it inside end().
 *
 * Waiting. A handler that has no answer yet returns from end() without one and gives it later. A body() that can take
 * nothing now returns 0 and calls http_resume() later; a reader that has nothing now returns -EAGAIN and calls
 * http_resume() later. Exactly one http_resume() or http_reply_*() for each wait. Between returning and that call the
 * request belongs to the handler, which may use its arena from one thread at a time. When the client has gone meanwhile,
 * done() is called only after that call: what runs for a request never finds it freed.
 */
#ifndef QUOIN_NET_HTTP_SERVER_H
#define QUOIN_NET_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/op_ctx.h"
#include "base/str.h"
#include "base/uri.h"

struct http_server;
struct http_loop;
struct http_request;

struct http_header {
	struct str name, value;
};

#define HTTP_SIZE_UNKNOWN UINT64_MAX

/* What a handler may see of a request. All strings are copies in ctx.arena: they live until done(). */
struct http_info {
	struct str method;
	struct str path;             /* as sent: still percent-encoded */
	struct str query;            /* behind the '?', as sent */
	struct http_header *headers; /* in the order of arrival; names as sent */
	unsigned nheaders;
	size_t header_bytes;     /* request line and headers */
	uint64_t content_length; /* HTTP_SIZE_UNKNOWN: chunked */
	bool has_length;         /* Content-Length or Transfer-Encoding was given */
	bool http10;
};

struct http_handler {
	void (*begin)(void *arg, struct http_request *r);
	/* Returns how many bytes were taken; 0: wait for http_resume. Not called once the request was answered. */
	size_t (*body)(void *arg, struct http_request *r, const char *p, size_t len);
	void (*end)(void *arg, struct http_request *r);
	/* Nothing more will happen to r; complete: it was answered and the answer was sent. Always once after begin. */
	void (*done)(void *arg, struct http_request *r, bool complete);
	/* After each turn of a loop, before it sleeps; may be NULL. */
	void (*turn)(void *arg, struct http_loop *loop);
	/* A request that never reached begin(): headers that cannot be parsed, ... Only counted. May be NULL. */
	void *arg;
};

/* Up to len bytes at offset off of the body into p: their number, -EAGAIN (http_resume follows) or another error, which
 * cuts the connection. Called on the loop's thread, offsets in order. */
typedef ssize_t (*http_reader_fn)(struct http_request *r, uint64_t off, void *p, size_t len);

struct http_params {
	const char *address;          /* HOST:PORT, :PORT, [v6]:PORT; port 0: any free one */
	unsigned loops;               /* 0: 1 */
	unsigned max_connections;     /* over all loops; 0: 16384 */
	unsigned idle_timeout_s;      /* 0: 120 */
	size_t memory_per_connection; /* 0: 32 KiB: headers, and what is received at a time */
	uint64_t drain_max;      /* of a refused body: so much is read and dropped, then the connection is cut; 0: 64 MiB */
	const char *server_name; /* Server header; NULL: "quoin" */
	struct http_handler handler;
};

/* Binds and starts the loops. NULL: detail (may be NULL) says why. */
struct http_server *http_server_start(const struct http_params *p, struct op_ctx *ctx);
/* Stops accepting, lets the requests in flight finish for up to grace_ns, then cuts them; returns when every done() has
 * been called. Accepts NULL, returns NULL. */
struct http_server *http_server_stop(struct http_server *s, uint64_t grace_ns);
unsigned http_server_port(const struct http_server *s);
unsigned http_server_loops(const struct http_server *s);
struct http_loop *http_server_loop(struct http_server *s, unsigned i);

/* cb runs on the loop's thread whenever fd is readable (level triggered). Before or after start. */
int http_loop_add_fd(struct http_loop *l, int fd, void (*cb)(void *arg), void *arg) WARN_UNUSED;
unsigned http_loop_index(const struct http_loop *l);
/* Ends the loop's sleep; any thread. */
void http_loop_wake(struct http_loop *l);

struct http_stats {
	uint64_t connections; /* open now */
	uint64_t requests, in_flight;
	uint64_t suspends; /* waits that left the fast path */
};
void http_server_stats(const struct http_server *s, struct http_stats *ret);

/* ---- Requests ------------------------------------------------------------------------------------------------------ */
const struct http_info *http_request_info(const struct http_request *r);
struct op_ctx *http_request_ctx(struct http_request *r); /* initialised, origin S3; reset after done() */
struct http_loop *http_request_loop(const struct http_request *r);
void http_request_set_user(struct http_request *r, void *user);
void *http_request_user(const struct http_request *r);
/* "1.2.3.4:5678", in the arena. Only on the loop's thread, before the answer. */
struct str http_request_peer(struct http_request *r);
/* The value of the first header of that name (any case); false when absent. ret may be NULL. */
bool http_request_header(const struct http_request *r, const char *name, struct str *ret);
/* The client has gone: what is computed for it is wasted. Any thread. */
bool http_request_gone(const struct http_request *r);

void http_resume(struct http_request *r);

/* Headers of the answer; before the reply call. name: a literal; value: copied. Connection, Content-Length and Date are
 * made by the server. Values with control characters are dropped. */
void http_reply_header(struct http_request *r, const char *name, struct str value);
void http_reply_headerf(struct http_request *r, const char *name, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Forgets the headers given so far. */
void http_reply_clear(struct http_request *r);
/* No body. */
void http_reply_empty(struct http_request *r, unsigned status);
/* The answer to HEAD: Content-Length size, no body. */
void http_reply_head(struct http_request *r, unsigned status, uint64_t size);
/* free_fn frees p when it has been sent; NULL: p is static or in the arena of r. */
void http_reply_buffer(struct http_request *r, unsigned status, void *p, size_t len, void (*free_fn)(void *));
/* size HTTP_SIZE_UNKNOWN: chunked, the reader returns 0 at the end. */
void http_reply_reader(struct http_request *r, unsigned status, uint64_t size, http_reader_fn reader);
/* The connection is closed behind the answer. Before the reply call. */
void http_reply_close(struct http_request *r);

/* ---- Routes beside the main handler's own (health, admin) ---------------------------------------------------------- */
/* A front may take whole prefixes of another front, which authorizes and collects the body (up to body_max) before the
 * handler is called, on the loop's thread. The handler answers as above. */
struct http_route {
	const char *prefix; /* "/quoin/admin/" */
	size_t body_max;
	bool open; /* without authorization */
	void (*handler)(void *arg, struct http_request *r, struct str rest, struct str body);
	void *arg;
};

#endif
