/* SPDX-License-Identifier: Apache-2.0
 *
 * Open files: reading, writing, publishing.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "object/fs_internal.h"

static bool may_write(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY;
}

int fs_open(struct fs *f, struct op_ctx *ctx, struct fs_node *n, int flags, struct fs_file **ret)
{
	struct fs_file *file;
	int rc = 0;

	if (n->kind != FS_OBJECT)
		return -EISDIR;
	file = calloc(1, sizeof *file);
	if (!file)
		return -ENOMEM;
	file->flags = flags;
	file->writes = may_write(flags);
	mutex_lock(&n->lock);
	if ((flags & O_TRUNC) && file->writes)
		rc = node_truncate(n, 0, ctx->uid);
	if (rc == 0) {
		n->opens++;
		n->writers += file->writes;
		file->given_up = n->given_up;
		list_add_tail(&n->files, &file->open);
	}
	mutex_unlock(&n->lock);
	if (rc < 0) {
		free(file);
		return rc;
	}
	file->node = node_ref(n);
	*ret = file;
	return 0;
}

struct fs_node *fs_file_node(const struct fs_file *file)
{
	return file->node;
}

bool fs_file_keeps_cache(const struct fs_file *file)
{
	return !file->given_up;
}

static bool node_is_gone(struct fs_node *n)
{
	MUTEX_GUARD(&n->fs->nodes_lock);
	return n->gone;
}

void fs_release(struct fs_file *file)
{
	struct fs_node *n = file->node;
	bool lost = false;
	int rc = 0;

	mutex_lock(&n->lock);
	list_del(&file->open);
	n->opens--;
	n->writers -= file->writes;
	if (n->dirty && n->opens == 0 && node_is_gone(n))
		node_discard(n); /* nobody can read it any more */
	else if (n->dirty && n->writers == 0)
		rc = node_publish(n, META_ORDERED, NULL);
	if (rc < 0 && n->dirty && n->writers == 0) {
		/* close(2) was told. Who is left cannot try again: both faces go on with what was published. */
		node_discard(n);
		lost = n->given_up = true;
		log_warn("fs", "changes to a closed file are lost ino=%016llx cause=\"%s\"", (unsigned long long)n->ino,
		         err_text(rc));
	}
	mutex_unlock(&n->lock);
	if (lost)
		notifier_content_lost(n->fs->s->notifier, n->ino); /* its pages are in the kernel, as if they were written */
	node_unref(n);
	free(file);
}

/* ---- Reading ----------------------------------------------------------------------------------------------- */
static int read_published(struct fs_node *n, struct meta_view *v, const struct fs_where *w, struct op_ctx *ctx, char *p,
                          size_t len, uint64_t off)
{
	struct content l;
	int rc = content_load_range(v, &ctx->arena, &w->file.obj, off, len, &l);

	return rc < 0 ? rc : content_read(v, &l, w->file.obj.inrow, off, len, p, 0);
}

/* With n->lock held. */
static ssize_t read_dirty(struct fs_node *n, struct op_ctx *ctx, char *p, size_t len, uint64_t off)
{
	struct fs_dirty *d = n->dirty;
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct fs_where w;
	size_t old;
	int rc = 0;

	if (off >= d->size)
		return 0;
	len = (size_t)MIN((uint64_t)len, d->size - off);
	if (off < stream_stop(d) && off + len > stream_off(d))
		rc = stream_end(n->fs, d);
	if (rc == 0)
		rc = node_view(n, &v, &w);
	if (rc < 0)
		return rc;
	old = off < w.file.obj.size ? (size_t)MIN((uint64_t)len, w.file.obj.size - off) : 0;
	if (old)
		rc = read_published(n, v, &w, ctx, p, old, off);
	memset(p + old, 0, len - old);
	if (rc == 0)
		rc = dirty_read(n->fs, d, off, len, p);
	return rc < 0 ? rc : (ssize_t)len;
}

static ssize_t read_once(struct fs_file *file, struct op_ctx *ctx, void *p, size_t len, uint64_t off)
{
	struct fs_node *n = file->node;
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct fs_where w;
	ssize_t got;
	int rc;

	mutex_lock(&n->lock);
	if (n->dirty) {
		got = read_dirty(n, ctx, p, len, off);
		mutex_unlock(&n->lock);
		return got;
	}
	/* The view is from before anything that is written now can be published. */
	rc = node_view(n, &v, &w);
	mutex_unlock(&n->lock);
	if (rc < 0)
		return rc;
	if (off >= w.file.obj.size)
		return 0;
	len = (size_t)MIN((uint64_t)len, w.file.obj.size - off);
	rc = read_published(n, v, &w, ctx, p, len, off);
	return rc < 0 ? rc : (ssize_t)len;
}

ssize_t fs_read(struct fs_file *file, struct op_ctx *ctx, void *p, size_t len, uint64_t off)
{
	ssize_t got;

	FS_AGAIN(got, read_once(file, ctx, p, len, off));
	return got;
}

/* ---- Writing ----------------------------------------------------------------------------------------------- */
#define SEGS_MAX 1024u            /* more scattered ranges than these are published: one batch must hold them */
#define STREAMED_MAX (4ull << 30) /* so are so many streamed bytes */

