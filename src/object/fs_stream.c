/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing file bytes to blobs before their publication. Blobs of a stream grow with it (4 MiB, then twice as long as
 * the one
 * before, up to 64 MiB): what a blob reserves and does not use is lost until its segment is reclaimed.
 *
 * A full stripe goes out when the next byte comes. So while the set cannot write, or was revived since the stream began
 * (its segment takes nothing more), what has not gone out is in memory still, and stays there: stream_keep.
 */
#include <stdlib.h>

#include "base/checksum.h"
#include "object/fs_internal.h"

#define ROOM_FIRST (4u << 20)

struct fs_stream {
	struct erasure_writer *w;
	uint64_t blob;
	uint64_t off;       /* in the file */
	uint64_t len, room; /* bytes taken, bytes reserved */
	char *buf;          /* of the stripe being filled */
	uint32_t fill;
	struct row_extent *ext; /* the last one grows */
	unsigned n, cap;
	struct row_extent out_ext; /* the last one as it was when the last stripe went out */
	unsigned out_n;            /* how many there were */
};

/* ---- Stripe buffers ---------------------------------------------------------------------------------------- */
/* Without a limit of their own: they count as dirty memory, and who finds that used up publishes something first. */
static void *stripe_get(struct fs *f)
{
	void *p = pool_get(f->stripes);

	if (!p)
		return NULL;
	atomic_fetch_add(&f->dirty_bytes, f->stripe_bytes);
	atomic_fetch_add(&f->memory_refs, 1);
	return p;
}

struct stripe_back {
	struct fs *fs;
	void *buf;
};

static void stripe_put(struct fs *f, void *buf)
{
	pool_put(f->stripes, buf);
	atomic_fetch_sub(&f->dirty_bytes, f->stripe_bytes);
	fs_memory_unref(f);
}

/* The buffer carries its owner behind the stripe, so that giving it back allocates nothing. */
static void stripe_release(void *arg)
{
	struct stripe_back *b = arg;

	stripe_put(b->fs, b->buf);
}

static int push(struct fs *f, struct erasure_writer *w, char *buf, uint32_t len)
{
	struct stripe_back *b = (struct stripe_back *)(void *)(buf + f->stripe_bytes);

	*b = (struct stripe_back){.fs = f, .buf = buf};
	return erasure_writer_push(w, buf, len, stripe_release, b);
}

/* ---- The stream -------------------------------------------------------------------------------------------- */
static void stream_free(struct fs *f, struct fs_stream *s)
{
	if (s->buf)
		stripe_put(f, s->buf);
	free(s->ext);
	free(s);
}

static int stream_open(struct fs *f, uint64_t off, uint64_t room, struct fs_stream **ret)
{
	CLEANUP_ERASURE struct erasure_set *e = meta_erasure_hold(f->set);
	struct fs_stream *s = calloc(1, sizeof *s);
	int rc;

	if (!s)
		return -ENOMEM;
	rc = erasure_writer_open(e, room, &s->w);
	if (rc < 0) {
		free(s);
		return rc;
	}
	s->blob = meta_new_id(f->set);
	s->off = off;
	s->room = room;
	*ret = s;
	return 0;
}

static struct row_extent *extent_now(struct fs_stream *s, uint64_t off, bool begin)
{
	struct row_extent *e = s->n ? &s->ext[s->n - 1] : NULL;

	if (e && !begin && e->len < STREAM_MIN)
		return e;
	if (s->n == s->cap) {
		unsigned cap = s->cap ? s->cap * 2 : 16;

		e = realloc(s->ext, cap * sizeof *e);
		if (!e)
			return NULL;
		s->ext = e;
		s->cap = cap;
	}
	e = &s->ext[s->n++];
	*e = (struct row_extent){.kind = EXTENT_BLOB, .blob = s->blob, .start = s->len, .off = off};
	return e;
}

/* The buffer goes out. */
static int push_buf(struct fs *f, struct fs_stream *s)
{
	int rc = push(f, s->w, s->buf, s->fill);

	s->buf = NULL;
	s->fill = 0;
	s->out_n = s->n;
	s->out_ext = s->ext[s->n - 1];
	return rc;
}

