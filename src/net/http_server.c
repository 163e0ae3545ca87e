/* SPDX-License-Identifier: Apache-2.0
 *
 * The event loops. One turn: libmicrohttpd runs until no handler makes progress (its epoll is edge-triggered: what it
 * left lying would never be told again), the front's turn callback works on what the handlers queued, what became ready
 * is answered; then the loop sleeps in epoll over libmicrohttpd's descriptor, the eventfd of other threads, and the
 * descriptors that were added.
 */
#include "net/http_server.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/log.h"
#include "base/thread.h"
#include "net/http_internal.h"

#define EVENTS 16
#define RUNS_PER_TURN 32  /* a busy client must not keep the loop from its other work */
#define POLLED_SLEEP_MS 2 /* libmicrohttpd cannot tell what it left while connections are polled */
#define DRAINING_SLEEP_MS 10

static void on_log(void *cls, const char *fmt, va_list ap)
{
	char text[256];

	if (!log_enabled(LOG_L_DEBUG))
		return;
	vsnprintf(text, sizeof text, fmt, ap);
	text[strcspn(text, "\r\n")] = '\0';
	log_debug("http", "%s", text);
}

/* ---- Watches --------------------------------------------------------------------------------------------------------- */
static int watch_add(struct http_loop *l, int fd, void (*cb)(void *arg), void *arg, struct http_watch **ret)
{
	struct http_watch *w = calloc(1, sizeof *w);
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = w};

	if (!w)
		return -ENOMEM;
	w->cb = cb;
	w->arg = arg;
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		int rc = -errno;
		free(w);
		return rc;
	}
	MUTEX_GUARD(&l->lock);
	list_add_tail(&l->watches, &w->node);
	if (ret)
		*ret = w;
	return 0;
}

int http_loop_add_fd(struct http_loop *l, int fd, void (*cb)(void *arg), void *arg)
{
	return watch_add(l, fd, cb, arg, NULL);
}

void http_loop_wake(struct http_loop *l)
{
	uint64_t one = 1;

	/* It fails only when the counter is full: then the loop is awake. */
	if (write(l->event_fd, &one, sizeof one) < 0)
		return;
}

static void on_event_fd(void *arg)
{
	struct http_loop *l = arg;
	uint64_t n;

	if (read(l->event_fd, &n, sizeof n) < 0)
		return;
}

/* ---- Turns ----------------------------------------------------------------------------------------------------------- */
static void loop_turn(struct http_loop *l)
{
	const struct http_handler *h = &l->server->p.handler;

	l->now_ns = clock_mono_ns();
	for (unsigned i = 0; i < RUNS_PER_TURN; i++) {
		l->progress = false;
		MHD_run(l->mhd);
		http_drain_ready(l);
		if (!l->progress)
			break;
	}
	if (h->turn)
		h->turn(h->arg, l);
	if (http_drain_ready(l))
		l->progress = true;
	http_nudge_ended(l);
}

static int loop_timeout(struct http_loop *l)
{
	MHD_UNSIGNED_LONG_LONG ms;
	bool known;

	if (l->progress)
		return 0;
	if (l->npolled)
		return POLLED_SLEEP_MS;
	known = MHD_get_timeout(l->mhd, &ms) == MHD_YES;
	if (l->draining)
		return DRAINING_SLEEP_MS;
	return known ? (int)MIN(ms, INT32_MAX) : -1; /* whoever wants something wakes the loop */
}

static void loop_sleep(struct http_loop *l, int timeout_ms)
{
	struct epoll_event ev[EVENTS];
	int n = epoll_wait(l->epoll_fd, ev, EVENTS, timeout_ms);

	for (int i = 0; i < n; i++) {
		struct http_watch *w = ev[i].data.ptr;
		if (w->cb)
			w->cb(w->arg);
	}
}

/* True when nothing is left to wait for. */
static bool drained(struct http_loop *l)
{
	int fd;

	if (!l->draining) {
		l->draining = true;
		fd = MHD_quiesce_daemon(l->mhd);
		if (fd >= 0)
			close(fd);
	}
	return l->nactive == 0 || clock_mono_ns() >= atomic_load(&l->server->stop_at_ns);
}

/* Cuts the connections, then waits for the handlers that still hold a request. */
static void loop_end(struct http_loop *l)
{
	const struct http_handler *h = &l->server->p.handler;

	http_cut_all(l);
	MHD_run(l->mhd);
	MHD_stop_daemon(l->mhd);
	while (l->nactive) {
		if (h->turn)
			h->turn(h->arg, l);
		http_drain_ready(l);
		if (l->nactive)
			loop_sleep(l, POLLED_SLEEP_MS);
	}
}

static void *loop_main(void *arg)
{
	struct http_loop *l = arg;

	http_drain_ready(l); /* makes it this thread's loop */
	for (;;) {
		loop_turn(l);
		if (atomic_load_explicit(&l->server->stop, memory_order_acquire) && drained(l))
			break;
		loop_sleep(l, loop_timeout(l));
	}
	loop_end(l);
	return NULL;
}

