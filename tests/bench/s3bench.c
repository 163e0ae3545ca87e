/* SPDX-License-Identifier: Apache-2.0
 *
 * A lean S3 load: one thread, many keep-alive connections, every request signed (SigV4). It takes any endpoint, so that
 * two servers can be measured in one run.
 *
 *   s3bench put|get|head|delete|list|copy [options]
 *     --endpoint HOST:PORT (127.0.0.1:9000)  --access KEY  --secret KEY  --bucket NAME (bench, created)
 *     --size BYTES (4096)  --clients N (64)  --count N (20000)  --keys N (= count; get, head: existing keys)
 *     --prefix TEXT (o)  --pid PID (its CPU time and bytes written are reported)  --unsigned (UNSIGNED-PAYLOAD)
 *     --random SEED (keys in a random order; one after the other when 0 or not given)  --seconds N (then it ends, whatever
 *     --count says)  --every N (a line of figures every N seconds)  --verify (get: the bytes must be those that put sent)
 *
 * Prints one line of key=value figures. Any answer but 2xx, and any wrong byte, ends it with status 1.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/latency.h"
#include "proc.h"

struct options {
	const char *verb, *host, *access, *secret, *bucket, *prefix;
	int port, clients, pid, unsigned_payload, verify;
	long count, keys, size, seconds, every;
	uint64_t random;
};

struct conn {
	int fd;
	char head[2048];
	size_t head_len, sent;   /* of head + body */
	char in[65536];
	size_t in_len;
	long body_left;          /* -1: header not complete */
	long body_at;            /* so much of the answer's body was looked at */
	int wrong;
	int status;
	uint64_t start_ns;
};

static struct options opt = {.host = "127.0.0.1", .access = "minioadmin", .secret = "minioadmin", .bucket = "bench",
			     .prefix = "o", .port = 9000, .clients = 64, .count = 20000, .size = 4096};
static char *body;
static char body_sha[65];
static unsigned char signing_key[32];
static char date8[9];
static char host_header[300];
static long started, finished, failed;
static struct latency all, recent; /* recent: since the last line of --every */
static uint64_t begun_ns, told_ns;

static uint64_t mono_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "s3bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void hex(const unsigned char *p, size_t n, char *ret)
{
	for (size_t i = 0; i < n; i++)
		snprintf(ret + 2 * i, 3, "%02x", p[i]);
}

static void sha256_hex(const void *p, size_t n, char *ret)
{
	unsigned char d[32];
	EVP_Digest(p, n, d, NULL, EVP_sha256(), NULL);
	hex(d, 32, ret);
}

static void hmac(const void *key, size_t klen, const char *text, unsigned char *ret)
{
	unsigned len = 32;
	HMAC(EVP_sha256(), key, (int)klen, (const unsigned char *)text, strlen(text), ret, &len);
}

static void derive_key(const char *day)
{
	char k[256];
	snprintf(k, sizeof k, "AWS4%s", opt.secret);
	hmac(k, strlen(k), day, signing_key);
	hmac(signing_key, 32, "us-east-1", signing_key);
	hmac(signing_key, 32, "s3", signing_key);
	hmac(signing_key, 32, "aws4_request", signing_key);
	memcpy(date8, day, 9);
}

/* Builds the signed head of one request into c->head. */
static void build(struct conn *c, const char *method, const char *path, const char *query, const char *extra, long len,
		  const char *sha)
{
	char amz[20], canon[2048], hash[65], to_sign[400], sig[65];
	unsigned char mac[32];
	time_t now = time(NULL);
	struct tm tm;
	gmtime_r(&now, &tm);
	strftime(amz, sizeof amz, "%Y%m%dT%H%M%SZ", &tm);
	char day[9];
	memcpy(day, amz, 8);
	day[8] = 0;
	if (memcmp(day, date8, 8) != 0)
		derive_key(day);
	const char *copy = extra ? "x-amz-copy-source;" : "";
	char copy_line[400] = "";
	if (extra)
		snprintf(copy_line, sizeof copy_line, "x-amz-copy-source:%s\n", extra);
	int n = snprintf(canon, sizeof canon,
			 "%s\n%s\n%s\nhost:%s\nx-amz-content-sha256:%s\n%sx-amz-date:%s\n\nhost;x-amz-content-sha256;%sx-amz-date\n%s",
			 method, path, query, host_header, sha, copy_line, amz, copy, sha);
	sha256_hex(canon, (size_t)n, hash);
	snprintf(to_sign, sizeof to_sign, "AWS4-HMAC-SHA256\n%s\n%s/us-east-1/s3/aws4_request\n%s", amz, day, hash);
	hmac(signing_key, 32, to_sign, mac);
	hex(mac, 32, sig);
	char copy_header[420] = "";
	if (extra)
		snprintf(copy_header, sizeof copy_header, "x-amz-copy-source: %s\r\n", extra);
	c->head_len = (size_t)snprintf(
		c->head, sizeof c->head,
		"%s %s%s%s HTTP/1.1\r\nHost: %s\r\nx-amz-content-sha256: %s\r\n%sx-amz-date: %s\r\nContent-Length: %ld\r\n"
		"Authorization: AWS4-HMAC-SHA256 Credential=%s/%s/us-east-1/s3/aws4_request, "
		"SignedHeaders=host;x-amz-content-sha256;%sx-amz-date, Signature=%s\r\n\r\n",
		method, path, *query ? "?" : "", query, host_header, sha, copy_header, amz, len, opt.access, day, copy, sig);
}

