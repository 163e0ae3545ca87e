/* SPDX-License-Identifier: Apache-2.0
 *
 * Publication: what was written to a file becomes its content, in one batch, with a new ETag. When: a close that
 * follows
 * changes, fsync, a change of attributes, the age of the oldest unpublished byte, want of memory.
 */
#include <fcntl.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "base/log.h"
#include "object/fs_internal.h"

#define RETRY_NS (5 * NS_PER_S)

struct publication {
	struct object_commit c;
	struct fs_node *n;
	const struct fs_attrs *attrs;
	struct fs_dirty *d; /* NULL: attributes only */
	struct fs_now now;
	uint64_t inline_blob; /* the blob of what lies in memory; 0: there is none */
	char *payload;
	uint64_t payload_len;
	struct row_extent *inline_ext; /* of the segments in memory, in order */
	unsigned ninline;
	struct fs_node *copy_from; /* instead of d: a range of another file, or of this one */
	uint64_t copy_off, copy_to, copy_max, copy_len;
	uint64_t kept; /* the orphan that takes the old content, for those who read it */
};

/* ---- Preparing: before the attempts ------------------------------------------------------------------------ */
static bool row_sized(const struct fs_dirty *d)
{
	return d->size <= CONTENT_INROW_MAX && d->blob_bytes == 0;
}

/* Bytes in memory lie in the record itself when they are few: copied into the batch's payload, checksummed once. */
static int prepare_inline(struct publication *p)
{
	struct fs_dirty *d = p->d;
	struct meta_set *set = p->n->fs->set;
	uint64_t at = 0;

	p->c.batch = meta_batch_new(set, p->c.promise, OP_FUSE);
	if (!p->c.batch)
		return -ENOMEM;
	p->payload_len = d->mem;
	p->payload = meta_batch_payload(p->c.batch, d->mem);
	p->inline_ext = calloc(d->n, sizeof *p->inline_ext);
	if (!p->payload || !p->inline_ext)
		return -ENOMEM;
	p->inline_blob = meta_new_id(set);
	for (unsigned i = 0; i < d->n; i++) {
		const struct seg *s = &d->seg[i];

		if (s->kind != SEG_MEM)
			continue;
		memcpy(p->payload + at, s->mem, s->len);
		p->inline_ext[p->ninline++] = (struct row_extent){
			.kind = EXTENT_BLOB,
			.blob = p->inline_blob,
			.start = at,
			.len = s->len,
			.off = s->off,
			.crc32c = checksum_crc32c(0, s->mem, s->len),
			.crc64nvme = checksum_crc64nvme(0, s->mem, s->len),
		};
		at += s->len;
	}
	return 0;
}

static int prepare(struct publication *p)
{
	struct fs *f = p->n->fs;
	struct fs_dirty *d = p->d;
	int rc;

	if (!d)
		return 0;
	rc = stream_end(f, d);
	if (rc == 0)
		rc = stream_renew(f, d);
	/* Segments behind the end (holes left by a truncation) say nothing to the map: the size does. */
	if (rc == 0)
		rc = dirty_remove(f, d, d->size, UINT64_MAX - d->size);
	if (rc < 0 || d->mem == 0 || row_sized(d))
		return rc;
	if (d->mem > meta_inline_max(f->set))
		return stream_segments(f, d);
	return prepare_inline(p);
}

/* ---- The attempt ------------------------------------------------------------------------------------------- */
static struct map_edit *edits_of(struct publication *p, struct arena *a, unsigned *ret_n)
{
	struct fs_dirty *d = p->d;
	struct map_edit *e = arena_zalloc(a, (d->n + 1) * sizeof *e);
	unsigned in = 0;

	for (unsigned i = 0; i < d->n; i++) {
		struct seg *s = &d->seg[i];

		e[i] = (struct map_edit){.off = s->off, .len = s->len};
		if (s->kind == SEG_HOLE)
			continue;
		e[i].ext = s->kind == SEG_MEM ? &p->inline_ext[in++] : &s->ext;
		e[i].n = 1;
	}
	*ret_n = d->n;
	return e;
}

