/* SPDX-License-Identifier: Apache-2.0
 *
 * Names that the mount cannot show as they are (SEMANTICS.md, Names). Each has an alias that begins with `%~`:
 *
 *   %~oNAME   the object NAME, where a directory of the same name is shown as NAME
 *   %~eNAME   the component NAME itself: empty, `.`, `..`, or one that begins with `%~`
 *   %~lHEX    a component longer than can be shown, by the number of its file or directory (16 digits)
 *
 * NAME behind %~o may be an %~e alias. Aliases can be looked up, read, written, renamed and removed like any other
 * name.
 */
#include <stdio.h>

#include "base/bytes.h"
#include "base/codec.h"
#include "object/fs_internal.h"

#define MARK "%~"

static bool marked(struct str s)
{
	return str_starts(s, STR_LIT(MARK));
}

static bool needs_escape(struct str name)
{
	return name.len == 0 || str_eqc(name, ".") || str_eqc(name, "..") || marked(name);
}

static int decode_number(struct str hex, uint64_t *ret)
{
	uint8_t raw[8];

	if (hex.len != 16 || hex_decode(hex, raw, sizeof raw) != 8)
		return -ENOENT;
	*ret = be64_get(raw);
	return 0;
}

int alias_decode(struct str shown, struct fs_shown *ret)
{
	struct str rest;

	memset(ret, 0, sizeof *ret);
	if (shown.len > FS_NAME_MAX)
		return -ENAMETOOLONG;
	if (!str_is_utf8(shown))
		return -EILSEQ;
	ret->name = shown;
	if (!marked(shown))
		return 0;
	rest = str_sub(shown, 3, shown.len - MIN(shown.len, 3));
	if (shown.len < 3)
		return -ENOENT;
	if (shown.p[2] == 'l')
		return decode_number(rest, &ret->id);
	if (shown.p[2] == 'o') {
		ret->object_only = true;
		ret->name = rest;
		if (rest.len == 0 || !marked(rest))
			return rest.len == 0 ? -ENOENT : 0;
		if (rest.len < 3 || rest.p[2] != 'e')
			return -ENOENT;
		rest = str_sub(rest, 3, rest.len - 3);
	} else if (shown.p[2] != 'e') {
		return -ENOENT;
	}
	ret->name = rest;
	return needs_escape(rest) ? 0 : -ENOENT;
}

struct str alias_encode(struct arena *a, struct str name, bool beside_dir, uint64_t id)
{
	bool escape = needs_escape(name);

	if (name.len + (escape ? 3 : 0) + (beside_dir ? 3 : 0) > FS_NAME_MAX || memchr(name.p, '\0', name.len))
		return str_of(arena_printf(a, "%sl%016llx", MARK, (unsigned long long)id));
	if (!escape && !beside_dir)
		return name;
	return str_of(arena_printf(a, "%s%s%.*s", beside_dir ? MARK "o" : "", escape ? MARK "e" : "", STR_FMT(name)));
}
