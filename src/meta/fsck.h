/* SPDX-License-Identifier: Apache-2.0
 *
 * Checks a set that no daemon serves, without writing to it: identities, superblocks, journals, index copies, counters,
 * places of payload, segment files, and where it is wanted the payload. What it finds is told one by one; each finding
 * says what it means and what to do.
 */
#ifndef QUOIN_META_FSCK_H
#define QUOIN_META_FSCK_H

#include "meta/meta.h"

enum fsck_grade {
	FSCK_REPAIRED = 1, /* the daemon repairs it by itself, at its next start or while it runs */
	FSCK_DAMAGE = 2    /* an operator must act, or data is lost */
};

struct fsck_place { /* cells that lie one behind the other */
	uint64_t segment, offset, bytes;
	unsigned cells;
	const char *owners; /* whose payload it is, a line each: "BUCKET/KEY", or what it is else; "": parity only */
};

struct fsck_finding {
	enum fsck_grade grade;
	const char *drive; /* its path; NULL: of the whole set */
	const char *what, *meaning, *cure;
	const struct fsck_place *place; /* NULL: it has none */
};

struct fsck_params {
	struct drive *drives[SUPER_MAX_SLOTS]; /* opened by drive_posix_open_read; NULL: could not be */
	uint64_t index_map_bytes;
	bool deep; /* the payload is read, too */
	void (*progress)(void *arg, uint64_t done, uint64_t total); /* of deep, in bytes, often; may be NULL */
	void (*tell)(void *arg, const struct fsck_finding *f);
	void *arg;
};

struct fsck_counts { /* what was looked at */
	uint64_t drives, records, rows, blobs, segments;
	uint64_t bytes; /* of payload */
};

/* 0: the check came to its end, damage or not. -QE_DRIVE_LOCKED: a daemon has a drive, nothing was checked. Another error:
 * it could not go on; ctx->detail. */
int meta_fsck(const struct fsck_params *p, struct op_ctx *ctx, struct fsck_counts *ret) WARN_UNUSED;

#endif
