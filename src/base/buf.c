/* SPDX-License-Identifier: Apache-2.0
 *
 * The growing byte buffer.
 */
#include "base/buf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define BUF_MIN 64

void buf_free(struct buf *b)
{
	free(b->data);
	*b = (struct buf)BUF_INIT;
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->err = 0;
}

static void *fail(struct buf *b)
{
	b->err = -ENOMEM;
	return NULL;
}

void *buf_reserve(struct buf *b, size_t n)
{
	size_t need, cap;
	char *data;

	if (b->err)
		return NULL;
	if (b->data && b->cap - b->len >= n)
		return b->data + b->len;
	if (__builtin_add_overflow(b->len, n, &need) || need > PTRDIFF_MAX)
		return fail(b);
	/* Doubling keeps the cost of many small additions linear. */
	cap = MAX(MAX(need, BUF_MIN), b->cap * 2);
	data = realloc(b->data, cap);
	if (!data)
		return fail(b);
	b->data = data;
	b->cap = cap;
	return b->data + b->len;
}

void buf_commit(struct buf *b, size_t n)
{
	if (b->err)
		return;
	ASSERT(n <= b->cap - b->len);
	b->len += n;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
	void *room;

	if (n == 0)
		return;
	room = buf_reserve(b, n);
	if (!room)
		return;
	memcpy(room, p, n);
	b->len += n;
}

void buf_add_str(struct buf *b, struct str s)
{
	buf_add(b, s.p, s.len);
}

void buf_add_c(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_add_char(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_add_zero(struct buf *b, size_t n)
{
	void *room;

	if (n == 0)
		return;
	room = buf_reserve(b, n);
	if (!room)
		return;
	memset(room, 0, n);
	b->len += n;
}

void buf_add_u64(struct buf *b, uint64_t v)
{
	char text[20];
	size_t at = sizeof text;

	do {
		text[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	buf_add(b, text + at, sizeof text - at);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vaddf(b, fmt, ap);
	va_end(ap);
}

void buf_vaddf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	char *room = buf_reserve(b, BUF_MIN);
	int n;

	if (!room)
		return;
	va_copy(again, ap);
	n = vsnprintf(room, b->cap - b->len, fmt, ap);
	if (n < 0) {
		fail(b);
	} else if ((size_t)n >= b->cap - b->len) {
		room = buf_reserve(b, (size_t)n + 1);
		if (room)
			n = vsnprintf(room, (size_t)n + 1, fmt, again);
	}
	va_end(again);
	if (!b->err)
		b->len += (size_t)n;
}

void buf_put_le16(struct buf *b, uint16_t v)
{
	le16_put(&v, v);
	buf_add(b, &v, sizeof v);
}

void buf_put_le32(struct buf *b, uint32_t v)
{
	le32_put(&v, v);
	buf_add(b, &v, sizeof v);
}

void buf_put_le64(struct buf *b, uint64_t v)
{
	le64_put(&v, v);
	buf_add(b, &v, sizeof v);
}

void buf_put_be64(struct buf *b, uint64_t v)
{
	be64_put(&v, v);
	buf_add(b, &v, sizeof v);
}

void buf_pad(struct buf *b, size_t align)
{
	buf_add_zero(b, ALIGN_UP(b->len, align) - b->len);
}

const char *buf_cstr(struct buf *b)
{
	char *end = buf_reserve(b, 1);

	if (!end)
		return "";
	*end = '\0';
	return b->data;
}

char *buf_take(struct buf *b, size_t *ret_len)
{
	char *end = buf_reserve(b, 1), *data;

	if (!end) {
		buf_free(b);
		return NULL;
	}
	*end = '\0';
	data = b->data;
	if (ret_len)
		*ret_len = b->len;
	*b = (struct buf)BUF_INIT;
	return data;
}