/* The run in memory that ends at `end` has become long: from now on it goes out while it is written. */
static int maybe_stream(struct fs *f, struct fs_dirty *d, uint64_t end)
{
	unsigned i = dirty_find(d, end - 1);
	uint64_t len;
	char *mem;
	int rc;

	if (!meta_writable(f->set))
		return 0; /* it stays in memory */
	if (i >= d->n || d->seg[i].kind != SEG_MEM || d->seg[i].len < STREAM_MIN || d->seg[i].off + d->seg[i].len != end)
		return 0;
	rc = stream_end(f, d);
	i = dirty_find(d, end - 1); /* what was streamed before has become segments */
	if (rc == 0)
		rc = stream_begin(f, d, d->seg[i].off);
	if (rc < 0)
		return rc;
	mem = dirty_steal(f, d, i, &len);
	rc = stream_append(f, d, mem, len);
	free(mem);
	return rc;
}

static int write_bytes(struct fs *f, struct fs_dirty *d, const char *p, size_t len, uint64_t off)
{
	int rc;

	if (d->stream && off == stream_stop(d))
		return stream_append(f, d, p, len);
	if (d->stream && off < stream_stop(d) && off + len > stream_off(d)) {
		rc = stream_end(f, d);
		if (rc < 0)
			return rc;
	}
	if (len >= STREAM_MIN && meta_writable(f->set)) {
		rc = stream_begin(f, d, off);
		return rc < 0 ? rc : stream_append(f, d, p, len);
	}
	rc = dirty_put_mem(f, d, off, p, len);
	return rc < 0 ? rc : maybe_stream(f, d, off + len);
}

static ssize_t write_locked(struct fs_node *n, struct op_ctx *ctx, const char *p, size_t len, uint64_t off, bool append)
{
	struct fs *f = n->fs;
	struct fs_dirty *d;
	int rc = node_dirty(n, ctx->uid);

	if (rc < 0)
		return rc;
	d = n->dirty;
	if (append)
		off = d->size;
	if (off > (uint64_t)INT64_MAX || len > (uint64_t)INT64_MAX - off)
		return -EFBIG;
	rc = write_bytes(f, d, p, len, off);
	if (rc < 0)
		return rc;
	d->size = MAX(d->size, off + len);
	node_touch(n);
	if (d->n > SEGS_MAX || d->blob_bytes > STREAMED_MAX)
		rc = node_publish(n, META_ORDERED, NULL);
	return rc < 0 ? rc : (ssize_t)len;
}

static ssize_t write_at(struct fs_file *file, struct op_ctx *ctx, const void *p, size_t len, uint64_t off, bool append)
{
	struct fs_node *n = file->node;
	int rc;

	if (!file->writes)
		return -EBADF;
	if (len == 0)
		return 0;
	rc = fs_throttle(n->fs);
	if (rc < 0)
		return rc;
	MUTEX_GUARD(&n->lock);
	return write_locked(n, ctx, p, len, off, append);
}

ssize_t fs_write(struct fs_file *file, struct op_ctx *ctx, const void *p, size_t len, uint64_t off)
{
	return write_at(file, ctx, p, len, off, (file->flags & O_APPEND) != 0);
}

ssize_t fs_write_page(struct fs_file *file, struct op_ctx *ctx, const void *p, size_t len, uint64_t off)
{
	return write_at(file, ctx, p, len, off, false);
}

int fs_flush(struct fs_file *file, struct op_ctx *ctx)
{
	struct fs_node *n = file->node;

	if (!file->writes)
		return 0;
	MUTEX_GUARD(&n->lock);
	if ((!n->dirty && !n->lost) || node_is_gone(n))
		return 0; /* what has no name is published when somebody asks for it */
	int rc = node_publish(n, META_ORDERED, NULL);

	return rc < 0 ? rc : node_told_lost(n);
}

static int row_seq(struct fs_node *n, uint64_t *ret)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct fs_where w;
	int rc = node_view(n, &v, &w);

	if (rc == 0)
		*ret = MAX(*ret, MAX(w.by_entry ? w.row.seq : 0, w.file.linked ? w.file.file_row.seq : 0));
	return rc;
}

int fs_fsync(struct fs_file *file, struct op_ctx *ctx, bool data_only)
{
	struct fs_node *n = file->node;
	uint64_t seq = 0;
	int rc;

	mutex_lock(&n->lock);
	rc = node_publish(n, META_DURABLE, NULL);
	if (rc == 0)
		rc = node_told_lost(n);
	mutex_unlock(&n->lock);
	if (rc == 0)
		rc = row_seq(n, &seq);
	return rc < 0 ? rc : meta_wait_blocking(n->fs->set, seq);
}

/* ---- Ranges ------------------------------------------------------------------------------------------------ */
static int punch(struct fs *f, struct fs_dirty *d, uint64_t off, uint64_t end)
{
	int rc = stream_end(f, d);

	end = MIN(end, d->size);
	return rc < 0 || end <= off ? rc : dirty_put_hole(f, d, off, end - off);
}

