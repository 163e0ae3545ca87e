/* SPDX-License-Identifier: Apache-2.0
 *
 * TLVs, attributes, extents and kv lists. Layouts: atop row.c.
 */
#include "meta/row_internal.h"

#include "base/bytes.h"
#include "base/err.h"

#define LONG_LEN 0xffff

void row_tlv_add(struct buf *b, uint16_t tag, struct str value)
{
	if (!value.len)
		return;
	ASSERT(value.len <= UINT32_MAX);
	buf_put_le16(b, tag);
	if (value.len < LONG_LEN) {
		buf_put_le16(b, (uint16_t)value.len);
	} else {
		buf_put_le16(b, LONG_LEN);
		buf_put_le32(b, (uint32_t)value.len);
	}
	buf_add_str(b, value);
}

/* Takes one TLV off *in. */
static int tlv_next(struct str *in, uint16_t *ret_tag, struct str *ret_value)
{
	size_t head = 4, len;

	if (in->len < head)
		return -QE_CORRUPT;
	*ret_tag = le16_get(in->p);
	len = le16_get(in->p + 2);
	if (len == LONG_LEN) {
		head = 8;
		if (in->len < head)
			return -QE_CORRUPT;
		len = le32_get(in->p + 4);
		if (len < LONG_LEN)
			return -QE_CORRUPT;
	}
	if (in->len - head < len)
		return -QE_CORRUPT;
	*ret_value = str_sub(*in, head, len);
	*in = str_sub(*in, head + len, in->len - head - len);
	return 0;
}

/* Unknown tags are newer, so larger than all known ones: they are the end of the row, and in one piece. */
int row_tlv_read(struct str tlvs, const struct row_field *f, unsigned n, struct str *ret_rest)
{
	struct str in = tlvs, rest = {0}, value;
	unsigned known = 0;
	uint16_t tag, last = 0;

	for (unsigned i = 0; i < n; i++)
		*f[i].to = (struct str){0};
	while (in.len) {
		struct str at = in;
		int rc = tlv_next(&in, &tag, &value);

		if (rc < 0)
			return rc;
		if (tag <= last)
			return -QE_CORRUPT;
		last = tag;
		while (known < n && f[known].tag < tag)
			known++;
		if (known < n && f[known].tag == tag && !rest.p)
			*f[known].to = value;
		else if (known < n)
			return -QE_CORRUPT;
		else if (tag & TAG_MUST_UNDERSTAND)
			return -QE_DRIVE_FORMAT;
		else if (!rest.p)
			rest = at;
	}
	if (ret_rest)
		*ret_rest = rest;
	return 0;
}

void row_attr_put(uint8_t *p, const struct row_attr *a)
{
	le32_put(p, a->mode);
	le32_put(p + 4, a->uid);
	le32_put(p + 8, a->gid);
	le32_put(p + 12, a->rdev);
	le64_put(p + 16, a->atime_ns);
	le64_put(p + 24, a->mtime_ns);
	le64_put(p + 32, a->ctime_ns);
	le64_put(p + 40, a->btime_ns);
}

void row_attr_get(const uint8_t *p, struct row_attr *ret)
{
	ret->mode = le32_get(p);
	ret->uid = le32_get(p + 4);
	ret->gid = le32_get(p + 8);
	ret->rdev = le32_get(p + 12);
	ret->atime_ns = le64_get(p + 16);
	ret->mtime_ns = le64_get(p + 24);
	ret->ctime_ns = le64_get(p + 32);
	ret->btime_ns = le64_get(p + 40);
}

void row_extent_put(uint8_t *p, const struct row_extent *e)
{
	p[0] = e->kind;
	p[1] = e->flags;
	le16_put(p + 2, e->set);
	le32_put(p + 4, e->crc32c);
	le64_put(p + 8, e->blob);
	le64_put(p + 16, e->start);
	le64_put(p + 24, e->len);
	le64_put(p + 32, e->off);
	le64_put(p + 40, e->crc64nvme);
}

int row_extent_get(const uint8_t *p, struct row_extent *ret)
{
	ret->kind = p[0];
	ret->flags = p[1];
	ret->set = le16_get(p + 2);
	ret->crc32c = le32_get(p + 4);
	ret->blob = le64_get(p + 8);
	ret->start = le64_get(p + 16);
	ret->len = le64_get(p + 24);
	ret->off = le64_get(p + 32);
	ret->crc64nvme = le64_get(p + 40);
	if (ret->kind < EXTENT_BLOB || ret->kind > EXTENT_HOLE)
		return -QE_CORRUPT;
	/* Readers add these up. */
	if (ret->len > INT64_MAX || ret->off > INT64_MAX - ret->len || ret->start > INT64_MAX - ret->len)
		return -QE_CORRUPT;
	return 0;
}

void row_extents_tlv(struct buf *b, const struct row_extent *e, unsigned n)
{
	uint8_t raw[ROW_INLINE_EXTENTS * ROW_EXTENT_BYTES];

	ASSERT(n <= ROW_INLINE_EXTENTS);
	for (unsigned i = 0; i < n; i++)
		row_extent_put(raw + (size_t)i * ROW_EXTENT_BYTES, e + i);
	row_tlv_add(b, TAG_EXTENTS, (struct str){(const char *)raw, (size_t)n * ROW_EXTENT_BYTES});
}

int row_extents_of(struct str tlv, struct row_extent *ret, unsigned max, unsigned *ret_n)
{
	size_t n = tlv.len / ROW_EXTENT_BYTES;

	if (tlv.len % ROW_EXTENT_BYTES || n > max)
		return -QE_CORRUPT;
	for (size_t i = 0; i < n; i++) {
		int rc = row_extent_get((const uint8_t *)tlv.p + i * ROW_EXTENT_BYTES, ret + i);

		if (rc < 0)
			return rc;
	}
	*ret_n = (unsigned)n;
	return 0;
}

void row_kv_add(struct buf *b, struct str name, struct str value)
{
	ASSERT(name.len <= UINT16_MAX && value.len <= UINT32_MAX);
	buf_put_le16(b, (uint16_t)name.len);
	buf_put_le32(b, (uint32_t)value.len);
	buf_add_str(b, name);
	buf_add_str(b, value);
}

bool row_kv_next(struct str *rest, struct str *ret_name, struct str *ret_value)
{
	size_t nlen, vlen;

	if (rest->len < 6)
		return false;
	nlen = le16_get(rest->p);
	vlen = le32_get(rest->p + 2);
	if (rest->len - 6 < nlen || rest->len - 6 - nlen < vlen)
		return false;
	*ret_name = str_sub(*rest, 6, nlen);
	*ret_value = str_sub(*rest, 6 + nlen, vlen);
	*rest = str_sub(*rest, 6 + nlen + vlen, rest->len - 6 - nlen - vlen);
	return true;
}

bool row_kv_get(struct str kv, struct str name, struct str *ret_value)
{
	struct str n, v;

	while (row_kv_next(&kv, &n, &v)) {
		if (!str_eq(n, name))
			continue;
		*ret_value = v;
		return true;
	}
	return false;
}
