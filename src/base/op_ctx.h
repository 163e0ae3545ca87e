/* SPDX-License-Identifier: Apache-2.0
 *
 * What a request carries through all layers: who, until when, and where an error's detail goes.
 */
#ifndef QUOIN_BASE_OP_CTX_H
#define QUOIN_BASE_OP_CTX_H

#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/macros.h"

enum op_origin { OP_S3 = 0, OP_FUSE = 1, OP_HEAL = 2, OP_DESTAGE = 3, OP_SCANNER = 4, OP_REPL = 5, OP_ADMIN = 6 };

struct op_ctx {
	enum op_origin origin;
	uint64_t request_id;      /* shown as 16 hex digits, also in x-amz-request-id and the log */
	uid_t uid;                /* caller's, for files made through the mount; the mount options' for S3 */
	gid_t gid;
	mode_t umask;
	uint64_t deadline_ns;     /* mono; 0: none */
	char detail[320];         /* cause of the last error, "" if the table's text says it all */
	struct arena arena;       /* freed at the end of the request */
};

/* Notes the cause and passes rc on: return op_fail(ctx, -QE_X, "...", ...); ctx may be NULL. */
int op_fail(struct op_ctx *ctx, int rc, const char *fmt, ...) PRINTF_LIKE(3, 4);
void op_ctx_init(struct op_ctx *ctx, enum op_origin origin);
void op_ctx_done(struct op_ctx *ctx);

#endif