static const char EMPTY_SHA[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/* Of the i-th request. */
static long key_of(long i)
{
	if (!opt.random)
		return i % opt.keys;
	uint64_t x = opt.random + (uint64_t)i * 0x9e3779b97f4a7c15u; /* splitmix64 */
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return (long)((x ^ x >> 31) % (uint64_t)opt.keys);
}

static void build_next(struct conn *c, long i)
{
	char path[300], extra[300];
	long key = key_of(i);
	snprintf(path, sizeof path, "/%s/%s%08ld", opt.bucket, opt.prefix, key);
	const char *v = opt.verb;
	if (strcmp(v, "put") == 0) {
		build(c, "PUT", path, "", NULL, opt.size, opt.unsigned_payload ? "UNSIGNED-PAYLOAD" : body_sha);
	} else if (strcmp(v, "get") == 0) {
		build(c, "GET", path, "", NULL, 0, EMPTY_SHA);
	} else if (strcmp(v, "head") == 0) {
		build(c, "HEAD", path, "", NULL, 0, EMPTY_SHA);
	} else if (strcmp(v, "delete") == 0) {
		build(c, "DELETE", path, "", NULL, 0, EMPTY_SHA);
	} else if (strcmp(v, "list") == 0) {
		snprintf(path, sizeof path, "/%s", opt.bucket);
		build(c, "GET", path, "list-type=2", NULL, 0, EMPTY_SHA);
	} else if (strcmp(v, "copy") == 0) {
		snprintf(extra, sizeof extra, "%s", path);
		snprintf(path, sizeof path, "/%s/%s%08ld.copy", opt.bucket, opt.prefix, key);
		build(c, "PUT", path, "", extra, 0, EMPTY_SHA);
	} else {
		fprintf(stderr, "s3bench: unknown verb %s\n", v);
		exit(2);
	}
}

static void conn_open(struct conn *c)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port)};
	if (inet_pton(AF_INET, opt.host, &a.sin_addr) != 1)
		die("endpoint (an IPv4 address is wanted)");
	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof a) < 0)
		die("connect");
	int one = 1;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static long body_len(void)
{
	return strcmp(opt.verb, "put") == 0 ? opt.size : 0;
}

/* Sends what is left; true when all is out. */
static int conn_send(struct conn *c)
{
	size_t total = c->head_len + (size_t)body_len();
	while (c->sent < total) {
		struct iovec iov[2];
		int n = 0;
		if (c->sent < c->head_len)
			iov[n++] = (struct iovec){c->head + c->sent, c->head_len - c->sent};
		size_t done = c->sent > c->head_len ? c->sent - c->head_len : 0;
		if (body_len() > 0)
			iov[n++] = (struct iovec){body + done, (size_t)body_len() - done};
		struct msghdr m = {.msg_iov = iov, .msg_iovlen = (size_t)n};
		ssize_t r = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (r < 0 && errno == EAGAIN)
			return 0;
		if (r < 0)
			die("send");
		c->sent += (size_t)r;
	}
	return 1;
}

static void conn_start(struct conn *c)
{
	build_next(c, started++);
	c->sent = 0;
	c->in_len = 0;
	c->body_left = -1;
	c->body_at = 0;
	c->wrong = 0;
	c->start_ns = mono_ns();
	conn_send(c);
}

