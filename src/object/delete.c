/* SPDX-License-Identifier: Apache-2.0
 *
 * Deleting keys, one or many, and replacing tags.
 */
#include "object/store_internal.h"

#define DELETE_BATCH 256 /* keys of one commit */

static void usage_minus(struct row_usage *u, const struct row_object *o)
{
	u->bytes -= o->size;
	u->stored -= o->size;
	u->objects--;
	u->versions--;
}

static int delete_file(struct object_commit *c, struct path *p, struct meta_batch *b, struct row_usage *u,
                       unsigned *weight)
{
	struct path_slot *s = &p->slot;
	struct file_state f;
	unsigned extents = 0;
	int rc = file_load(p->view, &s->entry, &f);

	if (rc == 0)
		rc = content_weight(p->view, &f.obj, &extents);
	*weight += extents;
	if (rc == 0)
		rc = file_name_gone(c, p->view, b, p->bucket, &f, clock_wall_ns());
	if (rc < 0)
		return rc;
	usage_minus(u, &f.obj);
	commit_notify_entry(c, NOTIFY_ENTRY, s->dir, s->name, f.id);
	return path_remove(p, c, b);
}

/* `name/`: the directory is no longer explicit; with nothing below it, it goes. 0: there was no such key. */
static int delete_marker(struct object_commit *c, struct path *p, struct meta_batch *b, struct row_usage *u)
{
	struct path_slot *s = &p->slot;
	struct path_node n;
	struct row_dir d;
	struct meta_key k;
	int rc = path_load_dir(p, s, &n);

	if (rc < 0)
		return rc;
	if (!(n.dir.flags & DIR_EXPLICIT))
		return 0;
	path_dir_expect(b, &n);
	if (n.dir.marker)
		rc = content_drop(p->view, p->arena, b, &n.dir.obj);
	if (rc < 0)
		return rc;
	usage_minus(u, &n.dir.obj);
	d = n.dir;
	d.flags &= (uint32_t)~DIR_EXPLICIT;
	d.marker = false;
	if (d.live > 0) {
		path_dir_put(b, n.id, &d, false);
		return 1;
	}
	commit_notify_entry(c, NOTIFY_ENTRY, s->dir, s->name, n.id);
	if (d.children > 0) {
		path_dir_put(b, n.id, &d, false);
		meta_batch_dir_delta(b, s->dir, -1, 0, 0, 0);
		return 1;
	}
	key_u64(&k, n.id);
	meta_batch_del(b, TABLE_DIR, &k);
	rc = path_remove(p, c, b);
	return rc < 0 ? rc : 1;
}

/* Adds the removal of one key to the batch: 1, 0 it is not there, < 0. */
static int delete_key(struct object_commit *c, struct path *p, struct meta_batch *b, struct row_usage *u,
                      unsigned *weight)
{
	int rc;

	path_expect(p, b);
	if (!p->slot.present || p->slot.entry.id == 0)
		return 0;
	if (p->slot.is_dir)
		return delete_marker(c, p, b, u);
	rc = delete_file(c, p, b, u, weight);
	return rc < 0 ? rc : 1;
}

static bool version_is_ours(struct str version)
{
	return version.len == 0 || str_eqc(version, "null");
}

/* ---- One key ----------------------------------------------------------------------------------------------------------- */
struct delete_op {
	struct object_call call;
	struct str bucket, key;
	bool existed;
	bool *ret_existed;
	char text[];
};

static int delete_attempt(struct object_commit *c, struct meta_view *v, struct meta_batch *b)
{
	struct delete_op *o = CONTAINER_OF(c, struct delete_op, call.commit);
	struct row_usage u = {0};
	unsigned weight = 0;
	struct path p;
	int rc;

	o->existed = false;
	rc = path_bucket(&p, c->store, v, &c->arena, o->bucket);
	if (rc == 0)
		rc = path_key(&p, o->key);
	if (rc == 0)
		rc = delete_key(c, &p, b, &u, &weight);
	if (rc <= 0)
		return rc < 0 ? rc : COMMIT_NOTHING;
	o->existed = true;
	return path_usage_add(&p, b, &u);
}

static void delete_finish(struct object_call *k, int rc)
{
	struct delete_op *o = CONTAINER_OF(k, struct delete_op, call);

	if (rc == 0 && o->ret_existed)
		*o->ret_existed = o->existed;
}

