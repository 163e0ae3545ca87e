/* SPDX-License-Identifier: Apache-2.0
 *
 * A large body on its way in: bytes are received into stripe buffers; a full one goes to the worker pool, in order, for
 * digests and to the erasure writer; blobs of at most 64 MiB come out. At most LARGE_BUFFERS of a body are in memory.
 */
#ifndef QUOIN_OBJECT_LARGE_H
#define QUOIN_OBJECT_LARGE_H

#include "crypto/digest.h"
#include "object/store.h"

#define LARGE_BUFFERS 8

struct large;

struct large_blob {
	uint64_t id;
	struct erasure_blob eb;
	struct row_extent extent; /* off: within the body */
};

/* size: UINT64_MAX when it is not known. */
struct large *large_new(struct object_store *s, uint64_t size, unsigned digests);
/* As object_put_room and object_put_filled. */
void *large_room(struct large *l, ssize_t *ret_len, void (*resume)(void *arg), void *arg);
int large_filled(struct large *l, size_t len) WARN_UNUSED;
/* No more comes. done: once, from a worker. */
void large_end(struct large *l, void (*done)(void *arg, int rc), void *arg);
void large_free(struct large *l); /* accepts NULL; what is in flight ends behind it */
/* After a good end. */
const struct digest_values *large_digests(const struct large *l);
struct large_blob *large_blobs(struct large *l, unsigned *ret_n);
/* Puts the blobs, one reference each; may be called again after meta_batch_reset. */
int large_put_blobs(const struct large *l, struct meta_batch *b) WARN_UNUSED;

#endif
