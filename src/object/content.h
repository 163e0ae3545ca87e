/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes of a file: a row_object and the extents behind it.
 *
 * Extents are in order of their file offset and never overlap; bytes that no extent covers, and those of EXTENT_HOLE, are
 * zeros. Up to ROW_INLINE_EXTENTS lie in the row; more lie in the map rows of obj.map (runs of ROW_MAP_RUN, keyed by the
 * offset of their first extent). A map may have several users (row_map_head.users: copies); then nobody changes its
 * rows. An EXTENT_INROW extent has its bytes in obj.inrow, starting at extent.start; there is at most one, and never in a
 * map. Each EXTENT_BLOB extent of an unshared list is one reference of its blob; a shared map holds them once.
 */
#ifndef QUOIN_OBJECT_CONTENT_H
#define QUOIN_OBJECT_CONTENT_H

#include "meta/meta.h"
#include "object/commit.h"

#define CONTENT_INROW_MAX 512 /* bytes that stay in the row */
#define CONTENT_DROP_MAX 2048 /* extents whose references one batch drops; more go in the background */

struct content { /* a list of extents in memory */
	struct row_extent *e;
	unsigned n;
	bool shared;              /* of a map with other users: the references are the map's, not this list's */
	struct row_map_head head; /* of obj.map, when map is not 0 */
	struct meta_row head_row;
	uint64_t map;
};

/* All extents of an object, in the arena. */
int content_load(struct meta_view *v, struct arena *a, const struct row_object *o, struct content *ret) WARN_UNUSED;
/* Those that meet [off, off + len) only: reads the map rows that it needs (ret->e whole extents, not cut). */
int content_load_range(struct meta_view *v, struct arena *a, const struct row_object *o, uint64_t off, uint64_t len,
                       struct content *ret) WARN_UNUSED;
/* Reads [off, off + len) into dst through a list; flags DRIVE_NOWAIT: -EAGAIN. */
int content_read(struct meta_view *v, const struct content *l, struct str inrow, uint64_t off, size_t len, void *dst,
                 unsigned flags) WARN_UNUSED;

/* Writes a list into o (extents, extent, map, inrow untouched): inline or as rows of a new map, put into the batch. Holes at
 * the ends are dropped. References are the caller's matter. */
void content_store(struct object_store *s, struct meta_batch *b, const struct row_extent *e, unsigned n, uint64_t size,
                   struct row_object *o);
/* Deletes the rows of an unshared map without dropping references (the list moves elsewhere). */
int content_map_delete(struct meta_view *v, struct meta_batch *b, uint64_t map) WARN_UNUSED;

/* One reference more of everything that o names, for a second object with the same content (o is then used as it is):
 * blobs of inline extents, or one user more of its map. */
int content_share(struct meta_view *v, struct meta_batch *b, const struct row_object *o) WARN_UNUSED;
/* delta references of the blob of every EXTENT_BLOB in the list. */
int content_ref(struct meta_view *v, struct meta_batch *b, const struct row_extent *e, unsigned n, int delta)
	WARN_UNUSED;
/* Drops what o names: references of its blobs and its map rows, or one user of its map. At most CONTENT_DROP_MAX extents:
 * else -E2BIG, nothing added (file_release then leaves it to the background). */
int content_drop(struct meta_view *v, struct arena *a, struct meta_batch *b, const struct row_object *o) WARN_UNUSED;

/* About how many extents that is: 0 when a shared map only loses a user. */
int content_weight(struct meta_view *v, const struct row_object *o, unsigned *ret) WARN_UNUSED;
/* The same for an orphan that is too large for one batch: as much as one batch takes. *ret_more: there is more. */
int content_drop_some(struct meta_view *v, struct arena *a, struct meta_batch *b, const struct row_object *o,
                      bool *ret_more) WARN_UNUSED;

/* The part [off, off + len) of a list, cut, with file offsets from `to`; ret has room for l->n. crc fields of cut extents are
 * not valid and marked by EXTENT_CUT in flags: content_crc_fill reads them. Number of extents. */
#define EXTENT_CUT 128 /* in memory only */
unsigned content_cut(const struct content *l, uint64_t off, uint64_t len, uint64_t to, struct row_extent *ret);
/* Reads every extent with EXTENT_CUT again and sets its CRCs. Blocks. */
int content_crc_fill(struct object_store *s, struct row_extent *e, unsigned n) WARN_UNUSED;
/* CRCs of a whole file of `size` bytes from those of its extents (gaps are zeros). */
void content_crcs(const struct row_extent *e, unsigned n, uint64_t size, uint32_t *ret_crc32c, uint64_t *ret_crc64nvme);

/* What an open object reads: for copies of a range, and for those who ask where it lies. */
struct object_handle;
const struct content *object_handle_content(const struct object_handle *h);

/* ---- What carries content: files ------------------------------------------------------------------------------------- */
struct file_state { /* an object entry, resolved: attributes and content wherever they lie */
	uint64_t id, key_id;
	bool linked; /* in the file row */
	struct row_attr attr;
	struct row_object obj;
	struct str xattrs;
	uint32_t nlink;
	struct meta_row file_row; /* when linked */
	struct row_file file;
};
/* Of an entry of kind ENTRY_OBJECT. */
int file_load(struct meta_view *v, const struct row_entry *e, struct file_state *ret) WARN_UNUSED;
/* The file row of a linked file, relying on the one that was seen; Last-Modified is not stamped. */
void file_put(struct meta_batch *b, const struct file_state *f, const struct row_file *row);
/* One name of the file goes (its entry row is deleted or replaced by the caller). The last name: its content is dropped, or,
 * while a mount holds the file or when there is much of it, it becomes an orphan (file row with nlink 0, orphan row). */
int file_name_gone(struct object_commit *c, struct meta_view *v, struct meta_batch *b, uint64_t bucket,
                   const struct file_state *f, uint64_t ctime_ns) WARN_UNUSED;
/* The rows of an orphan, for a file that keeps its content without a name. */
void file_orphan(struct object_commit *c, struct meta_batch *b, uint64_t bucket, const struct file_state *f,
                 uint64_t ctime_ns);

#endif