/* Blobs that the batch names for the first time. What was overwritten before it was published is named by nothing. */
static int put_blobs(struct publication *p, struct meta_batch *b)
{
	struct fs_dirty *d = p->d;

	if (p->inline_blob)
		meta_batch_blob_inline(b, p->inline_blob, p->payload, (uint32_t)p->payload_len, p->ninline);
	for (unsigned i = 0; i < d->nblobs; i++) {
		struct erasure_blob eb;
		unsigned refs = 0;
		int rc;

		for (unsigned j = 0; j < d->n; j++)
			refs += d->seg[j].kind == SEG_BLOB && d->seg[j].ext.blob == d->blob[i].id;
		if (refs == 0)
			continue;
		rc = erasure_blob_copy(&d->blob[i].eb, &eb);
		if (rc < 0)
			return rc;
		meta_batch_blob_large(b, d->blob[i].id, &eb, refs);
	}
	return 0;
}

/* The whole content in the row. */
static int store_in_row(struct publication *p, struct meta_view *v, struct meta_batch *b, struct row_object *o,
                        bool keep)
{
	struct arena *a = &p->c.arena;
	size_t size = (size_t)p->d->size, old = (size_t)MIN(o->size, p->d->size);
	char *bytes = arena_zalloc(a, size + 1);
	struct content l;
	int rc = content_load_range(v, a, o, 0, MAX(old, (size_t)1), &l);

	if (rc == 0 && old)
		rc = content_read(v, &l, o->inrow, 0, old, bytes, 0);
	if (rc == 0)
		rc = dirty_read(p->n->fs, p->d, 0, size, bytes);
	if (rc == 0 && !keep)
		rc = content_drop(v, a, b, o);
	if (rc < 0)
		return rc;
	if (size) {
		fill_inrow(p->n->fs->s, o, (struct str){bytes, size});
	} else {
		o->extents = 0;
		o->map = o->size = o->crc64nvme = o->crc32c = 0;
		o->inrow = (struct str){NULL, 0};
	}
	return 0;
}

static int store_extents(struct publication *p, struct meta_view *v, struct meta_batch *b, struct row_object *o,
                         bool keep)
{
	struct arena *a = &p->c.arena;
	struct map_edit *e;
	unsigned n;
	int rc;

	/* What lay in the row was taken into memory when the file became dirty. */
	if (o->extents && o->extent[0].kind == EXTENT_INROW) {
		o->extents = 0;
		o->crc32c = checksum_crc32c_zeros(o->size);
		o->crc64nvme = checksum_crc64nvme_zeros(o->size);
	}
	o->inrow = (struct str){NULL, 0};
	e = edits_of(p, a, &n);
	rc = map_apply(p->n->fs->s, v, a, b, o, e, n, p->d->size, false, keep);
	return rc < 0 ? rc : put_blobs(p, b);
}

#define COPY_EXTENTS 1024u

static int store_copy(struct publication *p, struct meta_view *v, struct meta_batch *b, struct row_object *o, bool keep)
{
	struct arena *a = &p->c.arena;
	struct map_edit e = {.off = p->copy_to};
	struct fs_where from;
	struct content l;
	uint64_t len;
	int rc = node_where(p->copy_from, v, &from);

	if (rc < 0)
		return rc;
	p->copy_len = 0;
	if (p->copy_off >= from.file.obj.size)
		return COMMIT_NOTHING;
	len = MIN(p->copy_max, from.file.obj.size - p->copy_off);
	rc = content_load_range(v, a, &from.file.obj, p->copy_off, len, &l);
	if (rc < 0)
		return rc;
	if ((l.n && l.e[0].kind == EXTENT_INROW) || (o->extents && o->extent[0].kind == EXTENT_INROW))
		return -QE_NOT_IMPLEMENTED;
	if (l.n > COPY_EXTENTS && l.e[COPY_EXTENTS].off > p->copy_off)
		len = MIN(len, l.e[COPY_EXTENTS].off - p->copy_off);
	e.ext = arena_alloc(a, (l.n + 1) * sizeof *e.ext);
	e.n = content_cut(&l, p->copy_off, len, p->copy_to, e.ext);
	e.len = p->copy_len = len;
	rc = content_crc_fill(p->n->fs->s, e.ext, e.n);
	if (rc < 0)
		return rc;
	return map_apply(p->n->fs->s, v, a, b, o, &e, 1, MAX(o->size, p->copy_to + len), true, keep);
}

