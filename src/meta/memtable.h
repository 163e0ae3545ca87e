/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows changed since the last checkpoint, by (table, key, ~seq): a skip list in an arena. One writer at a time (the
 * leader); readers need no lock and may run beside it. Values are whole rows with their envelope (or a tombstone).
 * Reference counted: a view keeps its memtables, and what it found stays valid for as long.
 */
#ifndef QUOIN_META_MEMTABLE_H
#define QUOIN_META_MEMTABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "meta/tables.h"

struct memtable;

struct memtable_row {
	unsigned table;
	struct str key;
	struct str row;      /* envelope and body; empty when deleted */
	uint64_t seq;
	bool deleted;
};

struct memtable *memtable_new(void);
struct memtable *memtable_ref(struct memtable *m);
void memtable_unref(struct memtable *m); /* accepts NULL */
/* 0 or -ENOMEM. Copies key and row. A second put of one (table, key, seq) replaces (EPOCH rows win over rows of record T). */
int memtable_put(struct memtable *m, const struct memtable_row *r);
/* The newest with seq <= max_seq: true, also for a tombstone. */
bool memtable_get(const struct memtable *m, unsigned table, struct str key, uint64_t max_seq, struct memtable_row *ret);
/* First row with (table, key) >= (table, from) and seq <= max_seq, tombstones included, one per key; then the one after
 * `at` (a position inside the table, NULL: none). Never leaves the table. */
const void *memtable_seek(const struct memtable *m, unsigned table, struct str from, uint64_t max_seq, struct memtable_row *ret);
const void *memtable_next(const struct memtable *m, const void *at, uint64_t max_seq, struct memtable_row *ret);
/* Inline payload of the batch with this sequence: taken over (a pooled or malloc'd block freed with `release`, which may
 * be NULL) unless it fails. A second payload of one sequence is released at once. 0 or -ENOMEM. */
int memtable_payload_add(struct memtable *m, uint64_t seq, void *p, size_t len, void (*release)(void *p));
const void *memtable_payload(const struct memtable *m, uint64_t seq, size_t *ret_len); /* NULL: not here */
uint64_t memtable_bytes(const struct memtable *m);
uint64_t memtable_rows(const struct memtable *m);
uint64_t memtable_first_seq(const struct memtable *m); /* 0: empty */
uint64_t memtable_last_seq(const struct memtable *m);

#endif
