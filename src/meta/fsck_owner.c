/* SPDX-License-Identifier: Apache-2.0
 *
 * Which names lead to a blob: one pass over the rows that name blobs, from the outside in. What is found is told by its
 * path, percent-encoded where it is not plain.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/hash.h"
#include "meta/fsck_internal.h"
#include "meta/set_internal.h"

#define DEPTH_MAX 600 /* directories of a key, and then some */

struct owned { /* a blob, map or file: ids are of one kind only */
	struct hash_node node;
	uint64_t id;
	unsigned blob; /* that it leads to */
};

struct cont { /* the first part of a long name */
	uint64_t id, dir;
	struct str piece; /* in the arena */
};

struct found {
	uint64_t dir; /* a directory, or a continuation */
	struct str piece;
	unsigned blob;
	bool marker;
};

struct owners {
	struct vec *blobs; /* struct blob_owner */
	struct meta_view *v;
	struct hash ids;
	struct arena arena;
	struct vec conts, found;
	int rc;
};

typedef void (*owner_fn)(struct owners *o, const struct meta_row *row);

static uint64_t id_of(const struct meta_row *row)
{
	return row->key.len >= 8 ? be64_get(row->key.p) : 0;
}

/* ---- From blobs to entries ---------------------------------------------------------------------------------------- */
static const struct owned *find(const struct owners *o, uint64_t id)
{
	struct hash_node *n = hash_first(&o->ids, hash_u64(id));

	while (n && LIST_ENTRY(n, struct owned, node)->id != id)
		n = hash_next(n);
	return n ? LIST_ENTRY(n, struct owned, node) : NULL;
}

static void mark(struct owners *o, uint64_t id, unsigned blob)
{
	if (find(o, id))
		return;
	struct owned *w = arena_zalloc(&o->arena, sizeof *w);
	w->id = id;
	w->blob = blob;
	hash_insert(&o->ids, hash_u64(id), &w->node);
}

static const struct owned *in_content(const struct owners *o, uint64_t map, const struct row_extent *e, unsigned n)
{
	const struct owned *w = map ? find(o, map) : NULL;

	for (unsigned i = 0; !w && i < n; i++)
		w = e[i].kind == EXTENT_BLOB ? find(o, e[i].blob) : NULL;
	return w;
}

/* A map over another one has the higher id, so its rows come later. */
static void on_map(struct owners *o, const struct meta_row *row)
{
	struct row_extent run[ROW_MAP_RUN];
	const struct owned *w = NULL;
	struct row_map_head head;

	if (row->key.len == 9) {
		w = row_map_head_decode(row->body, &head) == 0 && head.base ? find(o, head.base) : NULL;
	} else {
		int n = row_extents_decode(row->body, run, ROW_MAP_RUN);
		w = in_content(o, 0, run, (unsigned)MAX(n, 0));
	}
	if (w)
		mark(o, id_of(row), w->blob);
}

static void on_file(struct owners *o, const struct meta_row *row)
{
	const struct owned *w;
	struct row_file f;

	if (row_file_decode(row->body, &f) < 0)
		return;
	w = in_content(o, f.obj.map, f.obj.extent, f.obj.extents);
	if (w)
		mark(o, id_of(row), w->blob);
}

static void add_line(struct owners *o, unsigned blob, struct str text)
{
	struct buf *b = &VEC_AT(o->blobs, struct blob_owner, blob)->text;

	if (b->len)
		buf_add_char(b, '\n');
	buf_add_str(b, text);
}

static void on_upart(struct owners *o, const struct meta_row *row)
{
	const struct owned *w;
	struct row_upart p;

	if (row_upart_decode(row->body, &p) < 0)
		return;
	w = in_content(o, p.map, p.extent, p.extents);
	if (w)
		add_line(o, w->blob, STR_LIT("a part of an upload"));
}

static void push_found(struct owners *o, const struct owned *w, uint64_t dir, struct str piece, bool marker)
{
	struct found *f = vec_push(&o->found, sizeof *f);

	if (f)
		*f = (struct found){dir, arena_str(&o->arena, piece), w->blob, marker};
	else
		o->rc = -ENOMEM;
}

static void on_dir(struct owners *o, const struct meta_row *row)
{
	const struct owned *w;
	struct row_dir d;

	if (row_dir_decode(row->body, &d) < 0 || !d.marker)
		return;
	w = in_content(o, d.obj.map, d.obj.extent, d.obj.extents);
	if (w)
		push_found(o, w, id_of(row), STR_LIT(""), true);
}

