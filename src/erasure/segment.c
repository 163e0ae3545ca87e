/* SPDX-License-Identifier: Apache-2.0
 *
 * Segments (STORAGE.md section 5). On a drive a segment is the file seg/<id in 16 hex digits>.seg: a header of 4 KiB,
 * then cells, in units of 4 KiB from the start of the file.
 *
 *   0  magic "QSEG" u32    4  format u16    6  class u8    7  block_log2 u8    8  segment id u64    16  epoch u64
 *   24 set u16  26 N u8  27 K u8  28 M u8  29 rotation u8  30 slot u8  31 cell index u8 (0xff: none)
 *   32 cell_4k u32   36 size_4k u32   40 flags u32   44 reserved 16   60 crc32c u32 of the bytes before   64 zeros
 *
 * The files of a segment are opened when first needed and stay open while the segment is in use, has something to
 * flush, or is among the lately used: set.max_files bounds the rest.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/err.h"
#include "base/log.h"
#include "erasure/erasure_internal.h"

#define SEGMENT_MAGIC 0x47455351u /* "QSEG" */
#define SEGMENT_FORMAT 1

/* ---- The header -------------------------------------------------------------------------------------------------- */
void segment_header_encode(const struct segment_header *h, void *block)
{
	uint8_t *p = block;
	const struct segment_info *i = &h->info;

	memset(p, 0, SEGMENT_HEADER_BYTES);
	le32_put(p, SEGMENT_MAGIC);
	le16_put(p + 4, SEGMENT_FORMAT);
	p[6] = i->cls;
	p[7] = i->block_log2;
	le64_put(p + 8, i->id);
	le64_put(p + 16, i->epoch);
	le16_put(p + 24, h->set);
	p[26] = i->n;
	p[27] = i->k;
	p[28] = i->m;
	p[29] = i->rotation;
	p[30] = h->slot;
	p[31] = h->cell;
	le32_put(p + 32, i->cell_4k);
	le32_put(p + 36, i->size_4k);
	le32_put(p + 60, checksum_crc32c(0, p, 60));
}

int segment_header_decode(const void *block, struct segment_header *ret)
{
	const uint8_t *p = block;

	if (le32_get(p) != SEGMENT_MAGIC || le32_get(p + 60) != checksum_crc32c(0, p, 60))
		return -QE_CORRUPT;
	if (le16_get(p + 4) != SEGMENT_FORMAT)
		return -QE_DRIVE_FORMAT;
	*ret = (struct segment_header){
		.info =
			{
				.cls = p[6],
				.block_log2 = p[7],
				.id = le64_get(p + 8),
				.epoch = le64_get(p + 16),
				.n = p[26],
				.k = p[27],
				.m = p[28],
				.rotation = p[29],
				.cell_4k = le32_get(p + 32),
				.size_4k = le32_get(p + 36),
			},
		.set = le16_get(p + 24),
		.slot = p[30],
		.cell = p[31],
	};
	return 0;
}

void segment_name(uint64_t id, char *ret)
{
	snprintf(ret, SEGMENT_NAME_MAX, "seg/%016llx.seg", (unsigned long long)id);
}

/* ---- Known segments ---------------------------------------------------------------------------------------------- */
struct segment *segment_find_locked(struct erasure_set *s, uint64_t id)
{
	for (struct hash_node *n = hash_first(&s->segments, hash_u64(id)); n; n = hash_next(n)) {
		struct segment *seg = CONTAINER_OF(n, struct segment, node);
		if (seg->info.id == id)
			return seg;
	}
	return NULL;
}

void segment_insert_locked(struct erasure_set *s, struct segment *seg)
{
	mutex_assert_held(&s->lock);
	hash_insert(&s->segments, hash_u64(seg->info.id), &seg->node);
	list_add_tail(&s->lru, &seg->lru);
	for (unsigned i = 0; i < seg->info.n; i++)
		s->open_files += seg->file[i] != NULL;
}

