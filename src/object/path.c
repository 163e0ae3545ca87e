/* SPDX-License-Identifier: Apache-2.0
 *
 * Paths: reading them from a view.
 */
#include "object/path.h"

#include <string.h>

#include "object/store_internal.h"

static struct path_node *node_push(struct path *p)
{
	if (p->nnodes == p->cap_nodes) {
		unsigned cap = p->cap_nodes ? p->cap_nodes * 2 : 8;
		struct path_node *n = arena_alloc(p->arena, cap * sizeof *n);

		if (p->nnodes > 0)
			memcpy(n, p->node, p->nnodes * sizeof *n);
		p->node = n;
		p->cap_nodes = cap;
	}
	memset(&p->node[p->nnodes], 0, sizeof p->node[0]);
	return &p->node[p->nnodes++];
}

static void path_start(struct path *p, struct object_store *s, struct meta_view *v, struct arena *a)
{
	memset(p, 0, sizeof *p);
	p->store = s;
	p->view = v;
	p->arena = a;
}

/* 1, 0 absent, < 0. */
static int node_load(struct path *p, uint64_t id, struct path_node *n)
{
	struct meta_key k;
	int rc;

	n->id = id;
	key_u64(&k, id);
	rc = meta_get_k(p->view, TABLE_DIR, &k, &n->row);
	if (rc <= 0)
		return rc;
	rc = row_dir_decode(n->row.body, &n->dir);
	if (rc < 0)
		return rc;
	n->name = n->dir.name;
	return 1;
}

static int bucket_rows(struct path *p, struct str bucket)
{
	struct row_bucketdir bd;
	int rc;

	p->bucket_name = bucket;
	if (bucket.len == 0 || bucket.len > META_KEY_MAX)
		return -QE_NO_SUCH_BUCKET;
	key_str(&p->bucketdir_key, bucket);
	rc = meta_get_k(p->view, TABLE_BUCKETDIR, &p->bucketdir_key, &p->bucketdir_row);
	if (rc <= 0)
		return rc < 0 ? rc : -QE_NO_SUCH_BUCKET;
	rc = row_bucketdir_decode(p->bucketdir_row.body, &bd);
	if (rc < 0)
		return rc;
	if (bd.state != BUCKET_LIVE)
		return -QE_NO_SUCH_BUCKET;
	p->bucket = bd.bucket;
	p->has_bucket_rows = true;
	key_u64(&p->bucket_key, p->bucket);
	rc = meta_get_k(p->view, TABLE_BUCKET, &p->bucket_key, &p->bucket_row);
	if (rc <= 0)
		return rc < 0 ? rc : -QE_CORRUPT;
	return row_bucket_decode(p->bucket_row.body, &p->bucket_info);
}

int path_bucket_reading(struct path *p, struct object_store *s, struct meta_view *v, struct arena *a, struct str bucket)
{
	int rc;

	path_start(p, s, v, a);
	p->reading = true;
	rc = bucket_rows(p, bucket);
	if (rc == 0)
		node_push(p)->id = p->bucket_info.root_dir;
	return rc;
}

int path_bucket(struct path *p, struct object_store *s, struct meta_view *v, struct arena *a, struct str bucket)
{
	int rc;

	path_start(p, s, v, a);
	rc = bucket_rows(p, bucket);
	if (rc < 0)
		return rc;
	rc = node_load(p, p->bucket_info.root_dir, node_push(p));
	return rc == 0 ? -QE_CORRUPT : MIN(rc, 0);
}

int path_dir(struct path *p, struct object_store *s, struct meta_view *v, struct arena *a, uint64_t dir)
{
	path_start(p, s, v, a);
	while (dir != 0) {
		/* A chain of parents that is longer than any key, or a ring, is damage. */
		if (p->nnodes > 2 * OBJECT_KEY_MAX)
			return -QE_CORRUPT;
		int rc = node_load(p, dir, node_push(p));

		if (rc < 0)
			return rc;
		if (rc == 0)
			return p->nnodes == 1 ? -ENOENT : -QE_CORRUPT;
		dir = path_last(p)->dir.parent;
	}
	if (p->nnodes == 0)
		return -ENOENT;
	for (unsigned i = 0, j = p->nnodes - 1; i < j; i++, j--) {
		struct path_node t = p->node[i];

		p->node[i] = p->node[j];
		p->node[j] = t;
	}
	p->bucket = p->node[0].dir.bucket;
	return 0;
}

static void slot_name(struct path *p, uint64_t dir, struct str name, bool is_dir, struct path_slot *s)
{
	memset(s, 0, sizeof *s);
	s->dir = dir;
	s->name = name;
	s->is_dir = is_dir;
	s->nconts = (unsigned)(name.len / META_NAME_PIECE);
	if (s->nconts > 0)
		s->cont = arena_zalloc(p->arena, s->nconts * sizeof s->cont[0]);
}

/* The key of piece i of the name: a continuation's or, with i == nconts, the entry's. parent: the directory or the
 * continuation before. */
