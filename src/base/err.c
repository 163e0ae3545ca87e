/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of the error table, and rows made for plain errno values.
 */
#include "base/err.h"

#include <pthread.h>
#include <stddef.h>
#include <string.h>

#include "base/macros.h"

#define QE_FIRST 1001
#define ERRNO_MAX 255 /* Linux uses 1 to 133 */

static const struct err_info rows[] = {
#define X(sym, num, eno, s3, http, cls, text) [sym - QE_FIRST] = {sym, eno, s3, http, ERR_##cls, #sym, text},
	QUOIN_ERRTAB(X)
#undef X
};

static struct err_info errno_rows[ERRNO_MAX + 1];
static pthread_once_t errno_rows_once = PTHREAD_ONCE_INIT;

static int nearest_row(int eno)
{
	switch (eno) {
	case ENOENT:
		return QE_NO_SUCH_KEY;
	case ENOSPC:
	case EDQUOT:
		return QE_FULL;
	case EROFS:
		return QE_QUORUM_WRITE;
	default:
		return QE_INTERNAL;
	}
}

static void build_errno_rows(void)
{
	for (int eno = 1; eno <= ERRNO_MAX; eno++) {
		struct err_info *row = &errno_rows[eno];
		const char *name = strerrorname_np(eno);

		*row = rows[nearest_row(eno) - QE_FIRST];
		row->code = row->sys_errno = eno;
		row->symbol = name ? name : "E?";
	}
}

const struct err_info *err_lookup(int rc)
{
	if (rc <= -QE_FIRST && rc > -QE_FIRST - (int)ARRAY_SIZE(rows)) {
		const struct err_info *row = &rows[-rc - QE_FIRST];

		if (row->code)
			return row;
	} else if (rc < 0 && rc >= -ERRNO_MAX) {
		pthread_once(&errno_rows_once, build_errno_rows);
		return &errno_rows[-rc];
	}
	return &rows[QE_INTERNAL - QE_FIRST];
}

int err_errno(int rc)
{
	return err_lookup(rc)->sys_errno;
}

const char *err_text(int rc)
{
	const struct err_info *row = err_lookup(rc);

	if (row->code < QE_FIRST) {
		const char *text = strerrordesc_np(row->code);

		if (text)
			return text;
	}
	return row->text;
}

bool err_is(int rc, enum err_class cls)
{
	return rc < 0 && err_lookup(rc)->cls == cls;
}
