/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of fsck share.
 *
 *   fsck.c          the order of it all; drives and superblocks
 *   fsck_journal.c  what recovery saw of the journals
 *   fsck_rows.c     index copies, counters, places of payload, segment files
 *   fsck_cells.c    the payload: every live cell against its checksums
 *   owner.c         whose payload it is
 */
#ifndef QUOIN_META_FSCK_INTERNAL_H
#define QUOIN_META_FSCK_INTERNAL_H

#include "base/buf.h"
#include "meta/fsck.h"
#include "meta/set_internal.h"

struct recovery;

struct fsck {
	const struct fsck_params *p;
	struct op_ctx *ctx;
	struct fsck_counts counts;
	uint32_t blank;            /* drives that are empty, by place: replacements of those that are not here */
	struct meta_set *s;        /* NULL: it could not be opened */
	uint32_t counted;          /* slots whose drive took part in recovery */
	uint32_t index_read;       /* of these, slots whose index copy was read */
	struct isr_body isr;       /* in force */
};

/* drive NULL: of the set. meaning and cure: literals. */
void fsck_tell(struct fsck *f, enum fsck_grade grade, const struct drive *d, const char *meaning, const char *cure,
	       const char *what, ...) PRINTF_LIKE(6, 7);
/* Called by recovery of a read-only set at its end, with all that it found. */
void fsck_journals(struct fsck *f, struct recovery *r);
int fsck_rows(struct fsck *f) WARN_UNUSED;

/* Where a blob lies in its segment. From and to are 4 KiB units << 24; of a packed blob the byte in its stripe's cells is
 * added (16 cells of 64 KiB are 20 bits). */
struct span {
	uint64_t segment, from, to, blob;
};
#define PLACE(offset_4k) ((uint64_t)(offset_4k) << 24)

struct places {
	struct fsck *f;
	struct vec spans;    /* struct span, by place */
	struct vec segments; /* struct segment_info, ascending */
};

int fsck_cells(const struct places *p) WARN_UNUSED;

#endif
