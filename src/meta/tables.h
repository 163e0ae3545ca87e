/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables of the index: X(NAME, number, text). Numbers are on disk (STORAGE.md section 6).
 */
#ifndef QUOIN_META_TABLES_H
#define QUOIN_META_TABLES_H

#define QUOIN_TABLES(X)                                                                                                \
	X(BUCKETDIR, 1, "bucketdir")                                                                                       \
	X(BUCKET, 2, "bucket")                                                                                             \
	X(DOC, 3, "doc")                                                                                                   \
	X(USAGE, 4, "usage")                                                                                               \
	X(ENTRY, 5, "entry")                                                                                               \
	X(DIR, 6, "dir")                                                                                                   \
	X(VERSION, 7, "version")                                                                                           \
	X(VID, 8, "vid")                                                                                                   \
	X(FILE, 9, "file")                                                                                                 \
	X(LINK, 10, "link")                                                                                                \
	X(XATTR, 11, "xattr")                                                                                              \
	X(MAP, 12, "map")                                                                                                  \
	X(BLOB, 13, "blob")                                                                                                \
	X(BSUM, 14, "bsum")                                                                                                \
	X(STRIPE, 15, "stripe")                                                                                            \
	X(SEGMENT, 16, "segment")                                                                                          \
	X(MISSING, 17, "missing")                                                                                          \
	X(RECLAIM, 18, "reclaim")                                                                                          \
	X(ORPHAN, 19, "orphan")                                                                                            \
	X(UPLOAD, 20, "upload")                                                                                            \
	X(UPART, 21, "upart")                                                                                              \
	X(LEASE, 22, "lease")                                                                                              \
	X(OUTBOX, 23, "outbox")                                                                                            \
	X(QUEUE, 24, "queue")                                                                                              \
	X(PIECE, 25, "piece")                                                                                              \
	X(META, 26, "meta")

enum meta_table {
#define X(name, num, text) TABLE_##name = num,
	QUOIN_TABLES(X)
#undef X
	TABLE_END
};

#define META_KEY_MAX 511
const char *meta_table_name(unsigned table); /* "?" for an unknown number */

#endif
