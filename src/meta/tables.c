/* SPDX-License-Identifier: Apache-2.0
 *
 * Names of the tables.
 */
#include "meta/tables.h"

#include "base/macros.h"

static const char *const names[] = {
#define X(name, num, text) [num] = text,
	QUOIN_TABLES(X)
#undef X
};

const char *meta_table_name(unsigned table)
{
	return table < ARRAY_SIZE(names) && names[table] ? names[table] : "?";
}
