/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/xml_write.h"

#include <string.h>

#include "base/clock.h"
#include "base/codec.h"

static const char *entity(unsigned char c)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\'':
		return "&#39;";
	case '\r':
		return "&#13;";
	case '\n':
		return "&#10;";
	case '\t':
		return "&#9;";
	default:
		return c < 0x20 ? "\xef\xbf\xbd" : NULL;
	}
}

/* Length of the valid UTF-8 sequence at p (a non-ASCII one, a character of XML), 0: not one. */
static size_t sequence(const char *p, size_t left)
{
	size_t n = (unsigned char)p[0] >= 0xf0 ? 4 : (unsigned char)p[0] >= 0xe0 ? 3 : 2;

	if (n > left || !str_is_utf8((struct str){p, n}))
		return 0;
	if (n == 3 && memcmp(p, "\xef\xbf", 2) == 0 && (unsigned char)p[2] >= 0xbe) /* U+FFFE, U+FFFF */
		return 0;
	return n;
}

void xml_escape(struct buf *b, struct str text)
{
	size_t from = 0, i = 0;

	while (i < text.len) {
		unsigned char c = (unsigned char)text.p[i];
		const char *e = c < 0x80 ? entity(c) : NULL;
		size_t n = c < 0x80 ? 1 : sequence(text.p + i, text.len - i);
		if (n == 0) {
			e = "\xef\xbf\xbd";
			n = 1;
		}
		if (e) {
			buf_add(b, text.p + from, i - from);
			buf_add_c(b, e);
			from = i + n;
		}
		i += n;
	}
	if (from < text.len)
		buf_add(b, text.p + from, text.len - from);
}

void xml_begin(struct buf *b, const char *root)
{
	buf_add_c(b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<");
	buf_add_c(b, root);
	buf_add_c(b, " xmlns=\"" XML_NS "\">");
}

void xml_open(struct buf *b, const char *name)
{
	buf_add_char(b, '<');
	buf_add_c(b, name);
	buf_add_char(b, '>');
}

void xml_close(struct buf *b, const char *name)
{
	buf_add(b, "</", 2);
	buf_add_c(b, name);
	buf_add_char(b, '>');
}

void xml_put(struct buf *b, const char *name, struct str text)
{
	xml_open(b, name);
	xml_escape(b, text);
	xml_close(b, name);
}

void xml_put_c(struct buf *b, const char *name, const char *text)
{
	xml_put(b, name, str_of(text));
}

void xml_put_u64(struct buf *b, const char *name, uint64_t v)
{
	xml_open(b, name);
	buf_add_u64(b, v);
	xml_close(b, name);
}

void xml_put_bool(struct buf *b, const char *name, bool v)
{
	xml_put_c(b, name, v ? "true" : "false");
}

void xml_put_time(struct buf *b, const char *name, uint64_t wall_ns)
{
	char text[CLOCK_ISO_LEN + 1];

	clock_format_iso(wall_ns, text);
	xml_open(b, name);
	buf_add(b, text, CLOCK_ISO_LEN);
	xml_close(b, name);
}

void xml_put_etag(struct buf *b, struct str etag)
{
	buf_add_c(b, "<ETag>&quot;");
	xml_escape(b, etag);
	buf_add_c(b, "&quot;</ETag>");
}

void xml_put_key(struct buf *b, const char *name, struct str key, bool url)
{
	if (!url) {
		xml_put(b, name, key);
		return;
	}
	xml_open(b, name);
	percent_encode(b, key, true);
	xml_close(b, name);
}
