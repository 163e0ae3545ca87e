/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading directories. An open directory remembers the names that it gave out, by their offset (a count from 1), so
 * that
 * reading goes on behind any of them whatever came and went: no name is shown twice, none that was there all along is
 * left out. Entries are read a page at a time, each from a fresh view.
 *
 * Offsets: 1 is behind ".", 2 behind "..", 2 + i behind the i-th name.
 */
#include <stdlib.h>

#include "object/fs_internal.h"

#define PAGE 256

struct item {
	struct str name; /* of the entry; in the page's arena */
	struct str shown;
	uint64_t id;
	enum fs_kind kind;
	bool complete; /* st is what the entry's row says */
	struct stat st;
};

struct given { /* a name given out: where it lies in the directory's bytes */
	uint64_t at;
	uint32_t len;
	bool is_dir;
};

struct fs_dir {
	struct list open; /* node->dirs */
	struct fs_node *node;
	struct mutex lock; /* LOCK_HANDLE: one reader at a time */
	struct given *given;
	size_t ngiven, cap_given;
	struct buf names;
	struct arena arena; /* of the page */
	struct item item[PAGE];
	unsigned nitems;
	uint64_t first;    /* offset of item[0] (behind which name it comes) */
	uint64_t view_seq; /* state that the page shows */
	bool last_page;
	char dots[2][3];
};

/* ---- Walking the entry rows -------------------------------------------------------------------------------- */
struct walk {
	struct fs *fs;
	struct meta_view *v;
	struct arena *a;
	struct fs_dir *d; /* fills its page; NULL: looks for id */
	uint64_t dir;
	struct str after; /* names behind this one (in the order of entry keys) */
	bool after_dir;
	uint64_t id;
	struct item found;
};

static int walk_level(struct walk *w, uint64_t level, struct str prefix, unsigned depth);

/* Keys sort as name bytes with `/` behind a directory's. */
static int key_order(struct str a, bool a_dir, struct str b, bool b_dir)
{
	size_t n = MIN(a.len, b.len);
	int c = n ? memcmp(a.p, b.p, n) : 0;
	unsigned ca, cb;

	if (c)
		return c;
	ca = a.len > n ? (uint8_t)a.p[n] + 1u : a_dir ? '/' + 1u : 0;
	cb = b.len > n ? (uint8_t)b.p[n] + 1u : b_dir ? '/' + 1u : 0;
	if (ca != cb)
		return ca < cb ? -1 : 1;
	return a.len == b.len ? (int)a_dir - (int)b_dir : a.len < b.len ? -1 : 1;
}

static bool page_full(const struct walk *w)
{
	return w->d ? w->d->nitems == PAGE : w->found.id != 0;
}

static void add_item(struct walk *w, struct str name, const struct row_entry *e, uint64_t seq)
{
	struct item it = {.id = e->id, .kind = e->kind == ENTRY_DIR ? FS_DIR : FS_OBJECT};

	if (!w->d) {
		if (e->id != w->id)
			return;
		it.name = arena_str(w->a, name);
		w->found = it;
		return;
	}
	it.name = arena_str(w->a, name);
	it.shown = it.name;
	if (it.kind == FS_OBJECT && !(e->flags & ENTRY_LINKED)) {
		struct fs_where where = {.by_entry = true, .row.seq = seq};

		where.file.id = e->id;
		where.file.attr = e->attr;
		where.file.obj = e->obj;
		it.complete = e->obj.map == 0;
		if (it.complete)
			stat_of_file(NULL, w->v, &where, NULL, &it.st);
		else
			it.st.st_mode = e->attr.mode;
	} else if (it.kind == FS_DIR) {
		it.st.st_mode = S_IFDIR;
	}
	w->d->item[w->d->nitems++] = it;
}