struct segment_claim *segment_claim_add(struct segment_claim *c)
{
	if (c)
		__atomic_fetch_add(&c->n, 1, __ATOMIC_RELAXED);
	return c;
}

void segment_claim_drop(struct segment_claim *c)
{
	if (c && __atomic_fetch_sub(&c->n, 1, __ATOMIC_ACQ_REL) == 1)
		free(c);
}

struct segment *segment_alloc(const struct segment_info *info)
{
	struct segment *seg = calloc(1, sizeof *seg);

	if (!seg)
		return NULL;
	seg->claim = calloc(1, sizeof *seg->claim);
	if (!seg->claim) {
		free(seg);
		return NULL;
	}
	seg->claim->n = 1;
	seg->info = *info;
	seg->info.live_bytes = 0; /* changes with each blob: told by the row alone */
	list_init(&seg->lru);
	list_init(&seg->dirty);
	list_init(&seg->runs);
	flush_init(seg);
	return seg;
}

void segment_free(struct segment *seg)
{
	for (unsigned i = 0; i < ERASURE_MAX_CELLS; i++)
		drive_file_unref(seg->file[i]);
	segment_claim_drop(seg->claim);
	free(seg);
}

struct segment *segment_pin_locked(struct erasure_set *s, uint64_t id)
{
	mutex_assert_held(&s->lock);
	struct segment *seg = segment_find_locked(s, id);
	if (!seg || seg->info.state == SEGMENT_DEAD)
		return NULL;
	seg->pins++;
	list_del(&seg->lru);
	list_add_tail(&s->lru, &seg->lru);
	return seg;
}

struct segment *segment_pin(struct erasure_set *s, uint64_t id)
{
	mutex_lock(&s->lock);
	struct segment *seg = segment_pin_locked(s, id);
	mutex_unlock(&s->lock);
	return seg;
}

void segment_unpin_locked(struct segment *seg)
{
	ASSERT(seg->pins > 0);
	seg->pins--;
}

void segment_unpin(struct erasure_set *s, struct segment *seg)
{
	mutex_lock(&s->lock);
	segment_unpin_locked(seg);
	mutex_unlock(&s->lock);
}

static bool geometry_fits(const struct erasure_set *s, const struct segment_info *i)
{
	return (i->cls == SEGMENT_LARGE || i->cls == SEGMENT_PACKED) && i->n == s->n && i->k == s->k && i->m == s->m &&
	       i->rotation < i->n && i->block_log2 >= 12 && i->block_log2 <= 16 && i->cell_4k > 0 &&
	       BYTES_4K(i->cell_4k) <= s->cell_max && i->size_4k > 1 && i->sealed_4k <= i->size_4k;
}

void segment_seal_locked(struct erasure_set *s, struct segment *seg)
{
	mutex_assert_held(&s->lock);
	if (s->open[seg->info.cls] == seg)
		s->open[seg->info.cls] = NULL;
	seg->info.state = SEGMENT_SEALED;
	seg->info.sealed_4k = seg->next_4k ? seg->next_4k : seg->info.size_4k;
}

/* What a row says of a segment that is known. Where the row is behind (a segment sealed meanwhile), it changes nothing. */
static void segment_update_locked(struct erasure_set *s, struct segment *seg, const struct segment_info *info)
{
	if (!seg->owned)
		seg->next_4k = MAX(seg->next_4k, info->sealed_4k);
	if (info->state == SEGMENT_OPEN || seg->info.state == SEGMENT_DEAD)
		return;
	if (s->open[seg->info.cls] == seg)
		s->open[seg->info.cls] = NULL;
	if (seg->info.state == SEGMENT_OPEN || !seg->owned)
		seg->info.sealed_4k = info->sealed_4k;
	seg->info.state = info->state;
}

