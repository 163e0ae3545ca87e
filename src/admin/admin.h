/* SPDX-License-Identifier: Apache-2.0
 *
 * What an operator asks and orders: the state of the set and its drives, what lies where, what runs in the background.
 * The answers are JSON text; who asks (HTTP below /quoin/admin/v1, later others) is not known here.
 *
 * routes.c has the table of calls: a row names method, path and the action that it is, and the function that answers.
 */
#ifndef QUOIN_ADMIN_ADMIN_H
#define QUOIN_ADMIN_ADMIN_H

#include "base/buf.h"
#include "base/op_ctx.h"
#include "base/uri.h"
#include "object/store.h"
#include "service/drives.h"
#include "service/heal.h"
#include "service/monitor.h"
#include "service/scrub.h"
#include "service/service.h"
#include "service/usage.h"

struct admin_params {
	struct object_store *store;
	struct services *services;
	struct usage_scan *usage;
	struct drives *drives;
	struct heal *heal;
	struct scrub *scrub;
	struct monitor *monitor;
	const char *address;      /* of the S3 endpoint, as it listens */
	const char *mount;        /* path of the mount, NULL: none */
	uint64_t started_ns;      /* wall */
};

struct admin_request {
	struct str method, path;  /* "GET", "services/list" */
	const struct uri_param *params;
	unsigned nparams;
};

/* Finds the row and answers; may block when the method is not GET. What changes something is logged with its action. 0 and a JSON text; or an error, its cause
 * in ctx->detail. */
int admin_call(const struct admin_params *a, struct op_ctx *ctx, const struct admin_request *r, struct buf *ret) WARN_UNUSED;
/* {"code", "message"}: what a failed call answers. */
int admin_error(const char *code, const char *message, struct buf *ret) WARN_UNUSED;

#endif