static int walk_row(struct walk *w, const struct meta_row *row, struct str prefix, unsigned depth)
{
	struct str piece = {row->key.p + 8, row->key.len - 8}, name;
	struct row_entry e;
	bool is_dir;
	int rc = row_entry_decode(row->body, &e);

	if (rc < 0)
		return rc;
	is_dir = e.kind == ENTRY_DIR;
	if (is_dir && piece.len)
		piece.len--;
	name = prefix.len ? str_of(arena_printf(w->a, "%.*s%.*s", STR_FMT(prefix), STR_FMT(piece))) : piece;
	if (e.kind == ENTRY_CONT)
		return depth > 4 ? -QE_CORRUPT : walk_level(w, e.id, name, depth + 1);
	if (e.id == 0 || (w->after.p && key_order(name, is_dir, w->after, w->after_dir) <= 0))
		return 0;
	add_item(w, name, &e, row->seq);
	return 0;
}

/* Where to begin at this level: at the piece of `after` that lies here. */
static void walk_from(const struct walk *w, uint64_t level, struct str prefix, struct meta_key *from)
{
	struct str rest = {0};
	bool whole;

	key_u64(from, level);
	if (!w->after.p || w->after.len < prefix.len || (prefix.len && memcmp(w->after.p, prefix.p, prefix.len) != 0))
		return;
	rest = str_sub(w->after, prefix.len, w->after.len - prefix.len);
	whole = rest.len < META_NAME_PIECE;
	key_u64_str(from, level, whole ? rest : str_sub(rest, 0, META_NAME_PIECE));
	if (whole && w->after_dir)
		from->b[from->len++] = '/';
}

static int walk_level(struct walk *w, uint64_t level, struct str prefix, unsigned depth)
{
	struct meta_iter *it;
	struct meta_row row;
	struct meta_key from;
	int rc = meta_iter_open(w->v, TABLE_ENTRY, &it);

	if (rc < 0)
		return rc;
	walk_from(w, level, prefix, &from);
	rc = meta_iter_seek(it, from.b, from.len, &row);
	while (rc == 1 && row.key.len >= 8 && be64_get(row.key.p) == level) {
		rc = walk_row(w, &row, prefix, depth);
		if (rc < 0 || page_full(w))
			break;
		rc = meta_iter_next(it, &row);
	}
	meta_iter_close(it);
	return MIN(rc, 0);
}

int find_by_id(struct fs *f, struct meta_view *v, struct arena *a, uint64_t dir, uint64_t id, struct str *ret_name,
               enum fs_kind *ret_kind)
{
	struct walk w = {.fs = f, .v = v, .a = a, .dir = dir, .id = id};
	int rc = walk_level(&w, dir, (struct str){NULL, 0}, 0);

	if (rc < 0)
		return rc;
	if (!w.found.id)
		return -ENOENT;
	*ret_name = w.found.name;
	*ret_kind = w.found.kind;
	return 0;
}

/* ---- Pages ------------------------------------------------------------------------------------------------- */
/* Is there a directory of the name of an object that is shown? Usually the page itself tells: "a/" comes behind "a" and
 * before whatever does not begin with "a" and a byte below `/`. */
static int beside_dir(struct walk *w, unsigned i, bool *ret)
{
	const struct item *it = &w->d->item[i];
	struct path p = {.store = w->fs->s, .view = w->v, .arena = w->a};
	struct path_node at = {.id = w->dir};
	struct path_slot s;
	int rc;

	for (unsigned j = i + 1; j < w->d->nitems; j++) {
		int c = key_order(w->d->item[j].name, w->d->item[j].kind == FS_DIR, it->name, true);

		*ret = c == 0;
		if (c >= 0)
			return 0;
	}
	*ret = false;
	if (w->d->nitems < PAGE)
		return 0;
	rc = path_slot_read(&p, &at, it->name, true, &s);
	*ret = rc == 0 && s.present && s.entry.id;
	return rc;
}

static int show_names(struct walk *w)
{
	for (unsigned i = 0; i < w->d->nitems; i++) {
		struct item *it = &w->d->item[i];
		bool beside = false;
		int rc = it->kind == FS_OBJECT ? beside_dir(w, i, &beside) : 0;

		if (rc < 0)
			return rc;
		it->shown = alias_encode(w->a, it->name, beside, it->id);
	}
	return 0;
}

