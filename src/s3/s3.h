/* SPDX-License-Identifier: Apache-2.0
 *
 * The S3 face.
 *
 * The story of a request: begin (request.c) copies the head, router.c finds bucket, key and the row of s3_ops[]
 * (ops.c: the one list of operations), auth.c verifies the signature. A body goes through the aws-chunked decoder
 * (chunked.c) into the put session of the core, or, for documents, into memory. At the end the row's handler (op_*.c)
 * parses its parameters, calls the core, and renders (response.c). An answer waits, when it reveals what is not durable
 * yet, for the core's object_wait; nothing else waits in between, and what need not wait is answered on the thread
 * that received it.
 */
#ifndef QUOIN_S3_S3_H
#define QUOIN_S3_S3_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/http_server.h"
#include "object/store.h"

struct s3_server;

struct s3_health_state {
	bool writable;
	unsigned write_quorum; /* 0: not known, and not told */
	unsigned in_sync;      /* drives */
	unsigned healing;      /* drives that do not have all yet */
};

struct s3_params {
	struct object_store *store;
	const char *address; /* HOST:PORT, :PORT, [v6]:PORT */
	unsigned loops;      /* 0: 1 up to 4 CPUs, else a quarter of them */
	const char *access_key, *secret_key;
	const char *region; /* NULL or "": any region is accepted, us-east-1 is told */
	const char *domain; /* virtual-host style below it, several separated by commas; NULL or "": path style only */
	unsigned max_connections; /* 0: 16384 */
	unsigned idle_timeout_s;  /* 0: 120 */
	void (*health)(void *arg, struct s3_health_state *ret); /* for the probes; NULL: all is well */
	void *health_arg;
	/* Paths of other fronts, under the same authorization (admin/). */
	const struct http_route *routes;
	unsigned nroutes;
	const char *server_name; /* Server header; NULL: quoin */
};

/* Strings are copied; routes are borrowed. NULL: ctx->detail has the cause. Serves from then on. */
struct s3_server *s3_server_start(const struct s3_params *p, struct op_ctx *ctx);
/* Drains for up to grace_ns. Accepts NULL; returns NULL. */
struct s3_server *s3_server_stop(struct s3_server *s, uint64_t grace_ns);
unsigned s3_server_port(const struct s3_server *s);
void s3_server_http_stats(const struct s3_server *s, struct http_stats *ret);

#endif
