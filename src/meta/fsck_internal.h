/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of fsck share.
 *
 *   fsck.c          the order of it all; drives and superblocks
 *   fsck_journal.c  what recovery saw of the journals
 *   fsck_rows.c     index copies, counters, places of payload, segment files
 */
#ifndef QUOIN_META_FSCK_INTERNAL_H
#define QUOIN_META_FSCK_INTERNAL_H

#include "meta/fsck.h"

struct recovery;

struct fsck {
	const struct fsck_params *p;
	struct op_ctx *ctx;
	struct fsck_counts counts;
	unsigned blank;            /* drives that are empty: replacements of those that are not here */
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

#endif
