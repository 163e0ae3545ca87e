/* SPDX-License-Identifier: Apache-2.0
 *
 * Ranges of a file that are not published: bytes in memory, bytes that lie in blobs which no row names yet, and holes.
 */
#include <stdlib.h>

#include "object/fs_internal.h"

#define MEM_MIN 4096u

struct fs_dirty *dirty_new(uint64_t size)
{
	struct fs_dirty *d = calloc(1, sizeof *d);

	if (d)
		d->size = d->base_size = size;
	return d;
}

void dirty_account(struct fs *f, struct fs_dirty *d, int64_t bytes)
{
	d->mem += (uint64_t)bytes;
	atomic_fetch_add(&f->dirty_bytes, (uint64_t)bytes);
}

static void seg_free(struct fs *f, struct fs_dirty *d, struct seg *s)
{
	if (s->kind == SEG_MEM)
		dirty_account(f, d, -(int64_t)s->len);
	else if (s->kind == SEG_BLOB)
		d->blob_bytes -= s->len;
	free(s->mem);
	s->mem = NULL;
}

struct fs_dirty *dirty_free(struct fs *f, struct fs_dirty *d)
{
	if (!d)
		return NULL;
	stream_abort(f, d);
	for (unsigned i = 0; i < d->n; i++)
		seg_free(f, d, &d->seg[i]);
	for (unsigned i = 0; i < d->nblobs; i++)
		erasure_blob_free(&d->blob[i].eb);
	free(d->seg);
	free(d->blob);
	free(d);
	return NULL;
}

