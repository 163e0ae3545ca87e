/* SPDX-License-Identifier: Apache-2.0
 *
 * Who a drive is. The file `identity` (one 4 KiB block: magic "QIDN", format u16, deployment id 16, drive id 16, pool,
 * set, slot, N, K, M u16 each, created u64, feature flags u64, zeros, crc32c u32 in the last 4 bytes: this place no later
 * format may change) is written once, at format, and held with flock() while a daemon uses the drive. One whose checksum is
 * wrong is damaged: the superblock says the same, unless that is of a newer format. Format order: super_format, identity_format, then
 * journal files: a format that was cut short leaves a drive that is still blank, or one that is formatted.
 */
#ifndef QUOIN_DRIVE_IDENTITY_H
#define QUOIN_DRIVE_IDENTITY_H

#include <sys/types.h>

#include "drive/drive.h"

struct identity {
	uint8_t deployment[16], drive[16];
	uint16_t pool, set, slot, n, k, m;
	uint64_t created_ns;
	bool damaged; /* as read: the file is, and this is what the superblock says */
};

/* Reads and locks, and sets the drive's slot and id. 0; -ENODATA: blank (the directory is empty but for lost+found and
 * what a format that was cut short leaves: empty journal/, seg/, spare/, index/, a superblock of our format, an
 * identity under its temporary name); -QE_DRIVE_LOCKED; -QE_DRIVE_FORMAT: damaged and the superblock too, newer, or a
 * directory with foreign content. Never writes. The lock is kept until drive_close. */
int identity_read(struct drive *d, struct identity *ret) WARN_UNUSED;
/* Writes the file of a drive anew whose identity was read as damaged. */
int identity_mend(struct drive *d, struct identity *id) WARN_UNUSED;
/* The path of a drive whose identity is held still leads to it: 0. -ENOENT: to nothing, or to another one; or why it cannot
 * be looked at. */
int identity_check(struct drive *d) WARN_UNUSED;
/* Writes the identity of a blank drive (its superblock is written before: super_format), and locks it. -EEXIST: it has
 * one; -QE_DRIVE_LOCKED: somebody else is about it. */
int identity_format(struct drive *d, const struct identity *id) WARN_UNUSED;
/* The process that has the lock of the drive in a directory, by what /proc/locks says: 0 if none, or not known (of another
 * pid namespace, or of a file system that gives its files other device numbers than the kernel's lists). */
pid_t identity_holder(const char *path);

#endif
