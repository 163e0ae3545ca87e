/* SPDX-License-Identifier: Apache-2.0
 *
 * What an operator asks: the state of the set and its drives, and what lies where. The answers are JSON text; who asks
 * (HTTP below /quoin/admin/v1, later others) is not known here.
 */
#ifndef QUOIN_ADMIN_ADMIN_H
#define QUOIN_ADMIN_ADMIN_H

#include "base/buf.h"
#include "base/op_ctx.h"
#include "object/store.h"

struct admin_params {
	struct object_store *store;
	const char *address;      /* of the S3 endpoint, as it listens */
	const char *mount;        /* path of the mount, NULL: none */
	uint64_t started_ns;      /* wall */
};

/* Version, uptime, set (geometry, writable, epoch, sequences), drives (path, state, index copy, space, errors), journal,
 * checkpoint, buckets (usage). */
int admin_info(const struct admin_params *a, struct op_ctx *ctx, struct buf *ret) WARN_UNUSED;
/* The object's attributes and, for each extent, its blob and on which drive, file and offset each cell lies. */
int admin_inspect(const struct admin_params *a, struct op_ctx *ctx, struct str bucket, struct str key, struct buf *ret) WARN_UNUSED;
/* {"code", "message"}: what a failed call answers. */
int admin_error(const char *code, const char *message, struct buf *ret) WARN_UNUSED;

#endif
