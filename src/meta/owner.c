/* SPDX-License-Identifier: Apache-2.0
 *
 * Which names lead to a blob: one pass over the rows that name blobs, from the outside in. See owner.h.
 */
#include "meta/owner.h"

#include <string.h>

#include "base/bytes.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/hash.h"

#define DEPTH_MAX 600    /* directories of a key, and then some */
#define IDS_MAX (1u << 16) /* blobs, maps and files that lead to one: of what has more copies not all names are found */
#define FOUND_MAX (1u << 12)

struct owned { /* a blob, map or file: ids are of one kind only */
	struct hash_node node;
	uint64_t id;
	unsigned blob; /* that it leads to */
};

struct cont { /* the first part of a long name, that is wanted */
	uint64_t id, dir; /* dir 0: not known yet */
	struct str piece; /* in the arena */
};

struct found {
	uint64_t dir; /* a directory, or a continuation */
	struct str piece;
	unsigned blob;
	bool marker;
};

struct owners {
	struct meta_set *s;
	struct vec *blobs; /* struct blob_owner */
	bool (*go_on)(void *arg);
	void *arg;
	struct hash ids;
	unsigned nids;
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
	if (find(o, id) || o->nids == IDS_MAX)
		return;
	o->nids++;
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
	struct blob_owner *b = VEC_AT(o->blobs, struct blob_owner, blob);

	if (b->names++ >= OWNER_NAMES)
		return;
	if (b->text.len)
		buf_add_char(&b->text, '\n');
	buf_add_str(&b->text, text);
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
	if (o->found.n == FOUND_MAX) {
		VEC_AT(o->blobs, struct blob_owner, w->blob)->names++; /* counted, not told */
		return;
	}
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
	if (e.kind != ENTRY_OBJECT)
		return;
	w = e.flags & ENTRY_LINKED ? find(o, e.id) : in_content(o, e.obj.map, e.obj.extent, e.obj.extents);
	if (w)
		push_found(o, w, id_of(row), piece, false);
}

/* ---- Paths -------------------------------------------------------------------------------------------------------- */
static struct cont *cont_of(const struct owners *o, uint64_t id)
{
	for (unsigned i = 0; i < o->conts.n; i++)
		if (VEC_AT(&o->conts, struct cont, i)->id == id)
			return VEC_AT(&o->conts, struct cont, i);
	return NULL;
}

/* The row of a directory; false: it is none. */
static bool dir_of(struct meta_view *v, uint64_t id, struct row_dir *ret)
{
	struct meta_row row;
	struct meta_key k;

	key_u64(&k, id);
	return meta_get_k(v, TABLE_DIR, &k, &row) > 0 && row_dir_decode(row.body, ret) == 0;
}

static struct str bucket_name(struct owners *o, struct meta_view *v, uint64_t bucket)
{
	struct row_bucket b;
	struct meta_row row;
	struct meta_key k;

	key_u64(&k, bucket);
	if (meta_get_k(v, TABLE_BUCKET, &k, &row) <= 0 || row_bucket_decode(row.body, &b) < 0)
		return STR_LIT("?");
	return arena_str(&o->arena, b.name);
}

/* "BUCKET/DIR/DIR/", and behind it the first parts of a long name. */
static void add_dir(struct owners *o, struct meta_view *v, uint64_t id, struct buf *ret)
{
	struct str piece[DEPTH_MAX];
	bool slash[DEPTH_MAX];
	struct row_dir d;
	unsigned n = 0;

	for (bool top = false; !top && n < DEPTH_MAX; n++) {
		const struct cont *c = cont_of(o, id);
		slash[n] = !c;
		if (c && c->dir) {
			piece[n] = c->piece;
			id = c->dir;
			continue;
		}
		if (!dir_of(v, id, &d)) {
			piece[n] = STR_LIT("?");
			n++;
			break;
		}
		top = d.parent == 0;
		piece[n] = top ? bucket_name(o, v, d.bucket) : arena_str(&o->arena, d.name);
		id = d.parent;
	}
	while (n-- > 0) {
		percent_encode(ret, piece[n], true);
		if (slash[n])
			buf_add_char(ret, '/');
	}
}

