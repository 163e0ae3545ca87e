/* SPDX-License-Identifier: Apache-2.0
 *
 * Recounts what rows say about other rows, and tells the differences.
 *
 *   dir      children: its entries of objects and directories, also those behind continuations. live: objects whose
 *            newest version is no delete marker, and directories that are shown (explicit, or live > 0 as counted)
 *   usage    objects: live objects and explicit directories in an entry of the bucket's names; versions: the same with
 *            delete markers (history rows are not counted yet). bytes: their sizes, of a file with links once per link;
 *            stored: the same, as nothing is compressed yet. uploads: upload rows
 *   blob     refs: extents that name it, in entry, dir, file, map and upart rows
 *   map      users: entry, dir, file and upart rows that name it
 *   segment  live bytes: stored lengths of the blobs in it
 *
 * The counters `locked` and `uploads` of dir rows are not recounted.
 *
 * Entries are first counted where their key says, then continuations hand theirs on to the directory that they belong
 * to, then directories that are shown count in the one above. It is one view, and so as fast as it goes: the index grows
 * with what is changed while it is open. Memory: some 200 bytes for each directory, and for each file with a row of its own.
 * Of blobs only sums are kept (refs_sum.h); when they tell of a difference all is looked at once more, for the blobs it may be.
 */
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include "meta/refs_sum.h"
#include "meta/view_internal.h"

#define STEP_ROWS 1024
#define CONTS_MAX 64 /* continuations of one name, and then some */

struct item { /* first in each that is found by id */
	struct hash_node node;
	uint64_t id;
};

struct place { /* a directory or a continuation */
	struct item item;
	struct place *up; /* where its entry lies; NULL: none seen */
	struct place *next_shown;
	bool cont, has_row, upload_root, shown;
	uint32_t flags;
	uint64_t parent, bucket;
	uint64_t row_live, row_children, marker_size;
	uint64_t live, children, objects, versions, bytes; /* counted */
};

struct file_count {
	struct item item;
	uint64_t size;
	uint32_t flags;
};

struct bucket_count {
	struct item item;
	struct row_usage u;
	bool has_row;
};

struct blob_count {
	struct item item;
	uint64_t refs, row_refs;
	bool has_row, decodes;
};

struct map_count {
	struct item item;
	uint64_t users;
	bool has_row;
};

struct segment_count {
	struct item item;
	uint64_t live;
	bool has_row;
};

struct recount {
	struct meta_view *v;
	struct buf *out; /* may be NULL */
	bool (*step)(void *arg, uint64_t rows);
	void *arg;
	uint64_t rows; /* looked at so far */
	int differences;
	struct arena arena;
	struct hash places, files, buckets, maps, segments;
	struct refs_sum *refs; /* of blobs */
	bool closer;           /* the second look: refs is known, and blobs where it differs are counted one by one */
	struct hash blobs;     /* of the second look */
};

typedef void (*row_fn)(struct recount *r, const struct meta_row *row);

PRINTF_LIKE(2, 3)
static void tell(struct recount *r, const char *fmt, ...)
{
	va_list ap;

	r->differences++;
	if (!r->out)
		return;
	va_start(ap, fmt);
	buf_vaddf(r->out, fmt, ap);
	va_end(ap);
	buf_add_char(r->out, '\n');
}

static void compare(struct recount *r, const char *what, uint64_t id, const char *field, uint64_t row, uint64_t counted)
{
	if (row != counted)
		tell(r, "%s %" PRIu64 ": %s is %" PRIu64 ", counted %" PRIu64, what, id, field, row, counted);
}

static void *find(const struct hash *h, uint64_t id)
{
	struct hash_node *n = hash_first(h, hash_u64(id));

	while (n && LIST_ENTRY(n, struct item, node)->id != id)
		n = hash_next(n);
	return n ? LIST_ENTRY(n, struct item, node) : NULL;
}

