/* SPDX-License-Identifier: Apache-2.0
 *
 * The operation context.
 */
#include "base/op_ctx.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/codec.h"

int op_fail(struct op_ctx *ctx, int rc, const char *fmt, ...)
{
	va_list ap;

	if (!ctx)
		return rc;
	va_start(ap, fmt);
	vsnprintf(ctx->detail, sizeof ctx->detail, fmt, ap);
	va_end(ap);
	return rc;
}

void op_ctx_init(struct op_ctx *ctx, enum op_origin origin)
{
	memset(ctx, 0, sizeof *ctx);
	ctx->origin = origin;
	ctx->request_id = random_u64();
	ctx->umask = 022;
}

void op_ctx_done(struct op_ctx *ctx)
{
	arena_free(&ctx->arena);
}
