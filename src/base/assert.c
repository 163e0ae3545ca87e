/* SPDX-License-Identifier: Apache-2.0
 *
 * The always-on assertion. It writes with plain stdio: the log may be what is broken.
 */
#include <stdio.h>

#include "base/macros.h"

void assert_failed(const char *cond, const char *file, int line, const char *func)
{
	fprintf(stderr, "quoin: %s:%d: %s: assertion failed: %s\n", file, line, func, cond);
	fflush(stderr);
	abort();
}