static int put_content(struct publication *p, struct meta_view *v, struct meta_batch *b, struct fs_where *w)
{
	struct object_store *s = p->n->fs->s;
	struct row_object *o = &w->file.obj;
	uint64_t before = o->size;
	bool keep = store_edit_begin(&p->c, p->n->ino);
	int rc;

	p->kept = 0;
	if (keep) {
		/* S3 reads what is there now: it stays, under a number of its own, until they are done. */
		struct file_state old = w->file;

		p->kept = old.id = meta_new_id(s->set);
		old.linked = false;
		old.file = (struct row_file){0};
		file_orphan(&p->c, b, w->bucket, &old, clock_wall_ns());
	}
	if (p->copy_from)
		rc = store_copy(p, v, b, o, keep);
	else
		rc = row_sized(p->d) ? store_in_row(p, v, b, o, keep) : store_extents(p, v, b, o, keep);
	if (rc != 0)
		return rc;
	fill_etag(s, &p->c.arena, o);
	o->flags = (o->flags & ~(uint32_t)VERSION_MULTIPART) | VERSION_NULL | VERSION_MOUNT | VERSION_HAS_CRC;
	o->parts = o->checksum = (struct str){NULL, 0};
	o->mtime_ns++; /* never back within a key; the stamp makes it the commit time */
	commit_notify_inode(&p->c, NOTIFY_DATA, p->n->ino, 0, 0);
	if (w->file.linked && w->file.nlink == 0)
		return 0; /* an orphan does not count */
	return bytes_usage(v, b, w->bucket, ((int64_t)o->size - (int64_t)before) * (int64_t)MAX(w->file.nlink, 1u));
}

static int attempt(struct object_commit *c, struct meta_view *v, struct meta_batch *b)
{
	struct publication *p = CONTAINER_OF(c, struct publication, c);
	uint64_t now = clock_wall_ns();
	struct fs_where w;
	int rc = node_where(p->n, v, &w);

	if (rc == 0)
		rc = where_bucket(v, &w);
	if (rc < 0)
		return rc;
	if (p->d || p->copy_from)
		w.file.xattrs = xattr_without(&c->arena, w.file.xattrs, STR_LIT("security.capability"));
	if (p->d && p->d->kill_priv)
		set_attrs(&w.file.attr, &(struct fs_attrs){.set = FS_CLEAR_SUID}, now);
	if (p->now.mtime_set) {
		w.file.attr.mtime_ns = p->now.mtime_ns;
		w.file.attr.ctime_ns = MAX(p->now.ctime_ns, w.file.attr.ctime_ns);
	}
	if (p->attrs)
		set_attrs(&w.file.attr, p->attrs, now);
	if (p->d || p->copy_from)
		rc = put_content(p, v, b, &w);
	if (rc != 0)
		return rc;
	where_put(b, &w, p->d || p->copy_from);
	commit_notify_inode(c, NOTIFY_ATTR, p->n->ino, 0, 0);
	return 0;
}

/* ---- The dirty list ---------------------------------------------------------------------------------------- */
static void queue(struct fs_node *n)
{
	struct fs *f = n->fs;

	mutex_lock(&f->dirty_lock);
	if (!n->queued) {
		n->queued = true;
		n->dirty_since_ns = clock_mono_ns();
		list_add_tail(&f->dirty, &n->dirty_node);
		node_ref(n); /* nobody is woken: the thread comes before this is due */
	}
	mutex_unlock(&f->dirty_lock);
}

/* The caller has a reference of its own. */
static void unqueue(struct fs_node *n)
{
	struct fs *f = n->fs;
	bool was;

	mutex_lock(&f->dirty_lock);
	was = n->queued;
	n->queued = false;
	list_del(&n->dirty_node);
	mutex_unlock(&f->dirty_lock);
	if (was)
		node_unref(n);
}

