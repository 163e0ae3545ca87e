/* SPDX-License-Identifier: Apache-2.0
 *
 * Who a drive is. The file `identity` (one 4 KiB block: magic "QIDN", format u16, deployment id 16, drive id 16, pool,
 * set, slot, N, K, M u16 each, created u64, feature flags u64, crc32c u32) is written once, at format, and held with
 * flock() while a daemon uses the drive.
 */
#ifndef QUOIN_DRIVE_IDENTITY_H
#define QUOIN_DRIVE_IDENTITY_H

#include "drive/drive.h"

struct identity {
	uint8_t deployment[16], drive[16];
	uint16_t pool, set, slot, n, k, m;
	uint64_t created_ns;
};

/* Reads and locks. 0; -ENODATA: blank (nothing that quoin made, directory empty but for lost+found);
 * -QE_DRIVE_LOCKED; -QE_DRIVE_FORMAT: damaged, newer, or a directory with foreign content. Never writes. */
int identity_read(struct drive *d, struct identity *ret) WARN_UNUSED;
/* Writes the identity of a blank drive (its superblock is written before: super_format), and locks it. */
int identity_format(struct drive *d, const struct identity *id) WARN_UNUSED;

#endif
