/* SPDX-License-Identifier: Apache-2.0
 *
 * Spares (STORAGE.md section 5, Files): files of dead segments that wait to be the next segments. To write over extents
 * that were written before is cheaper than to write to fallocated ones, whose every flush must tell the file system that
 * they are in use now; and to give extents back and take others costs as well.
 *
 * A spare is spare/<id>-<units of 4 KiB>.seg, each in 16 hex digits. It is no part of the set: what it holds belongs to
 * nobody, and it may go at any time. It counts as free space (drive_space), so it must not be in the way of anything that
 * asks for room: spares are kept only while the drive has a quarter of its space free besides, and go when that is less
 * than an eighth.
 *
 * Its old header stays until the new one is written. Until that is on the medium no record names the segment, so after a
 * crash the file is one that no row names, and goes. Cells that were lost with a crash show old bytes, not zeros: as
 * wrong, by their checksums.
 */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/codec.h"
#include "erasure/erasure_internal.h"

#define SPARES_SEEN 64 /* of one look */
#define KEPT_SHARE 4   /* of the drive's space is free: a quarter */
#define GONE_SHARE 8
#define SPARE_NAME_MAX 48

struct shelf {
	unsigned n;
	struct spare {
		uint64_t id;
		uint64_t size_4k;
	} spare[SPARES_SEEN];
};

static void spare_name(const struct spare *sp, char *ret)
{
	snprintf(ret, SPARE_NAME_MAX, "spare/%016llx-%016llx.seg", (unsigned long long)sp->id,
	         (unsigned long long)sp->size_4k);
}

static int note_spare(void *arg, const char *name)
{
	struct shelf *sh = arg;
	uint8_t id[8], size[8];

	if (strlen(name) != 37 || name[16] != '-' || strcmp(name + 33, ".seg") != 0 ||
	    hex_decode((struct str){name, 16}, id, 8) != 8 || hex_decode((struct str){name + 17, 16}, size, 8) != 8)
		return 0;
	sh->spare[sh->n++] = (struct spare){be64_get(id), be64_get(size)};
	return sh->n == SPARES_SEEN;
}

static uint64_t shelf_bytes(const struct shelf *sh)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < sh->n; i++)
		sum += BYTES_4K(sh->spare[i].size_4k);
	return sum;
}

static void shelf_look(struct drive *d, struct shelf *ret)
{
	ret->n = 0;
	(void)!drive_list(d, "spare", note_spare, ret); /* what cannot be listed is not there to be used */
	drive_set_spare_bytes(d, shelf_bytes(ret));
}

static bool has_free(struct drive *d, const struct shelf *sh, unsigned share)
{
	struct drive_space space;
	uint64_t held = shelf_bytes(sh);

	return drive_space(d, &space) == 0 && space.free_bytes >= held && space.free_bytes - held >= space.total_bytes / share;
}

static void drop(struct drive *d, struct shelf *sh, unsigned i)
{
	char name[SPARE_NAME_MAX];

	spare_name(&sh->spare[i], name);
	(void)!drive_unlink(d, name); /* in vain: the next look finds it again */
	sh->spare[i] = sh->spare[--sh->n];
}

static void tidy(const struct erasure_set *s, struct drive *d)
{
	struct shelf sh;

	shelf_look(d, &sh);
	bool none = s->spares == 0 || !has_free(d, &sh, GONE_SHARE);
	for (unsigned i = sh.n; i-- > 0;)
		if (none || i >= s->spares || BYTES_4K(sh.spare[i].size_4k) != s->segment_size)
			drop(d, &sh, i);
	drive_set_spare_bytes(d, shelf_bytes(&sh));
}

void erasure_spares_tidy(struct erasure_set *s)
{
	for (unsigned i = 0; i < s->n; i++) {
		CLEANUP_DRIVE struct drive *d = slot_drive(s, i);
		if (d)
			tidy(s, d);
	}
}

bool spare_keep(struct erasure_set *s, struct drive *d, uint64_t id)
{
	struct spare fresh = {id, s->segment_size / DRIVE_BLOCK};
	char name[SPARE_NAME_MAX], from[SEGMENT_NAME_MAX];
	struct shelf sh;

	shelf_look(d, &sh);
	if (sh.n >= s->spares || !has_free(d, &sh, KEPT_SHARE))
		return false;
	segment_name(id, from);
	spare_name(&fresh, name);
	if (drive_rename(d, from, name) < 0)
		return false;
	drive_set_spare_bytes(d, shelf_bytes(&sh) + s->segment_size);
	return true;
}

/* Another thread may be faster. */
static int take_one(struct drive *d, const struct spare *sp, const char *name, struct drive_file **ret)
{
	char from[SPARE_NAME_MAX];

	spare_name(sp, from);
	int rc = drive_rename(d, from, name);
	if (rc < 0)
		return rc;
	rc = drive_open(d, name, DRIVE_NO_HOLES, 0, ret);
	if (rc == 0 && (*ret)->size == BYTES_4K(sp->size_4k))
		return 0;
	if (rc == 0)
		drive_file_unref(*ret);
	(void)!drive_unlink(d, name);
	return -ENOENT;
}

int spare_take(struct erasure_set *s, struct drive *d, const char *name, uint64_t bytes, struct drive_file **ret)
{
	struct shelf sh;
	int rc = -ENOENT;

	if (s->spares == 0 || bytes != s->segment_size)
		return -ENOENT;
	shelf_look(d, &sh);
	for (unsigned i = sh.n; rc == -ENOENT && i-- > 0;) {
		if (BYTES_4K(sh.spare[i].size_4k) != bytes)
			continue;
		rc = take_one(d, &sh.spare[i], name, ret);
		if (rc == 0)
			drive_set_spare_bytes(d, shelf_bytes(&sh) - bytes);
	}
	return rc;
}