static void now_clear(struct fs_node *n)
{
	MUTEX_GUARD(&n->fs->nodes_lock);
	n->now = (struct fs_now){0};
}

void node_discard(struct fs_node *n)
{
	mutex_assert_held(&n->lock);
	if (!n->dirty)
		return;
	n->dirty = dirty_free(n->fs, n->dirty);
	now_clear(n);
	unqueue(n);
}

/* In-row content comes to memory: it cannot be split. */
static int take_in_row(struct fs *f, struct fs_dirty *d, const struct row_object *o)
{
	const struct row_extent *e = &o->extent[0];

	if (o->map || o->extents == 0 || e->kind != EXTENT_INROW)
		return 0;
	if (e->start + e->len > o->inrow.len)
		return -QE_CORRUPT;
	return dirty_put_mem(f, d, e->off, o->inrow.p + e->start, e->len);
}

int node_dirty(struct fs_node *n, uid_t uid)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct fs_where w;
	struct fs_dirty *d;
	int rc;

	mutex_assert_held(&n->lock);
	if (n->dirty)
		return 0;
	rc = node_view(n, &v, &w);
	if (rc < 0)
		return rc;
	d = dirty_new(w.file.obj.size);
	if (!d)
		return -ENOMEM;
	rc = take_in_row(n->fs, d, &w.file.obj);
	if (rc < 0) {
		dirty_free(n->fs, d);
		return rc;
	}
	d->kill_priv = uid != 0 && (w.file.attr.mode & (S_ISUID | S_ISGID)) != 0;
	n->dirty = d;
	queue(n);
	return 0;
}

void node_touch(struct fs_node *n)
{
	uint64_t now = clock_wall_ns();
	struct fs_dirty *d = n->dirty;
	MUTEX_GUARD(&n->fs->nodes_lock);

	n->now.size_set = n->now.mtime_set = true;
	n->now.size = d->size;
	n->now.kill_priv = d->kill_priv;
	n->now.mtime_ns = n->now.ctime_ns = now;
	n->now.added = d->mem + d->blob_bytes + (stream_stop(d) - stream_off(d));
}

int node_truncate(struct fs_node *n, uint64_t size, uid_t uid)
{
	struct fs_dirty *d;
	int rc = node_dirty(n, uid);

	if (rc < 0)
		return rc;
	d = n->dirty;
	if (size > (uint64_t)INT64_MAX)
		return -EFBIG;
	if (size < d->size) {
		rc = stream_end(n->fs, d);
		if (rc == 0)
			rc = dirty_remove(n->fs, d, size, UINT64_MAX - size);
		/* What is published behind the new end must not come back when the file grows again. */
		if (rc == 0 && d->base_size > size)
			rc = dirty_put_hole(n->fs, d, size, d->base_size - size);
	}
	if (rc < 0)
		return rc;
	d->size = size;
	node_touch(n);
	return 0;
}

/* ---- Publishing -------------------------------------------------------------------------------------------- */
static void published(struct fs_node *n, struct publication *p)
{
	if (p->kept)
		store_edit_kept(n->fs->s, n->ino, p->kept);
	n->published_seq = p->c.seq;
	node_discard(n);
}

int node_publish(struct fs_node *n, enum meta_promise promise, const struct fs_attrs *attrs)
{
	struct publication p = {.n = n, .attrs = attrs, .d = n->dirty};
	int rc = 0, lost = n->dirty ? n->dirty->error : 0;

	mutex_assert_held(&n->lock);
	if (!p.d && !attrs)
		return 0;
	node_now(n, &p.now);
	commit_init(&p.c, n->fs->s, promise, OP_FUSE, attempt);
	p.c.mount = n->fs->mount;
	rc = prepare(&p);
	if (rc == 0)
		rc = node_run(&p.c);
	if (rc == 0) {
		published(n, &p);
		n->lost = lost ? lost : n->lost;
	}
	commit_fini(&p.c);
	free(p.inline_ext);
	return rc;
}

int node_told_lost(struct fs_node *n)
{
	int lost = n->lost;

	mutex_assert_held(&n->lock);
	n->lost = 0;
	return lost;
}