unsigned dirty_find(const struct fs_dirty *d, uint64_t off)
{
	unsigned lo = 0, hi = d->n;

	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;

		if (d->seg[mid].off + d->seg[mid].len <= off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int seg_insert(struct fs_dirty *d, unsigned at, const struct seg *s)
{
	if (d->n == d->cap) {
		unsigned cap = d->cap ? d->cap * 2 : 8;
		struct seg *p = realloc(d->seg, cap * sizeof *p);

		if (!p)
			return -ENOMEM;
		d->seg = p;
		d->cap = cap;
	}
	memmove(&d->seg[at + 1], &d->seg[at], (d->n - at) * sizeof *d->seg);
	d->seg[at] = *s;
	d->n++;
	return 0;
}

static void seg_delete(struct fs_dirty *d, unsigned at, unsigned count)
{
	if (count == 0)
		return;
	memmove(&d->seg[at], &d->seg[at + count], (d->n - at - count) * sizeof *d->seg);
	d->n -= count;
}

int dirty_add_pending(struct fs_dirty *d, uint64_t id, const struct erasure_blob *eb)
{
	if (d->nblobs == d->cap_blobs) {
		unsigned cap = d->cap_blobs ? d->cap_blobs * 2 : 4;
		struct pending_blob *p = realloc(d->blob, cap * sizeof *p);

		if (!p)
			return -ENOMEM;
		d->blob = p;
		d->cap_blobs = cap;
	}
	d->blob[d->nblobs++] = (struct pending_blob){.id = id, .eb = *eb};
	return 0;
}

/* Bytes of a written blob come back to memory: some of them are about to change. */
static int seg_to_mem(struct fs *f, struct fs_dirty *d, struct seg *s)
{
	char *p = malloc(s->len);
	int rc;

	if (!p)
		return -ENOMEM;
	rc = pending_read(f, d, &s->ext, 0, s->len, p);
	if (rc < 0) {
		free(p);
		return rc;
	}
	d->blob_bytes -= s->len;
	s->kind = SEG_MEM;
	s->mem = p;
	s->cap = s->len;
	dirty_account(f, d, (int64_t)s->len);
	return 0;
}

int dirty_blob_to_mem(struct fs *f, struct fs_dirty *d, unsigned i)
{
	struct pending_blob *b = &d->blob[i];

	for (unsigned j = 0; j < d->n; j++) {
		if (d->seg[j].kind != SEG_BLOB || d->seg[j].ext.blob != b->id)
			continue;
		int rc = seg_to_mem(f, d, &d->seg[j]);
		if (rc < 0)
			return rc;
	}
	erasure_blob_free(&b->eb);
	*b = d->blob[--d->nblobs];
	return 0;
}

/* Cuts [off, end) out of segment i, which it meets and which does not lie in it whole. */
static int seg_cut(struct fs *f, struct fs_dirty *d, unsigned i, uint64_t off, uint64_t end)
{
	struct seg *s = &d->seg[i];
	uint64_t stop = s->off + s->len;
	struct seg right = {.off = end, .len = stop > end ? stop - end : 0, .kind = s->kind};
	int rc;

	if (s->kind == SEG_BLOB) {
		rc = seg_to_mem(f, d, s);
		if (rc < 0)
			return rc;
		right.kind = SEG_MEM;
	}
	if (s->off >= off) { /* only the right part stays */
		if (s->kind == SEG_MEM) {
			memmove(s->mem, s->mem + (end - s->off), right.len);
			dirty_account(f, d, -(int64_t)(end - s->off));
		}
		s->off = end;
		s->len = right.len;
		return 0;
	}
	if (right.len) {
		if (s->kind == SEG_MEM) {
			right.mem = malloc(right.len);
			if (!right.mem)
				return -ENOMEM;
			right.cap = right.len;
			memcpy(right.mem, s->mem + (end - s->off), right.len);
		}
		rc = seg_insert(d, i + 1, &right);
		if (rc < 0) {
			free(right.mem);
			return rc;
		}
		s = &d->seg[i];
	}
	if (s->kind == SEG_MEM)
		dirty_account(f, d, -(int64_t)(s->len - (off - s->off) - right.len));
	s->len = off - s->off;
	return 0;
}

int dirty_remove(struct fs *f, struct fs_dirty *d, uint64_t off, uint64_t len)
{
	uint64_t end = off + len;
	unsigned i = dirty_find(d, off), first;
	int rc;

	if (len == 0)
		return 0;
	if (i < d->n && d->seg[i].off < off) {
		rc = seg_cut(f, d, i, off, end);
		if (rc < 0)
			return rc;
		i++;
	}
	for (first = i; i < d->n && d->seg[i].off + d->seg[i].len <= end; i++)
		seg_free(f, d, &d->seg[i]);
	seg_delete(d, first, i - first);
	if (first < d->n && d->seg[first].off < end)
		return seg_cut(f, d, first, off, end);
	return 0;
}

static bool mem_grow(struct seg *s, uint64_t need)
{
	uint64_t cap = MAX(s->cap, MEM_MIN);
	char *p;

	if (need <= s->cap)
		return true;
	while (cap < need)
		cap *= 2;
	p = realloc(s->mem, cap);
	if (!p)
		return false;
	s->mem = p;
	s->cap = cap;
	return true;
}

/* Extends segment i, which ends at off. */
static int mem_append(struct fs *f, struct fs_dirty *d, unsigned i, const void *p, uint64_t len)
{
	struct seg *s = &d->seg[i];

	if (!mem_grow(s, s->len + len))
		return -ENOMEM;
	memcpy(s->mem + s->len, p, len);
	s->len += len;
	dirty_account(f, d, (int64_t)len);
	return 0;
}

int dirty_put_mem(struct fs *f, struct fs_dirty *d, uint64_t off, const void *p, uint64_t len)
{
	struct seg new = {.off = off, .len = len, .kind = SEG_MEM};
	unsigned i = dirty_find(d, off);
	int rc;

	if (i < d->n && d->seg[i].kind == SEG_MEM && d->seg[i].off <= off && off + len <= d->seg[i].off + d->seg[i].len) {
		memcpy(d->seg[i].mem + (off - d->seg[i].off), p, len);
		return 0;
	}
	rc = dirty_remove(f, d, off, len);
	if (rc < 0)
		return rc;
	i = dirty_find(d, off);
	if (i > 0 && d->seg[i - 1].kind == SEG_MEM && d->seg[i - 1].off + d->seg[i - 1].len == off &&
	    d->seg[i - 1].len < STREAM_MIN)
		return mem_append(f, d, i - 1, p, len);
	if (!mem_grow(&new, len))
		return -ENOMEM;
	memcpy(new.mem, p, len);
	rc = seg_insert(d, i, &new);
	if (rc < 0) {
		free(new.mem);
		return rc;
	}
	dirty_account(f, d, (int64_t)len);
	return 0;
}

int dirty_put_hole(struct fs *f, struct fs_dirty *d, uint64_t off, uint64_t len)
{
	struct seg new = {.off = off, .len = len, .kind = SEG_HOLE};
	int rc = dirty_remove(f, d, off, len);

	if (rc < 0 || len == 0)
		return rc;
	return seg_insert(d, dirty_find(d, off), &new);
}

int dirty_put_blob(struct fs *f, struct fs_dirty *d, const struct row_extent *e)
{
	struct seg new = {.off = e->off, .len = e->len, .kind = SEG_BLOB, .ext = *e};
	int rc = dirty_remove(f, d, e->off, e->len);

	if (rc == 0)
		rc = seg_insert(d, dirty_find(d, e->off), &new);
	if (rc == 0)
		d->blob_bytes += e->len;
	return rc;
}

/* Puts the unpublished bytes of [off, off + len) over dst, which holds the published ones. */
int dirty_read(struct fs *f, struct fs_dirty *d, uint64_t off, uint64_t len, char *dst)
{
	uint64_t end = off + len;
	int rc = 0;

	for (unsigned i = dirty_find(d, off); rc == 0 && i < d->n && d->seg[i].off < end; i++) {
		const struct seg *s = &d->seg[i];
		uint64_t from = MAX(s->off, off), until = MIN(s->off + s->len, end);
		char *to = dst + (from - off);

		if (s->kind == SEG_MEM)
			memcpy(to, s->mem + (from - s->off), until - from);
		else if (s->kind == SEG_HOLE)
			memset(to, 0, until - from);
		else
			rc = pending_read(f, d, &s->ext, from - s->off, until - from, to);
	}
	return rc;
}

char *dirty_steal(struct fs *f, struct fs_dirty *d, unsigned i, uint64_t *ret_len)
{
	char *mem = d->seg[i].mem;

	*ret_len = d->seg[i].len;
	dirty_account(f, d, -(int64_t)d->seg[i].len);
	seg_delete(d, i, 1);
	return mem;
}