int erasure_segment_add(struct erasure_set *s, const struct segment_info *info)
{
	if (!geometry_fits(s, info))
		return -QE_CORRUPT;
	struct segment *fresh = segment_alloc(info);
	if (!fresh)
		return -ENOMEM;
	fresh->next_4k = info->sealed_4k;
	mutex_lock(&s->lock);
	struct segment *seg = segment_find_locked(s, info->id);
	if (seg) {
		segment_update_locked(s, seg, info);
	} else {
		segment_insert_locked(s, fresh);
		s->rotation = (info->rotation + 1u) % s->n;
		fresh = NULL;
	}
	mutex_unlock(&s->lock);
	if (fresh)
		segment_free(fresh);
	return 0;
}

void erasure_segment_used(struct erasure_set *s, uint64_t segment, uint32_t end_4k)
{
	mutex_lock(&s->lock);
	struct segment *seg = segment_find_locked(s, segment);
	if (seg && !seg->owned)
		seg->next_4k = MAX(seg->next_4k, MIN(end_4k, seg->info.size_4k));
	mutex_unlock(&s->lock);
}

bool erasure_segment_known(struct erasure_set *s, uint64_t segment)
{
	MUTEX_GUARD(&s->lock);

	for (unsigned cls = 0; cls < ARRAY_SIZE(s->making_id); cls++)
		if (s->making_id[cls] == segment)
			return true;
	return segment_find_locked(s, segment) != NULL;
}

bool erasure_segment_get(struct erasure_set *s, uint64_t segment, struct segment_info *ret)
{
	mutex_lock(&s->lock);
	struct segment *seg = segment_find_locked(s, segment);
	if (seg)
		*ret = seg->info;
	mutex_unlock(&s->lock);
	return seg;
}

static bool in_use(const struct segment *seg)
{
	return seg->pins || __atomic_load_n(&seg->claim->n, __ATOMIC_ACQUIRE) > 1;
}

bool erasure_segment_in_use(struct erasure_set *s, uint64_t segment)
{
	MUTEX_GUARD(&s->lock);
	const struct segment *seg = segment_find_locked(s, segment);

	return seg && in_use(seg);
}

void erasure_segments_in_use(struct erasure_set *s, void (*fn)(void *arg, const struct segment_info *info), void *arg)
{
	mutex_lock(&s->lock);
	struct segment_info *found = calloc(s->segments.count + 1, sizeof *found);
	size_t n = 0;
	ASSERT(found);
	LIST_FOREACH (it, &s->lru) {
		const struct segment *seg = LIST_ENTRY(it, struct segment, lru);
		if (in_use(seg))
			found[n++] = seg->info;
	}
	mutex_unlock(&s->lock);
	for (size_t i = 0; i < n; i++)
		fn(arg, &found[i]);
	free(found);
}

uint32_t erasure_segment_slots(struct erasure_set *s, uint64_t segment)
{
	MUTEX_GUARD(&s->lock);
	const struct segment *seg = segment_find_locked(s, segment);

	return seg && seg->owned ? seg->slots : UINT32_MAX;
}

/* spares: slots whose file may become one. */
static int unlink_files(struct erasure_set *s, uint64_t id, uint32_t slots, uint32_t spares)
{
	char name[SEGMENT_NAME_MAX];
	int first = 0;

	segment_name(id, name);
	for (unsigned i = 0; i < s->n; i++) {
		CLEANUP_DRIVE struct drive *d = slots & 1u << i ? slot_drive(s, i) : NULL;
		if (!d || (spares & 1u << i && spare_keep(s, d, id)))
			continue;
		int rc = drive_unlink(d, name);
		if (rc < 0 && rc != -ENOENT && first == 0)
			first = rc;
	}
	return first;
}

/* Of a segment that no row names: what stays is a file that nobody knows. */
static void unlink_quietly(struct erasure_set *s, uint64_t id, uint32_t slots)
{
	int rc = unlink_files(s, id, slots, 0);

	if (rc < 0)
		log_debug("erasure", "cannot unlink an unused segment id=%016llx error=%d", (unsigned long long)id, -rc);
}

