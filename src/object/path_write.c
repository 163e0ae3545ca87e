/* SPDX-License-Identifier: Apache-2.0
 *
 * Paths: writing them into a batch.
 */
#include <string.h>

#include "base/clock.h"
#include "object/path.h"
#include "object/store_internal.h"

/* Above this many live children a directory does not vanish by the deletes that may be in flight at one time. */
#define VANISHING_MAX 1024

void path_slot_expect(const struct path_slot *s, struct meta_batch *b)
{
	if (!s->read)
		return;
	for (unsigned i = 0; i < s->nconts; i++) {
		const struct path_cont *c = &s->cont[i];

		meta_batch_expect(b, TABLE_ENTRY, &c->key, &c->row, c->present);
		if (!c->present)
			return;
	}
	meta_batch_expect(b, TABLE_ENTRY, &s->key, &s->row, s->present);
}

void path_nodes_seen(const struct path *p, struct meta_batch *b)
{
	for (unsigned i = 0; i < p->nnodes && !p->node[i].missing; i++)
		meta_batch_dir_seen(b, p->node[i].id, &p->node[i].row);
}

void path_expect(struct path *p, struct meta_batch *b)
{
	if (p->has_bucket_rows) {
		meta_batch_expect(b, TABLE_BUCKETDIR, &p->bucketdir_key, &p->bucketdir_row, true);
		meta_batch_expect(b, TABLE_BUCKET, &p->bucket_key, &p->bucket_row, true);
	}
	for (unsigned i = 0; i < p->nnodes; i++) {
		if (p->node[i].has_slot)
			path_slot_expect(&p->node[i].slot, b);
	}
	if (p->has_slot)
		path_slot_expect(&p->slot, b);
	path_nodes_seen(p, b);
}

void path_dir_expect(struct meta_batch *b, const struct path_node *n)
{
	struct meta_key k;

	key_u64(&k, n->id);
	meta_batch_expect(b, TABLE_DIR, &k, &n->row, true);
}

void path_dir_put(struct meta_batch *b, uint64_t id, const struct row_dir *d, bool stamp)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	struct meta_key k;
	uint16_t off;

	row_dir_encode(&body, d, &off);
	key_u64(&k, id);
	meta_batch_put(b, TABLE_DIR, &k, buf_str(&body), stamp ? off : 0);
}

void path_entry_put(struct meta_batch *b, const struct meta_key *k, const struct row_entry *e, bool stamp)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	uint16_t off;

	row_entry_encode(&body, e, &off);
	meta_batch_put(b, TABLE_ENTRY, k, buf_str(&body), stamp ? off : 0);
}

/* Every insertion behind a continuation writes its row again: so that a removal which saw nothing else behind it loses. */
static void conts_put(struct path *p, struct path_slot *s, struct meta_batch *b)
{
	uint64_t parent = s->dir;

	for (unsigned i = 0; i < s->nconts; i++) {
		struct path_cont *c = &s->cont[i];
		struct row_entry e = {.kind = ENTRY_CONT};

		if (c->id == 0)
			c->id = meta_new_id(p->store->set);
		path_piece_key(s, i, parent, &c->key);
		e.id = parent = c->id;
		path_entry_put(b, &c->key, &e, false);
	}
	path_piece_key(s, s->nconts, parent, &s->key);
}

void path_slot_put(struct path *p, struct path_slot *s, struct meta_batch *b, const struct row_entry *e, int live)
{
	ASSERT(s->dir != 0);
	if (!s->present)
		conts_put(p, s, b);
	path_entry_put(b, &s->key, e, true);
	if (!s->present || live != 0)
		meta_batch_dir_delta(b, s->dir, live, s->present ? 0 : 1, 0, 0);
}

/* Is anything but `key` behind the continuation? 1, 0, < 0. */
static int cont_has_more(struct path *p, const struct path_cont *c, const struct meta_key *key)
{
	struct meta_iter *it;
	struct meta_row row;
	struct meta_key from;
	int rc, found = 0;

	key_u64(&from, c->id);
	rc = meta_iter_open(p->view, TABLE_ENTRY, &it);
	if (rc < 0)
		return rc;
	for (rc = meta_iter_seek(it, from.b, from.len, &row); rc == 1; rc = meta_iter_next(it, &row)) {
		if (row.key.len < from.len || memcmp(row.key.p, from.b, from.len) != 0)
			break;
		if (row.key.len != key->len || memcmp(row.key.p, key->b, key->len) != 0) {
			found = 1;
			break;
		}
	}
	meta_iter_close(it);
	return rc < 0 ? rc : found;
}

