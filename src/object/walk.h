/* SPDX-License-Identifier: Apache-2.0
 *
 * The names below a directory, depth first: S3 keys in exact byte order (STORAGE.md section 6, Names). A directory comes
 * before what is in it; the caller then goes in (walk_next) or steps over it (walk_skip), whichever way one seek.
 * Continuation rows of long names are followed and not shown. Uses one view; walk_close before it is closed.
 */
#ifndef QUOIN_OBJECT_WALK_H
#define QUOIN_OBJECT_WALK_H

#include "meta/meta.h"
#include "object/object.h"

#define WALK_KEY_MAX (2 * OBJECT_KEY_MAX) /* what the mount may make: longer keys are left out by the caller */

struct walk_level {
	uint64_t id;        /* directory or continuation */
	size_t key_len;     /* of what precedes it in the key */
	struct meta_key at; /* the entry in it that was shown or entered last; going on means behind it */
};

struct walk {
	struct meta_view *view;
	uint64_t root;
	struct meta_iter *it;
	struct buf key;    /* of the last item, and a prefix of the next */
	struct buf levels; /* of struct walk_level */
	unsigned depth;
	bool flat;   /* `/` is a byte like others: the upload tree */
	bool placed; /* the next row is the first one >= from */
	struct meta_key from;
	bool it_valid; /* the iterator stands on `at` of the last level */
	bool enter;    /* the last item was a directory: go in */
	uint64_t enter_id;
};

struct walk_item {
	struct str key; /* below the walk's root; a directory's ends with `/`; valid until the next call */
	bool is_dir;
	struct row_entry entry; /* valid until the next call */
};

int walk_open(struct walk *w, struct meta_view *v, uint64_t root) WARN_UNUSED;
void walk_close(struct walk *w);
/* The next item will be the first one with a key >= `key`. */
int walk_seek(struct walk *w, struct str key) WARN_UNUSED;
int walk_next(struct walk *w, struct walk_item *ret) WARN_UNUSED; /* 1, 0 at the end, < 0 */
/* After a directory: not into it. */
void walk_skip(struct walk *w);

/* The first key behind all that start with s, in the arena; NULL p: there is none. */
struct str key_behind_prefix(struct arena *a, struct str s);

#endif