/* Slots whose file of a dead segment may be written anew: most of it was written, and no write of now can still come to it. */
static uint32_t spares_locked(const struct erasure_set *s, const struct segment *seg)
{
	const struct segment_info *i = &seg->info;
	uint32_t ret = s->writers & ~s->suspect;

	if (BYTES_4K(i->size_4k) != s->segment_size || i->size_4k - i->sealed_4k + i->punched_4k > i->size_4k / 4)
		return 0;
	for (uint32_t m = ret; m; m &= m - 1) {
		const struct segment_slot *ss = &seg->slot[__builtin_ctz(m)];
		if (ss->returned != OFFSET_NONE || ss->syncs || ss->failed != OFFSET_NONE)
			ret &= ~(m & -m);
	}
	return ret;
}

int erasure_segment_remove(struct erasure_set *s, uint64_t segment)
{
	uint32_t spares = 0;

	mutex_lock(&s->lock);
	struct segment *seg = segment_find_locked(s, segment);
	bool busy = seg && (seg->pins || seg->info.state != SEGMENT_DEAD);
	if (seg && !busy) {
		spares = s->spares ? spares_locked(s, seg) : 0;
		hash_remove(&s->segments, &seg->node);
		list_del(&seg->lru);
		list_del(&seg->dirty);
		for (unsigned i = 0; i < seg->info.n; i++)
			s->open_files -= seg->file[i] != NULL;
		missing_drop_locked(s, segment);
	}
	mutex_unlock(&s->lock);
	if (busy)
		return -EBUSY;
	if (seg)
		segment_free(seg);
	return unlink_files(s, segment, UINT32_MAX, spares);
}

/* Ends all open segments; those that are just being made are thrown away by their maker (reign). */
void erasure_seal_open(struct erasure_set *s, void (*fn)(void *arg, const struct segment_info *info), void *arg)
{
	mutex_lock(&s->lock);
	struct segment_info *found = calloc(s->segments.count + 1, sizeof *found);
	size_t n = 0;
	ASSERT(found);
	s->reign++;
	LIST_FOREACH (it, &s->lru) {
		struct segment *seg = LIST_ENTRY(it, struct segment, lru);
		if (seg->info.state != SEGMENT_OPEN)
			continue;
		segment_seal_locked(s, seg);
		found[n++] = seg->info;
	}
	mutex_unlock(&s->lock);
	for (size_t i = 0; i < n; i++)
		fn(arg, &found[i]);
	free(found);
}

/* ---- Files ------------------------------------------------------------------------------------------------------- */
static bool may_close(const struct erasure_set *s, const struct segment *seg)
{
	return seg->pins == 0 && list_empty(&seg->dirty) && s->open[seg->info.cls] != seg;
}

static unsigned take_files(struct erasure_set *s, struct segment *seg, struct drive_file *ret[ERASURE_MAX_CELLS])
{
	unsigned n = 0;

	for (unsigned i = 0; i < seg->info.n; i++)
		if (seg->file[i]) {
			ret[n++] = seg->file[i];
			seg->file[i] = NULL;
			s->open_files--;
		}
	return n;
}

/* Takes the files of the segment that was not used for longest, when there are many; the caller drops them. Segments
 * that cannot give any go to the young end, so that the next search does not meet them again. */
static unsigned take_old_files(struct erasure_set *s, struct drive_file *ret[ERASURE_MAX_CELLS])
{
	unsigned n = 0;

	for (size_t i = 0; s->open_files >= s->max_files && n == 0 && i < s->segments.count; i++) {
		struct segment *seg = LIST_ENTRY(s->lru.next, struct segment, lru);
		if (may_close(s, seg))
			n = take_files(s, seg, ret);
		list_del(&seg->lru);
		list_add_tail(&s->lru, &seg->lru);
	}
	return n;
}

