/* SPDX-License-Identifier: Apache-2.0
 *
 * TLVs and the parts that several rows share. Layouts: atop row.c.
 */
#ifndef QUOIN_META_ROW_INTERNAL_H
#define QUOIN_META_ROW_INTERNAL_H

#include "meta/row.h"

/* On disk. Never reuse a number; a new tag takes the next one, whatever row it is for. */
enum row_tag {
	TAG_NAME = 1,
	TAG_ETAG = 2,
	TAG_CHECKSUM = 3,
	TAG_STORAGE_CLASS = 4,
	TAG_META = 5,
	TAG_TAGS = 6,
	TAG_PARTS = 7,
	TAG_EXTENTS = 8,
	TAG_INROW = 9,
	TAG_XATTRS = 10,
	TAG_CRCS = 11,
	TAG_MUST_UNDERSTAND = 0x8000
};

/* Appends nothing when the value is empty. */
void row_tlv_add(struct buf *b, uint16_t tag, struct str value);

struct row_field {
	uint16_t tag;
	struct str *to;
};
/* Fills the fields (ascending tags) that are there, empties the others. *ret_rest (may be NULL): the unknown ones. */
int row_tlv_read(struct str tlvs, const struct row_field *f, unsigned n, struct str *ret_rest) WARN_UNUSED;

#define ROW_ATTR_BYTES 48
void row_attr_put(uint8_t *p, const struct row_attr *a);
void row_attr_get(const uint8_t *p, struct row_attr *ret);

void row_extent_put(uint8_t *p, const struct row_extent *e);
int row_extent_get(const uint8_t *p, struct row_extent *ret) WARN_UNUSED;
void row_extents_tlv(struct buf *b, const struct row_extent *e, unsigned n);
int row_extents_of(struct str tlv, struct row_extent *ret, unsigned max, unsigned *ret_n) WARN_UNUSED;

#endif
