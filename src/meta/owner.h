/* SPDX-License-Identifier: Apache-2.0
 *
 * Whose payload blobs are: the names that lead to them, as BUCKET/KEY, percent-encoded where it is not plain. One walk over
 * the rows that name blobs finds it, by pages in views of their own; what changes meanwhile may be missed. Its memory is
 * bounded, whatever names the blobs.
 */
#ifndef QUOIN_META_OWNER_H
#define QUOIN_META_OWNER_H

#include "base/buf.h"
#include "meta/set_internal.h"

#define OWNER_NAMES 8 /* of a blob that are told */

struct blob_owner {
	uint64_t blob;
	unsigned names;  /* all, as far as they are known */
	struct buf text; /* the first OWNER_NAMES, a line each */
};
/* Completes blobs (struct blob_owner, each once). go_on (may be NULL) is asked now and then; false ends it: -QE_BUSY. */
int owners_find(struct meta_set *s, struct vec *blobs, bool (*go_on)(void *arg), void *arg) WARN_UNUSED;
void owners_free(struct vec *blobs);

#endif
