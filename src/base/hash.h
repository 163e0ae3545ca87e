/* SPDX-License-Identifier: Apache-2.0
 *
 * Intrusive hash table with chaining; the owner locks. Grows by itself, never shrinks.
 */
#ifndef QUOIN_BASE_HASH_H
#define QUOIN_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash_node {
	struct hash_node *next;
	uint64_t hash;
};

struct hash {
	struct hash_node **buckets;
	size_t mask;  /* buckets - 1 */
	size_t count;
};

uint64_t hash_bytes(const void *p, size_t len);                       /* seeded per process */
uint64_t hash_u64(uint64_t v);
void hash_init(struct hash *h);
void hash_done(struct hash *h);                                       /* frees the buckets, not the nodes */
void hash_insert(struct hash *h, uint64_t hash, struct hash_node *n); /* duplicates allowed */
void hash_remove(struct hash *h, struct hash_node *n);                /* must be in h */
/* First node with this hash, then the next one: the caller compares keys. */
struct hash_node *hash_first(const struct hash *h, uint64_t hash);
struct hash_node *hash_next(const struct hash_node *n);
/* Every node, in no order; fn may remove the node that it is given. Stops when fn returns true. */
void hash_each(struct hash *h, bool (*fn)(struct hash_node *, void *), void *arg);

#endif