static void *find_or_add(struct recount *r, struct hash *h, uint64_t id, size_t size)
{
	struct item *it = find(h, id);

	if (it)
		return it;
	it = arena_zalloc(&r->arena, size);
	it->id = id;
	hash_insert(h, hash_u64(id), &it->node);
	return it;
}

#define FIND_OR_ADD(r, hash, type, id) ((type *)find_or_add(r, &(r)->hash, id, sizeof(type)))

static uint64_t key_id(const struct meta_row *row)
{
	return row->key.len >= 8 ? be64_get(row->key.p) : 0;
}

static bool go_on(struct recount *r)
{
	return !r->step || r->step(r->arg, r->rows);
}

static int scan(struct recount *r, enum meta_table table, row_fn fn)
{
	struct meta_iter *it;
	struct meta_row row;
	int rc = meta_iter_open(r->v, table, &it);

	if (rc < 0)
		return rc;
	for (rc = meta_iter_seek(it, "", 0, &row); rc > 0; rc = meta_iter_next(it, &row)) {
		fn(r, &row);
		if (++r->rows % STEP_ROWS == 0 && !go_on(r))
			break;
	}
	meta_iter_close(it);
	return rc < 0 || go_on(r) ? MIN(rc, 0) : -ECANCELED;
}

/* ---- Extents ---- */

static void count_extents(struct recount *r, const struct row_extent *e, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (e[i].kind != EXTENT_BLOB)
			continue;
		if (!r->closer)
			refs_named(r->refs, e[i].blob);
		else if (refs_differ(r->refs, e[i].blob))
			FIND_OR_ADD(r, blobs, struct blob_count, e[i].blob)->refs++;
	}
}

static void count_content(struct recount *r, uint64_t map, const struct row_extent *e, unsigned n)
{
	if (map)
		FIND_OR_ADD(r, maps, struct map_count, map)->users++;
	count_extents(r, e, n);
}

static void on_map_head(struct recount *r, const struct meta_row *row)
{
	struct map_count *c = FIND_OR_ADD(r, maps, struct map_count, key_id(row));
	struct row_map_head h;

	c->has_row = true;
	if (row_map_head_decode(row->body, &h) < 0)
		tell(r, "map %" PRIu64 ": does not decode", c->item.id);
	else
		compare(r, "map", c->item.id, "users", h.users, c->users);
}

static void on_map(struct recount *r, const struct meta_row *row)
{
	struct row_extent run[ROW_MAP_RUN];
	int n;

	if (row->key.len == 9) {
		on_map_head(r, row);
		return;
	}
	n = row_extents_decode(row->body, run, ROW_MAP_RUN);
	if (n < 0)
		tell(r, "map %" PRIu64 ": a run does not decode", key_id(row));
	else
		count_extents(r, run, (unsigned)n);
}

static void on_upart(struct recount *r, const struct meta_row *row)
{
	struct row_upart p;

	if (row_upart_decode(row->body, &p) < 0)
		tell(r, "upart %" PRIu64 ": does not decode", key_id(row));
	else
		count_content(r, p.map, p.extent, p.extents);
}

static void on_blob(struct recount *r, const struct meta_row *row)
{
	uint64_t id = key_id(row);
	struct row_blob b;
	bool decodes = row_blob_decode(row->body, &b) == 0;

	if (r->closer && refs_differ(r->refs, id)) {
		struct blob_count *c = FIND_OR_ADD(r, blobs, struct blob_count, id);
		c->has_row = true;
		c->decodes = decodes;
		c->row_refs = decodes ? b.refs : 0;
	}
	if (!decodes) {
		tell(r, "blob %" PRIu64 ": does not decode", id);
		return;
	}
	if (!r->closer)
		refs_counted(r->refs, id, b.refs);
	if (b.place != BLOB_JOURNAL)
		FIND_OR_ADD(r, segments, struct segment_count, b.segment)->live += b.stored_len;
}