int object_delete(struct object_store *s, struct op_ctx *ctx, struct str bucket, struct str key, struct str version,
                  bool *ret_existed, object_done_fn done, void *arg)
{
	struct delete_op *o;
	int rc = object_key_check(key);

	if (rc < 0)
		return rc;
	if (!version_is_ours(version))
		return -QE_NO_SUCH_VERSION;
	o = object_call_new(s, sizeof *o + bucket.len + key.len, delete_attempt, delete_finish, done, arg);
	if (!o)
		return -ENOMEM;
	memcpy(o->text, key.p, key.len);
	o->key = (struct str){o->text, key.len};
	if (bucket.len > 0)
		memcpy(o->text + key.len, bucket.p, bucket.len);
	o->bucket = (struct str){o->text + key.len, bucket.len};
	o->ret_existed = ret_existed;
	commit_lock_name(&o->call.commit, hash_bytes(bucket.p, bucket.len), key);
	return object_call_run(&o->call);
}

/* ---- Many keys --------------------------------------------------------------------------------------------------------- */
struct delete_many {
	struct object_commit commit;
	struct object_store *store;
	struct str bucket;
	struct object_delete_item *items; /* the caller's, until done */
	unsigned n, from, to;
	unsigned weight; /* extents that the batch drops; only the attempt */
	int worst;       /* of whole batches */
	object_done_fn done;
	void *arg;
};

/* A key that is twice in the batch is deleted once. */
static bool seen_before(const struct delete_many *m, unsigned i)
{
	for (unsigned j = m->from; j < i; j++) {
		if (m->items[j].rc == 0 && str_eq(m->items[j].key, m->items[i].key))
			return true;
	}
	return false;
}

/* The number of the first item that cannot be done, or -1: all are in the batch. */
static int many_fill(struct delete_many *m, struct meta_view *v, struct meta_batch *b, unsigned *ret_deleted,
                     int *ret_rc)
{
	struct object_commit *c = &m->commit;
	struct row_usage u = {0};
	struct path p = {0};
	int rc = 0;

	*ret_deleted = 0;
	*ret_rc = 0;
	m->weight = 0;
	m->to = MIN(m->n, m->from + DELETE_BATCH);
	for (unsigned i = m->from; i < m->to; i++) {
		struct object_delete_item *it = &m->items[i];

		if (it->rc < 0 || seen_before(m, i))
			continue;
		rc = path_bucket(&p, m->store, v, &c->arena, m->bucket);
		if (rc < 0) {
			*ret_rc = rc;
			return -1;
		}
		rc = path_key(&p, it->key);
		if (rc == 0)
			rc = delete_key(c, &p, b, &u, &m->weight);
		if (rc < 0) {
			it->rc = rc;
			return (int)i;
		}
		*ret_deleted += (unsigned)rc;
		/* A batch is bounded: what drops much content goes with fewer others. */
		if (m->weight >= CONTENT_DROP_MAX)
			m->to = i + 1;
	}
	if (*ret_deleted > 0)
		*ret_rc = path_usage_add(&p, b, &u);
	return -1;
}

static int many_attempt(struct object_commit *c, struct meta_view *v, struct meta_batch *b)
{
	struct delete_many *m = CONTAINER_OF(c, struct delete_many, commit);
	unsigned deleted;
	int rc;

	/* What failed is left out, and the batch begun anew. */
	while (many_fill(m, v, b, &deleted, &rc) >= 0) {
		meta_batch_reset(b);
		meta_batch_view(b, v);
		notifier_changes_free(&c->changes);
	}
	if (rc < 0)
		return rc;
	return deleted > 0 ? 0 : COMMIT_NOTHING;
}

static void many_begin(struct delete_many *m)
{
	m->to = MIN(m->n, m->from + DELETE_BATCH);
	for (unsigned i = m->from; i < m->to; i++) {
		struct object_delete_item *it = &m->items[i];

		it->rc = object_key_check(it->key);
		if (it->rc == 0 && !version_is_ours(it->version))
			it->rc = -QE_NO_SUCH_VERSION;
	}
	commit_init(&m->commit, m->store, META_DURABLE, OP_S3, many_attempt);
}

