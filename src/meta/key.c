/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys of rows. Integers are big-endian, so that memcmp order is numeric order; layouts: STORAGE.md section 6.
 */
#include "meta/row.h"

#include <string.h>

#include "base/bytes.h"
#include "base/macros.h"

static void add(struct meta_key *k, const void *p, size_t len)
{
	ASSERT(len <= META_KEY_MAX - (size_t)k->len);
	if (len)
		memcpy(k->b + k->len, p, len);
	k->len = (uint16_t)(k->len + len);
}

static void add_u64(struct meta_key *k, uint64_t v)
{
	uint8_t b[8];

	be64_put(b, v);
	add(k, b, sizeof b);
}

static void add_u32(struct meta_key *k, uint32_t v)
{
	uint8_t b[4];

	be32_put(b, v);
	add(k, b, sizeof b);
}

void key_u64(struct meta_key *k, uint64_t a)
{
	k->len = 0;
	add_u64(k, a);
}

void key_u64_u64(struct meta_key *k, uint64_t a, uint64_t b)
{
	key_u64(k, a);
	add_u64(k, b);
}

void key_u64_u64_u64(struct meta_key *k, uint64_t a, uint64_t b, uint64_t c)
{
	key_u64_u64(k, a, b);
	add_u64(k, c);
}

void key_u64_str(struct meta_key *k, uint64_t a, struct str s)
{
	key_u64(k, a);
	add(k, s.p, s.len);
}

void key_str(struct meta_key *k, struct str s)
{
	k->len = 0;
	add(k, s.p, s.len);
}

void key_bsum(struct meta_key *k, uint64_t blob, uint8_t kind, uint32_t n)
{
	key_u64(k, blob);
	add(k, &kind, 1);
	add_u32(k, n);
}

void key_stripe(struct meta_key *k, uint64_t segment, uint32_t offset_4k)
{
	key_u64(k, segment);
	add_u32(k, offset_4k);
}

void key_missing(struct meta_key *k, uint8_t slot, uint64_t segment, uint32_t from_4k)
{
	k->len = 0;
	add(k, &slot, 1);
	add_u64(k, segment);
	add_u32(k, from_4k);
}

void key_reclaim(struct meta_key *k, uint64_t seq, uint64_t segment, uint32_t from_4k)
{
	k->len = 0;
	add_u64(k, seq);
	add_u64(k, segment);
	add_u32(k, from_4k);
}

void key_map(struct meta_key *k, uint64_t map, uint8_t kind, uint64_t offset)
{
	key_u64(k, map);
	add(k, &kind, 1);
	if (kind)
		add_u64(k, offset);
}

void key_upart(struct meta_key *k, uint64_t upload, uint16_t part)
{
	uint8_t b[2];

	be16_put(b, part);
	key_u64(k, upload);
	add(k, b, sizeof b);
}