static int add_path(struct owners *o, const struct found *f)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	CLEANUP_BUF struct buf path = BUF_INIT;
	int rc = meta_view_open(o->s, &v);

	if (rc < 0)
		return rc;
	add_dir(o, v, f->dir, &path);
	percent_encode(&path, f->piece, true);
	if (!buf_err(&path))
		add_line(o, f->blob, buf_str(&path));
	return buf_err(&path);
}

/* ---- All of it ---------------------------------------------------------------------------------------------------- */
struct pass {
	struct owners *o;
	owner_fn fn;
};

static int visit(void *arg, const struct meta_row *row)
{
	const struct pass *p = arg;

	p->fn(p->o, row);
	return p->o->rc;
}

static int scan(struct owners *o, enum meta_table table, owner_fn fn)
{
	struct meta_key k = {.len = 0};
	int rc;

	do {
		if (o->go_on && !o->go_on(o->arg))
			return -QE_BUSY;
		rc = rows_page(o->s, table, &k, visit, &(struct pass){o, fn});
	} while (rc > 0);
	return rc;
}

static void on_cont(struct owners *o, const struct meta_row *row)
{
	struct row_entry e;

	if (row->key.len < 8 || row_entry_decode(row->body, &e) < 0 || e.kind != ENTRY_CONT)
		return;
	struct cont *c = cont_of(o, e.id);
	if (!c)
		return;
	c->dir = id_of(row);
	c->piece = arena_str(&o->arena, str_sub(row->key, 8, row->key.len - 8));
}

/* A name goes on in a continuation when its place is no directory: those that nobody has looked for yet are noted. */
static int want_conts(struct owners *o, bool *ret_more)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct row_dir d;
	int rc = meta_view_open(o->s, &v);

	*ret_more = false;
	for (unsigned i = 0; rc == 0 && i < o->found.n; i++) {
		uint64_t id = VEC_AT(&o->found, struct found, i)->dir;
		const struct cont *c = cont_of(o, id);
		for (unsigned n = 0; c && c->dir && n < DEPTH_MAX; n++, c = cont_of(o, id))
			id = c->dir;
		if (c || dir_of(v, id, &d))
			continue;
		struct cont *new = vec_push(&o->conts, sizeof *new);
		if (!new)
			return -ENOMEM;
		new->id = id;
		*ret_more = true;
	}
	return rc;
}

static int find_conts(struct owners *o)
{
	bool more = true;
	int rc = 0;

	while (rc == 0 && more) {
		rc = want_conts(o, &more);
		if (rc == 0 && more)
			rc = scan(o, TABLE_ENTRY, on_cont);
	}
	return rc;
}

static void add_more(struct blob_owner *b)
{
	if (b->names > OWNER_NAMES)
		buf_addf(&b->text, "\nand %u more", b->names - OWNER_NAMES);
}

int owners_find(struct meta_set *s, struct vec *blobs, bool (*go_on)(void *arg), void *arg)
{
	static const struct {
		enum meta_table table;
		owner_fn fn;
	} pass[] = {
		{TABLE_MAP, on_map}, {TABLE_FILE, on_file}, {TABLE_UPART, on_upart}, {TABLE_DIR, on_dir}, {TABLE_ENTRY, on_entry},
	};
	struct owners o = {.s = s, .blobs = blobs, .go_on = go_on, .arg = arg, .arena = ARENA_INIT};
	int rc = 0;

	hash_init(&o.ids);
	for (unsigned i = 0; i < blobs->n; i++)
		mark(&o, VEC_AT(blobs, struct blob_owner, i)->blob, i);
	for (unsigned i = 0; rc == 0 && i < ARRAY_SIZE(pass); i++)
		rc = scan(&o, pass[i].table, pass[i].fn);
	if (rc == 0)
		rc = find_conts(&o);
	for (unsigned i = 0; rc == 0 && i < o.found.n; i++)
		rc = add_path(&o, VEC_AT(&o.found, struct found, i));
	for (unsigned i = 0; rc == 0 && i < blobs->n; i++)
		add_more(VEC_AT(blobs, struct blob_owner, i));
	hash_done(&o.ids);
	arena_free(&o.arena);
	vec_free(&o.conts);
	vec_free(&o.found);
	return rc;
}

void owners_free(struct vec *blobs)
{
	for (unsigned i = 0; i < blobs->n; i++)
		buf_free(&VEC_AT(blobs, struct blob_owner, i)->text);
	vec_free(blobs);
}
