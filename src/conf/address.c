/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/address.h"

#include <errno.h>
#include <string.h>

static bool host_char_ok(char c, bool v6)
{
	if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == '.')
		return true;
	if (v6)
		return c == ':' || c == '%';
	return (c >= 'g' && c <= 'z') || (c >= 'G' && c <= 'Z') || c == '-' || c == '_';
}

int conf_address_parse(struct str text, struct conf_address *ret)
{
	struct conf_address a = {0};
	uint64_t port;
	size_t colon = text.len;

	while (colon > 0 && text.p[colon - 1] != ':')
		colon--;
	if (colon == 0 || str_to_u64(str_sub(text, colon, text.len - colon), &port) < 0 || port > UINT16_MAX)
		return -EINVAL;

	struct str host = str_sub(text, 0, colon - 1);
	bool v6 = host.len >= 2 && host.p[0] == '[' && host.p[host.len - 1] == ']';
	if (v6)
		host = str_sub(host, 1, host.len - 2);
	if (host.len >= sizeof(a.host) || (v6 && host.len == 0))
		return -EINVAL;
	for (size_t i = 0; i < host.len; i++)
		if (!host_char_ok(host.p[i], v6))
			return -EINVAL;
	if (host.len > 0)
		memcpy(a.host, host.p, host.len);
	a.port = (uint16_t)port;
	*ret = a;
	return 0;
}
