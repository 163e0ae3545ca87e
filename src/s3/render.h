/* SPDX-License-Identifier: Apache-2.0
 *
 * Pieces of answers that several operations give.
 */
#ifndef QUOIN_S3_RENDER_H
#define QUOIN_S3_RENDER_H

#include "s3/request.h"

#define S3_OWNER_ID                                                                                                    \
	"02d6176db174dc93cb1b899f7c6078f08654445fe8cf1b6ce98d8855f66bdbf4" /* of MinIO, which clients know */

int s3_bucket_exists(struct s3_request *r) WARN_UNUSED;
void s3_put_owner(struct buf *b, const char *element, const struct s3_request *r);
struct str s3_class_name(struct str stored); /* STANDARD when empty */
/* <ChecksumCRC32C>..</ChecksumCRC32C> and, when typed, <ChecksumType>; nothing without a value. */
void s3_put_checksum(struct buf *b, struct s3_request *r, const struct s3_checksum *c, bool typed);
/* Metadata of an object as headers, ETag, Last-Modified, tags count, ...: what GET and HEAD share. */
void s3_reply_object(struct s3_request *r, const struct object_info *info);

#endif
