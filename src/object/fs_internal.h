/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the mount's side of the core share.
 *
 * A node is one inode that the kernel or a call holds. Where its rows lie is a hint (directory and name), checked
 * against
 * a view at each use: a file is found by its entry, by its `file` row (hard links, orphans), or it was moved meanwhile
 * and the hint is read again.
 *
 * Locks, outermost first: node->lock (LOCK_FILE; content that is not published, held across the commit that publishes
 * it)
 * -> fs->dirty_lock (LOCK_HANDLE) -> fs->nodes_lock (LOCK_INODE; the table, references, hints, what getattr must know
 * of
 * unpublished content). No attempt of a commit takes node->lock.
 */
#ifndef QUOIN_OBJECT_FS_INTERNAL_H
#define QUOIN_OBJECT_FS_INTERNAL_H

#include <stdatomic.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/lock.h"
#include "object/fs.h"
#include "object/store_internal.h"

#define FS_NAME_MAX 255
#define FS_BLOCK 4096u

enum fs_kind { FS_ROOT, FS_DIR, FS_OBJECT };

struct fs_place {
	uint64_t dir;
	char *name;   /* NULL: not known */
	uint64_t seq; /* of the state that told it: an older one does not take its place */
};

struct fs_now { /* what unpublished content changes of a file's attributes */
	bool size_set, mtime_set, kill_priv;
	uint64_t size, mtime_ns, ctime_ns;
	uint64_t added; /* bytes that are not in the rows yet, for st_blocks */
};

struct fs_dirty;

struct fs_node {
	struct hash_node hash; /* fs->nodes */
	struct fs *fs;
	uint64_t ino;
	enum fs_kind kind;
	atomic_bool told;
	/* Under fs->nodes_lock. */
	uint64_t refs;
	struct fs_place place;     /* where its name was last seen */
	struct fs_place was;       /* before the last rename, which a revived set may have lost */
	bool gone;                 /* its last name was removed through this mount */
	struct row_attr last_attr; /* of a directory that is gone */
	struct fs_now now;
	/* Under lock. */
	struct mutex lock;
	struct fs_dirty *dirty;  /* NULL: nothing to publish */
	unsigned opens, writers; /* open files, and those that may write */
	struct list files, dirs; /* open ones */
	uint64_t published_seq;  /* of the newest publication */
	int lost;                /* bytes that were written are gone: to be told by the next flush or fsync */
	bool given_up;           /* changes were given up, after a close that failed; the kernel may have their pages */
	/* Under fs->dirty_lock. */
	struct list dirty_node; /* of fs->dirty */
	uint64_t dirty_since_ns;
	bool queued; /* in fs->dirty, which counts as a reference */
	/* st_blocks of a file with a map, valid for one sequence of its row. */
	atomic_uint_fast64_t blocks_seq, blocks;
};

struct fs_file {
	struct list open;     /* node->files */
	struct fs_node *node; /* one reference */
	int flags;
	bool writes;
	bool given_up; /* node->given_up at its open */
};

struct fs {
	struct object_store *s;
	struct meta_set *set;
	void *mount;
	void (*name_told)(void *mount, uint64_t dir, struct str name);
	struct fs_node *root; /* one reference */
	uint64_t start_ns;
	struct mutex nodes_lock; /* LOCK_INODE */
	struct hash nodes;
	struct list moves;       /* of struct fs_move, under nodes_lock */
	struct mutex dirty_lock; /* LOCK_HANDLE */
	struct list dirty;       /* of struct fs_node.dirty_node, oldest first */
	struct cond dirty_cond;
	atomic_uint_fast64_t dirty_bytes;
	struct pool *stripes; /* buffers of one stripe each */
	atomic_uint memory_refs; /* of those that are out, and one of the fs: a drive that hangs writes from them still */
	uint32_t stripe_bytes;
	bool stop;
	pthread_t thread; /* publishes what is older than writeback_ns */
};

/* ---- fs.c ---- */
void fs_memory_unref(struct fs *f); /* the last one frees the struct and its pool; all else of it ends with fs_free */

