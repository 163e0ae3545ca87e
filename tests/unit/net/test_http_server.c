/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP server over real sockets: answers at once and later, from the loop and from other threads; bodies in pieces,
 * back-pressure, readers, refused bodies, clients that go away, and stopping.
 */
#include "unit/base/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/lock.h"
#include "net/http_server.h"

/* ---- A front with a mode for each path ------------------------------------------------------------------------------- */
struct front {
	struct http_server *server;
	_Atomic unsigned begun, done, complete, body_bytes;
	struct http_request *later[1024]; /* answered by the turn callback */
	unsigned nlater;
	bool hold; /* /turn requests are kept until this is false */
	pthread_mutex_t lock;
	struct http_request *slow[64]; /* answered by the test's own thread */
	unsigned nslow;
	char *copy; /* of the last body */
	size_t copy_len, copy_cap;
	bool stall;
};

static bool path_is(struct http_request *r, const char *p)
{
	return str_eqc(http_request_info(r)->path, p);
}

static void begin(void *arg, struct http_request *r)
{
	struct front *f = arg;

	atomic_fetch_add(&f->begun, 1);
	f->copy_len = 0;
	if (path_is(r, "/refuse")) {
		http_reply_header(r, "X-Why", STR_LIT("early"));
		http_reply_buffer(r, 403, strdup("refused"), 7, free);
	}
}

static size_t body(void *arg, struct http_request *r, const char *p, size_t len)
{
	struct front *f = arg;

	if (path_is(r, "/midway")) {
		http_reply_empty(r, 400);
		return 0;
	}
	if (path_is(r, "/inline-stall") && !f->stall) {
		f->stall = true;
		http_resume(r);
		return 0;
	}
	if (path_is(r, "/stall") && !f->stall) {
		f->stall = true;
		pthread_mutex_lock(&f->lock);
		f->slow[f->nslow++] = r;
		pthread_mutex_unlock(&f->lock);
		return 0;
	}
	f->stall = false;
	len = MIN(len, 1000);
	if (f->copy_len + len <= f->copy_cap)
		memcpy(f->copy + f->copy_len, p, len);
	f->copy_len += len;
	atomic_fetch_add(&f->body_bytes, (unsigned)len);
	return len;
}

static ssize_t read_pattern(struct http_request *r, uint64_t off, void *p, size_t len)
{
	struct front *f = http_request_user(r);
	char *to = p;

	if (path_is(r, "/slowread") && !f->stall) {
		f->stall = true;
		pthread_mutex_lock(&f->lock);
		f->slow[f->nslow++] = r;
		pthread_mutex_unlock(&f->lock);
		return -EAGAIN;
	}
	f->stall = false;
	if (path_is(r, "/stream") && off >= 100000)
		return 0;
	if (path_is(r, "/stream"))
		len = MIN(len, 100000 - off);
	for (size_t i = 0; i < len; i++)
		to[i] = (char)((off + i) * 7 % 251);
	return (ssize_t)len;
}

static void end(void *arg, struct http_request *r)
{
	struct front *f = arg;

	http_request_set_user(r, f);
	if (path_is(r, "/turn")) {
		f->later[f->nlater++] = r;
	} else if (path_is(r, "/slow")) {
		pthread_mutex_lock(&f->lock);
		f->slow[f->nslow++] = r;
		pthread_mutex_unlock(&f->lock);
	} else if (path_is(r, "/read") || path_is(r, "/slowread")) {
		http_reply_reader(r, 200, 3000000, read_pattern);
	} else if (path_is(r, "/stream")) {
		http_reply_reader(r, 200, HTTP_SIZE_UNKNOWN, read_pattern);
	} else if (str_eqc(http_request_info(r)->method, "HEAD")) {
		http_reply_head(r, 200, 1ull << 40);
	} else if (path_is(r, "/empty")) {
		http_reply_empty(r, 204);
	} else {
		http_reply_headerf(r, "X-Length", "%zu", f->copy_len);
		http_reply_header(r, "X-Bad", STR_LIT("a\r\nb"));
		http_reply_buffer(r, 200, arena_printf(&http_request_ctx(r)->arena, "hello"), 5, NULL);
	}
}