int segment_header_write(struct erasure_set *s, struct segment *seg, unsigned slot, struct drive_file *f)
{
	unsigned cell = segment_cell_of(seg, slot);
	struct segment_header h = {.info = seg->info, .set = s->set, .slot = (uint8_t)slot};
	void *block = pool_get(s->blocks);

	if (!block)
		return -ENOMEM;
	h.cell = cell < s->ncell ? (uint8_t)cell : 0xff;
	segment_header_encode(&h, block);
	int rc = drive_pwrite(f, block, SEGMENT_HEADER_BYTES, 0, DRIVE_DIRECT);
	if (rc >= 0)
		rc = drive_sync(f);
	pool_put(s->blocks, block);
	return rc;
}

/* What is reserved for a file. One that is made anew of a sealed segment with holes gets its bytes as they come. */
static uint64_t file_bytes(struct erasure_set *s, const struct segment *seg)
{
	MUTEX_GUARD(&s->lock);
	const struct segment_info *i = &seg->info;

	if (i->state != SEGMENT_SEALED)
		return BYTES_4K(i->size_4k);
	return i->punched_4k > i->sealed_4k / 8 ? SEGMENT_HEADER_BYTES : BYTES_4K(i->sealed_4k);
}

int segment_file_create(struct erasure_set *s, struct segment *seg, unsigned slot, struct drive_file **ret)
{
	CLEANUP_DRIVE struct drive *d = slot_drive(s, slot);
	char name[SEGMENT_NAME_MAX];
	struct drive_file *f;

	if (!d)
		return -ENODEV;
	segment_name(seg->info.id, name);
	uint64_t bytes = file_bytes(s, seg);
	int rc = spare_take(s, d, name, bytes, &f);
	if (rc == -ENOENT)
		rc = drive_open(d, name, DRIVE_CREATE, bytes, &f);
	if (rc < 0)
		return rc;
	rc = segment_header_write(s, seg, slot, f);
	if (rc < 0) {
		drive_file_unref(f);
		unlink_quietly(s, seg->info.id, 1u << slot);
		return rc;
	}
	*ret = f;
	return 0;
}

/* What a file that is made anew will take in the end. */
static uint64_t file_room(struct erasure_set *s, const struct segment *seg)
{
	uint64_t now = file_bytes(s, seg);
	MUTEX_GUARD(&s->lock);
	const struct segment_info *i = &seg->info;

	return i->state == SEGMENT_SEALED ? MAX(now, BYTES_4K(i->sealed_4k - MIN(i->punched_4k, i->sealed_4k))) : now;
}

static int open_file(struct erasure_set *s, struct segment *seg, unsigned slot, bool create, struct drive_file **ret)
{
	CLEANUP_DRIVE struct drive *d = slot_drive(s, slot);
	char name[SEGMENT_NAME_MAX];

	if (!d)
		return -ENODEV;
	segment_name(seg->info.id, name);
	int rc = drive_open(d, name, 0, 0, ret);
	if (rc == -ENOENT && create)
		rc = segment_file_create(s, seg, slot, ret);
	return rc;
}

/* The open file of the slot, if there is one; an error where its drive is not to be used. */
static int known_file(struct erasure_set *s, struct segment *seg, unsigned slot, struct drive_file **ret)
{
	MUTEX_GUARD(&s->lock);
	struct drive *d = s->drives[slot];

	if (!d)
		return -ENODEV;
	if (drive_is_out(d))
		return -EIO;
	if (seg->file[slot])
		*ret = drive_file_ref(seg->file[slot]);
	return 0;
}

int segment_file(struct erasure_set *s, struct segment *seg, unsigned slot, unsigned flags, bool create,
                 struct drive_file **ret)
{
	struct drive_file *old[ERASURE_MAX_CELLS + 1], *f = NULL;
	int rc = known_file(s, seg, slot, &f);