/* ---- fs_node.c --------------------------------------------------------------------------------------------- */
/* One more reference of the node, made when there is none. Objects are held in the store: may wait for a drop in flight, and
 * what was read of the file before must be read again. *ret_new (may be NULL): it was not held before. NULL: no
 * memory. */
struct fs_node *node_get(struct fs *f, uint64_t ino, enum fs_kind kind, uint64_t dir, struct str name, uint64_t seq);
struct fs_node *node_ref(struct fs_node *n);
struct fs_node *node_find(struct fs *f, uint64_t ino); /* one reference, or NULL */
void node_unref(struct fs_node *n);
struct fs_node *nodes_any(struct fs *f); /* one of them, no reference; NULL: there are none */
/* A rename under way: whoever looks for the file finds it at both names until the outcome is known. */
struct fs_move {
	struct list node; /* of fs->moves */
	uint64_t id;      /* 0: not noted */
	uint64_t dir;
	struct str name;
};
void node_moving(struct fs *f, struct fs_move *m);              /* for attempts: notes m->id, dir, name */
void node_moved(struct fs *f, struct fs_move *m, uint64_t seq); /* seq of the commit; 0: it did not happen */
/* The node, if there is one, has no name any more. */
void node_gone(struct fs *f, uint64_t ino, const struct row_attr *last);

struct fs_where {  /* the rows of an object in a view */
	bool by_entry; /* key, row, entry are valid */
	struct meta_key key;
	struct meta_row row;
	struct row_entry entry;
	uint64_t dir; /* by_entry: where the entry was found */
	size_t name_len;
	char name[OBJECT_KEY_MAX];
	struct file_state file;
	uint64_t bucket; /* of linked ones and orphans; else 0 */
};
/* 0, -QE_CONFLICT: it is not where it was last seen: moved meanwhile, look at a fresh view, FS_TRIES times at most. */
#define FS_TRIES 8
/* A view is also given up when the index copy that it reads turns out bad: what only reads is done again with another. */
#define FS_AGAIN(rc, call)                                                                                             \
	do {                                                                                                               \
		unsigned tries_ = FS_TRIES;                                                                                    \
		do                                                                                                             \
			(rc) = (call);                                                                                             \
		while ((rc) == -QE_CONFLICT && --tries_ > 0);                                                                  \
	} while (0)
int node_where(struct fs_node *n, struct meta_view *v, struct fs_where *ret) WARN_UNUSED;
/* Opens a view in which the node is found. -ESTALE: it is nowhere. */
int node_view(struct fs_node *n, struct meta_view **ret_view, struct fs_where *ret) WARN_UNUSED;
/* commit_run for attempts that call node_where. */
int node_run(struct object_commit *c) WARN_UNUSED;
int dir_row(struct meta_view *v, uint64_t id, struct meta_row *ret_row, struct row_dir *ret) WARN_UNUSED; /* -ENOENT */
/* Puts the rows of an object back as w->file says. stamp: Last-Modified becomes the commit time. */
void where_put(struct meta_batch *b, const struct fs_where *w, bool stamp);
int where_bucket(struct meta_view *v, struct fs_where *w) WARN_UNUSED; /* fills w->bucket */

/* ---- fs_attr.c --------------------------------------------------------------------------------------------- */
uint64_t content_allocated(struct meta_view *v, struct fs_node *n, const struct fs_where *w);
void stat_of_attr(const struct row_attr *a, uint64_t ino, struct stat *st);
void stat_of_file(struct fs_node *n, struct meta_view *v, const struct fs_where *w, const struct fs_now *now,
                  struct stat *st);
void stat_of_dir(const struct row_dir *d, uint64_t ino, struct stat *st);
void stat_of_root(struct fs *f, struct stat *st);
void node_now(struct fs_node *n, struct fs_now *ret);
int node_stat(struct fs_node *n, struct stat *st) WARN_UNUSED; /* marks it as told first */
/* Attributes of something new made by the caller in the directory (set-gid inheritance). */
void attr_new(const struct op_ctx *ctx, const struct row_dir *dir, mode_t mode, struct row_attr *ret);