static void done(void *arg, struct http_request *r, bool complete)
{
	struct front *f = arg;

	atomic_fetch_add(&f->done, 1);
	if (complete)
		atomic_fetch_add(&f->complete, 1);
}

static void turn(void *arg, struct http_loop *l)
{
	struct front *f = arg;

	if (__atomic_load_n(&f->hold, __ATOMIC_ACQUIRE))
		return;
	while (f->nlater)
		http_reply_empty(f->later[--f->nlater], 200);
}

static int setup(void **state)
{
	static struct front f;
	struct http_params p = {.address = "127.0.0.1:0",
	                        .drain_max = 8u << 20,
	                        .idle_timeout_s = 5,
	                        .handler = {begin, body, end, done, turn, &f}};
	struct op_ctx ctx;

	free(f.copy);
	memset(&f, 0, sizeof f);
	pthread_mutex_init(&f.lock, NULL);
	f.copy_cap = 4u << 20;
	f.copy = malloc(f.copy_cap);
	op_ctx_init(&ctx, OP_S3);
	f.server = http_server_start(&p, &ctx);
	assert_non_null(f.server);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct front *f = *state;

	f->server = http_server_stop(f->server, NS_PER_S);
	assert_int_equal(f->begun, f->done);
	return 0;
}

/* ---- A client ------------------------------------------------------------------------------------------------------- */
static int dial(struct front *f)
{
	struct sockaddr_in sa = {.sin_family = AF_INET,
	                         .sin_port = htons((uint16_t)http_server_port(f->server)),
	                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval tv = {10, 0};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	return fd;
}

static void send_all(int fd, const char *p, size_t len)
{
	while (len) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
		if (n <= 0)
			return;
		p += n;
		len -= (size_t)n;
	}
}

static void send_text(int fd, const char *text)
{
	send_all(fd, text, strlen(text));
}

/* Reads one answer: its head into head, its body (by Content-Length or chunks) counted. */
struct reply {
	int status;
	char head[4096];
	size_t body;
	bool pattern_ok;
	char first[64];
};

static bool get_byte(int fd, char *c)
{
	return recv(fd, c, 1, 0) == 1;
}

static bool read_exact(int fd, struct reply *r, size_t n)
{
	char buf[65536];

	while (n) {
		ssize_t got = recv(fd, buf, MIN(n, sizeof buf), 0);
		if (got <= 0)
			return false;
		for (ssize_t i = 0; i < got; i++) {
			if (r->body + (size_t)i < sizeof r->first)
				r->first[r->body + (size_t)i] = buf[i];
			if (buf[i] != (char)((r->body + (size_t)i) * 7 % 251))
				r->pattern_ok = false;
		}
		r->body += (size_t)got;
		n -= (size_t)got;
	}
	return true;
}

static bool read_reply(int fd, struct reply *r, bool head)
{
	size_t n = 0;
	char *p, line[64];

	memset(r, 0, sizeof *r);
	r->pattern_ok = true;
	while (n < sizeof r->head - 1 && !(n >= 4 && memcmp(r->head + n - 4, "\r\n\r\n", 4) == 0))
		if (!get_byte(fd, &r->head[n++]))
			return false;
	r->head[n] = '\0';
	if (memcmp(r->head, "HTTP/1.1 ", 9) != 0)
		return false;
	r->status = (int)strtol(r->head + 9, NULL, 10);
	if (head || r->status == 100)
		return true;
	if (strstr(r->head, "Transfer-Encoding: chunked"))
		for (;;) {
			size_t size;
			for (n = 0; n < sizeof line - 1; n++)
				if (!get_byte(fd, &line[n]) || line[n] == '\n')
					break;
			line[n] = '\0';
			size = (size_t)strtoull(line, NULL, 16);
			if (size && !read_exact(fd, r, size))
				return false;
			assert_true(get_byte(fd, line) && get_byte(fd, line));
			if (size == 0)
				return true;
		}
	p = strstr(r->head, "Content-Length: ");
	return !p || read_exact(fd, r, (size_t)strtoull(p + 16, NULL, 10));
}