/* The next bytes of the answer's body: all objects have the same. */
static void conn_look(struct conn *c, const char *p, long n)
{
	if (!opt.verify)
		return;
	if (c->body_at + n > opt.size || memcmp(p, body + c->body_at, (size_t)n) != 0)
		c->wrong = 1;
	c->body_at += n;
}

static void conn_head_done(struct conn *c, size_t head)
{
	c->in[head - 1] = 0;
	c->status = (int)strtol(c->in + 9, NULL, 10);
	char *cl = strcasestr(c->in, "\r\ncontent-length:");
	c->body_left = cl && strcmp(opt.verb, "head") != 0 ? strtol(cl + 17, NULL, 10) : 0;
	long here = (long)(c->in_len - head);
	conn_look(c, c->in + head, here);
	c->body_left -= here;
}

/* True when the answer is complete. */
static int conn_recv(struct conn *c)
{
	for (;;) {
		size_t room = c->body_left < 0 ? sizeof c->in - c->in_len : sizeof c->in;
		char *at = c->body_left < 0 ? c->in + c->in_len : c->in;
		ssize_t r = recv(c->fd, at, room, MSG_DONTWAIT);
		if (r < 0 && errno == EAGAIN)
			return 0;
		if (r <= 0)
			die("receive (connection closed by the server?)");
		if (c->body_left >= 0) {
			conn_look(c, at, r);
			c->body_left -= r;
		} else {
			c->in_len += (size_t)r;
			char *end = memmem(c->in, c->in_len, "\r\n\r\n", 4);
			if (!end)
				continue;
			conn_head_done(c, (size_t)(end - c->in) + 4);
		}
		if (c->body_left <= 0)
			return 1;
	}
}

static void make_bucket(void)
{
	struct conn c = {0};
	char path[300];
	const char *verb = opt.verb;
	opt.verb = "bucket";
	conn_open(&c);
	snprintf(path, sizeof path, "/%s", opt.bucket);
	build(&c, "PUT", path, "", NULL, 0, EMPTY_SHA);
	c.body_left = -1;
	while (!conn_send(&c))
		;
	while (!conn_recv(&c))
		usleep(100);
	close(c.fd);
	opt.verb = verb;
	if (c.status != 200 && c.status != 409) {
		fprintf(stderr, "s3bench: creating bucket %s: HTTP %d\n", opt.bucket, c.status);
		exit(1);
	}
}

static int goes_on(void)
{
	if (opt.seconds)
		return mono_ns() - begun_ns < (uint64_t)opt.seconds * 1000000000u;
	return started < opt.count;
}

static void tell_recent(uint64_t now)
{
	if (!opt.every || now - told_ns < (uint64_t)opt.every * 1000000000u)
		return;
	printf("at_s=%.0f rate=%.2f/s p50_us=%lu p99_us=%lu max_us=%lu failed=%ld\n", (double)(now - begun_ns) / 1e9,
	       (double)recent.n * 1e9 / (double)(now - told_ns), (unsigned long)latency_part(&recent, 0.5),
	       (unsigned long)latency_part(&recent, 0.99), (unsigned long)latency_part(&recent, 0.9999999), failed);
	fflush(stdout);
	memset(&recent, 0, sizeof recent);
	told_ns = now;
}

static void conn_done(struct conn *c)
{
	uint64_t now = mono_ns(), us = (now - c->start_ns) / 1000;

	latency_add(&all, us);
	latency_add(&recent, us);
	finished++;
	if (c->status < 200 || c->status > 299 || c->wrong || (opt.verify && c->body_at != opt.size))
		failed++;
	c->start_ns = 0;
	tell_recent(now);
}

static void run(void)
{
	struct conn *conns = calloc((size_t)opt.clients, sizeof *conns);
	int ep = epoll_create1(0);
	for (int i = 0; i < opt.clients; i++) {
		conn_open(&conns[i]);
		struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = &conns[i]};
		epoll_ctl(ep, EPOLL_CTL_ADD, conns[i].fd, &ev);
	}
	begun_ns = told_ns = mono_ns();
	for (int i = 0; i < opt.clients && goes_on(); i++)
		conn_start(&conns[i]);
	while (finished < started) {
		struct epoll_event ev[64];
		int n = epoll_wait(ep, ev, 64, 60000);
		if (n == 0) {
			fprintf(stderr, "s3bench: no answer for 60 s, %ld of %ld done\n", finished, started);
			exit(1);
		}
		for (int i = 0; i < n; i++) {
			struct conn *c = ev[i].data.ptr;
			if (c->start_ns == 0)
				continue;
			conn_send(c);
			if (!conn_recv(c))
				continue;
			conn_done(c);
			if (goes_on())
				conn_start(c);
		}
	}
}

