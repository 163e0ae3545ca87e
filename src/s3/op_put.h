/* SPDX-License-Identifier: Apache-2.0
 *
 * What PutObject and UploadPart share.
 */
#ifndef QUOIN_S3_OP_PUT_H
#define QUOIN_S3_OP_PUT_H

#include "s3/request.h"

/* Opens r->put: bucket, key, size and digests are r's, the rest of a is the caller's. */
int s3_put_open(struct s3_request *r, struct object_put_args *a) WARN_UNUSED;

typedef void s3_put_done_fn(struct s3_request *r, const struct object_info *info, const struct s3_checksum *sum);
/* The body is complete: digests, checks, commit; then done renders. keep: the checksum to store when the client named
 * none of its own (S3_ALGO_NONE: none). Errors are answered here. */
void s3_put_finish(struct s3_request *r, enum s3_algo keep, s3_put_done_fn *done);

#endif
