/* SPDX-License-Identifier: Apache-2.0
 *
 * Text codecs, random bytes and UUIDs.
 */
#include "base/codec.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/macros.h"

static const char hex_lower[] = "0123456789abcdef";
static const char hex_upper[] = "0123456789ABCDEF";

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The byte of two digits, or -1. */
static int hex_byte(const char *p)
{
	int hi = hex_value(p[0]), lo = hex_value(p[1]);

	return hi < 0 || lo < 0 ? -1 : hi << 4 | lo;
}

void hex_encode(const void *p, size_t len, char *ret)
{
	const unsigned char *in = p;

	for (size_t i = 0; i < len; i++) {
		*ret++ = hex_lower[in[i] >> 4];
		*ret++ = hex_lower[in[i] & 15];
	}
	*ret = '\0';
}

int hex_decode(struct str s, void *ret, size_t cap)
{
	unsigned char *out = ret;

	if (s.len % 2 || s.len / 2 > cap || s.len / 2 > INT32_MAX)
		return -EINVAL;
	for (size_t i = 0; i < s.len / 2; i++) {
		int v = hex_byte(s.p + 2 * i);

		if (v < 0)
			return -EINVAL;
		out[i] = (unsigned char)v;
	}
	return (int)(s.len / 2);
}

size_t base64_encode(const void *p, size_t len, char *ret)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *in = p;
	char *out = ret;

	while (len) {
		size_t n = MIN(len, 3);
		unsigned v = (unsigned)in[0] << 16 | (n > 1 ? (unsigned)in[1] << 8 : 0) | (n > 2 ? in[2] : 0);

		*out++ = alphabet[v >> 18];
		*out++ = alphabet[v >> 12 & 63];
		*out++ = n > 1 ? alphabet[v >> 6 & 63] : '=';
		*out++ = n > 2 ? alphabet[v & 63] : '=';
		in += n;
		len -= n;
	}
	*out = '\0';
	return (size_t)(out - ret);
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* One text has one meaning: padding is required, and unused bits must be zero. */
int base64_decode(struct str s, void *ret, size_t cap)
{
	unsigned char *out = ret;
	size_t pad = 0, len;
	uint32_t v = 0;

	if (s.len % 4 || s.len > INT32_MAX)
		return -EINVAL;
	while (pad < 2 && pad < s.len && s.p[s.len - 1 - pad] == '=')
		pad++;
	len = s.len / 4 * 3 - pad;
	if (len > cap)
		return -EINVAL;
	for (size_t i = 0; i < s.len; i++) {
		int d = i < s.len - pad ? base64_value(s.p[i]) : 0;

		if (d < 0)
			return -EINVAL;
		v = v << 6 | (uint32_t)d;
		if (i % 4 < 3)
			continue;
		for (size_t k = 0; k < 3; k++, v <<= 8) {
			unsigned char byte = v >> 16 & 0xff;
			size_t at = i / 4 * 3 + k;

			if (at < len)
				out[at] = byte;
			else if (byte)
				return -EINVAL;
		}
		v = 0;
	}
	return (int)len;
}

static bool is_unreserved(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
	       c == '_' || c == '~';
}

void percent_encode(struct buf *b, struct str s, bool keep_slash)
{
	char *to = buf_reserve(b, s.len * 3);
	size_t n = 0;

	if (!to)
		return;
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (is_unreserved(s.p[i]) || (c == '/' && keep_slash)) {
			to[n++] = s.p[i];
			continue;
		}
		to[n++] = '%';
		to[n++] = hex_upper[c >> 4];
		to[n++] = hex_upper[c & 15];
	}
	buf_commit(b, n);
}

int percent_decode(struct buf *b, struct str s, bool plus)
{
	for (size_t i = 0; i < s.len; i++) {
		int v = (unsigned char)s.p[i];

		if (v == '%') {
			v = s.len - i > 2 ? hex_byte(s.p + i + 1) : -1;
			if (v < 0)
				return -EINVAL;
			i += 2;
		} else if (v == '+' && plus) {
			v = ' ';
		}
		buf_add_char(b, (char)v);
	}
	return buf_err(b);
}

void random_bytes(void *p, size_t len)
{
	char *at = p;

	while (len) {
		ssize_t n = getrandom(at, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		ASSERT(n > 0);
		at += n;
		len -= (size_t)n;
	}
}

uint64_t random_u64(void)
{
	uint64_t v;

	random_bytes(&v, sizeof v);
	return v;
}

static bool uuid_dash_before(int byte)
{
	return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void uuid_format(const uint8_t id[16], char *ret)
{
	for (int i = 0; i < 16; i++) {
		if (uuid_dash_before(i))
			*ret++ = '-';
		*ret++ = hex_lower[id[i] >> 4];
		*ret++ = hex_lower[id[i] & 15];
	}
	*ret = '\0';
}

int uuid_parse(struct str s, uint8_t ret[16])
{
	const char *at = s.p;
	uint8_t id[16];

	if (s.len != UUID_TEXT_LEN)
		return -EINVAL;
	for (int i = 0; i < 16; i++, at += 2) {
		int v;

		if (uuid_dash_before(i) && *at++ != '-')
			return -EINVAL;
		v = hex_byte(at);
		if (v < 0)
			return -EINVAL;
		id[i] = (uint8_t)v;
	}
	memcpy(ret, id, sizeof id);
	return 0;
}

void uuid_random(uint8_t ret[16])
{
	random_bytes(ret, 16);
	ret[6] = (ret[6] & 0x0f) | 0x40; /* version 4 */
	ret[8] = (ret[8] & 0x3f) | 0x80; /* variant of RFC 4122 */
}