static void wait_until(_Atomic unsigned *v, unsigned want)
{
	for (unsigned i = 0; i < 5000 && *v < want; i++)
		clock_sleep_ns(NS_PER_MS);
	assert_true(*v >= want);
}

static struct http_request *take_slow(struct front *f)
{
	struct http_request *r = NULL;

	for (unsigned i = 0; i < 5000 && !r; i++) {
		pthread_mutex_lock(&f->lock);
		if (f->nslow)
			r = f->slow[--f->nslow];
		pthread_mutex_unlock(&f->lock);
		if (!r)
			clock_sleep_ns(NS_PER_MS);
	}
	assert_non_null(r);
	return r;
}

/* ---- Tests ----------------------------------------------------------------------------------------------------------- */
static void answers_at_once_and_keeps_the_connection(void **state)
{
	struct front *f = *state;
	struct reply r;
	int fd = dial(f);

	for (int i = 0; i < 50; i++) {
		send_text(fd, "GET /x?a=%2F HTTP/1.1\r\nHost: h\r\n\r\n");
		assert_true(read_reply(fd, &r, false));
		assert_int_equal(r.status, 200);
		assert_memory_equal(r.first, "hello", 5);
		assert_null(strstr(r.head, "X-Bad"));
	}
	send_text(fd, "HEAD /x HTTP/1.1\r\nHost: h\r\n\r\nGET /empty HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_true(read_reply(fd, &r, true));
	assert_non_null(strstr(r.head, "Content-Length: 1099511627776\r\n"));
	assert_true(read_reply(fd, &r, false));
	assert_int_equal(r.status, 204);
	close(fd);
	wait_until(&f->complete, 52);
}

static void body_comes_in_pieces_of_any_size(void **state)
{
	struct front *f = *state;
	struct reply r;
	char head[256], *data = malloc(300000);
	int fd = dial(f);

	for (size_t i = 0; i < 300000; i++)
		data[i] = (char)(i * 31 % 253);
	for (unsigned step = 1; step < 300000; step = step * 17 + 1) {
		size_t size = MIN(300000, step * 50);
		snprintf(head, sizeof head, "PUT /inline-stall HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", size);
		send_text(fd, head);
		for (size_t at = 0; at < size; at += step)
			send_all(fd, data + at, MIN(step, size - at));
		assert_true(read_reply(fd, &r, false));
		assert_int_equal(r.status, 200);
		assert_int_equal(f->copy_len, size);
		assert_memory_equal(f->copy, data, size);
	}
	send_text(
		fd,
		"PUT /chunked HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n3\r\nfgh\r\n0\r\n\r\n");
	assert_true(read_reply(fd, &r, false));
	assert_int_equal(f->copy_len, 8);
	assert_memory_equal(f->copy, "abcdefgh", 8);
	free(data);
	close(fd);
}

static void waits_for_the_turn(void **state)
{
	struct front *f = *state;
	struct http_stats st;
	struct reply r;
	int fd[40];

	__atomic_store_n(&f->hold, true, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < ARRAY_SIZE(fd); i++) {
		fd[i] = dial(f);
		send_text(fd[i], i % 2 ? "PUT /turn HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
		                       : "GET /turn HTTP/1.1\r\nHost: h\r\n\r\n");
	}
	wait_until(&f->begun, ARRAY_SIZE(fd));
	__atomic_store_n(&f->hold, false, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < ARRAY_SIZE(fd); i++)
		assert_true(read_reply(fd[i], &r, false) && r.status == 200);
	/* Longer than the polled time: they are suspended, and come back all the same. */
	__atomic_store_n(&f->hold, true, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < ARRAY_SIZE(fd); i++)
		send_text(fd[i], "GET /turn HTTP/1.1\r\nHost: h\r\n\r\n");
	wait_until(&f->begun, 2 * ARRAY_SIZE(fd));
	for (unsigned i = 0; i < 5000; i++) {
		http_server_stats(f->server, &st);
		if (st.suspends >= ARRAY_SIZE(fd))
			break;
		clock_sleep_ns(NS_PER_MS);
	}
	assert_true(st.suspends >= ARRAY_SIZE(fd));
	__atomic_store_n(&f->hold, false, __ATOMIC_RELEASE);
	http_loop_wake(http_server_loop(f->server, 0));
	for (unsigned i = 0; i < ARRAY_SIZE(fd); i++) {
		assert_true(read_reply(fd[i], &r, false) && r.status == 200);
		close(fd[i]);
	}
}

/* While some connections wait polled, large answers and bodies of others must not lie unread or unsent. */
static void others_go_on_while_some_wait(void **state)
{
	struct front *f = *state;
	struct reply r;
	char *data = calloc(1, 2000000);
	int waiting = dial(f), fd = dial(f);

	send_text(waiting, "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
	for (int i = 0; i < 20; i++) {
		uint64_t start = clock_mono_ns();
		send_text(fd, "GET /read HTTP/1.1\r\nHost: h\r\n\r\n");
		assert_true(read_reply(fd, &r, false));
		assert_int_equal(r.body, 3000000);
		assert_true(r.pattern_ok);
		send_text(fd, "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2000000\r\n\r\n");
		send_all(fd, data, 2000000);
		assert_true(read_reply(fd, &r, false));
		assert_int_equal(r.status, 200);
		assert_true(clock_mono_ns() - start < 2 * NS_PER_S);
	}
	http_reply_empty(take_slow(f), 202);
	assert_true(read_reply(waiting, &r, false) && r.status == 202);
	free(data);
	close(fd);
	close(waiting);
}

static void other_threads_answer(void **state)
{
	struct front *f = *state;
	struct reply r;
	int fd = dial(f);

	for (int i = 0; i < 200; i++) {
		send_text(fd, "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
		if (i % 50 == 0)
			clock_sleep_ns(40 * NS_PER_MS); /* suspended by then */
		http_reply_buffer(take_slow(f), 200, strdup("x"), 1, free);
		assert_true(read_reply(fd, &r, false) && r.body == 1);
	}
	send_text(fd, "PUT /stall HTTP/1.1\r\nHost: h\r\nContent-Length: 2500\r\n\r\n");
	send_all(fd, f->copy, 2500);
	for (int i = 0; i < 3; i++)
		http_resume(take_slow(f));
	assert_true(read_reply(fd, &r, false) && r.status == 200);
	assert_non_null(strstr(r.head, "X-Length: 2500"));
	close(fd);
}

static void readers_wait_and_stream(void **state)
{
	struct front *f = *state;
	struct reply r;
	int fd = dial(f);
	unsigned i;

	send_text(fd, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_true(read_reply(fd, &r, false));
	assert_int_equal(r.body, 100000);
	assert_true(r.pattern_ok);
	send_text(fd, "GET /slowread HTTP/1.1\r\nHost: h\r\n\r\n");
	for (i = 0; i < 12; i++) /* 3 000 000 bytes in blocks of 256 KiB */
		http_resume(take_slow(f));
	assert_true(read_reply(fd, &r, false));
	assert_int_equal(r.body, 3000000);
	assert_true(r.pattern_ok);
	close(fd);
}

static void refused_bodies(void **state)
{
	struct front *f = *state;
	struct reply r;
	char *data = calloc(1, 6u << 20);
	int fd = dial(f);

	/* A small one is read and dropped; the connection goes on. */
	send_text(fd, "PUT /refuse HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
	send_all(fd, data, 100000);
	assert_true(read_reply(fd, &r, false));
	assert_int_equal(r.status, 403);
	assert_non_null(strstr(r.head, "X-Why: early"));
	send_text(fd, "GET /refuse HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_true(read_reply(fd, &r, false) && r.status == 403);
	/* With Expect the client is told before it sends. */
	send_text(fd, "PUT /refuse HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n");
	assert_true(read_reply(fd, &r, false));
	assert_int_equal(r.status, 403);
	close(fd);
	fd = dial(f);
	send_text(fd, "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
	assert_true(read_reply(fd, &r, false) && r.status == 100);
	send_text(fd, "abcd");
	assert_true(read_reply(fd, &r, false) && r.status == 200);
	/* Midway: the rest is dropped. */
	send_text(fd, "PUT /midway HTTP/1.1\r\nHost: h\r\nContent-Length: 6291456\r\n\r\n");
	send_all(fd, data, 6u << 20);
	assert_true(read_reply(fd, &r, false) && r.status == 400);
	/* A large refused one ends the connection, after the answer. */
	send_text(fd, "PUT /refuse HTTP/1.1\r\nHost: h\r\nContent-Length: 6291456\r\n\r\n");
	assert_true(read_reply(fd, &r, false) && r.status == 403);
	assert_non_null(strstr(r.head, "Connection: close"));
	close(fd);
	free(data);
}

static void clients_that_go_away(void **state)
{
	struct front *f = *state;
	struct http_request *r;
	int fd = dial(f);

	send_text(fd, "GET /never HTTP/1.1\r\nHos");
	close(fd);
	fd = dial(f);
	send_text(fd, "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc");
	wait_until(&f->begun, 1);
	close(fd);
	wait_until(&f->done, 1);
	assert_int_equal(f->complete, 0);
	/* While a wait is on, the request lives until it is over. */
	fd = dial(f);
	send_text(fd, "PUT /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
	r = take_slow(f);
	close(fd);
	clock_sleep_ns(50 * NS_PER_MS);
	assert_int_equal(f->done, 1);
	http_reply_buffer(r, 200, strdup("late"), 4, free);
	wait_until(&f->done, 2);
	/* Reset in the middle of a long answer. */
	fd = dial(f);
	send_text(fd, "GET /read HTTP/1.1\r\nHost: h\r\n\r\n");
	wait_until(&f->begun, 3);
	close(fd);
	wait_until(&f->done, 3);
}

/* The end arrives with the last bytes: it is noticed long before the idle timeout. */
static void clients_that_end_with_their_bytes(void **state)
{
	struct front *f = *state;
	uint64_t begun = clock_mono_ns();
	char part[5000];

	memset(part, 'x', sizeof part);
	for (unsigned i = 1; i <= 20; i++) {
		int fd = dial(f);

		send_text(fd, "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
		assert_int_equal(send(fd, part, i * 250, MSG_NOSIGNAL), (ssize_t)(i * 250));
		close(fd);
	}
	wait_until(&f->begun, 20);
	wait_until(&f->done, 20);
	assert_int_equal(f->complete, 0);
	assert_true(clock_mono_ns() - begun < 4 * NS_PER_S);
}

static void bad_requests_harm_nobody(void **state)
{
	static const char *const bad[] = {
		"\r\n\r\n\r\n",
		"GET\r\n\r\n",
		"GET / HTTP/9.9\r\n\r\n",
		"G\1T / HTTP/1.1\r\nHost: h\r\n\r\n",
		"PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
		"PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"GET /x HTTP/1.1\r\n\r\n",
	};
	struct front *f = *state;
	struct reply r;
	char *big = malloc(70000);
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		fd = dial(f);
		send_text(fd, bad[i]);
		shutdown(fd, SHUT_WR);
		(void)read_reply(fd, &r, false);
		close(fd);
	}
	memset(big, 'a', 70000);
	fd = dial(f);
	send_text(fd, "GET /x HTTP/1.1\r\nHost: h\r\nX-Big: ");
	send_all(fd, big, 70000);
	assert_true(read_reply(fd, &r, false));
	assert_true(r.status == 431 || r.status == 413 || r.status == 400);
	close(fd);
	fd = dial(f);
	send_text(fd, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_true(read_reply(fd, &r, false) && r.status == 200);
	close(fd);
	free(big);
}

struct stopper {
	struct front *f;
	uint64_t grace_ns;
};

static void *stop_main(void *arg)
{
	struct stopper *s = arg;

	s->f->server = http_server_stop(s->f->server, s->grace_ns);
	return NULL;
}

static void stop_drains(void **state)
{
	struct front *f = *state;
	struct stopper s = {f, 10 * NS_PER_S};
	struct reply r;
	pthread_t t;
	int fd = dial(f), idle = dial(f);

	send_text(idle, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_true(read_reply(idle, &r, false));
	send_text(fd, "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
	wait_until(&f->begun, 2);
	assert_int_equal(pthread_create(&t, NULL, stop_main, &s), 0);
	clock_sleep_ns(50 * NS_PER_MS);
	assert_int_equal(f->done, 1);
	http_reply_empty(take_slow(f), 200);
	assert_true(read_reply(fd, &r, false) && r.status == 200);
	assert_non_null(strstr(r.head, "Connection: close"));
	pthread_join(t, NULL);
	assert_null(f->server);
	assert_int_equal(f->done, 2);
	close(fd);
	close(idle);
}

static void stop_cuts_after_the_grace(void **state)
{
	struct front *f = *state;
	struct stopper s = {f, 100 * NS_PER_MS};
	struct http_request *held[2];
	struct reply r;
	pthread_t t;
	int fd = dial(f), up = dial(f), rd = dial(f);

	send_text(fd, "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
	held[0] = take_slow(f);
	send_text(up, "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc");
	send_text(rd, "GET /slowread HTTP/1.1\r\nHost: h\r\n\r\n");
	held[1] = take_slow(f);
	wait_until(&f->begun, 3);
	assert_int_equal(pthread_create(&t, NULL, stop_main, &s), 0);
	clock_sleep_ns(300 * NS_PER_MS);
	assert_int_equal(f->done, 1); /* the upload was cut; the others are waited for */
	http_reply_empty(held[0], 200);
	http_resume(held[1]);
	pthread_join(t, NULL);
	assert_int_equal(f->done, 3);
	assert_false(read_reply(fd, &r, false));
	close(fd);
	close(up);
	close(rd);
}

static void *client_main(void *arg)
{
	struct front *f = arg;
	struct reply r;
	int fd = dial(f);

	for (int i = 0; i < 300; i++) {
		send_text(fd, i % 3 ? "PUT /turn HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nabcd"
		                    : "GET /read HTTP/1.1\r\nHost: h\r\n\r\n");
		assert_true(read_reply(fd, &r, false));
		assert_true(r.status == 200 && (i % 3 ? r.body == 0 : r.body == 3000000 && r.pattern_ok));
	}
	close(fd);
	return NULL;
}

static void many_clients(void **state)
{
	pthread_t t[16];

	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, client_main, *state), 0);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		pthread_join(t[i], NULL);
}

static void addresses(void **state)
{
	static const char *const bad[] = {
		"", "127.0.0.1", "127.0.0.1:", "::1:80", "[::1:80", "127.0.0.1:http-no-such", "256.1.1.1:80"};
	struct front *f = *state;
	struct http_params p = {.handler = {begin, body, end, done, NULL, f}};
	struct http_server *s;
	struct op_ctx ctx;
	char taken[32];

	op_ctx_init(&ctx, OP_S3);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		p.address = bad[i];
		ctx.detail[0] = '\0';
		assert_null(http_server_start(&p, &ctx));
		assert_true(ctx.detail[0] != '\0');
	}
	snprintf(taken, sizeof taken, "127.0.0.1:%u", http_server_port(f->server));
	p.address = taken;
	p.loops = 2;
	assert_null(http_server_start(&p, &ctx));
	assert_non_null(strstr(ctx.detail, "in use"));
	p.address = ":0";
	s = http_server_start(&p, &ctx);
	assert_non_null(s);
	assert_int_equal(http_server_loops(s), 2);
	http_server_stop(s, 0);
	op_ctx_done(&ctx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(answers_at_once_and_keeps_the_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(body_comes_in_pieces_of_any_size, setup, teardown),
		cmocka_unit_test_setup_teardown(waits_for_the_turn, setup, teardown),
		cmocka_unit_test_setup_teardown(others_go_on_while_some_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(other_threads_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(readers_wait_and_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(refused_bodies, setup, teardown),
		cmocka_unit_test_setup_teardown(clients_that_go_away, setup, teardown),
		cmocka_unit_test_setup_teardown(clients_that_end_with_their_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_requests_harm_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(stop_drains, setup, teardown),
		cmocka_unit_test_setup_teardown(stop_cuts_after_the_grace, setup, teardown),
		cmocka_unit_test_setup_teardown(many_clients, setup, teardown),
		cmocka_unit_test_setup_teardown(addresses, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