int path_slot_erase(struct path *p, struct path_slot *s, struct meta_batch *b)
{
	const struct meta_key *gone = &s->key;

	ASSERT(s->present);
	meta_batch_del(b, TABLE_ENTRY, &s->key);
	for (unsigned i = s->nconts; i > 0; i--) {
		struct path_cont *c = &s->cont[i - 1];
		int rc = cont_has_more(p, c, gone);

		if (rc != 0)
			return MIN(rc, 0);
		meta_batch_del(b, TABLE_ENTRY, &c->key);
		gone = &c->key;
	}
	return 0;
}

int path_slot_del(struct path *p, struct path_slot *s, struct meta_batch *b, int live)
{
	meta_batch_dir_delta(b, s->dir, live, -1, 0, 0);
	return path_slot_erase(p, s, b);
}

static bool has_long_name(const struct path *p)
{
	for (unsigned i = 1; i < p->nnodes; i++) {
		if (p->node[i].name.len >= META_NAME_PIECE)
			return true;
	}
	return false;
}

/* The sequencer removes implicit directories that end, but for those whose names continue in other rows: it does not know
 * where these lie. Where there is one, all that end by this change alone are removed here, relying on their counters. What
 * two deletes at a time leave behind is not shown, is used again by the next key below, and goes with the bucket. */
int path_remove(struct path *p, struct object_commit *c, struct meta_batch *b)
{
	struct path_slot *s = &p->slot;
	bool by_hand = has_long_name(p);
	unsigned i = p->nnodes - 1;

	path_notify_vanishing(p, c);
	for (; by_hand && i > 0; i--) {
		struct path_node *n = &p->node[i];
		struct meta_key k;
		int rc;

		if ((n->dir.flags & DIR_EXPLICIT) || n->dir.live > 1 || n->dir.children > 1)
			break;
		rc = path_slot_erase(p, s, b);
		if (rc < 0)
			return rc;
		path_dir_expect(b, n);
		key_u64(&k, n->id);
		meta_batch_del(b, TABLE_DIR, &k);
		s = &n->slot;
	}
	return path_slot_del(p, s, b, -1);
}

void store_dir_attr(const struct object_store *s, uint64_t now_ns, struct row_attr *ret)
{
	*ret = (struct row_attr){
		.mode = S_IFDIR | (s->p.dir_mode & 07777),
		.uid = s->p.uid,
		.gid = s->p.gid,
		.atime_ns = now_ns,
		.mtime_ns = now_ns,
		.ctime_ns = now_ns,
		.btime_ns = now_ns,
	};
}

void path_make_parents(struct path *p, struct object_commit *c, struct meta_batch *b)
{
	uint64_t now = clock_wall_ns();
	bool noted = false;

	for (unsigned i = 1; i < p->nnodes; i++) {
		struct path_node *n = &p->node[i];
		struct row_entry e = {.kind = ENTRY_DIR};

		if (!n->missing)
			continue;
		n->id = e.id = meta_new_id(p->store->set);
		n->slot.dir = p->node[i - 1].id;
		n->dir = (struct row_dir){.parent = n->slot.dir, .bucket = p->bucket, .name = n->name};
		store_dir_attr(p->store, now, &n->dir.attr);
		path_dir_put(b, n->id, &n->dir, false);
		/* `live` follows from the deltas on the new directory itself. */
		path_slot_put(p, &n->slot, b, &e, 0);
		if (!noted)
			commit_notify_entry(c, NOTIFY_ENTRY, n->slot.dir, n->name, 0);
		noted = true;
	}
	if (p->has_slot && p->slot.dir == 0)
		p->slot.dir = path_last(p)->id;
}

void path_notify_vanishing(struct path *p, struct object_commit *c)
{
	for (unsigned i = p->nnodes; i > 1; i--) {
		const struct path_node *n = &p->node[i - 1];

		if ((n->dir.flags & DIR_EXPLICIT) || n->dir.live > VANISHING_MAX)
			return;
		/* Whether it really goes is decided by the sequencer: the kernel only looks again. */
		commit_notify_entry(c, NOTIFY_EXPIRE, p->node[i - 2].id, n->name, n->id);
	}
}
