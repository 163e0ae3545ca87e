/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the HTTP server share. Threads: everything of a loop and its connections is touched by the loop's
 * thread only, but for the ready stack, the counters and, while a request waits, the request's answer.
 *
 * States of a request, by the calls of libmicrohttpd:
 *   NEW     the request line is known (on_uri)          -> BODY  at the first call of the handler (begin)
 *   BODY    begin was called, the body arrives          -> ENDED when all of it is there (end)
 *   ENDED   end was called, or the body was dropped     -> QUEUED when the answer is given to libmicrohttpd
 *   QUEUED  the answer is being sent
 * and back to NEW (reset) at completed. `waiting` says that a resume or an answer is owed by the handler; such a request
 * outlives its connection.
 *
 * Two ways to wait: a *polled* connection stays in libmicrohttpd's ready list and costs a function call at each turn; a
 * *suspended* one costs two epoll_ctl and a wasted recv (3 us). Few and short waits, as for a commit, are polled.
 */
#ifndef QUOIN_NET_HTTP_INTERNAL_H
#define QUOIN_NET_HTTP_INTERNAL_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/lock.h"
#include "net/http_server.h"

enum http_state { HTTP_NEW, HTTP_BODY, HTTP_ENDED, HTTP_QUEUED };
enum http_body { HTTP_EMPTY, HTTP_HEAD, HTTP_BUFFER, HTTP_READER };

#define HTTP_REPLY_HEADERS 64

struct http_answer {
	unsigned status, nheaders;
	enum http_body kind;
	bool close;
	void *data;
	size_t len;
	void (*free_fn)(void *);
	uint64_t size;
	http_reader_fn reader;
	struct {
		const char *name, *value;
	} headers[HTTP_REPLY_HEADERS];
};

struct http_request {
	struct http_info info;
	struct op_ctx ctx;
	struct http_loop *loop;
	struct http_conn *conn;     /* NULL: the client has gone */
	struct MHD_Connection *mhd; /* NULL likewise */
	struct list node;           /* loop->active */
	void *user;
	enum http_state state;
	bool answered, waiting, suspended, polled;
	bool resumed; /* resume or answer inside the handler's own call */
	bool expect_continue;
	uint64_t drained, wait_since_ns;
	char *target;
	_Atomic bool gone;
	struct http_request *next_ready;
	struct http_answer answer;
};

struct http_watch {
	struct list node;
	void (*cb)(void *arg);
	void *arg;
};

struct http_conn {
	struct http_loop *loop;
	struct http_request *req; /* reused from request to request */
	int fd;
	struct http_watch hangup; /* of the loop's epoll: the client has sent its last byte */
	struct list ended;        /* then in loop->ended */
};

struct http_loop {
	struct http_server *server;
	unsigned index;
	pthread_t thread;
	bool started;
	struct MHD_Daemon *mhd;
	int epoll_fd, event_fd, listen_fd;
	_Atomic(struct http_request *) ready; /* stack of those whose wait is over */
	struct http_watch *mhd_watch, *event_watch;
	struct mutex lock; /* watches */
	struct list watches;
	struct list active; /* from begin to done */
	struct list ended;  /* of struct http_conn: nothing more comes from their clients */
	unsigned nactive, npolled;
	struct http_request *running; /* whose handler is being called */
	bool progress, draining, cutting;
	uint64_t now_ns, id_state;
	_Atomic uint64_t connections, requests, in_flight, suspends;
};

struct http_server {
	struct http_params p;
	unsigned nloops, port;
	struct http_loop *loops;
	_Atomic bool stop;
	_Atomic uint64_t stop_at_ns;
};

/* http_request.c: what libmicrohttpd calls */
void *http_on_uri(void *cls, const char *uri, struct MHD_Connection *mc);
enum MHD_Result http_on_request(void *cls, struct MHD_Connection *mc, const char *url, const char *method,
                                const char *version, const char *data, size_t *size, void **req);
void http_on_completed(void *cls, struct MHD_Connection *mc, void **req, enum MHD_RequestTerminationCode why);
void http_on_connection(void *cls, struct MHD_Connection *mc, void **conn, enum MHD_ConnectionNotificationCode what);
/* Takes what became ready; true when there was something. */
bool http_drain_ready(struct http_loop *l);
void http_cut_all(struct http_loop *l);
/* libmicrohttpd takes a short read for the last one, so an end that came together with bytes is lost to its edge-triggered
 * epoll. Another edge for each connection that still waits for bytes which its client will never send. */
void http_nudge_ended(struct http_loop *l);

/* http_address.c: a listening socket for each loop. 0 or -errno with a detail. */
int http_listen(const char *address, int *fds, unsigned n, unsigned *ret_port, struct op_ctx *ctx) WARN_UNUSED;

#endif
