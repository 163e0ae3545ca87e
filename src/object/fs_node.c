/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of nodes, and finding a node's rows in a view.
 */
#include <stdlib.h>

#include "object/fs_internal.h"

static struct fs_node *find_locked(struct fs *f, uint64_t ino)
{
	for (struct hash_node *h = hash_first(&f->nodes, hash_u64(ino)); h; h = hash_next(h)) {
		struct fs_node *n = CONTAINER_OF(h, struct fs_node, hash);

		if (n->ino == ino)
			return n;
	}
	return NULL;
}

struct fs_node *node_find(struct fs *f, uint64_t ino)
{
	struct fs_node *n;
	MUTEX_GUARD(&f->nodes_lock);

	n = find_locked(f, ino);
	if (n)
		n->refs++;
	return n;
}

struct fs_node *node_ref(struct fs_node *n)
{
	MUTEX_GUARD(&n->fs->nodes_lock);
	n->refs++;
	return n;
}

static void place_set(struct fs_place *p, uint64_t dir, struct str name, uint64_t seq)
{
	if (seq < p->seq)
		return;
	p->seq = seq;
	if (p->name && p->dir == dir && str_eq(str_of(p->name), name))
		return;
	free(p->name);
	p->dir = dir;
	p->name = strndup(name.p, name.len);
}

static struct fs_node *node_new(struct fs *f, uint64_t ino, enum fs_kind kind)
{
	struct fs_node *n = calloc(1, sizeof *n);

	if (!n)
		return NULL;
	n->fs = f;
	n->ino = ino;
	n->kind = kind;
	n->refs = 1;
	mutex_init(&n->lock, LOCK_FILE);
	list_init(&n->dirty_node);
	list_init(&n->files);
	list_init(&n->dirs);
	return n;
}

static void node_free(struct fs_node *n)
{
	ASSERT(!n->dirty && !n->queued);
	if (n->kind == FS_OBJECT)
		store_unhold(n->fs->s, n->ino);
	mutex_destroy(&n->lock);
	free(n->place.name);
	free(n->was.name);
	free(n);
}

/* An existing node gets one more reference and is told its name; else `fresh`, which is used up, becomes the node. */
static struct fs_node *insert(struct fs *f, uint64_t ino, uint64_t dir, struct str name, uint64_t seq,
                              struct fs_node **fresh)
{
	struct fs_node *n;
	MUTEX_GUARD(&f->nodes_lock);

	n = find_locked(f, ino);
	if (n) {
		n->refs++;
	} else if (*fresh) {
		n = *fresh;
		*fresh = NULL;
		hash_insert(&f->nodes, hash_u64(ino), &n->hash);
	} else {
		return NULL;
	}
	if (name.p)
		place_set(&n->place, dir, name, seq);
	return n;
}

struct fs_node *node_get(struct fs *f, uint64_t ino, enum fs_kind kind, uint64_t dir, struct str name, uint64_t seq)
{
	struct fs_node *fresh = NULL, *n = insert(f, ino, dir, name, seq, &fresh);

	if (n)
		return n;
	fresh = node_new(f, ino, kind);
	if (!fresh)
		return NULL;
	if (kind == FS_OBJECT)
		store_hold(f->s, ino);
	n = insert(f, ino, dir, name, seq, &fresh);
	if (fresh)
		node_free(fresh);
	return n;
}

static void forget(struct fs_node *n, uint64_t count)
{
	struct fs *f = n->fs;
	bool last;

	mutex_lock(&f->nodes_lock);
	ASSERT(n->refs >= count);
	n->refs -= count;
	last = n->refs == 0;
	if (last)
		hash_remove(&f->nodes, &n->hash);
	mutex_unlock(&f->nodes_lock);
	if (last)
		node_free(n);
}

void node_unref(struct fs_node *n)
{
	forget(n, 1);
}

void fs_forget(struct fs_node *n, uint64_t count)
{
	forget(n, count);
}

uint64_t fs_node_ino(const struct fs_node *n)
{
	return n->ino;
}

bool fs_told(struct fs *f, uint64_t ino)
{
	struct fs_node *n;
	MUTEX_GUARD(&f->nodes_lock);

	n = find_locked(f, ino);
	return n && atomic_load(&n->told);
}

struct fs_node *fs_notice(struct fs *f, uint64_t ino, bool *ret_told)
{
	struct fs_node *n;
	MUTEX_GUARD(&f->nodes_lock);

	n = find_locked(f, ino);
	if (!n)
		return NULL;
	n->refs++;
	if (ret_told)
		*ret_told = atomic_exchange(&n->told, false);
	return n;
}

struct node_list {
	struct fs_node **n;
	size_t count;
};