static int bucket_page(struct walk *w)
{
	struct meta_iter *it;
	struct meta_row row;
	int rc = meta_iter_open(w->v, TABLE_BUCKETDIR, &it);

	if (rc < 0)
		return rc;
	rc = meta_iter_seek(it, w->after.p, w->after.len, &row);
	for (; rc == 1 && !page_full(w); rc = meta_iter_next(it, &row)) {
		struct item new = {.kind = FS_DIR, .st.st_mode = S_IFDIR};
		struct row_bucketdir bd;
		struct row_bucket bk;
		struct meta_row brow;
		struct meta_key k;

		if (w->after.p && str_cmp(row.key, w->after) <= 0)
			continue;
		if (row_bucketdir_decode(row.body, &bd) < 0 || bd.state != BUCKET_LIVE)
			continue;
		key_u64(&k, bd.bucket);
		if (meta_get_k(w->v, TABLE_BUCKET, &k, &brow) != 1 || row_bucket_decode(brow.body, &bk) < 0)
			continue;
		new.id = bk.root_dir;
		new.name = new.shown = arena_str(w->a, row.key);
		w->d->item[w->d->nitems++] = new;
	}
	meta_iter_close(it);
	return MIN(rc, 0);
}

static int page_load(struct fs_dir *d, uint64_t off)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct fs *f = d->node->fs;
	struct walk w = {.fs = f, .a = &d->arena, .d = d, .dir = d->node->ino};
	int rc = meta_view_open(f->set, &v);

	if (rc < 0)
		return rc;
	w.v = v;
	if (off > 2) {
		const struct given *g = &d->given[off - 3];

		w.after = (struct str){d->names.data + g->at, g->len};
		w.after_dir = g->is_dir;
	}
	arena_reset(&d->arena);
	d->nitems = 0;
	d->first = off;
	d->view_seq = meta_view_seq(v);
	rc = d->node->kind == FS_ROOT ? bucket_page(&w) : walk_level(&w, w.dir, (struct str){NULL, 0}, 0);
	if (rc == 0 && d->node->kind != FS_ROOT)
		rc = show_names(&w);
	if (rc < 0)
		d->nitems = 0;
	d->last_page = d->nitems < PAGE;
	return rc;
}

/* Notes the name at offset off + 1. */
static int give(struct fs_dir *d, uint64_t off, const struct item *it)
{
	size_t i = (size_t)off - 2;

	if (i < d->ngiven && str_eq((struct str){d->names.data + d->given[i].at, d->given[i].len}, it->name) &&
	    d->given[i].is_dir == (it->kind == FS_DIR))
		return 0; /* given before */
	if (i == d->cap_given) {
		size_t cap = d->cap_given ? d->cap_given * 2 : 64;
		struct given *g = realloc(d->given, cap * sizeof *g);

		if (!g)
			return -ENOMEM;
		d->given = g;
		d->cap_given = cap;
	}
	d->given[i] = (struct given){.at = d->names.len, .len = (uint32_t)it->name.len, .is_dir = it->kind == FS_DIR};
	buf_add_str(&d->names, it->name);
	if (buf_err(&d->names))
		return -ENOMEM;
	d->ngiven = MAX(d->ngiven, i + 1);
	return 0;
}

void dirs_close(struct fs_node *n)
{
	while (!list_empty(&n->dirs))
		fs_closedir(LIST_ENTRY(n->dirs.next, struct fs_dir, open));
}

/* ---- The face ---------------------------------------------------------------------------------------------- */
int fs_opendir(struct fs *f, struct op_ctx *ctx, struct fs_node *n, struct fs_dir **ret)
{
	struct fs_dir *d;

	if (n->kind == FS_OBJECT)
		return -ENOTDIR;
	d = calloc(1, sizeof *d);
	if (!d)
		return -ENOMEM;
	mutex_init(&d->lock, LOCK_HANDLE);
	d->node = node_ref(n);
	d->first = UINT64_MAX;
	mutex_lock(&n->lock);
	list_add_tail(&n->dirs, &d->open);
	mutex_unlock(&n->lock);
	*ret = d;
	return 0;
}

void fs_closedir(struct fs_dir *d)
{
	mutex_lock(&d->node->lock);
	list_del(&d->open);
	mutex_unlock(&d->node->lock);
	node_unref(d->node);
	mutex_destroy(&d->lock);
	arena_free(&d->arena);
	buf_free(&d->names);
	free(d->given);
	free(d);
}

