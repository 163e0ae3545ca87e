/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/json_internal.h"

#include <errno.h>

#include "admin/admin.h"
#include "base/clock.h"
#include "base/codec.h"

void admin_set_u64(json_t *o, const char *name, uint64_t v)
{
	json_object_set_new(o, name, json_integer((json_int_t)v));
}

void admin_set_str(json_t *o, const char *name, struct str s)
{
	if (str_is_utf8(s)) {
		json_object_set_new(o, name, json_stringn(s.len ? s.p : "", s.len));
		return;
	}
	CLEANUP_BUF struct buf b = BUF_INIT;
	percent_encode(&b, s, true);
	json_object_set_new(o, name, json_string(buf_cstr(&b)));
}

void admin_set_time(json_t *o, const char *name, uint64_t wall_ns)
{
	char when[CLOCK_ISO_LEN + 1];

	if (wall_ns)
		clock_format_iso(wall_ns, when);
	json_object_set_new(o, name, wall_ns ? json_string(when) : json_null());
}

void admin_set_seconds(json_t *o, const char *name, uint64_t ns)
{
	json_object_set_new(o, name, json_real((double)(ns / NS_PER_MS) / 1e3));
}

int admin_dump(json_t *o, struct buf *ret)
{
	CLEANUP_FREE char *text = json_dumps(o, JSON_INDENT(2) | JSON_PRESERVE_ORDER);

	json_decref(o);
	if (!text)
		return -ENOMEM;
	buf_add_c(ret, text);
	buf_add_char(ret, '\n');
	return buf_err(ret);
}

int admin_error(const char *code, const char *message, struct buf *ret)
{
	json_t *o = json_object();

	admin_set_str(o, "code", str_of(code));
	admin_set_str(o, "message", str_of(message));
	return admin_dump(o, ret);
}