/* ---- fs_alias.c -------------------------------------------------------------------------------------------- */
struct fs_shown {     /* what a name of the mount stands for */
	struct str name;  /* the component of the key */
	bool object_only; /* the object beside a directory of the same name */
	uint64_t id;      /* by number (names too long to show); 0: by name */
};
/* 0, -ENAMETOOLONG, -EILSEQ, -ENOENT (looks like an alias but is none). */
int alias_decode(struct str shown, struct fs_shown *ret) WARN_UNUSED;
/* The name under which the mount shows a component; in the arena when it is not the name itself. */
struct str alias_encode(struct arena *a, struct str name, bool beside_dir, uint64_t id);

/* ---- fs_name.c, fs_rename.c, fs_link.c --------------------------------------------------------------------- */
struct fs_change { /* a commit on names: the commit first, then what the attempts share */
	struct object_commit c;
	struct fs *fs;
	struct op_ctx *ctx;
	struct fs_node *dir, *dir2, *node;
	struct fs_shown name, name2;
	unsigned flags;
	mode_t mode;
	dev_t rdev;
	struct str target;
	/* Results of the last attempt. */
	uint64_t id, id2; /* of the object or directory; 0: none */
	struct fs_move move[2];
	uint64_t gone; /* file or directory that has no name any more */
	bool gone_dir;
	struct row_attr attr, gone_attr;
};
void change_init(struct fs_change *ch, struct fs *f, struct op_ctx *ctx, struct fs_node *dir,
                 commit_attempt_fn attempt);
/* The chain of a directory that a node stands for; -ENOENT when it is gone. */
int change_path(struct fs_change *ch, struct meta_view *v, const struct fs_node *dir, struct path *ret) WARN_UNUSED;
/* The slot that a name of the mount stands for: of the directory when there is one, else of the object. Both are relied
 * on when nothing is there. */
int change_slot(struct path *p, struct meta_batch *b, const struct fs_shown *name, struct path_slot *ret) WARN_UNUSED;
/* The last directory of the path becomes explicit in p (the caller puts its row), with what that counts. */
int change_explicit(struct path *p, struct meta_batch *b) WARN_UNUSED;
/* A directory that is about to lose its last entry: implicit ones become explicit, so that they stay. */
int change_keep_dir(struct path *p, struct meta_batch *b) WARN_UNUSED;
/* As unlink, rmdir, rename and link take it: aliases by number are resolved. */
int change_old_name(struct fs *f, struct op_ctx *ctx, struct fs_node *dir, struct str name, struct fs_shown *ret)
	WARN_UNUSED;
/* The object, or the empty directory, behind a slot that is removed or replaced: noted in ch->gone when it was the last name. */
int change_entry_gone(struct fs_change *ch, struct meta_view *v, struct meta_batch *b, struct path *p,
                      const struct path_slot *slot) WARN_UNUSED;
int change_dir_gone(struct fs_change *ch, struct meta_batch *b, struct path *p, const struct path_slot *slot)
	WARN_UNUSED;
int lookup_shown(struct fs *f, struct op_ctx *ctx, struct fs_node *dir, const struct fs_shown *shown,
                 struct fs_node **ret, struct stat *st) WARN_UNUSED;
void fill_etag(struct object_store *s, struct arena *a, struct row_object *o);
void fill_inrow(struct object_store *s, struct row_object *o,
                struct str bytes); /* the whole content; sets size and CRCs */
/* What one object, or explicit directory, more or less counts in its bucket. */
int object_usage(struct path *p, struct meta_batch *b, int count, int64_t bytes) WARN_UNUSED;
int dir_usage(struct path *p, struct meta_batch *b, const struct row_dir *d, int count) WARN_UNUSED;
int bytes_usage(struct meta_view *v, struct meta_batch *b, uint64_t bucket, int64_t bytes) WARN_UNUSED;
static inline struct fs_change *change_of(struct object_commit *c)
{
	return CONTAINER_OF(c, struct fs_change, c);
}