static void on_entry(struct owners *o, const struct meta_row *row)
{
	const struct owned *w;
	struct row_entry e;

	if (row->key.len < 8 || row_entry_decode(row->body, &e) < 0)
		return;
	struct str piece = str_sub(row->key, 8, row->key.len - 8);
	if (e.kind == ENTRY_CONT) {
		struct cont *c = vec_push(&o->conts, sizeof *c);
		if (c)
			*c = (struct cont){e.id, id_of(row), arena_str(&o->arena, piece)};
		else
			o->rc = -ENOMEM;
		return;
	}
	if (e.kind != ENTRY_OBJECT)
		return;
	w = e.flags & ENTRY_LINKED ? find(o, e.id) : in_content(o, e.obj.map, e.obj.extent, e.obj.extents);
	if (w)
		push_found(o, w, id_of(row), piece, false);
}

/* ---- Paths -------------------------------------------------------------------------------------------------------- */
static const struct cont *cont_of(const struct owners *o, uint64_t id)
{
	for (unsigned i = 0; i < o->conts.n; i++)
		if (VEC_AT(&o->conts, struct cont, i)->id == id)
			return VEC_AT(&o->conts, struct cont, i);
	return NULL;
}

static struct str bucket_name(struct owners *o, uint64_t bucket)
{
	struct row_bucket b;
	struct meta_row row;
	struct meta_key k;

	key_u64(&k, bucket);
	if (meta_get_k(o->v, TABLE_BUCKET, &k, &row) <= 0 || row_bucket_decode(row.body, &b) < 0)
		return STR_LIT("?");
	return arena_str(&o->arena, b.name);
}

/* "BUCKET/DIR/DIR/", and behind it the first parts of a long name. */
static void add_dir(struct owners *o, uint64_t id, struct buf *ret)
{
	struct str piece[DEPTH_MAX];
	bool slash[DEPTH_MAX];
	struct meta_row row;
	struct meta_key k;
	struct row_dir d;
	unsigned n = 0;

	for (bool top = false; !top && n < DEPTH_MAX; n++) {
		const struct cont *c = cont_of(o, id);
		slash[n] = !c;
		if (c) {
			piece[n] = c->piece;
			id = c->dir;
			continue;
		}
		key_u64(&k, id);
		if (meta_get_k(o->v, TABLE_DIR, &k, &row) <= 0 || row_dir_decode(row.body, &d) < 0) {
			piece[n] = STR_LIT("?");
			n++;
			break;
		}
		top = d.parent == 0;
		piece[n] = top ? bucket_name(o, d.bucket) : arena_str(&o->arena, d.name);
		id = d.parent;
	}
	while (n-- > 0) {
		percent_encode(ret, piece[n], true);
		if (slash[n])
			buf_add_char(ret, '/');
	}
}

static void add_paths(struct owners *o)
{
	CLEANUP_BUF struct buf path = BUF_INIT;

	for (unsigned i = 0; i < o->found.n; i++) {
		const struct found *f = VEC_AT(&o->found, struct found, i);
		buf_reset(&path);
		add_dir(o, f->dir, &path);
		percent_encode(&path, f->piece, true);
		if (buf_err(&path))
			o->rc = buf_err(&path);
		else
			add_line(o, f->blob, buf_str(&path));
	}
}

/* ---- All of it ---------------------------------------------------------------------------------------------------- */
static int scan(struct owners *o, enum meta_table table, owner_fn fn)
{
	struct meta_iter *it;
	struct meta_row row;
	int rc = meta_iter_open(o->v, table, &it);

	if (rc < 0)
		return rc;
	for (rc = meta_iter_seek(it, "", 0, &row); rc > 0 && o->rc == 0; rc = meta_iter_next(it, &row))
		fn(o, &row);
	meta_iter_close(it);
	return o->rc ? o->rc : MIN(rc, 0);
}

int fsck_owners(struct fsck *f, struct vec *blobs)
{
	static const struct {
		enum meta_table table;
		owner_fn fn;
	} pass[] = {
		{TABLE_MAP, on_map}, {TABLE_FILE, on_file}, {TABLE_UPART, on_upart}, {TABLE_DIR, on_dir}, {TABLE_ENTRY, on_entry},
	};
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct owners o = {.blobs = blobs, .arena = ARENA_INIT};
	int rc = meta_view_open(f->s, &v);

	o.v = v;
	hash_init(&o.ids);
	for (unsigned i = 0; i < blobs->n; i++)
		mark(&o, VEC_AT(blobs, struct blob_owner, i)->blob, i);
	for (unsigned i = 0; rc == 0 && i < ARRAY_SIZE(pass); i++)
		rc = scan(&o, pass[i].table, pass[i].fn);
	if (rc == 0) {
		add_paths(&o);
		rc = o.rc;
	}
	hash_done(&o.ids);
	arena_free(&o.arena);
	vec_free(&o.conts);
	vec_free(&o.found);
	return rc;
}
