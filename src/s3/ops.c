/* SPDX-License-Identifier: Apache-2.0
 *
 * Every operation that the S3 face knows, one row each; quoin-s3(7) has the same list. Of the rows that match a request
 * the one with the most markers wins; rows with equally many must not match the same request.
 */
#include "s3/ops.h"

#include "base/err.h"
#include "base/macros.h"
#include "s3/handlers.h"

#define NONE S3_BODY_NONE
#define SMALL S3_BODY_SMALL
#define STREAM S3_BODY_STREAM
#define SERVICE S3_SERVICE
#define BUCKET S3_BUCKET
#define OBJECT S3_OBJECT

const struct s3_op s3_ops[] = {
	/* name, method, scope, query, header, IAM action, body, error, begin, run */
	{"ListBuckets", "GET", SERVICE, NULL, NULL, "s3:ListAllMyBuckets", NONE, 0, NULL, s3_list_buckets},

	{"CreateBucket", "PUT", BUCKET, NULL, NULL, "s3:CreateBucket", SMALL, 0, NULL, s3_create_bucket},
	{"HeadBucket", "HEAD", BUCKET, NULL, NULL, "s3:ListBucket", NONE, 0, NULL, s3_head_bucket},
	{"DeleteBucket", "DELETE", BUCKET, NULL, NULL, "s3:DeleteBucket", NONE, 0, NULL, s3_delete_bucket},
	{"GetBucketLocation", "GET", BUCKET, "location", NULL, "s3:GetBucketLocation", NONE, 0, NULL,
	 s3_get_bucket_location},
	{"ListObjects", "GET", BUCKET, NULL, NULL, "s3:ListBucket", NONE, 0, NULL, s3_list_objects},
	{"ListObjectsV2", "GET", BUCKET, "list-type=2", NULL, "s3:ListBucket", NONE, 0, NULL, s3_list_objects_v2},
	{"ListObjectVersions", "GET", BUCKET, "versions", NULL, "s3:ListBucketVersions", NONE, 0, NULL, s3_list_versions},
	{"ListMultipartUploads", "GET", BUCKET, "uploads", NULL, "s3:ListBucketMultipartUploads", NONE, 0, NULL,
	 s3_list_uploads},
	{"DeleteObjects", "POST", BUCKET, "delete", NULL, "s3:DeleteObject", SMALL, 0, NULL, s3_delete_objects},
	{"GetBucketVersioning", "GET", BUCKET, "versioning", NULL, "s3:GetBucketVersioning", NONE, 0, NULL,
	 s3_get_bucket_versioning},
	{"GetBucketAcl", "GET", BUCKET, "acl", NULL, "s3:GetBucketAcl", NONE, 0, NULL, s3_get_acl},
	{"PutBucketAcl", "PUT", BUCKET, "acl", NULL, "s3:PutBucketAcl", SMALL, 0, NULL, s3_put_acl},
	{"GetBucketAccelerateConfiguration", "GET", BUCKET, "accelerate", NULL, "s3:GetAccelerateConfiguration", NONE, 0,
	 NULL, s3_get_accelerate},
	{"GetBucketRequestPayment", "GET", BUCKET, "requestPayment", NULL, "s3:GetBucketRequestPayment", NONE, 0, NULL,
	 s3_get_request_payment},
	{"GetBucketLogging", "GET", BUCKET, "logging", NULL, "s3:GetBucketLogging", NONE, 0, NULL, s3_get_logging},
	{"GetBucketNotificationConfiguration", "GET", BUCKET, "notification", NULL, "s3:GetBucketNotification", NONE, 0,
	 NULL, s3_get_notification},
	{"GetBucketPolicy", "GET", BUCKET, "policy", NULL, "s3:GetBucketPolicy", NONE, QE_NO_SUCH_BUCKET_POLICY, NULL,
	 s3_not_configured},
	{"GetBucketPolicyStatus", "GET", BUCKET, "policyStatus", NULL, "s3:GetBucketPolicyStatus", NONE,
	 QE_NO_SUCH_BUCKET_POLICY, NULL, s3_not_configured},
	{"GetBucketLifecycleConfiguration", "GET", BUCKET, "lifecycle", NULL, "s3:GetLifecycleConfiguration", NONE,
	 QE_NO_SUCH_LIFECYCLE, NULL, s3_not_configured},
	{"GetBucketEncryption", "GET", BUCKET, "encryption", NULL, "s3:GetEncryptionConfiguration", NONE,
	 QE_NO_SUCH_ENCRYPTION, NULL, s3_not_configured},
	{"GetObjectLockConfiguration", "GET", BUCKET, "object-lock", NULL, "s3:GetBucketObjectLockConfiguration", NONE,
	 QE_NO_SUCH_OBJECT_LOCK, NULL, s3_not_configured},
	{"GetBucketReplication", "GET", BUCKET, "replication", NULL, "s3:GetReplicationConfiguration", NONE,
	 QE_NO_SUCH_REPLICATION, NULL, s3_not_configured},
	{"GetBucketTagging", "GET", BUCKET, "tagging", NULL, "s3:GetBucketTagging", NONE, QE_NO_SUCH_TAG_SET, NULL,
	 s3_not_configured},
	{"GetBucketCors", "GET", BUCKET, "cors", NULL, "s3:GetBucketCORS", NONE, QE_NO_SUCH_CORS, NULL, s3_not_configured},
	{"GetBucketWebsite", "GET", BUCKET, "website", NULL, "s3:GetBucketWebsite", NONE, QE_NO_SUCH_WEBSITE, NULL,
	 s3_not_configured},
	{"GetPublicAccessBlock", "GET", BUCKET, "publicAccessBlock", NULL, "s3:GetBucketPublicAccessBlock", NONE,
	 QE_NO_SUCH_PUBLIC_ACCESS, NULL, s3_not_configured},
	{"GetBucketOwnershipControls", "GET", BUCKET, "ownershipControls", NULL, "s3:GetBucketOwnershipControls", NONE,
	 QE_NO_SUCH_OWNERSHIP, NULL, s3_not_configured},
	{"DeleteBucketPolicy", "DELETE", BUCKET, "policy", NULL, "s3:DeleteBucketPolicy", NONE, 0, NULL, s3_delete_nothing},
	{"DeleteBucketLifecycle", "DELETE", BUCKET, "lifecycle", NULL, "s3:PutLifecycleConfiguration", NONE, 0, NULL,
	 s3_delete_nothing},
	{"DeleteBucketEncryption", "DELETE", BUCKET, "encryption", NULL, "s3:PutEncryptionConfiguration", NONE, 0, NULL,
	 s3_delete_nothing},
	{"DeleteBucketTagging", "DELETE", BUCKET, "tagging", NULL, "s3:PutBucketTagging", NONE, 0, NULL, s3_delete_nothing},
	{"DeleteBucketCors", "DELETE", BUCKET, "cors", NULL, "s3:PutBucketCORS", NONE, 0, NULL, s3_delete_nothing},
	{"DeleteBucketWebsite", "DELETE", BUCKET, "website", NULL, "s3:DeleteBucketWebsite", NONE, 0, NULL,
	 s3_delete_nothing},
	{"DeletePublicAccessBlock", "DELETE", BUCKET, "publicAccessBlock", NULL, "s3:PutBucketPublicAccessBlock", NONE, 0,
	 NULL, s3_delete_nothing},

	{"HeadObject", "HEAD", OBJECT, NULL, NULL, "s3:GetObject", NONE, 0, NULL, s3_head_object},
	{"GetObject", "GET", OBJECT, NULL, NULL, "s3:GetObject", NONE, 0, NULL, s3_get_object},
	{"GetObjectAttributes", "GET", OBJECT, "attributes", NULL, "s3:GetObjectAttributes", NONE, 0, NULL,
	 s3_get_attributes},
	{"PutObject", "PUT", OBJECT, NULL, NULL, "s3:PutObject", STREAM, 0, s3_put_object_begin, s3_put_object},
	{"CopyObject", "PUT", OBJECT, NULL, "x-amz-copy-source", "s3:PutObject", NONE, 0, NULL, s3_copy_object},
	{"DeleteObject", "DELETE", OBJECT, NULL, NULL, "s3:DeleteObject", NONE, 0, NULL, s3_delete_object},
	{"GetObjectTagging", "GET", OBJECT, "tagging", NULL, "s3:GetObjectTagging", NONE, 0, NULL, s3_get_tagging},
	{"PutObjectTagging", "PUT", OBJECT, "tagging", NULL, "s3:PutObjectTagging", SMALL, 0, NULL, s3_put_tagging},
	{"DeleteObjectTagging", "DELETE", OBJECT, "tagging", NULL, "s3:DeleteObjectTagging", NONE, 0, NULL,
	 s3_delete_tagging},
	{"GetObjectAcl", "GET", OBJECT, "acl", NULL, "s3:GetObjectAcl", NONE, 0, NULL, s3_get_acl},
	{"PutObjectAcl", "PUT", OBJECT, "acl", NULL, "s3:PutObjectAcl", SMALL, 0, NULL, s3_put_acl},
	{"GetObjectRetention", "GET", OBJECT, "retention", NULL, "s3:GetObjectRetention", NONE, QE_NO_OBJECT_RETENTION,
	 NULL, s3_not_configured},
	{"GetObjectLegalHold", "GET", OBJECT, "legal-hold", NULL, "s3:GetObjectLegalHold", NONE, QE_NO_OBJECT_RETENTION,
	 NULL, s3_not_configured},

	{"CreateMultipartUpload", "POST", OBJECT, "uploads", NULL, "s3:PutObject", NONE, 0, NULL, s3_create_upload},
	{"UploadPart", "PUT", OBJECT, "partNumber&uploadId", NULL, "s3:PutObject", STREAM, 0, s3_upload_part_begin,
	 s3_upload_part},
	{"UploadPartCopy", "PUT", OBJECT, "partNumber&uploadId", "x-amz-copy-source", "s3:PutObject", NONE, 0, NULL,
	 s3_upload_part_copy},
	{"ListParts", "GET", OBJECT, "uploadId", NULL, "s3:ListMultipartUploadParts", NONE, 0, NULL, s3_list_parts},
	{"CompleteMultipartUpload", "POST", OBJECT, "uploadId", NULL, "s3:PutObject", SMALL, 0, s3_complete_upload_begin,
	 s3_complete_upload},
	{"AbortMultipartUpload", "DELETE", OBJECT, "uploadId", NULL, "s3:AbortMultipartUpload", NONE, 0, NULL,
	 s3_abort_upload},
};

const size_t s3_ops_count = ARRAY_SIZE(s3_ops);
