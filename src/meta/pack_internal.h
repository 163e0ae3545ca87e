/* SPDX-License-Identifier: Apache-2.0
 *
 * Small blobs into packed stripes (STORAGE.md section 5, Packed blobs): each lies whole within one data cell, 8-byte
 * aligned. A batch puts the blob rows with their new place, each in its read set, so a blob that was deleted or changed
 * meanwhile drops out: the batch is then built again from what is left. Used by one thread at a time.
 */
#ifndef QUOIN_META_PACK_INTERNAL_H
#define QUOIN_META_PACK_INTERNAL_H

#include "meta/set_internal.h"

struct pack;
struct packed { uint64_t blobs, bytes; };

/* e is borrowed. 0, -ENOMEM. */
int pack_new(struct meta_set *s, struct erasure_set *e, struct pack **ret) WARN_UNUSED;
struct pack *pack_free(struct pack *p); /* what was not flushed is forgotten; accepts NULL, returns NULL */
/* Takes a copy. from: the packed segment that the blob lies in, 0: the journal. May write and commit what came before. */
int pack_add(struct pack *p, uint64_t blob, uint64_t from, const void *data, uint32_t len) WARN_UNUSED;
/* All is durable in its new place, or was deleted meanwhile. */
int pack_flush(struct pack *p) WARN_UNUSED;
struct packed pack_done(const struct pack *p); /* moved and committed so far */

#endif