	if (rc < 0 || f) {
		*ret = f;
		return rc;
	}
	if (flags & DRIVE_NOWAIT)
		return -EAGAIN;
	rc = open_file(s, seg, slot, create, &f);
	if (rc < 0)
		return rc;
	mutex_lock(&s->lock);
	unsigned n = take_old_files(s, old);
	if (seg->file[slot]) {
		old[n++] = f; /* somebody was faster */
		f = seg->file[slot];
	} else {
		seg->file[slot] = f;
		s->open_files++;
	}
	drive_file_ref(f);
	mutex_unlock(&s->lock);
	for (unsigned i = 0; i < n; i++)
		drive_file_unref(old[i]);
	*ret = f;
	return 0;
}

/* What the set holds open of a file that was lost is another one than that which has the name now. -EBUSY: it is written
 * to and not flushed. */
static int replace_file(struct erasure_set *s, struct segment *seg, unsigned slot, struct drive_file **f)
{
	MUTEX_GUARD(&s->lock);
	const struct segment_slot *ss = &seg->slot[slot];
	struct drive_file *old = seg->file[slot];

	if (!old)
		return 0;
	if (ss->returned != OFFSET_NONE || ss->syncs)
		return -EBUSY;
	seg->file[slot] = *f;
	*f = old;
	return 0;
}

int segment_file_own(struct erasure_set *s, struct segment *seg, unsigned slot, bool create, struct drive_file **ret)
{
	struct drive_file *f;
	int rc = open_file(s, seg, slot, false, ret);

	if (rc != -ENOENT || !create)
		return rc;
	if (!slot_takes_file(s, slot, file_room(s, seg)))
		return -ENOSPC;
	rc = segment_file_create(s, seg, slot, &f);
	if (rc < 0)
		return rc;
	rc = replace_file(s, seg, slot, &f);
	drive_file_unref(f);
	if (rc < 0) {
		unlink_quietly(s, seg->info.id, 1u << slot);
		return rc;
	}
	return open_file(s, seg, slot, false, ret);
}

/* What was written and not flushed through them counts as failed: no later sync through another descriptor covers it. */
static void lose_slot(struct segment *seg, unsigned slot)
{
	struct segment_slot *ss = &seg->slot[slot];

	seg->trimmed &= ~(1u << slot);
	seg->lost |= seg->slots & 1u << slot;
	seg->slots &= ~(1u << slot);
	flush_note(&ss->failed, ss->returned);
	ss->returned = OFFSET_NONE;
	if (!flush_pending(seg))
		list_del(&seg->dirty);
}

uint32_t erasure_segment_absent(struct erasure_set *s, uint64_t segment, uint32_t slots)
{
	struct segment *seg = segment_pin(s, segment);
	uint32_t absent = 0;

	if (!seg)
		return 0;
	for (uint32_t m = slots; m; m &= m - 1) {
		struct drive_file *f;
		int rc = open_file(s, seg, (unsigned)__builtin_ctz(m), false, &f);
		if (rc == 0)
			drive_file_unref(f);
		if (rc == -ENOENT)
			absent |= m & -m;
	}
	segment_unpin(s, seg);
	return absent;
}

void segment_close_slot(struct erasure_set *s, unsigned slot, bool lost)
{
	mutex_lock(&s->lock);
	struct drive_file **old = calloc(s->open_files + 1, sizeof(struct drive_file *));
	size_t n = 0;
	ASSERT(old);
	LIST_FOREACH (it, &s->lru) {
		struct segment *seg = LIST_ENTRY(it, struct segment, lru);
		if (lost)
			lose_slot(seg, slot);
		if (!seg->file[slot])
			continue;
		old[n++] = seg->file[slot];
		seg->file[slot] = NULL;
		s->open_files--;
	}
	mutex_unlock(&s->lock);
	for (size_t i = 0; i < n; i++)
		drive_file_unref(old[i]);
	free(old);
}

void segment_unmake(struct erasure_set *s, struct segment *seg)
{
	uint32_t slots = seg->slots;
	uint64_t id = seg->info.id;

	segment_free(seg);
	unlink_quietly(s, id, slots);
}