/* Of a batch: true, there is another one. */
static bool many_end(struct delete_many *m, int rc)
{
	commit_fini(&m->commit);
	for (unsigned i = m->from; rc < 0 && i < m->to; i++) {
		if (m->items[i].rc == 0)
			m->items[i].rc = rc;
	}
	if (rc == -QE_NO_SUCH_BUCKET)
		m->worst = rc;
	m->from = m->to;
	return m->from < m->n && m->worst == 0;
}

static void many_done(struct object_commit *c, int rc)
{
	struct delete_many *m = CONTAINER_OF(c, struct delete_many, commit);

	if (many_end(m, rc)) {
		many_begin(m);
		m->commit.done = many_done;
		commit_start_later(&m->commit);
		return;
	}
	m->done(m->arg, m->worst);
	free(m);
}

int object_delete_many(struct object_store *s, struct op_ctx *ctx, struct str bucket, struct object_delete_item *items,
                       unsigned n, object_done_fn done, void *arg)
{
	struct delete_many *m = calloc(1, sizeof *m + bucket.len);
	char *name = (char *)(m + 1);
	int rc;

	if (!m)
		return -ENOMEM;
	if (bucket.len > 0)
		memcpy(name, bucket.p, bucket.len);
	m->store = s;
	m->bucket = (struct str){name, bucket.len};
	m->items = items;
	m->n = n;
	m->done = done;
	m->arg = arg;
	many_begin(m);
	if (done) {
		m->commit.done = many_done;
		commit_start(&m->commit);
		return 0;
	}
	for (;;) {
		rc = commit_run(&m->commit);
		if (!many_end(m, rc))
			break;
		many_begin(m);
	}
	rc = m->worst;
	free(m);
	return rc;
}

/* ---- Tags -------------------------------------------------------------------------------------------------------------- */
struct tags_op {
	struct object_call call;
	struct arena arena;
	struct str bucket, key, tags;
};

static int tags_put_file(struct path *p, struct meta_batch *b, struct str tags)
{
	struct row_entry e = p->slot.entry;
	struct file_state f;
	int rc = file_load(p->view, &e, &f);

	if (rc < 0)
		return rc;
	if (!f.linked) {
		e.obj.tags = tags;
		path_entry_put(b, &p->slot.key, &e, false);
		return 0;
	}
	f.file.obj.tags = tags;
	file_put(b, &f, &f.file);
	return 0;
}

static int tags_attempt(struct object_commit *c, struct meta_view *v, struct meta_batch *b)
{
	struct tags_op *o = CONTAINER_OF(c, struct tags_op, call.commit);
	struct path_node n;
	struct path p;
	int rc = path_bucket(&p, c->store, v, &c->arena, o->bucket);

	if (rc == 0)
		rc = path_key(&p, o->key);
	if (rc < 0)
		return rc;
	path_expect(&p, b);
	if (!p.slot.present || p.slot.entry.id == 0)
		return -QE_NO_SUCH_KEY;
	if (!p.slot.is_dir)
		return tags_put_file(&p, b, o->tags);
	rc = path_load_dir(&p, &p.slot, &n);
	if (rc < 0)
		return rc;
	if (!(n.dir.flags & DIR_EXPLICIT))
		return -QE_NO_SUCH_KEY;
	path_dir_expect(b, &n);
	if (!n.dir.marker) {
		n.dir.marker = true;
		n.dir.obj = (struct row_object){.flags = VERSION_NULL | VERSION_HAS_CRC, .mtime_ns = n.dir.attr.mtime_ns};
	}
	n.dir.obj.tags = o->tags;
	path_dir_put(b, n.id, &n.dir, false);
	return 0;
}

static void tags_finish(struct object_call *k, int rc)
{
	arena_free(&CONTAINER_OF(k, struct tags_op, call)->arena);
}

int object_set_tags(struct object_store *s, struct op_ctx *ctx, struct str bucket, struct str key, struct str tags,
                    object_done_fn done, void *arg)
{
	struct tags_op *o;
	int rc = object_key_check(key);

	if (rc < 0)
		return rc;
	o = object_call_new(s, sizeof *o, tags_attempt, tags_finish, done, arg);
	if (!o)
		return -ENOMEM;
	o->bucket = arena_str(&o->arena, bucket);
	o->key = arena_str(&o->arena, key);
	o->tags = arena_str(&o->arena, tags);
	commit_lock_name(&o->call.commit, hash_bytes(bucket.p, bucket.len), key);
	return object_call_run(&o->call);
}