static bool add_node(struct hash_node *h, void *arg)
{
	struct node_list *l = arg;
	struct fs_node *n = CONTAINER_OF(h, struct fs_node, hash);

	n->refs++;
	l->n[l->count++] = n;
	return false;
}

size_t fs_nodes(struct fs *f, struct fs_node ***ret)
{
	struct node_list l = {0};
	MUTEX_GUARD(&f->nodes_lock);

	l.n = calloc(f->nodes.count + 1, sizeof(struct fs_node *));
	if (l.n)
		hash_each(&f->nodes, add_node, &l);
	*ret = l.n;
	return l.count;
}

bool fs_node_place(struct fs *f, struct fs_node *n, struct fs_node **ret_parent, char name[FS_NAME_MAX + 1])
{
	MUTEX_GUARD(&f->nodes_lock);

	if (!n->place.name)
		return false;
	*ret_parent = find_locked(f, n->place.dir);
	if (!*ret_parent)
		return false;
	(*ret_parent)->refs++;
	memcpy(name, n->place.name, MIN(strlen(n->place.name) + 1, FS_NAME_MAX + 1));
	name[FS_NAME_MAX] = '\0';
	return true;
}

static bool first_of(struct hash_node *h, void *arg)
{
	*(struct fs_node **)arg = CONTAINER_OF(h, struct fs_node, hash);
	return true;
}

struct fs_node *nodes_any(struct fs *f)
{
	struct fs_node *n = NULL;
	MUTEX_GUARD(&f->nodes_lock);

	hash_each(&f->nodes, first_of, &n);
	return n;
}

void node_moving(struct fs *f, struct fs_move *m)
{
	MUTEX_GUARD(&f->nodes_lock);
	list_add_tail(&f->moves, &m->node);
}

void node_moved(struct fs *f, struct fs_move *m, uint64_t seq)
{
	struct fs_node *n;
	MUTEX_GUARD(&f->nodes_lock);

	if (!m->id)
		return;
	list_del(&m->node);
	n = seq ? find_locked(f, m->id) : NULL;
	if (n && n->place.name)
		place_set(&n->was, n->place.dir, str_of(n->place.name), n->place.seq);
	if (n)
		place_set(&n->place, m->dir, m->name, seq);
	m->id = 0;
}

void node_gone(struct fs *f, uint64_t ino, const struct row_attr *last)
{
	struct fs_node *n;
	MUTEX_GUARD(&f->nodes_lock);

	n = find_locked(f, ino);
	if (!n)
		return;
	n->gone = true;
	if (last)
		n->last_attr = *last;
}

/* ---- Rows -------------------------------------------------------------------------------------------------- */
int dir_row(struct meta_view *v, uint64_t id, struct meta_row *ret_row, struct row_dir *ret)
{
	struct meta_key k;
	int rc;

	key_u64(&k, id);
	rc = meta_get_k(v, TABLE_DIR, &k, ret_row);
	if (rc <= 0)
		return rc < 0 ? rc : -ENOENT;
	return row_dir_decode(ret_row->body, ret);
}

/* Names of this length lie behind continuation rows. 1, 0, < 0. */
static int long_entry(struct fs_node *n, struct meta_view *v, uint64_t dir, struct str name, struct fs_where *ret)
{
	struct arena a = ARENA_INIT;
	struct path p = {.store = n->fs->s, .view = v, .arena = &a};
	struct path_node at = {.id = dir};
	struct path_slot slot;
	int rc = path_slot_read(&p, &at, name, false, &slot);

	if (rc == 0 && slot.present) {
		ret->key = slot.key;
		ret->row = slot.row;
		ret->entry = slot.entry;
	}
	arena_free(&a);
	return rc < 0 ? rc : slot.present;
}

static int short_entry(struct meta_view *v, uint64_t dir, struct str name, struct fs_where *ret)
{
	int rc;

	key_u64_str(&ret->key, dir, name);
	rc = meta_get_k(v, TABLE_ENTRY, &ret->key, &ret->row);
	if (rc <= 0)
		return rc;
	rc = row_entry_decode(ret->row.body, &ret->entry);
	return rc < 0 ? rc : 1;
}

static int by_entry(struct fs_node *n, struct meta_view *v, uint64_t dir, struct str name, struct fs_where *ret)
{
	int rc = name.len < META_NAME_PIECE ? short_entry(v, dir, name, ret) : long_entry(n, v, dir, name, ret);

	if (rc <= 0)
		return rc;
	if (ret->entry.kind != ENTRY_OBJECT || ret->entry.id != n->ino)
		return 0;
	rc = file_load(v, &ret->entry, &ret->file);
	if (rc < 0)
		return rc;
	ret->by_entry = true;
	ret->dir = dir;
	ret->name_len = name.len;
	memcpy(ret->name, name.p, name.len);
	ret->bucket = ret->file.linked ? ret->file.file.bucket : 0;
	return 1;
}