static void parse(int argc, char **argv)
{
	if (argc < 2)
		exit(fprintf(stderr, "usage: s3bench put|get|head|delete|list|copy [options]\n") > 0 ? 2 : 2);
	opt.verb = argv[1];
	for (int i = 2; i < argc; i++) {
		const char *a = argv[i];
		if (strcmp(a, "--unsigned") == 0 || strcmp(a, "--verify") == 0) {
			*(a[2] == 'u' ? &opt.unsigned_payload : &opt.verify) = 1;
			continue;
		}
		const char *v = i + 1 < argc ? argv[++i] : NULL;
		if (!v)
			exit(fprintf(stderr, "s3bench: %s needs a value\n", a) > 0 ? 2 : 2);
		if (strcmp(a, "--endpoint") == 0) {
			char *colon = strrchr(v, ':');
			opt.host = strndup(v, colon ? (size_t)(colon - v) : strlen(v));
			opt.port = colon ? (int)strtol(colon + 1, NULL, 10) : 9000;
		} else if (strcmp(a, "--access") == 0) {
			opt.access = v;
		} else if (strcmp(a, "--secret") == 0) {
			opt.secret = v;
		} else if (strcmp(a, "--bucket") == 0) {
			opt.bucket = v;
		} else if (strcmp(a, "--prefix") == 0) {
			opt.prefix = v;
		} else if (strcmp(a, "--size") == 0) {
			opt.size = strtol(v, NULL, 10);
		} else if (strcmp(a, "--clients") == 0) {
			opt.clients = (int)strtol(v, NULL, 10);
		} else if (strcmp(a, "--count") == 0) {
			opt.count = strtol(v, NULL, 10);
		} else if (strcmp(a, "--keys") == 0) {
			opt.keys = strtol(v, NULL, 10);
		} else if (strcmp(a, "--seconds") == 0) {
			opt.seconds = strtol(v, NULL, 10);
		} else if (strcmp(a, "--every") == 0) {
			opt.every = strtol(v, NULL, 10);
		} else if (strcmp(a, "--random") == 0) {
			opt.random = strtoull(v, NULL, 10);
		} else if (strcmp(a, "--pid") == 0) {
			opt.pid = (int)strtol(v, NULL, 10);
		} else {
			exit(fprintf(stderr, "s3bench: unknown option %s\n", a) > 0 ? 2 : 2);
		}
	}
	if (opt.keys <= 0)
		opt.keys = opt.count;
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	snprintf(host_header, sizeof host_header, "%s:%d", opt.host, opt.port);
	body = malloc((size_t)opt.size + 1);
	for (long i = 0; i < opt.size; i++)
		body[i] = (char)(i * 2654435761u >> 13);
	sha256_hex(body, (size_t)opt.size, body_sha);
	make_bucket();
	double cpu = proc_cpu_s(opt.pid);
	uint64_t written = proc_written(opt.pid), t0 = mono_ns();
	struct rusage ru0, ru1;
	getrusage(RUSAGE_SELF, &ru0);
	run();
	double s = (double)(mono_ns() - t0) / 1e9, n = finished ? (double)finished : 1;
	getrusage(RUSAGE_SELF, &ru1);
	double own = (double)(ru1.ru_utime.tv_sec - ru0.ru_utime.tv_sec + ru1.ru_stime.tv_sec - ru0.ru_stime.tv_sec) +
		     (double)(ru1.ru_utime.tv_usec - ru0.ru_utime.tv_usec + ru1.ru_stime.tv_usec - ru0.ru_stime.tv_usec) / 1e6;
	printf("%s size=%ld clients=%d count=%ld rate=%.2f/s p50_us=%lu p99_us=%lu client_cpu_us=%.1f", opt.verb, opt.size,
	       opt.clients, finished, (double)finished / s, (unsigned long)latency_part(&all, 0.5),
	       (unsigned long)latency_part(&all, 0.99), own * 1e6 / n);
	if (opt.pid)
		printf(" server_cpu_us=%.1f written_bytes_each=%.0f", (proc_cpu_s(opt.pid) - cpu) * 1e6 / n,
		       (double)(proc_written(opt.pid) - written) / n);
	printf(" failed=%ld\n", failed);
	return failed ? 1 : 0;
}