/* ---- fs_xattr.c -------------------------------------------------------------------------------------------- */
struct str xattr_without(struct arena *a, struct str kv, struct str name);

/* ---- fs_dir.c ---------------------------------------------------------------------------------------------- */
/* The name, in the arena, and kind of the entry of a directory that stands for this file or directory. -ENOENT. */
int find_by_id(struct fs *f, struct meta_view *v, struct arena *a, uint64_t dir, uint64_t id, struct str *ret_name,
               enum fs_kind *ret_kind) WARN_UNUSED;
void dirs_close(struct fs_node *n); /* open directories that nobody will release */

/* ---- fs_dirty.c: ranges of a file that are not published --------------------------------------------------- */
enum seg_kind { SEG_MEM, SEG_BLOB, SEG_HOLE };
struct seg { /* [off, off + len) of the file */
	uint64_t off, len;
	enum seg_kind kind;
	char *mem; /* SEG_MEM: malloc'd */
	uint64_t cap;
	struct row_extent ext; /* SEG_BLOB: with CRCs of the whole extent; written, not referenced yet */
};
struct pending_blob { /* written, to be named by the next publication */
	uint64_t id;
	struct erasure_blob eb;
};
struct fs_stream;
struct fs_dirty {
	struct seg *seg; /* by offset, never overlapping */
	unsigned n, cap;
	uint64_t mem;        /* bytes of SEG_MEM */
	uint64_t blob_bytes; /* bytes of SEG_BLOB */
	uint64_t size;       /* of the file now */
	uint64_t base_size;  /* of the published content */
	struct pending_blob *blob;
	unsigned nblobs, cap_blobs;
	struct fs_stream *stream; /* the run being streamed out; its bytes are not in seg */
	uint64_t room;            /* of the next streamed blob; 0: the first */
	int error;                /* bytes were lost: to be told by the next flush or fsync */
	bool kill_priv;           /* set-id bits go with the publication */
};
struct fs_dirty *dirty_new(uint64_t size);
struct fs_dirty *dirty_free(struct fs *f, struct fs_dirty *d);
/* Cuts [off, off + len) out of every segment. */
int dirty_remove(struct fs *f, struct fs_dirty *d, uint64_t off, uint64_t len) WARN_UNUSED;
int dirty_put_mem(struct fs *f, struct fs_dirty *d, uint64_t off, const void *p, uint64_t len) WARN_UNUSED;
int dirty_put_hole(struct fs *f, struct fs_dirty *d, uint64_t off, uint64_t len) WARN_UNUSED;
int dirty_put_blob(struct fs *f, struct fs_dirty *d, const struct row_extent *e) WARN_UNUSED;
/* Puts the unpublished bytes of [off, off + len) over dst, which holds the published ones. */
int dirty_read(struct fs *f, struct fs_dirty *d, uint64_t off, uint64_t len, char *dst) WARN_UNUSED;
unsigned dirty_find(const struct fs_dirty *d, uint64_t off); /* first segment that ends behind off */
/* The bytes of a pending blob come back to memory; the blob is forgotten. */
int dirty_blob_to_mem(struct fs *f, struct fs_dirty *d, unsigned i) WARN_UNUSED;
/* Takes the memory of a SEG_MEM out of the list; the caller frees it. */
char *dirty_steal(struct fs *f, struct fs_dirty *d, unsigned i, uint64_t *ret_len);
int dirty_add_pending(struct fs_dirty *d, uint64_t id, const struct erasure_blob *eb) WARN_UNUSED;
void dirty_account(struct fs *f, struct fs_dirty *d, int64_t bytes); /* memory taken (> 0) or given back */