static int by_file(struct fs_node *n, struct meta_view *v, struct fs_where *ret)
{
	struct file_state *fst = &ret->file;
	struct meta_key k;
	int rc;

	key_u64(&k, n->ino);
	rc = meta_get_k(v, TABLE_FILE, &k, &fst->file_row);
	if (rc <= 0)
		return rc;
	rc = row_file_decode(fst->file_row.body, &fst->file);
	if (rc < 0)
		return rc;
	fst->id = n->ino;
	fst->linked = true;
	fst->attr = fst->file.attr;
	fst->obj = fst->file.obj;
	fst->xattrs = fst->file.xattrs;
	fst->nlink = fst->file.nlink;
	ret->bucket = fst->file.bucket;
	return 1;
}

#define SPOTS_MAX 5

struct spot {
	uint64_t dir;
	size_t len;
	char name[OBJECT_KEY_MAX];
};

static unsigned add_spot(struct spot *at, unsigned n, uint64_t dir, struct str name)
{
	if (n == SPOTS_MAX || name.len > sizeof at->name)
		return n;
	at[n].dir = dir;
	at[n].len = name.len;
	memcpy(at[n].name, name.p, name.len);
	return n + 1;
}

/* Where it was last seen, where renames under way will put it, and where it was before the last one. */
static unsigned spots(struct fs_node *n, struct spot at[SPOTS_MAX])
{
	unsigned count = 0;
	MUTEX_GUARD(&n->fs->nodes_lock);

	if (n->place.name)
		count = add_spot(at, count, n->place.dir, str_of(n->place.name));
	LIST_FOREACH (it, &n->fs->moves) {
		const struct fs_move *m = LIST_ENTRY(it, struct fs_move, node);

		if (m->id == n->ino)
			count = add_spot(at, count, m->dir, m->name);
	}
	if (n->was.name)
		count = add_spot(at, count, n->was.dir, str_of(n->was.name));
	return count;
}

int node_where(struct fs_node *n, struct meta_view *v, struct fs_where *ret)
{
	struct spot at[SPOTS_MAX];
	unsigned count = spots(n, at);
	int rc = 0;

	memset(ret, 0, offsetof(struct fs_where, name));
	memset(&ret->file, 0, sizeof *ret - offsetof(struct fs_where, file));
	for (unsigned i = 0; rc == 0 && i < count; i++)
		rc = by_entry(n, v, at[i].dir, (struct str){at[i].name, at[i].len}, ret);
	if (rc == 0)
		rc = by_file(n, v, ret);
	return rc < 0 ? rc : rc == 0 ? -QE_CONFLICT : 0;
}

int node_view(struct fs_node *n, struct meta_view **ret_view, struct fs_where *ret)
{
	for (unsigned tries = 0; tries < FS_TRIES; tries++) {
		int rc = meta_view_open(n->fs->set, ret_view);

		if (rc < 0)
			return rc;
		rc = node_where(n, *ret_view, ret);
		if (rc == 0)
			return 0;
		meta_view_close(*ret_view);
		*ret_view = NULL;
		if (rc != -QE_CONFLICT)
			return rc;
	}
	return -ESTALE;
}

int node_run(struct object_commit *c)
{
	for (unsigned tries = 0; tries < FS_TRIES; tries++) {
		int rc = commit_run(c);

		if (rc != -QE_CONFLICT)
			return rc;
	}
	return -ESTALE;
}

void where_put(struct meta_batch *b, const struct fs_where *w, bool stamp)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	uint16_t stamp_off;
	struct meta_key k;

	if (w->file.linked) {
		struct row_file row = w->file.file;

		row.attr = w->file.attr;
		row.obj = w->file.obj;
		row.xattrs = w->file.xattrs;
		key_u64(&k, w->file.id);
		row_file_encode(&body, &row, &stamp_off);
		meta_batch_expect(b, TABLE_FILE, &k, &w->file.file_row, true);
		meta_batch_put(b, TABLE_FILE, &k, buf_str(&body), stamp ? stamp_off : 0);
	} else {
		struct row_entry row = w->entry;

		row.attr = w->file.attr;
		row.obj = w->file.obj;
		row.xattrs = w->file.xattrs;
		row_entry_encode(&body, &row, &stamp_off);
		meta_batch_expect(b, TABLE_ENTRY, &w->key, &w->row, true);
		meta_batch_put(b, TABLE_ENTRY, &w->key, buf_str(&body), stamp ? stamp_off : 0);
	}
}

int where_bucket(struct meta_view *v, struct fs_where *w)
{
	struct meta_row row;
	struct row_dir d;
	int rc;

	if (w->bucket)
		return 0;
	rc = dir_row(v, w->dir, &row, &d);
	if (rc == 0)
		w->bucket = d.bucket;
	return rc;
}
