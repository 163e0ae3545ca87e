/* SPDX-License-Identifier: Apache-2.0
 *
 * From names to rows and back (STORAGE.md section 6, Names). A path is what one view says about a chain of directories
 * from a bucket's root down, and about one name in the last of them. It is read first; then, when the change has been
 * decided, it writes itself into a batch: what was relied on, missing parents, the entry, the counters.
 *
 *   S3:    path_bucket -> path_key                         (walks the key, notes missing parents)
 *   mount: path_dir    -> path_name                        (starts at a directory id)
 *   both:  path_expect -> [path_make_parents] -> path_put | path_del
 *
 * A name component of META_NAME_PIECE bytes or more lies behind continuation rows (struct path_cont); they are made and
 * removed here. Inserting behind a continuation row writes that row again, so that a removal of the row, which relies
 * on nothing else being behind it, conflicts.
 *
 * All memory is from the arena given at the start, or borrowed from the view: a path lives as long as both.
 */
#ifndef QUOIN_OBJECT_PATH_H
#define QUOIN_OBJECT_PATH_H

#include "meta/meta.h"
#include "object/commit.h"

struct path_cont { /* one continuation row of a long name */
	struct meta_key key;
	struct meta_row row;
	bool present;
	uint64_t id; /* 0: not present; path_put gives one */
};

struct path_slot {   /* where a name in a directory lies, and what is there */
	uint64_t dir;    /* directory id (never a continuation) */
	struct str name; /* without `/` */
	bool is_dir;     /* the slot of the directory `name/`, else of the object `name` */
	unsigned nconts;
	struct path_cont *cont;
	struct meta_key key; /* of the entry row; not valid while a continuation is missing */
	struct meta_row row; /* as seen */
	bool present;
	bool read;              /* false: the directory is to be made, so nothing is there */
	struct row_entry entry; /* decoded when present */
};

struct path_node { /* one directory of the chain */
	uint64_t id;
	struct str name;
	bool missing;        /* is to be made; everything below is missing as well */
	struct meta_row row; /* dir row as seen */
	struct row_dir dir;  /* decoded; when missing: zero but for name and bucket */
	bool has_slot;       /* its entry row was read (S3 walks), so it is relied on */
	struct path_slot slot;
};

struct path {
	bool reading;             /* dir rows of the chain are not read: never goes into a batch */
	struct meta_view *view;
	struct arena *arena;
	struct object_store *store;
	uint64_t bucket;
	struct str bucket_name; /* S3 only */
	bool has_bucket_rows, has_usage;
	struct meta_key bucketdir_key, bucket_key;
	struct meta_row bucketdir_row, bucket_row, usage_row;
	struct row_bucket bucket_info;
	unsigned nnodes, cap_nodes;
	struct path_node *node; /* [0]: the bucket's root */
	struct path_slot slot;  /* the last name */
	bool has_slot;
};

/* 0, -QE_NO_SUCH_BUCKET, < 0. */
int path_bucket(struct path *p, struct object_store *s, struct meta_view *v, struct arena *a, struct str bucket)
	WARN_UNUSED;
/* The same for a reader of one object: the dir rows of the chain are not read, so that the answer does not wait for
 * whatever else changed their counters last. Such a path never goes into a batch. */
int path_bucket_reading(struct path *p, struct object_store *s, struct meta_view *v, struct arena *a, struct str bucket)
	WARN_UNUSED;
/* The chain of a directory by its id and those of its parents. -ENOENT when it is gone. */
int path_dir(struct path *p, struct object_store *s, struct meta_view *v, struct arena *a, uint64_t dir) WARN_UNUSED;
/* Walks a whole S3 key from the last node. A key that ends with `/` names a directory. 0 or < 0; absent is not an error. */
int path_key(struct path *p, struct str key) WARN_UNUSED;
/* One name in the last node. May be called again for another name: the slot is replaced. */
int path_name(struct path *p, struct str name, bool is_dir) WARN_UNUSED;
/* A slot of its own (rename, link: a second name in the same directory). */
int path_slot_read(struct path *p, const struct path_node *dir, struct str name, bool is_dir, struct path_slot *ret)
	WARN_UNUSED;
static inline struct path_node *path_last(const struct path *p)
{
	return &p->node[p->nnodes - 1];
}
/* The dir row of a present directory slot, as a node that hangs below the last one. */
int path_load_dir(struct path *p, const struct path_slot *s, struct path_node *ret) WARN_UNUSED;
int path_usage(struct path *p, struct row_usage *ret) WARN_UNUSED; /* reads the usage row once */

/* ---- Into a batch ------------------------------------------------------------------------------------------------- */
/* Everything the path was read from: bucket row, entry rows on the way, the slot; dir rows as seen for deltas. */
void path_expect(struct path *p, struct meta_batch *b);
void path_slot_expect(const struct path_slot *s, struct meta_batch *b);
void path_nodes_seen(const struct path *p, struct meta_batch *b);
/* Makes the missing directories of the chain, implicit, and notes their names for the mounts. */
void path_make_parents(struct path *p, struct object_commit *c, struct meta_batch *b);
/* Puts the entry row of a slot of the directory (with its continuations); adds 1 to `children` when the slot was empty,
 * and `live` to the directory's `live`. */
void path_slot_put(struct path *p, struct path_slot *s, struct meta_batch *b, const struct row_entry *e, int live);
/* An entry row as it is; stamp: Last-Modified of an object becomes the commit time when that is later. */
void path_entry_put(struct meta_batch *b, const struct meta_key *k, const struct row_entry *e, bool stamp);
/* Deletes the entry row and continuations that end empty; no counters. */
int path_slot_erase(struct path *p, struct path_slot *s, struct meta_batch *b) WARN_UNUSED;
/* The same, takes 1 from `children`, adds live. */
int path_slot_del(struct path *p, struct path_slot *s, struct meta_batch *b, int live) WARN_UNUSED;
/* A delete by S3: the slot that the path ended at goes, one live child less, and implicit directories that end with it. */
int path_remove(struct path *p, struct object_commit *c, struct meta_batch *b) WARN_UNUSED;
/* Puts a dir row. stamp: its modification time becomes the commit time when that is later. */
void path_dir_put(struct meta_batch *b, uint64_t id, const struct row_dir *d, bool stamp);
/* Relies on a dir row as it was seen, counters included. */
void path_dir_expect(struct meta_batch *b, const struct path_node *n);
int path_usage_add(struct path *p, struct meta_batch *b, const struct row_usage *delta)
	WARN_UNUSED; /* fields as signed */
/* After a delete by S3: implicit directories of the chain may vanish with it; tells the mounts to look again. */
void path_notify_vanishing(struct path *p, struct object_commit *c);

/* Key of piece i of a slot's name behind `parent` (the directory or the continuation before); i == nconts: of the entry. */
void path_piece_key(const struct path_slot *s, unsigned i, uint64_t parent, struct meta_key *k);

/* Attributes of a directory that an S3 write makes on the way. */
void store_dir_attr(const struct object_store *s, uint64_t now_ns, struct row_attr *ret);

/* The directory part and the name of a key: "a/b/c" -> c, "a/b/" -> b (is_dir). */
struct str path_key_last(struct str key, bool *ret_is_dir);

#endif
