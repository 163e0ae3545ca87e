/* SPDX-License-Identifier: Apache-2.0
 *
 * The operation table.
 */
#ifndef QUOIN_S3_OPS_H
#define QUOIN_S3_OPS_H

#include <stddef.h>

#include "base/str.h"

struct s3_request;

/* Parses, calls the core and renders; answers by s3_reply_* or s3_error, now or from a done callback. */
typedef void s3_handler_fn(struct s3_request *r);

enum s3_scope { S3_SERVICE, S3_BUCKET, S3_OBJECT };

enum s3_body {
	S3_BODY_NONE,  /* a body is dropped */
	S3_BODY_SMALL, /* a document, collected in memory */
	S3_BODY_STREAM /* object data: begin opens the put session */
};

struct s3_op {
	const char *name, *method;
	enum s3_scope scope;
	const char *query;  /* parameters that must be there, with '&' between them; "name=value" asks for the value */
	const char *header; /* a header that must be there */
	const char *action; /* IAM */
	enum s3_body body;
	int err;              /* the answer of a row whose configuration never exists (after a look at the bucket) */
	s3_handler_fn *begin; /* once the head is read; NULL: nothing to do. S3_BODY_STREAM: opens the put session */
	s3_handler_fn *run;
};

extern const struct s3_op s3_ops[];
extern const size_t s3_ops_count;

#endif