/* Takes up to len bytes for offset off of the file: what fits into the stripe and the extent. */
static ssize_t take(struct fs *f, struct fs_stream *s, uint64_t off, bool begin, const char *p, size_t len)
{
	struct row_extent *e;
	int rc = s->fill == f->stripe_bytes ? push_buf(f, s) : 0;
	size_t n;

	if (rc < 0)
		return rc;
	e = extent_now(s, off, begin);
	if (!e)
		return -ENOMEM;
	if (!s->buf)
		s->buf = stripe_get(f);
	if (!s->buf)
		return -ENOMEM;
	n = MIN(MIN(len, f->stripe_bytes - s->fill), MIN(STREAM_MIN - e->len, s->room - s->len));
	memcpy(s->buf + s->fill, p, n);
	e->crc32c = checksum_crc32c(e->crc32c, p, n);
	e->crc64nvme = checksum_crc64nvme(e->crc64nvme, p, n);
	e->len += n;
	s->len += n;
	s->fill += (uint32_t)n;
	return (ssize_t)n;
}

/* The blob is complete; s is freed, also on error. */
static int stream_finish(struct fs *f, struct fs_stream *s, struct erasure_blob *ret)
{
	int rc = 0;

	if (s->fill) {
		/* The rest of the last cells is padding, which is checksummed. */
		memset(s->buf + s->fill, 0, f->stripe_bytes - s->fill);
		rc = push_buf(f, s);
	}
	if (rc < 0) {
		erasure_writer_abort(s->w);
		return rc;
	}
	return erasure_writer_finish(s->w, ret);
}

uint64_t stream_off(const struct fs_dirty *d)
{
	return d->stream ? d->stream->off : 0;
}

uint64_t stream_stop(const struct fs_dirty *d)
{
	return d->stream ? d->stream->off + d->stream->len : 0;
}

int stream_begin(struct fs *f, struct fs_dirty *d, uint64_t off)
{
	uint64_t room = d->room ? MIN(d->room, (uint64_t)ERASURE_BLOB_MAX) : ROOM_FIRST;
	int rc = stream_end(f, d);

	if (rc == 0)
		rc = stream_open(f, off, room, &d->stream);
	return rc;
}

void stream_abort(struct fs *f, struct fs_dirty *d)
{
	if (!d->stream)
		return;
	erasure_writer_abort(d->stream->w);
	stream_free(f, d->stream);
	d->stream = NULL;
}

static int stream_lost(struct fs *f, struct fs_dirty *d, int rc)
{
	/* These bytes are neither here nor there any more: the next flush or fsync tells. */
	d->error = rc;
	if (d->stream)
		stream_free(f, d->stream);
	d->stream = NULL;
	return rc;
}

/* Nothing more can go out. */
static bool is_cut_off(struct fs *f, const struct fs_stream *s)
{
	return !meta_writable(f->set) || !meta_epoch_taken(f->set, erasure_writer_epoch(s->w));
}

/* What went out becomes segments and a pending blob, what did not comes back to memory. */
static int stream_keep(struct fs *f, struct fs_dirty *d)
{
	struct fs_stream *s = d->stream;
	uint64_t out = s->len - s->fill;
	struct erasure_blob eb;
	int rc = 0;

	if (out)
		rc = erasure_writer_finish(s->w, &eb);
	else
		erasure_writer_abort(s->w);
	if (rc < 0)
		return stream_lost(f, d, rc);
	d->stream = NULL;
	if (out)
		rc = dirty_add_pending(d, s->blob, &eb);
	for (unsigned i = 0; rc == 0 && i < s->out_n; i++)
		rc = dirty_put_blob(f, d, i + 1 < s->out_n ? &s->ext[i] : &s->out_ext);
	if (rc == 0 && s->fill)
		rc = dirty_put_mem(f, d, s->off + out, s->buf, s->fill);
	stream_free(f, s);
	if (rc < 0)
		d->error = rc;
	return rc;
}

int stream_end(struct fs *f, struct fs_dirty *d)
{
	struct fs_stream *s = d->stream;
	struct erasure_blob eb;
	int rc;

	if (!s)
		return 0;
	if (s->len == 0) {
		stream_abort(f, d);
		return 0;
	}
	if (is_cut_off(f, s))
		return stream_keep(f, d);
	rc = stream_finish(f, s, &eb);
	if (rc < 0)
		return stream_lost(f, d, rc);
	d->stream = NULL;
	rc = dirty_add_pending(d, s->blob, &eb);
	for (unsigned i = 0; rc == 0 && i < s->n; i++)
		rc = dirty_put_blob(f, d, &s->ext[i]);
	stream_free(f, s);
	if (rc < 0)
		d->error = rc;
	return rc;
}