int fs_fallocate(struct fs_file *file, struct op_ctx *ctx, int mode, uint64_t off, uint64_t len)
{
	struct fs_node *n = file->node;
	bool keep = mode & FALLOC_FL_KEEP_SIZE;
	struct statvfs st;
	int rc;

	if (!file->writes)
		return -EBADF;
	if (len == 0)
		return -EINVAL;
	if (off > (uint64_t)INT64_MAX || len > (uint64_t)INT64_MAX - off)
		return -EFBIG;
	if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		return -EOPNOTSUPP;
	if ((mode & FALLOC_FL_PUNCH_HOLE) && (!keep || (mode & FALLOC_FL_ZERO_RANGE)))
		return -EOPNOTSUPP;
	if (!(mode & FALLOC_FL_PUNCH_HOLE)) {
		/* Nothing is set aside: space is where it is needed, by whoever comes first. What can never fit is refused. */
		rc = fs_statfs(n->fs, ctx, n, &st);
		if (rc == 0 && len / FS_BLOCK > st.f_bavail)
			rc = -ENOSPC;
		if (rc < 0)
			return rc;
	}
	MUTEX_GUARD(&n->lock);
	rc = node_dirty(n, ctx->uid);
	if (rc == 0 && (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)))
		rc = punch(n->fs, n->dirty, off, off + len);
	if (rc < 0)
		return rc;
	if (!keep)
		n->dirty->size = MAX(n->dirty->size, off + len);
	node_touch(n);
	return 0;
}

/* The first offset at or behind off that is data (or not); size when there is none. Published content only. */
static int seek_published(struct meta_view *v, struct op_ctx *ctx, const struct row_object *o, uint64_t off, bool data,
                          uint64_t *ret)
{
	struct content l;
	uint64_t at = off;
	int rc = content_load_range(v, &ctx->arena, o, off, o->size - off, &l);

	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < l.n; i++) {
		const struct row_extent *e = &l.e[i];

		if (e->off + e->len <= at || e->kind == EXTENT_HOLE)
			continue;
		if (data) {
			*ret = MAX(e->off, at);
			return 0;
		}
		if (e->off > at)
			break; /* a gap begins here */
		at = e->off + e->len;
	}
	*ret = data ? o->size : MIN(at, o->size);
	return 0;
}

int64_t fs_lseek(struct fs_file *file, struct op_ctx *ctx, uint64_t off, int whence)
{
	struct fs_node *n = file->node;
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct fs_where w;
	uint64_t at = 0;
	int rc;

	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return -EINVAL;
	mutex_lock(&n->lock);
	rc = node_publish(n, META_ORDERED, NULL); /* holes are a matter of the map */
	if (rc == 0)
		rc = node_view(n, &v, &w);
	mutex_unlock(&n->lock);
	if (rc < 0)
		return rc;
	if (off >= w.file.obj.size)
		return -ENXIO;
	rc = seek_published(v, ctx, &w.file.obj, off, whence == SEEK_DATA, &at);
	if (rc < 0)
		return rc;
	return whence == SEEK_DATA && at >= w.file.obj.size ? -ENXIO : (int64_t)at;
}

/* ---- Copying ----------------------------------------------------------------------------------------------- */
#define COPY_REFS_MIN (64u << 10) /* shorter ranges are copied byte by byte: an extent costs more */
#define COPY_BYTES (1u << 20)

static ssize_t copy_bytes(struct fs_file *in, uint64_t off_in, struct fs_file *out, uint64_t off_out, size_t len,
                          struct op_ctx *ctx)
{
	size_t want = MIN(len, (size_t)COPY_BYTES);
	CLEANUP_FREE char *buf = malloc(want);
	ssize_t n;

	if (!buf)
		return -ENOMEM;
	n = fs_read(in, ctx, buf, want, off_in);
	return n <= 0 ? n : fs_write_page(out, ctx, buf, (size_t)n, off_out);
}

ssize_t fs_copy_range(struct fs_file *in, uint64_t off_in, struct fs_file *out, uint64_t off_out, size_t len,
                      struct op_ctx *ctx)
{
	struct fs_node *from = in->node, *to = out->node;
	uint64_t copied = len;
	int rc;

	if (!out->writes)
		return -EBADF;
	if (off_out > (uint64_t)INT64_MAX || len > (uint64_t)INT64_MAX - off_out)
		return -EFBIG;
	if (len < COPY_REFS_MIN)
		return copy_bytes(in, off_in, out, off_out, len, ctx);
	mutex_lock(&from->lock);
	rc = node_publish(from, META_ORDERED, NULL);
	mutex_unlock(&from->lock);
	if (rc < 0)
		return rc;
	mutex_lock(&to->lock);
	rc = node_publish(to, META_ORDERED, NULL);
	if (rc == 0)
		rc = node_copy(to, from, off_in, off_out, &copied);
	mutex_unlock(&to->lock);
	if (rc == -QE_NOT_IMPLEMENTED)
		return copy_bytes(in, off_in, out, off_out, len, ctx);
	return rc < 0 ? rc : (ssize_t)copied;
}