/* ---- fs_stream.c: large runs go to the drives while they are written --------------------------------------- */
#define STREAM_MIN (1u << 20) /* a contiguous run of this length is streamed; also the longest extent */
/* Begins a stream at off. */
int stream_begin(struct fs *f, struct fs_dirty *d, uint64_t off) WARN_UNUSED;
int stream_append(struct fs *f, struct fs_dirty *d, const void *p, size_t len) WARN_UNUSED;
/* The tail goes out; what was streamed becomes segments and a pending blob. No stream: nothing to do. */
int stream_end(struct fs *f, struct fs_dirty *d) WARN_UNUSED;
void stream_abort(struct fs *f, struct fs_dirty *d);
uint64_t stream_off(const struct fs_dirty *d); /* start and end in the file; 0, 0: none */
uint64_t stream_stop(const struct fs_dirty *d);
/* Writes bytes of SEG_MEM to blobs: they become SEG_BLOB. */
int stream_segments(struct fs *f, struct fs_dirty *d) WARN_UNUSED;
/* Bytes of an extent of a pending blob. */
int pending_read(struct fs *f, struct fs_dirty *d, const struct row_extent *e, uint64_t from, uint64_t len, void *dst)
	WARN_UNUSED;

/* Blobs that were written before the set was revived will not be taken: their bytes are written anew. */
int stream_renew(struct fs *f, struct fs_dirty *d) WARN_UNUSED;

/* ---- fs_map.c: editing the extents of a file --------------------------------------------------------------- */
struct map_edit { /* [off, off + len) is replaced by the extents, which lie inside it; the rest is a hole */
	uint64_t off, len;
	struct row_extent *ext; /* with CRCs, in order */
	unsigned n;
};
/* o: in the content, out the edited one (extents, map, inrow untouched, size, crcs). Edits in order, not overlapping. New
 * blobs are put by the caller with as many references as the edits have extents of them; everything else is counted
 * here. refs_new: extents of the edits name blobs that exist (copies): references are added. keep: what o was stays
 * as it is,
 * for somebody else (an orphan row takes it). Blocks. */
int map_apply(struct object_store *s, struct meta_view *v, struct arena *a, struct meta_batch *b, struct row_object *o,
              const struct map_edit *edit, unsigned n, uint64_t size, bool refs_new, bool keep) WARN_UNUSED;

/* ---- fs_publish.c ------------------------------------------------------------------------------------------ */
struct fs_attrs { /* attributes to be set with a publication, or alone */
	unsigned set; /* enum fs_set without FS_SET_SIZE */
	struct stat st;
};
/* With n->lock held. Publishes what is unpublished (and sets attributes, may be NULL). On failure the data is kept. */
int node_publish(struct fs_node *n, enum meta_promise promise, const struct fs_attrs *attrs) WARN_UNUSED;
/* With n->lock held: the error that flush and fsync have to tell, once. */
int node_told_lost(struct fs_node *n) WARN_UNUSED;
/* With n->lock held and nothing dirty: content of [off, off + *len) of `from` becomes that of n at `to`, by reference. *len:
 * what was copied, less at the end of `from` or when there are many extents. -QE_NOT_IMPLEMENTED: copy the bytes. */
int node_copy(struct fs_node *n, struct fs_node *from, uint64_t off, uint64_t to, uint64_t *len) WARN_UNUSED;
/* With n->lock held: n->dirty is there afterwards. uid: who is about to change bytes (set-id bits). */
int node_dirty(struct fs_node *n, uid_t uid) WARN_UNUSED;
void node_touch(struct fs_node *n); /* with n->lock held: bytes or size changed */
int node_truncate(struct fs_node *n, uint64_t size, uid_t uid) WARN_UNUSED; /* with n->lock held */
void node_discard(struct fs_node *n);      /* with n->lock held: forgets what is unpublished */
int fs_throttle(struct fs *f) WARN_UNUSED; /* no lock held: while memory is short, publishes the oldest */
void *fs_dirty_main(void *arg);
void fs_discard_all(struct fs *f);
int fs_publish_all(struct fs *f, uint64_t before_ns) WARN_UNUSED; /* what has been dirty since before then (mono) */
void set_attrs(struct row_attr *a, const struct fs_attrs *in, uint64_t now_ns);

#endif
