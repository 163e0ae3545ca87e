/* SPDX-License-Identifier: Apache-2.0
 *
 * Error numbers. Every fallible function returns >= 0 for success and < 0 for failure: -errno or -QE_* (errtab.h).
 */
#ifndef QUOIN_BASE_ERR_H
#define QUOIN_BASE_ERR_H

#include <errno.h>
#include <stdbool.h>

#include "base/errtab.h"

enum {
#define X(sym, num, eno, s3, http, cls, text) sym = num,
	QUOIN_ERRTAB(X)
#undef X
};

enum err_class { ERR_CLIENT, ERR_RETRY, ERR_CORRUPT, ERR_INTERNAL };

struct err_info {
	int code;           /* QE_*, or the errno */
	int sys_errno;      /* what the mount answers (positive) */
	const char *s3_code;
	int http_status;
	enum err_class cls;
	const char *symbol; /* "QE_NO_SUCH_KEY" */
	const char *text;   /* a sentence for a user */
};

/* The row for a negative return value; plain -errno values map to their nearest row (ENOENT -> NoSuchKey, ENOSPC ->
 * storage full, EROFS -> write quorum, others -> InternalError) but keep their errno. Never NULL. */
const struct err_info *err_lookup(int rc);
int err_errno(int rc);            /* positive errno of a negative return value */
const char *err_text(int rc);     /* text of the row, or strerror for a plain errno; thread safe */
bool err_is(int rc, enum err_class cls);

#endif