static void on_segment(struct recount *r, const struct meta_row *row)
{
	struct segment_count *c = FIND_OR_ADD(r, segments, struct segment_count, key_id(row));
	struct segment_info s;

	c->has_row = true;
	if (row_segment_decode(row->body, &s) < 0)
		tell(r, "segment %" PRIu64 ": does not decode", c->item.id);
	else
		compare(r, "segment", c->item.id, "live bytes", s.live_bytes, c->live);
}

static bool check_blob(struct hash_node *n, void *arg)
{
	const struct blob_count *c = LIST_ENTRY(n, struct blob_count, item.node);

	if (!c->has_row)
		tell(arg, "blob %" PRIu64 ": %" PRIu64 " extents name it, but it has no row", c->item.id, c->refs);
	else if (c->decodes)
		compare(arg, "blob", c->item.id, "refs", c->row_refs, c->refs);
	return false;
}

static bool map_has_row(struct hash_node *n, void *arg)
{
	const struct map_count *c = LIST_ENTRY(n, struct map_count, item.node);

	if (!c->has_row)
		tell(arg, "map %" PRIu64 ": rows name it, but it has no head", c->item.id);
	return false;
}

static bool segment_has_row(struct hash_node *n, void *arg)
{
	const struct segment_count *c = LIST_ENTRY(n, struct segment_count, item.node);

	if (!c->has_row)
		tell(arg, "segment %" PRIu64 ": blobs lie in it, but it has no row", c->item.id);
	return false;
}

/* ---- Names ---- */

static void on_file(struct recount *r, const struct meta_row *row)
{
	struct file_count *c = FIND_OR_ADD(r, files, struct file_count, key_id(row));
	struct row_file f;

	if (row_file_decode(row->body, &f) < 0) {
		tell(r, "file %" PRIu64 ": does not decode", c->item.id);
		return;
	}
	c->size = f.obj.size;
	c->flags = f.obj.flags;
	count_content(r, f.obj.map, f.obj.extent, f.obj.extents);
}

static void on_dir(struct recount *r, const struct meta_row *row)
{
	struct place *p = FIND_OR_ADD(r, places, struct place, key_id(row));
	struct row_dir d;

	if (row_dir_decode(row->body, &d) < 0) {
		tell(r, "dir %" PRIu64 ": does not decode", p->item.id);
		return;
	}
	p->has_row = true;
	p->flags = d.flags;
	p->parent = d.parent;
	p->bucket = d.bucket;
	p->row_live = d.live;
	p->row_children = d.children;
	if (d.marker) {
		p->marker_size = d.obj.size;
		count_content(r, d.obj.map, d.obj.extent, d.obj.extents);
	}
}

static void on_object_entry(struct recount *r, struct place *p, const struct row_entry *e)
{
	uint64_t size = e->obj.size;
	uint32_t flags = e->obj.flags;

	if (e->flags & ENTRY_LINKED) {
		const struct file_count *f = find(&r->files, e->id);

		if (!f)
			tell(r, "dir %" PRIu64 ": an entry names file %" PRIu64 ", which has no row", p->item.id, e->id);
		size = f ? f->size : 0;
		flags = f ? f->flags : 0;
	}
	count_content(r, e->obj.map, e->obj.extent, e->obj.extents);
	p->children++;
	p->versions++;
	p->bytes += size;
	if (!(flags & VERSION_DELETE_MARKER)) {
		p->live++;
		p->objects++;
	}
}

static void on_entry(struct recount *r, const struct meta_row *row)
{
	struct place *p = FIND_OR_ADD(r, places, struct place, key_id(row)), *below;
	struct row_entry e;

	if (row_entry_decode(row->body, &e) < 0) {
		tell(r, "dir %" PRIu64 ": an entry does not decode", p->item.id);
		return;
	}
	if (e.kind == ENTRY_OBJECT) {
		on_object_entry(r, p, &e);
		return;
	}
	if (e.kind == ENTRY_DIR)
		p->children++;
	if (e.id == 0) /* history only */
		return;
	below = FIND_OR_ADD(r, places, struct place, e.id);
	if (below->up)
		tell(r, "dir %" PRIu64 ": has two entries", e.id);
	below->up = p;
	below->cont = e.kind == ENTRY_CONT;
}

