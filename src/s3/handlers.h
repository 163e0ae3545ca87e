/* SPDX-License-Identifier: Apache-2.0
 *
 * The handlers that the operation table names, by file.
 */
#ifndef QUOIN_S3_HANDLERS_H
#define QUOIN_S3_HANDLERS_H

#include "s3/ops.h"

/* op_bucket.c */
s3_handler_fn s3_list_buckets, s3_create_bucket, s3_head_bucket, s3_delete_bucket, s3_get_bucket_location;
/* op_list.c */
s3_handler_fn s3_list_objects, s3_list_objects_v2, s3_list_versions;
/* op_get.c */
s3_handler_fn s3_head_object, s3_get_object, s3_get_attributes;
/* op_put.c */
s3_handler_fn s3_put_object_begin, s3_put_object;
/* op_copy.c */
s3_handler_fn s3_copy_object, s3_upload_part_copy;
/* op_delete.c */
s3_handler_fn s3_delete_object, s3_delete_objects;
/* op_tagging.c */
s3_handler_fn s3_get_tagging, s3_put_tagging, s3_delete_tagging;
/* op_multipart.c */
s3_handler_fn s3_create_upload, s3_upload_part_begin, s3_upload_part, s3_list_parts, s3_complete_upload_begin,
	s3_complete_upload, s3_abort_upload, s3_list_uploads;
/* op_config.c */
s3_handler_fn s3_get_bucket_versioning, s3_get_acl, s3_put_acl, s3_get_accelerate, s3_get_request_payment,
	s3_get_logging, s3_get_notification, s3_not_configured, s3_delete_nothing;

#endif