int node_copy(struct fs_node *n, struct fs_node *from, uint64_t off, uint64_t to, uint64_t *len)
{
	struct publication p = {.n = n, .copy_from = from, .copy_off = off, .copy_to = to, .copy_max = *len};
	int rc;

	mutex_assert_held(&n->lock);
	p.now.mtime_set = true;
	p.now.mtime_ns = p.now.ctime_ns = clock_wall_ns();
	commit_init(&p.c, n->fs->s, META_ORDERED, OP_FUSE, attempt);
	p.c.mount = n->fs->mount;
	rc = node_run(&p.c);
	if (rc == 0)
		published(n, &p);
	commit_fini(&p.c);
	*len = p.copy_len;
	return rc;
}

/* ---- Age and memory ---------------------------------------------------------------------------------------- */
/* The oldest that has been dirty since before then, with a reference. */
static struct fs_node *oldest(struct fs *f, uint64_t before_ns)
{
	struct fs_node *n;
	MUTEX_GUARD(&f->dirty_lock);

	if (list_empty(&f->dirty))
		return NULL;
	n = LIST_ENTRY(f->dirty.next, struct fs_node, dirty_node);
	return n->dirty_since_ns <= before_ns ? node_ref(n) : NULL;
}

/* To the end of the line: it could not be published now. */
static void requeue(struct fs_node *n)
{
	struct fs *f = n->fs;
	MUTEX_GUARD(&f->dirty_lock);

	if (!n->queued)
		return;
	list_del(&n->dirty_node);
	n->dirty_since_ns = clock_mono_ns();
	list_add_tail(&f->dirty, &n->dirty_node);
}

static int publish_node(struct fs_node *n)
{
	bool gone;
	int rc;

	mutex_lock(&n->lock);
	mutex_lock(&n->fs->nodes_lock);
	gone = n->gone;
	mutex_unlock(&n->fs->nodes_lock);
	rc = gone && n->opens == 0 ? 0 : node_publish(n, META_ORDERED, NULL);
	if (gone && n->opens == 0)
		node_discard(n);
	mutex_unlock(&n->lock);
	if (rc < 0)
		requeue(n);
	return rc;
}

int fs_publish_all(struct fs *f, uint64_t before_ns)
{
	struct fs_node *n;
	int rc = 0;

	/* What fails goes behind `before_ns` and is not met again. */
	while ((n = oldest(f, before_ns))) {
		int one = publish_node(n);

		node_unref(n);
		if (rc == 0)
			rc = one;
	}
	return rc;
}

void fs_discard_all(struct fs *f)
{
	struct fs_node *n;

	while ((n = oldest(f, UINT64_MAX))) {
		mutex_lock(&n->lock);
		node_discard(n);
		mutex_unlock(&n->lock);
		node_unref(n);
	}
}

int fs_throttle(struct fs *f)
{
	while (atomic_load(&f->dirty_bytes) > f->s->p.dirty_memory) {
		struct fs_node *n = oldest(f, UINT64_MAX);
		int rc;

		if (!n)
			return 0; /* what is left is on its way to the drives */
		rc = publish_node(n);
		node_unref(n);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Sleeps until the oldest is due; with none, for as long as one that comes now has. */
void *fs_dirty_main(void *arg)
{
	struct fs *f = arg;
	uint64_t age = f->s->p.writeback_ns;

	mutex_lock(&f->dirty_lock);
	while (!f->stop) {
		uint64_t now = clock_mono_ns(), due = now + age;

		if (!list_empty(&f->dirty))
			due = LIST_ENTRY(f->dirty.next, struct fs_node, dirty_node)->dirty_since_ns + age;
		if (due > now) {
			cond_wait_until(&f->dirty_cond, &f->dirty_lock, due);
			continue;
		}
		mutex_unlock(&f->dirty_lock);
		if (fs_publish_all(f, now - age) < 0)
			log_debug("fs", "some files could not be published yet");
		mutex_lock(&f->dirty_lock);
	}
	mutex_unlock(&f->dirty_lock);
	return NULL;
}