static void on_bucket(struct recount *r, const struct meta_row *row)
{
	struct row_bucket b;

	FIND_OR_ADD(r, buckets, struct bucket_count, key_id(row));
	if (row_bucket_decode(row->body, &b) < 0)
		tell(r, "bucket %" PRIu64 ": does not decode", key_id(row));
	else
		FIND_OR_ADD(r, places, struct place, b.upload_root)->upload_root = true;
}

static void on_upload(struct recount *r, const struct meta_row *row)
{
	struct row_upload u;

	if (row_upload_decode(row->body, &u) < 0)
		tell(r, "upload key %" PRIu64 ": does not decode", key_id(row));
	else
		FIND_OR_ADD(r, buckets, struct bucket_count, u.bucket)->u.uploads++;
}

/* The directory that a place belongs to: itself, or what is above its continuations. */
static struct place *owner(struct place *p)
{
	for (unsigned i = 0; p && p->cont; i++)
		p = i < CONTS_MAX ? p->up : NULL;
	return p;
}

static bool fold_cont(struct hash_node *n, void *arg)
{
	struct place *p = LIST_ENTRY(n, struct place, item.node), *to;

	if (!p->cont)
		return false;
	to = owner(p);
	if (!to) {
		tell(arg, "continuation %" PRIu64 ": leads nowhere", p->item.id);
		return false;
	}
	to->live += p->live;
	to->children += p->children;
	to->objects += p->objects;
	to->versions += p->versions;
	to->bytes += p->bytes;
	return false;
}

struct shown {
	struct place *first;
};

static void show(struct shown *s, struct place *p)
{
	if (!p || p->shown)
		return;
	p->shown = true;
	p->next_shown = s->first;
	s->first = p;
}

static bool show_one(struct hash_node *n, void *arg)
{
	struct place *p = LIST_ENTRY(n, struct place, item.node);

	if (!p->cont && ((p->flags & DIR_EXPLICIT) || p->live))
		show(arg, p);
	return false;
}

/* Each directory becomes shown once, and counts in the one above when it does. */
static void count_shown(struct recount *r)
{
	struct shown s = {0};
	struct place *p;

	hash_each(&r->places, show_one, &s);
	while ((p = s.first)) {
		struct place *up = owner(p->up);

		s.first = p->next_shown;
		if (up) {
			up->live++;
			show(&s, up);
		}
	}
}

static void count_usage(struct recount *r, const struct place *p)
{
	struct bucket_count *b;
	bool explicit = p->up && (p->flags & DIR_EXPLICIT);

	if (p->upload_root)
		return;
	b = FIND_OR_ADD(r, buckets, struct bucket_count, p->bucket);
	b->u.objects += p->objects + explicit;
	b->u.versions += p->versions + explicit;
	b->u.bytes += p->bytes + (explicit ? p->marker_size : 0);
}

static bool check_place(struct hash_node *n, void *arg)
{
	struct recount *r = arg;
	struct place *p = LIST_ENTRY(n, struct place, item.node), *up = owner(p->up);
	uint64_t id = p->item.id;

	if (p->cont)
		return false;
	if (!p->has_row) {
		if (p->up || p->children)
			tell(r, "dir %" PRIu64 ": has %s, but no row", id, p->up ? "an entry" : "children");
		return false;
	}
	if (p->parent != (up ? up->item.id : 0))
		tell(r, "dir %" PRIu64 ": parent is %" PRIu64 ", its entry lies in %" PRIu64, id, p->parent,
		     up ? up->item.id : 0);
	compare(r, "dir", id, "live", p->row_live, p->live);
	compare(r, "dir", id, "children", p->row_children, p->children);
	count_usage(r, p);
	return false;
}