void path_piece_key(const struct path_slot *s, unsigned i, uint64_t parent, struct meta_key *k)
{
	struct str rest = str_sub(s->name, (size_t)i * META_NAME_PIECE, s->name.len - (size_t)i * META_NAME_PIECE);

	if (i < s->nconts) {
		key_u64_str(k, parent, str_sub(rest, 0, META_NAME_PIECE));
		return;
	}
	key_u64_str(k, parent, rest);
	if (s->is_dir)
		k->b[k->len++] = '/';
}

static int slot_read(struct path *p, uint64_t dir, struct str name, bool is_dir, struct path_slot *s)
{
	struct row_entry e;
	uint64_t parent = dir;
	int rc;

	slot_name(p, dir, name, is_dir, s);
	s->read = true;
	for (unsigned i = 0; i < s->nconts; i++) {
		struct path_cont *c = &s->cont[i];

		path_piece_key(s, i, parent, &c->key);
		rc = meta_get_k(p->view, TABLE_ENTRY, &c->key, &c->row);
		if (rc <= 0)
			return rc;
		rc = row_entry_decode(c->row.body, &e);
		if (rc < 0)
			return rc;
		if (e.kind != ENTRY_CONT)
			return -QE_CORRUPT;
		c->present = true;
		c->id = parent = e.id;
	}
	path_piece_key(s, s->nconts, parent, &s->key);
	rc = meta_get_k(p->view, TABLE_ENTRY, &s->key, &s->row);
	if (rc <= 0)
		return rc;
	rc = row_entry_decode(s->row.body, &s->entry);
	if (rc < 0)
		return rc;
	if (s->entry.kind != (is_dir ? ENTRY_DIR : ENTRY_OBJECT))
		return -QE_CORRUPT;
	s->present = true;
	return 0;
}

int path_slot_read(struct path *p, const struct path_node *dir, struct str name, bool is_dir, struct path_slot *ret)
{
	if (!dir->missing)
		return slot_read(p, dir->id, name, is_dir, ret);
	slot_name(p, 0, name, is_dir, ret);
	return 0;
}

int path_name(struct path *p, struct str name, bool is_dir)
{
	p->has_slot = true;
	return path_slot_read(p, path_last(p), name, is_dir, &p->slot);
}

int path_load_dir(struct path *p, const struct path_slot *s, struct path_node *ret)
{
	int rc;

	ASSERT(s->present && s->is_dir);
	memset(ret, 0, sizeof *ret);
	rc = node_load(p, s->entry.id, ret);
	if (rc < 0)
		return rc;
	ret->slot = *s;
	ret->has_slot = true;
	return rc == 0 ? -QE_CORRUPT : 0;
}

/* One more directory of a key. */
static int walk_down(struct path *p, struct str name)
{
	struct path_slot s;
	struct path_node *n;
	int rc = path_slot_read(p, path_last(p), name, true, &s);

	if (rc < 0)
		return rc;
	n = node_push(p);
	if (s.present && s.entry.id != 0) {
		n->id = s.entry.id;
		return p->reading ? 0 : path_load_dir(p, &s, n);
	}
	n->name = name;
	n->missing = true;
	n->slot = s;
	n->has_slot = true;
	return 0;
}

int path_key(struct path *p, struct str key)
{
	for (;;) {
		ptrdiff_t slash = str_find(key, '/', 0);
		int rc;

		if (slash < 0)
			return path_name(p, key, false);
		if ((size_t)slash + 1 == key.len)
			return path_name(p, str_sub(key, 0, (size_t)slash), true);
		rc = walk_down(p, str_sub(key, 0, (size_t)slash));
		if (rc < 0)
			return rc;
		key = str_sub(key, (size_t)slash + 1, key.len - (size_t)slash - 1);
	}
}

static int usage_read(struct path *p)
{
	struct meta_key k;
	int rc;

	if (p->has_usage)
		return 0;
	key_u64(&k, p->bucket);
	rc = meta_get_k(p->view, TABLE_USAGE, &k, &p->usage_row);
	if (rc <= 0)
		return rc < 0 ? rc : -QE_CORRUPT;
	p->has_usage = true;
	return 0;
}

int path_usage(struct path *p, struct row_usage *ret)
{
	int rc = usage_read(p);

	return rc < 0 ? rc : row_usage_decode(p->usage_row.body, ret);
}

int path_usage_add(struct path *p, struct meta_batch *b, const struct row_usage *delta)
{
	int rc = usage_read(p);

	if (rc == 0)
		meta_batch_usage_delta(b, p->bucket, &p->usage_row, delta);
	return rc;
}

struct str path_key_last(struct str key, bool *ret_is_dir)
{
	size_t end = key.len, from;

	*ret_is_dir = end > 0 && key.p[end - 1] == '/';
	if (*ret_is_dir)
		end--;
	for (from = end; from > 0 && key.p[from - 1] != '/'; from--)
		;
	return str_sub(key, from, end - from);
}