int fs_fsyncdir(struct fs_dir *d, struct op_ctx *ctx)
{
	struct fs *f = d->node->fs;

	/* Whatever was seen in the directory is in the rows applied so far. */
	return meta_wait_blocking(f->set, meta_applied_seq(f->set));
}

static int dot(struct fs_dir *d, uint64_t off, struct fs_dirent *ret)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct fs *f = d->node->fs;
	struct meta_row row;
	struct row_dir dir;

	ret->name = off == 0 ? STR_LIT(".") : STR_LIT("..");
	ret->type = S_IFDIR;
	ret->ino = d->node->ino;
	ret->next = off + 1;
	if (off == 1 && d->node != f->root && meta_view_open(f->set, &v) == 0 && dir_row(v, d->node->ino, &row, &dir) == 0)
		ret->ino = dir.parent ? dir.parent : f->root->ino;
	return 1;
}

/* The name and the node are registered before what is told of them is read: when something was applied since the page was
 * read, the name is looked up again. Without a node nothing but number and type is told, and the kernel keeps
 * nothing. */
static int plus_item(struct fs_dir *d, struct op_ctx *ctx, const struct item *it, struct fs_dirent *ret)
{
	struct fs *f = d->node->fs;
	struct fs_now now;
	struct fs_node *n;
	int rc;

	if (f->name_told)
		f->name_told(f->mount, d->node->ino, it->shown);
	n = node_get(f, it->id, it->kind, d->node->ino, it->name, d->view_seq);
	if (!n)
		return -ENOMEM;
	atomic_store(&n->told, true);
	node_now(n, &now);
	ret->st = it->st;
	if (!it->complete || now.size_set || now.mtime_set || meta_applied_seq(f->set) != d->view_seq) {
		node_unref(n);
		rc = fs_lookup(f, ctx, d->node, it->shown, &n, &ret->st);
		if (rc < 0)
			return 0;
		if (n->ino != it->id) {
			node_unref(n);
			return 0;
		}
	}
	ret->node = n;
	ret->has_stat = true;
	ret->type = ret->st.st_mode & S_IFMT;
	return 0;
}

/* The type of an entry whose row does not tell (hard links). */
static unsigned type_of(struct fs_dir *d, const struct item *it)
{
	struct fs_node *n;
	struct stat st;
	unsigned type = 0;

	if (it->st.st_mode)
		return it->st.st_mode & S_IFMT;
	n = node_get(d->node->fs, it->id, it->kind, d->node->ino, it->name, d->view_seq);
	if (n && node_stat(n, &st) == 0)
		type = st.st_mode & S_IFMT;
	if (n)
		node_unref(n);
	return type;
}

int fs_readdir(struct fs_dir *d, struct op_ctx *ctx, uint64_t off, bool plus, struct fs_dirent *ret)
{
	const struct item *it;
	int rc;
	MUTEX_GUARD(&d->lock);

	memset(ret, 0, sizeof *ret);
	if (off < 2) {
		if (off == 0) { /* from the start: what is there now, not what was */
			d->ngiven = 0;
			buf_reset(&d->names);
			d->first = UINT64_MAX;
		}
		return dot(d, off, ret);
	}
	if (off - 2 > d->ngiven)
		return 0; /* never given out */
	if (off < d->first || off >= d->first + d->nitems) {
		if (off == d->first + d->nitems && d->last_page && d->first != UINT64_MAX)
			return 0;
		FS_AGAIN(rc, page_load(d, off));
		if (rc < 0)
			return rc;
		if (d->nitems == 0)
			return 0;
	}
	it = &d->item[off - d->first];
	rc = give(d, off, it);
	if (rc < 0)
		return rc;
	ret->name = it->shown;
	ret->ino = it->id;
	ret->next = off + 1;
	ret->type = it->st.st_mode & S_IFMT;
	if (plus)
		rc = plus_item(d, ctx, it, ret);
	else if (!ret->type)
		ret->type = type_of(d, it);
	return rc < 0 ? rc : 1;
}
