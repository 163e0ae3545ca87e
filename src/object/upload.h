/* SPDX-License-Identifier: Apache-2.0
 *
 * Multipart uploads, inside object/.
 *
 * Uploads of a bucket hang below its upload root, by key string: an entry (upload root, key) -> upload key id, where the
 * key, slashes and all, is one name; and rows (upload key id, initiated, upload id). The entry row is written again by each
 * new upload of the key, and goes with its last one. Parts (upload id, number) rely on the upload row; when it is gone they
 * are dropped in the background, at the next start if need be.
 */
#ifndef QUOIN_OBJECT_UPLOAD_H
#define QUOIN_OBJECT_UPLOAD_H

#include "object/path.h"

struct upload_ref {        /* one upload, as a view has it */
	struct path_slot slot; /* the key's entry below the upload root */
	struct meta_key key;
	struct meta_row row;
	struct row_upload up;
	uint64_t initiated_ns, id;
	bool last; /* the only upload of its key */
};

struct upload_row { /* while iterating */
	struct meta_row row;
	struct row_upload up;
	uint64_t initiated_ns, id;
};

#define UPLOADS_OF_BUCKET_MAX 10000 /* unfinished ones that one DeleteBucket takes along */

/* fn for each upload of a key, in order of initiation, until it returns other than 0; < 0 is passed on. */
int upload_each(struct meta_view *v, uint64_t key_id, int (*fn)(void *arg, const struct upload_row *u), void *arg)
	WARN_UNUSED;
int upload_root_seen(struct path *p, struct meta_batch *b) WARN_UNUSED;
void upload_part_object(const struct row_upart *r, struct row_object *ret);
/* p: of the bucket. -QE_NO_SUCH_UPLOAD. */
int upload_find(struct path *p, struct str key, uint64_t id, struct upload_ref *ret) WARN_UNUSED;
/* Deletes the rows of an upload but its parts; those go in the background once this is applied. */
int upload_delete(struct object_commit *c, struct path *p, struct meta_batch *b, struct upload_ref *u) WARN_UNUSED;
/* Puts a part, in place of the one before of that number. o: its content, in the batch already. */
int upload_part_put(struct object_commit *c, struct path *p, struct meta_batch *b, struct str key, uint64_t id,
                    unsigned part, struct row_upart *r, const struct row_object *o) WARN_UNUSED;
/* Before a bucket is deleted: all of its uploads. */
int upload_abort_all(struct object_commit *c, struct meta_view *v, struct meta_batch *b, struct path *p) WARN_UNUSED;

#endif