static void on_usage(struct recount *r, const struct meta_row *row)
{
	struct bucket_count *c = FIND_OR_ADD(r, buckets, struct bucket_count, key_id(row));
	uint64_t id = c->item.id;
	struct row_usage u;

	c->has_row = true;
	if (row_usage_decode(row->body, &u) < 0) {
		tell(r, "usage %" PRIu64 ": does not decode", id);
		return;
	}
	compare(r, "usage", id, "objects", u.objects, c->u.objects);
	compare(r, "usage", id, "versions", u.versions, c->u.versions);
	compare(r, "usage", id, "bytes", u.bytes, c->u.bytes);
	compare(r, "usage", id, "stored", u.stored, c->u.bytes);
	compare(r, "usage", id, "uploads", u.uploads, c->u.uploads);
}

static bool usage_has_row(struct hash_node *n, void *arg)
{
	const struct bucket_count *c = LIST_ENTRY(n, struct bucket_count, item.node);

	if (!c->has_row)
		tell(arg, "usage %" PRIu64 ": rows of the bucket, but none of its usage", c->item.id);
	return false;
}

/* ---- All of it ---- */

static int recount_names(struct recount *r)
{
	static const struct {
		enum meta_table table;
		row_fn fn;
	} pass[] = {
		{TABLE_BUCKET, on_bucket}, {TABLE_FILE, on_file},     {TABLE_DIR, on_dir},
		{TABLE_ENTRY, on_entry},   {TABLE_UPLOAD, on_upload},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(pass); i++) {
		int rc = scan(r, pass[i].table, pass[i].fn);

		if (rc < 0)
			return rc;
	}
	hash_each(&r->places, fold_cont, r);
	count_shown(r);
	hash_each(&r->places, check_place, r);
	return scan(r, TABLE_USAGE, on_usage);
}

static int recount_blobs(struct recount *r)
{
	static const struct {
		enum meta_table table;
		row_fn fn;
	} pass[] = {
		{TABLE_UPART, on_upart},
		{TABLE_MAP, on_map},
		{TABLE_BLOB, on_blob},
		{TABLE_SEGMENT, on_segment},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(pass); i++) {
		int rc = scan(r, pass[i].table, pass[i].fn);

		if (rc < 0)
			return rc;
	}
	return 0;
}

static int recount_all(struct recount *r)
{
	int rc = recount_names(r);

	return rc < 0 ? rc : recount_blobs(r);
}

static void each_table(struct recount *r, void (*fn)(struct hash *h))
{
	struct hash *const tables[] = {&r->places, &r->files, &r->buckets, &r->maps, &r->segments, &r->blobs};

	for (unsigned i = 0; i < ARRAY_SIZE(tables); i++)
		fn(tables[i]);
}

/* Which blobs it is: silent but for them, the rest has been told. */
static int look_closer(struct recount *r)
{
	struct recount again = {.v = r->v, .step = r->step, .arg = r->arg, .rows = r->rows, .arena = ARENA_INIT,
				.refs = r->refs, .closer = true};

	each_table(&again, hash_init);
	int rc = recount_all(&again);
	if (rc == 0)
		hash_each(&again.blobs, check_blob, r);
	each_table(&again, hash_done);
	arena_free(&again.arena);
	return rc;
}

int recount_view(struct meta_view *v, bool (*step)(void *arg, uint64_t rows), void *arg, struct buf *ret)
{
	CLEANUP_FREE struct refs_sum *refs = calloc(1, sizeof *refs);
	struct recount r = {.v = v, .out = ret, .step = step, .arg = arg, .arena = ARENA_INIT, .refs = refs};

	if (!refs)
		return -ENOMEM;
	each_table(&r, hash_init);
	int rc = recount_all(&r);
	if (rc == 0) {
		hash_each(&r.buckets, usage_has_row, &r);
		hash_each(&r.maps, map_has_row, &r);
		hash_each(&r.segments, segment_has_row, &r);
	}
	each_table(&r, hash_done);
	arena_free(&r.arena);
	if (rc == 0 && refs_differ_anywhere(refs))
		rc = look_closer(&r);
	return rc < 0 ? rc : r.differences;
}