int stream_append(struct fs *f, struct fs_dirty *d, const void *p, size_t len)
{
	uint64_t off = stream_stop(d);
	int rc = dirty_remove(f, d, off, len);

	while (rc == 0 && len > 0) {
		ssize_t n;

		if (is_cut_off(f, d->stream)) {
			rc = stream_keep(f, d);
			return rc < 0 ? rc : dirty_put_mem(f, d, off, p, len);
		}
		if (d->stream->len == d->stream->room) {
			d->room = d->stream->room * 2;
			rc = stream_begin(f, d, off);
			if (rc < 0)
				return rc;
		}
		n = take(f, d->stream, off, false, p, len);
		if (n < 0) {
			erasure_writer_abort(d->stream->w);
			return stream_lost(f, d, (int)n);
		}
		p = (const char *)p + n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return rc;
}

/* ---- Segments ---------------------------------------------------------------------------------------------- */
/* Writes segments from first on into one blob; *ret: the one behind the last that went in whole. */
static int blob_of_segments(struct fs *f, struct fs_dirty *d, unsigned first, struct fs_stream *s, unsigned *ret)
{
	unsigned i = first;

	for (; i < d->n; i++) {
		const struct seg *g = &d->seg[i];
		bool begin = true;

		if (g->kind != SEG_MEM)
			continue;
		if (s->len + g->len > s->room)
			break;
		for (uint64_t at = 0; at < g->len;) {
			ssize_t n = take(f, s, g->off + at, begin, g->mem + at, g->len - at);

			if (n < 0)
				return (int)n;
			begin = false;
			at += (uint64_t)n;
		}
	}
	*ret = i;
	return 0;
}

int stream_segments(struct fs *f, struct fs_dirty *d)
{
	while (d->mem > 0) {
		struct fs_stream *s;
		struct erasure_blob eb;
		unsigned end = 0;
		/* A segment is at most STREAM_MIN and one write long. */
		int rc = stream_open(f, 0, MIN(d->mem, (uint64_t)ERASURE_BLOB_MAX), &s);

		if (rc < 0)
			return rc;
		rc = blob_of_segments(f, d, 0, s, &end);
		if (rc < 0)
			erasure_writer_abort(s->w);
		else
			rc = stream_finish(f, s, &eb);
		if (rc == 0)
			rc = dirty_add_pending(d, s->blob, &eb);
		for (unsigned i = 0; rc == 0 && i < s->n; i++)
			rc = dirty_put_blob(f, d, &s->ext[i]); /* takes the place of the bytes in memory */
		stream_free(f, s);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- Blobs from before the set was revived ----------------------------------------------------------------- */
/* No row names the segment: it is told to the set for the time of reading, as one that is full. */
static int segment_known(struct fs *f, const struct erasure_blob *eb)
{
	CLEANUP_ERASURE struct erasure_set *set = meta_erasure_hold(f->set);
	struct segment_info info;

	if (erasure_segment_get(set, eb->segment, &info))
		return 0;
	info = eb->info;
	info.state = SEGMENT_SEALED;
	info.sealed_4k = info.size_4k;
	return erasure_segment_add(set, &info);
}

/* One blob at a time, so that little of it is in memory. */
int stream_renew(struct fs *f, struct fs_dirty *d)
{
	for (unsigned i = 0; i < d->nblobs;) {
		const struct erasure_blob *eb = &d->blob[i].eb;
		if (meta_epoch_taken(f->set, eb->info.epoch)) {
			i++;
			continue;
		}
		int rc = segment_known(f, eb);
		if (rc == 0)
			rc = dirty_blob_to_mem(f, d, i);
		if (rc == 0)
			rc = stream_segments(f, d);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- Reading what is not published ------------------------------------------------------------------------- */
static int pending_crcs(void *arg, uint64_t first, unsigned n, uint32_t *ret)
{
	const struct erasure_blob *eb = arg;
	uint64_t at = 0;
	unsigned got = 0;

	for (unsigned i = 0; i < eb->nstripes && got < n; i++) {
		const struct erasure_stripe *st = &eb->stripes[i];
		uint64_t count = (uint64_t)st->ncell * st->blocks_per_cell;

		while (got < n && first + got < at + count)
			ret[got] = st->crc[first + got - at], got++;
		at += count;
	}
	return got == n ? 0 : -QE_CORRUPT;
}

int pending_read(struct fs *f, struct fs_dirty *d, const struct row_extent *e, uint64_t from, uint64_t len, void *dst)
{
	CLEANUP_ERASURE struct erasure_set *set = meta_erasure_hold(f->set);

	for (unsigned i = 0; i < d->nblobs; i++) {
		struct erasure_blob *eb = &d->blob[i].eb;
		struct erasure_place at = {
			.segment = eb->segment,
			.offset_4k = eb->offset_4k,
			.stored_len = eb->stored_len,
			.block_log2 = eb->block_log2,
			.crcs = pending_crcs,
			.arg = eb,
		};

		if (d->blob[i].id == e->blob)
			return erasure_read(set, &at, e->start + from, len, dst, 0, NULL);
	}
	return -QE_INTERNAL;
}
