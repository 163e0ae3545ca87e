/* SPDX-License-Identifier: Apache-2.0
 *
 * What recovery reads of journals goes through a window of each slot: a run of one file. While the scan looks at a window
 * the run behind it is on its way already, into the other half of the slot's memory; when the scan gets there, what is left
 * of the old window (the first part of a record that crosses the border) is put right in front of it.
 *
 *   half of the memory   | room for that part | what was read ahead |
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "meta/recovery_internal.h"

#define WINDOW_MAX (2u << 20)

/* Small files have several windows too: tests see what happens at their borders. */
static uint32_t window_bytes(const struct recovery *r)
{
	return (uint32_t)MIN(r->s->journal.file_size / 8, (uint64_t)WINDOW_MAX);
}

static bool window_has(const struct window *w, uint64_t log, uint32_t off, uint32_t len)
{
	return w->len && w->log == log && off >= w->off && off + len <= w->off + w->len;
}

static bool half_grow(struct window_half *h, uint32_t len)
{
	void *p;

	if (h->cap >= len)
		return true;
	if (posix_memalign(&p, DRIVE_BLOCK, len) != 0)
		return false;
	free(h->mem);
	h->mem = p;
	h->cap = len;
	return true;
}

/* A chunk that fails as a whole is read block by block: one bad sector hides one block. */
static void read_blocks(struct window *w, struct drive_file *f)
{
	for (uint32_t at = 0; at < w->len; at += DRIVE_BLOCK)
		if (drive_pread(f, w->buf + at, DRIVE_BLOCK, w->off + at, DRIVE_DIRECT) < 0)
			memset(w->buf + at, 0, DRIVE_BLOCK);
}

static void window_read(struct recovery *r, struct drive_io *io, bool *pending, struct drive_file *f, void *buf, uint32_t off,
			uint32_t len, void (*done)(struct drive_io *io))
{
	*io = (struct drive_io){
		.file = f,
		.op = DRIVE_IO_READ,
		.flags = DRIVE_DIRECT,
		.buf = buf,
		.len = len,
		.off = off,
		.done = done,
	};
	*pending = true;
	drive_queue_submit(r->queue, io);
}

static void now_done(struct drive_io *io)
{
	CONTAINER_OF(io, struct window, now_io)->now_pending = false;
}

static void ahead_done(struct drive_io *io)
{
	CONTAINER_OF(io, struct window, ahead_io)->ahead_pending = false;
}

static void wait_for(struct recovery *r, const bool *pending)
{
	while (*pending)
		drive_queue_reap(r->queue, NS_PER_S);
}

/* ---- Ahead -------------------------------------------------------------------------------------------------------- */
static void ahead_start(struct recovery *r, unsigned slot)
{
	struct window *w = &r->win[slot];
	struct window_half *h = &w->half[!w->turn];
	struct found_file *f = scan_file(r, slot, w->log);
	uint32_t off = w->off + w->len, room = window_bytes(r);
	uint32_t len = (uint32_t)MIN(r->s->journal.file_size - off, (uint64_t)room);

	if (!r->read_ahead || w->absent || !len || !f || f->f->size < off + (uint64_t)len || !half_grow(h, 2 * room))
		return;
	w->ahead_off = off;
	w->ahead_len = len;
	window_read(r, &w->ahead_io, &w->ahead_pending, f->f, h->mem + room, off, w->ahead_len, ahead_done);
}

static void ahead_drop(struct recovery *r, struct window *w)
{
	wait_for(r, &w->ahead_pending);
	w->ahead_len = 0;
}

/* The window goes on with what was read ahead of it. False: that is not what is asked for, or it could not be read. */
static bool ahead_take(struct recovery *r, struct window *w, uint64_t log, uint32_t off, uint32_t len)
{
	uint32_t room = window_bytes(r), end = w->off + w->len;

	if (!w->ahead_len || !w->len || w->log != log || off < w->off || off > end || end != w->ahead_off || end - off > room ||
	    off + len > end + w->ahead_len)
		return false;
	wait_for(r, &w->ahead_pending);
	if (w->ahead_io.result < 0)
		return false;
	uint8_t *buf = w->half[!w->turn].mem + room - (end - off);
	memcpy(buf, w->buf + (off - w->off), end - off);
	w->turn = !w->turn;
	w->buf = buf;
	w->off = off;
	w->len = end - off + w->ahead_len;
	w->ahead_len = 0;
	return true;
}

/* ---- Windows ------------------------------------------------------------------------------------------------------ */
static void window_prepare(struct recovery *r, unsigned slot, uint64_t log, uint32_t off, uint32_t len)
{
	struct window *w = &r->win[slot];
	struct found_file *f = scan_file(r, slot, log);
	struct window_half *h = &w->half[w->turn];

	ahead_drop(r, w);
	w->log = log;
	w->off = off;
	w->len = (uint32_t)MIN(r->s->journal.file_size - off, (uint64_t)MAX(len, window_bytes(r)));
	ASSERT(half_grow(h, w->len)); /* what is not read would count as not written */
	w->buf = h->mem;
	w->absent = !f || f->f->size < w->off + w->len;
	if (!w->absent)
		window_read(r, &w->now_io, &w->now_pending, f->f, w->buf, off, w->len, now_done);
}

void window_fetch(struct recovery *r, uint32_t slots, uint64_t log, uint32_t off, uint32_t len)
{
	uint32_t read = 0, moved = 0;

	for (unsigned i = 0; i < r->s->n; i++) {
		struct window *w = &r->win[i];
		if (!(slots & 1u << i) || window_has(w, log, off, len))
			continue;
		moved |= 1u << i;
		if (ahead_take(r, w, log, off, len))
			continue;
		window_prepare(r, i, log, off, len);
		if (w->now_pending)
			read |= 1u << i;
	}
	if (!moved)
		return;
	drive_queue_flush(r->queue);
	for (unsigned i = 0; i < r->s->n; i++)
		if (read & 1u << i) {
			wait_for(r, &r->win[i].now_pending);
			if (r->win[i].now_io.result < 0)
				read_blocks(&r->win[i], r->win[i].now_io.file);
		}
	for (unsigned i = 0; i < r->s->n; i++)
		if (moved & 1u << i)
			ahead_start(r, i);
	drive_queue_flush(r->queue);
}

const uint8_t *window_at(const struct window *w, uint64_t log, uint32_t off, uint32_t len)
{
	return !w->absent && window_has(w, log, off, len) ? w->buf + (off - w->off) : NULL;
}

const uint8_t *scan_bytes(struct recovery *r, unsigned slot, uint64_t log, uint32_t off, uint32_t len)
{
	if (off + (uint64_t)len > r->s->journal.file_size)
		return NULL;
	window_fetch(r, 1u << slot, log, off, len);
	return window_at(&r->win[slot], log, off, len);
}

void windows_ahead(struct recovery *r, bool on)
{
	r->read_ahead = on;
	for (unsigned i = 0; !on && i < SUPER_MAX_SLOTS; i++)
		ahead_drop(r, &r->win[i]);
}

void windows_forget(struct recovery *r)
{
	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++)
		r->win[i].len = 0;
}

void windows_free(struct recovery *r)
{
	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++) {
		ASSERT(!r->win[i].ahead_pending && !r->win[i].now_pending);
		free(r->win[i].half[0].mem);
		free(r->win[i].half[1].mem);
	}
}
