/* SPDX-License-Identifier: Apache-2.0
 *
 * Hash function (multiply and fold 128 bits, as wyhash does) and the chained table.
 */
#include "base/hash.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/codec.h"
#include "base/macros.h"

#define BUCKETS_MIN 16

/* Odd, with about half of the bits set. */
#define K0 0xa0761d6478bd642fULL
#define K1 0xe7037ed1a0b428dbULL
#define K2 0x8ebc6af09c88c6e3ULL

/* 0 until it is first needed. Keys come from clients: a fixed seed would let them choose colliding ones. */
static _Atomic uint64_t seed;

static uint64_t get_seed(void)
{
	uint64_t v = atomic_load_explicit(&seed, memory_order_relaxed), none = 0;

	if (__builtin_expect(v != 0, 1))
		return v;
	v = random_u64() | 1;
	return atomic_compare_exchange_strong(&seed, &none, v) ? v : none;
}

static inline uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 m = (unsigned __int128)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* Up to 8 bytes as a number; the length is mixed in by the caller. */
static inline uint64_t load_short(const unsigned char *p, size_t n)
{
	if (n >= 4)
		return (uint64_t)le32_get(p) << 32 | le32_get(p + n - 4);
	return n ? (uint64_t)p[0] << 16 | (uint64_t)p[n >> 1] << 8 | p[n - 1] : 0;
}

uint64_t hash_bytes(const void *p, size_t len)
{
	const unsigned char *at = p;
	uint64_t h = get_seed() ^ K0, a, b;
	size_t left = len;

	for (; left > 16; at += 16, left -= 16)
		h = mix(le64_get(at) ^ K1, le64_get(at + 8) ^ h);
	if (left > 8) {
		a = le64_get(at);
		b = load_short(at + 8, left - 8);
	} else {
		a = load_short(at, left);
		b = 0;
	}
	return mix(mix(a ^ K1, b ^ h) ^ K2, len ^ K1);
}

uint64_t hash_u64(uint64_t v)
{
	return mix(mix(v ^ K1, get_seed() ^ K0) ^ K2, K1);
}

void hash_init(struct hash *h)
{
	*h = (struct hash){0};
}

void hash_done(struct hash *h)
{
	free(h->buckets);
	hash_init(h);
}

static void grow(struct hash *h)
{
	size_t count = h->buckets ? (h->mask + 1) * 2 : BUCKETS_MIN;
	struct hash_node **buckets = calloc(count, sizeof *buckets), *next;

	/* Without memory a table only gets slower, but the first buckets it must have. */
	if (!buckets) {
		ASSERT(h->buckets != NULL);
		return;
	}
	for (size_t i = 0; h->buckets && i <= h->mask; i++)
		for (struct hash_node *n = h->buckets[i]; n; n = next) {
			next = n->next;
			n->next = buckets[n->hash & (count - 1)];
			buckets[n->hash & (count - 1)] = n;
		}
	free(h->buckets);
	h->buckets = buckets;
	h->mask = count - 1;
}

void hash_insert(struct hash *h, uint64_t hash, struct hash_node *n)
{
	if (!h->buckets || h->count > h->mask)
		grow(h);
	n->hash = hash;
	n->next = h->buckets[hash & h->mask];
	h->buckets[hash & h->mask] = n;
	h->count++;
}

void hash_remove(struct hash *h, struct hash_node *n)
{
	struct hash_node **at;

	ASSERT(h->buckets != NULL);
	at = &h->buckets[n->hash & h->mask];
	while (*at != n) {
		ASSERT(*at != NULL);
		at = &(*at)->next;
	}
	*at = n->next;
	n->next = NULL;
	h->count--;
}

static struct hash_node *same_hash(struct hash_node *n, uint64_t hash)
{
	while (n && n->hash != hash)
		n = n->next;
	return n;
}

struct hash_node *hash_first(const struct hash *h, uint64_t hash)
{
	return h->buckets ? same_hash(h->buckets[hash & h->mask], hash) : NULL;
}

struct hash_node *hash_next(const struct hash_node *n)
{
	return same_hash(n->next, n->hash);
}

void hash_each(struct hash *h, bool (*fn)(struct hash_node *, void *), void *arg)
{
	struct hash_node *next;

	for (size_t i = 0; h->buckets && i <= h->mask; i++)
		for (struct hash_node *n = h->buckets[i]; n; n = next) {
			next = n->next;
			if (fn(n, arg))
				return;
		}
}