/* ---- Start and stop -------------------------------------------------------------------------------------------------- */
static int loop_open(struct http_server *s, struct http_loop *l, int listen_fd)
{
	const union MHD_DaemonInfo *di;

	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->epoll_fd < 0 || l->event_fd < 0)
		return -errno;
	l->mhd = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
	                          http_on_request, l, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_LISTEN_SOCKET,
	                          listen_fd, MHD_OPTION_URI_LOG_CALLBACK, http_on_uri, l, MHD_OPTION_NOTIFY_COMPLETED,
	                          http_on_completed, l, MHD_OPTION_NOTIFY_CONNECTION, http_on_connection, l,
	                          MHD_OPTION_CONNECTION_LIMIT, MAX(s->p.max_connections / s->nloops, 1),
	                          MHD_OPTION_CONNECTION_TIMEOUT, s->p.idle_timeout_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
	                          s->p.memory_per_connection, MHD_OPTION_END);
	if (!l->mhd)
		return -EIO;
	di = MHD_get_daemon_info(l->mhd, MHD_DAEMON_INFO_EPOLL_FD);
	if (!di)
		return -EIO;
	if (watch_add(l, di->epoll_fd, NULL, NULL, &l->mhd_watch) < 0)
		return -EIO;
	return watch_add(l, l->event_fd, on_event_fd, l, &l->event_watch);
}

static void loop_close(struct http_loop *l)
{
	struct list *it;

	if (l->mhd && !l->started)
		MHD_stop_daemon(l->mhd);
	while ((it = list_pop(&l->watches)) != NULL)
		free(LIST_ENTRY(it, struct http_watch, node));
	if (l->epoll_fd >= 0)
		close(l->epoll_fd);
	if (l->event_fd >= 0)
		close(l->event_fd);
	mutex_destroy(&l->lock);
}

static struct http_server *server_free(struct http_server *s)
{
	for (unsigned i = 0; i < s->nloops; i++)
		loop_close(&s->loops[i]);
	free(s->loops);
	free(s);
	return NULL;
}

static struct http_server *server_new(const struct http_params *p)
{
	struct http_server *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	s->p = *p;
	s->p.max_connections = p->max_connections ? p->max_connections : 16384;
	s->p.idle_timeout_s = p->idle_timeout_s ? p->idle_timeout_s : 120;
	s->p.memory_per_connection = p->memory_per_connection ? p->memory_per_connection : 32768;
	s->p.drain_max = p->drain_max ? p->drain_max : 64u << 20;
	s->nloops = p->loops ? p->loops : 1;
	s->loops = calloc(s->nloops, sizeof *s->loops);
	if (!s->loops) {
		free(s);
		return NULL;
	}
	for (unsigned i = 0; i < s->nloops; i++) {
		struct http_loop *l = &s->loops[i];
		l->server = s;
		l->index = i;
		l->id_state = random_u64();
		l->epoll_fd = l->event_fd = l->listen_fd = -1;
		mutex_init(&l->lock, LOCK_HTTP);
		list_init(&l->watches);
		list_init(&l->active);
		list_init(&l->ended);
	}
	return s;
}

static int start_loops(struct http_server *s, const int *fds)
{
	char name[32];
	int rc;

	for (unsigned i = 0; i < s->nloops; i++) {
		rc = loop_open(s, &s->loops[i], fds[i]);
		if (rc < 0) {
			for (unsigned j = s->loops[i].mhd ? i + 1 : i; j < s->nloops; j++)
				close(fds[j]);
			return rc;
		}
	}
	for (unsigned i = 0; i < s->nloops; i++) {
		snprintf(name, sizeof name, "qn-http-%u", i);
		rc = thread_start(&s->loops[i].thread, name, loop_main, &s->loops[i]);
		if (rc < 0)
			return rc;
		s->loops[i].started = true;
	}
	return 0;
}

struct http_server *http_server_start(const struct http_params *p, struct op_ctx *ctx)
{
	struct http_server *s = server_new(p);
	int *fds, rc;

	if (!s)
		return NULL;
	fds = calloc(s->nloops, sizeof *fds);
	if (!fds)
		return server_free(s);
	rc = http_listen(p->address, fds, s->nloops, &s->port, ctx);
	if (rc == 0) {
		rc = start_loops(s, fds);
		if (rc < 0)
			op_fail(ctx, rc, "cannot start the HTTP server: %s", strerror(-rc));
	}
	free(fds);
	return rc < 0 ? http_server_stop(s, 0) : s;
}

struct http_server *http_server_stop(struct http_server *s, uint64_t grace_ns)
{
	if (!s)
		return NULL;
	atomic_store(&s->stop_at_ns, clock_mono_ns() + grace_ns);
	atomic_store_explicit(&s->stop, true, memory_order_release);
	for (unsigned i = 0; i < s->nloops; i++)
		if (s->loops[i].started)
			http_loop_wake(&s->loops[i]);
	for (unsigned i = 0; i < s->nloops; i++)
		if (s->loops[i].started)
			thread_join(s->loops[i].thread);
	return server_free(s);
}

unsigned http_server_port(const struct http_server *s)
{
	return s->port;
}

unsigned http_server_loops(const struct http_server *s)
{
	return s->nloops;
}

struct http_loop *http_server_loop(struct http_server *s, unsigned i)
{
	ASSERT(i < s->nloops);
	return &s->loops[i];
}

unsigned http_loop_index(const struct http_loop *l)
{
	return l->index;
}

void http_server_stats(const struct http_server *s, struct http_stats *ret)
{
	*ret = (struct http_stats){0};
	for (unsigned i = 0; i < s->nloops; i++) {
		const struct http_loop *l = &s->loops[i];
		ret->connections += atomic_load_explicit(&l->connections, memory_order_relaxed);
		ret->requests += atomic_load_explicit(&l->requests, memory_order_relaxed);
		ret->in_flight += atomic_load_explicit(&l->in_flight, memory_order_relaxed);
		ret->suspends += atomic_load_explicit(&l->suspends, memory_order_relaxed);
	}
}
