/* SPDX-License-Identifier: Apache-2.0
 *
 * The one error table: every condition that a face can show.
 *
 * X(symbol, number, errno, S3 code, HTTP status, class, text)
 *
 * Functions return 0 or more for success, -errno for a plain system error, or -QE_* (numbers from 1001 on). Both
 * faces render from this table, so that they cannot drift apart: the mount takes the errno, S3 the code and status.
 * Classes: CLIENT (the request is wrong), RETRY (may succeed later), CORRUPT (stored bytes are bad), INTERNAL.
 */
#define QUOIN_ERRTAB(X)                                                                                                \
	X(QE_CONFLICT, 1001, EAGAIN, "SlowDown", 503, RETRY, "The change lost a race; please try again.")                  \
	X(QE_QUORUM_WRITE, 1002, EROFS, "SlowDown", 503, RETRY,                                                           \
	  "Fewer drives than the write quorum are in sync; the set is read-only until more return.")                      \
	X(QE_QUORUM_READ, 1003, EIO, "SlowDown", 503, RETRY, "Too few drives answer to read this data.")                  \
	X(QE_UNKNOWN_OUTCOME, 1004, EIO, "ServiceUnavailable", 503, RETRY,                                                \
	  "Write quorum was lost while the change was written: it happened whole or not at all.")                         \
	X(QE_CORRUPT, 1005, EIO, "InternalError", 500, CORRUPT, "Stored data failed its checksum.")                       \
	X(QE_FULL, 1006, ENOSPC, "XQuoinStorageFull", 507, RETRY, "No space is left on the drives; delete something first.") \
	X(QE_BUSY, 1007, EAGAIN, "SlowDown", 503, RETRY, "Please reduce your request rate.")                              \
	X(QE_NOT_READY, 1008, EAGAIN, "XQuoinServerNotInitialized", 503, RETRY, "The server is starting, please try again.") \
	X(QE_INTERNAL, 1009, EIO, "InternalError", 500, INTERNAL, "We encountered an internal error, please try again.")  \
	X(QE_NO_SUCH_BUCKET, 1020, ENOENT, "NoSuchBucket", 404, CLIENT, "The specified bucket does not exist.")            \
	X(QE_NO_SUCH_KEY, 1021, ENOENT, "NoSuchKey", 404, CLIENT, "The specified key does not exist.")                    \
	X(QE_NO_SUCH_VERSION, 1022, ENOENT, "NoSuchVersion", 404, CLIENT, "The specified version does not exist.")         \
	X(QE_NO_SUCH_UPLOAD, 1023, ENOENT, "NoSuchUpload", 404, CLIENT,                                                   \
	  "The specified multipart upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.") \
	X(QE_BUCKET_EXISTS, 1024, EEXIST, "BucketAlreadyExists", 409, CLIENT, "The requested bucket name is not available.") \
	X(QE_BUCKET_OWNED, 1025, EEXIST, "BucketAlreadyOwnedByYou", 409, CLIENT,                                          \
	  "Your previous request to create the named bucket succeeded and you already own it.")                           \
	X(QE_BUCKET_NOT_EMPTY, 1026, ENOTEMPTY, "BucketNotEmpty", 409, CLIENT, "The bucket you tried to delete is not empty.") \
	X(QE_INVALID_BUCKET_NAME, 1027, EINVAL, "InvalidBucketName", 400, CLIENT, "The specified bucket is not valid.")    \
	X(QE_KEY_TOO_LONG, 1028, ENAMETOOLONG, "KeyTooLongError", 400, CLIENT, "Your key is too long.")                   \
	X(QE_INVALID_KEY, 1029, EILSEQ, "XQuoinInvalidObjectName", 400, CLIENT, "Object name contains unsupported characters.") \
	X(QE_PRECONDITION, 1030, EEXIST, "PreconditionFailed", 412, CLIENT,                                               \
	  "At least one of the preconditions you specified did not hold.")                                                \
	X(QE_NOT_MODIFIED, 1031, EIO, "NotModified", 304, CLIENT, "Not modified.")                                        \
	X(QE_INVALID_RANGE, 1032, EINVAL, "InvalidRange", 416, CLIENT, "The requested range is not satisfiable.")          \
	X(QE_INVALID_PART, 1033, EINVAL, "InvalidPart", 400, CLIENT,                                                      \
	  "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.") \
	X(QE_INVALID_PART_ORDER, 1034, EINVAL, "InvalidPartOrder", 400, CLIENT,                                           \
	  "The list of parts was not in ascending order. The parts list must be specified in order by part number.")      \
	X(QE_INVALID_PART_NUMBER, 1035, EINVAL, "InvalidPartNumber", 416, CLIENT, "The requested partnumber is not satisfiable.") \
	X(QE_ENTITY_TOO_SMALL, 1036, EINVAL, "EntityTooSmall", 400, CLIENT,                                               \
	  "Your proposed upload is smaller than the minimum allowed object size.")                                        \
	X(QE_ENTITY_TOO_LARGE, 1037, EFBIG, "EntityTooLarge", 400, CLIENT,                                                \
	  "Your proposed upload exceeds the maximum allowed object size.")                                                \
	X(QE_INCOMPLETE_BODY, 1038, EINVAL, "IncompleteBody", 400, CLIENT,                                                \
	  "You did not provide the number of bytes specified by the Content-Length HTTP header.")                         \
	X(QE_BAD_DIGEST, 1039, EINVAL, "BadDigest", 400, CLIENT,                                                          \
	  "The Content-MD5 or checksum you specified did not match what we received.")                                    \
	X(QE_INVALID_DIGEST, 1040, EINVAL, "InvalidDigest", 400, CLIENT, "The Content-MD5 you specified is not valid.")    \
	X(QE_SHA256_MISMATCH, 1041, EINVAL, "XAmzContentSHA256Mismatch", 400, CLIENT,                                     \
	  "The provided 'x-amz-content-sha256' header does not match what was computed.")                                 \
	X(QE_INVALID_ARGUMENT, 1042, EINVAL, "InvalidArgument", 400, CLIENT, "Invalid argument.")                         \
	X(QE_INVALID_REQUEST, 1043, EINVAL, "InvalidRequest", 400, CLIENT, "Invalid request.")                            \
	X(QE_MALFORMED_XML, 1044, EINVAL, "MalformedXML", 400, CLIENT,                                                    \
	  "The XML you provided was not well-formed or did not validate against our published schema.")                   \
	X(QE_METADATA_TOO_LARGE, 1045, E2BIG, "MetadataTooLarge", 400, CLIENT,                                            \
	  "Your metadata headers exceed the maximum allowed metadata size.")                                              \
	X(QE_MISSING_LENGTH, 1046, EINVAL, "MissingContentLength", 411, CLIENT,                                           \
	  "You must provide the Content-Length HTTP header.")                                                             \
	X(QE_INVALID_TAG, 1047, EINVAL, "InvalidTag", 400, CLIENT, "The tag provided was not a valid tag.")               \
	X(QE_INVALID_STORAGE_CLASS, 1048, EINVAL, "InvalidStorageClass", 400, CLIENT, "Invalid storage class.")            \
	X(QE_URI_TOO_LONG, 1049, EINVAL, "InvalidURI", 400, CLIENT, "Couldn't parse the specified URI.")                  \
	X(QE_HEADERS_TOO_LARGE, 1050, EINVAL, "RequestHeaderSectionTooLarge", 400, CLIENT,                                \
	  "Your request header section exceeds the maximum allowed size.")                                                \
	X(QE_METHOD_NOT_ALLOWED, 1051, EPERM, "MethodNotAllowed", 405, CLIENT,                                            \
	  "The specified method is not allowed against this resource.")                                                   \
	X(QE_NOT_IMPLEMENTED, 1052, ENOTSUP, "NotImplemented", 501, CLIENT,                                               \
	  "A header or query you provided implies functionality that is not implemented.")                                \
	X(QE_REQUEST_TIMEOUT, 1053, ETIMEDOUT, "RequestTimeout", 400, RETRY,                                              \
	  "Your socket connection to the server was not read from or written to within the timeout period.")              \
	X(QE_ACCESS_DENIED, 1060, EACCES, "AccessDenied", 403, CLIENT, "Access Denied.")                                  \
	X(QE_INVALID_ACCESS_KEY, 1061, EACCES, "InvalidAccessKeyId", 403, CLIENT,                                         \
	  "The Access Key Id you provided does not exist in our records.")                                                \
	X(QE_SIGNATURE, 1062, EACCES, "SignatureDoesNotMatch", 403, CLIENT,                                               \
	  "The request signature we calculated does not match the signature you provided. Check your key and signing method.") \
	X(QE_TIME_SKEWED, 1063, EACCES, "RequestTimeTooSkewed", 403, CLIENT,                                              \
	  "The difference between the request time and the server's time is too large.")                                  \
	X(QE_AUTH_MALFORMED, 1064, EINVAL, "AuthorizationHeaderMalformed", 400, CLIENT,                                   \
	  "The authorization header that you provided is not valid.")                                                     \
	X(QE_AUTH_QUERY, 1065, EINVAL, "AuthorizationQueryParametersError", 400, CLIENT,                                  \
	  "Error parsing the X-Amz-* query parameters.")                                                                  \
	X(QE_EXPIRED, 1066, EACCES, "AccessDenied", 403, CLIENT, "Request has expired.")                                  \
	X(QE_DRIVE_FOREIGN, 1080, EINVAL, "InternalError", 500, CLIENT, "The drive belongs to another deployment, set or slot.") \
	X(QE_DRIVE_FORMAT, 1081, EINVAL, "InternalError", 500, CORRUPT, "The drive's format is unknown, newer, or damaged.") \
	X(QE_DRIVE_LOCKED, 1082, EBUSY, "InternalError", 500, CLIENT, "The drive is in use by another quoin process.")     \
	X(QE_DRIVE_TIMEOUT, 1083, ETIMEDOUT, "SlowDown", 503, RETRY, "A drive did not answer within drive_timeout.")       \
	X(QE_EPOCH, 1084, ESTALE, "InternalError", 500, INTERNAL, "The write carries an epoch below the one promised.")    \
	X(QE_END_OF_FILE, 1085, EIO, "InternalError", 500, CORRUPT, "A file ends before the data that it should hold.")    \
	X(QE_CONFIG, 1090, EINVAL, "InternalError", 500, CLIENT, "The configuration is not valid.")                                       \
	X(QE_NO_SUCH_BUCKET_POLICY, 1100, ENODATA, "NoSuchBucketPolicy", 404, CLIENT, "The bucket policy does not exist.")   \
	X(QE_NO_SUCH_LIFECYCLE, 1101, ENODATA, "NoSuchLifecycleConfiguration", 404, CLIENT,                               \
	  "The lifecycle configuration does not exist.")                                                                  \
	X(QE_NO_SUCH_ENCRYPTION, 1102, ENODATA, "ServerSideEncryptionConfigurationNotFoundError", 404, CLIENT,            \
	  "The server side encryption configuration was not found.")                                                      \
	X(QE_NO_SUCH_OBJECT_LOCK, 1103, ENODATA, "ObjectLockConfigurationNotFoundError", 404, CLIENT,                     \
	  "Object Lock configuration does not exist for this bucket.")                                                    \
	X(QE_NO_SUCH_REPLICATION, 1104, ENODATA, "ReplicationConfigurationNotFoundError", 404, CLIENT,                    \
	  "The replication configuration was not found.")                                                                 \
	X(QE_NO_SUCH_TAG_SET, 1105, ENODATA, "NoSuchTagSet", 404, CLIENT, "The TagSet does not exist.")                   \
	X(QE_NO_SUCH_CORS, 1106, ENODATA, "NoSuchCORSConfiguration", 404, CLIENT, "The CORS configuration does not exist.") \
	X(QE_NO_SUCH_WEBSITE, 1107, ENODATA, "NoSuchWebsiteConfiguration", 404, CLIENT,                                   \
	  "The specified bucket does not have a website configuration.")                                                  \
	X(QE_NO_SUCH_PUBLIC_ACCESS, 1108, ENODATA, "NoSuchPublicAccessBlockConfiguration", 404, CLIENT,                   \
	  "The public access block configuration was not found.")                                                         \
	X(QE_NO_SUCH_OWNERSHIP, 1109, ENODATA, "OwnershipControlsNotFoundError", 404, CLIENT,                             \
	  "The bucket ownership controls were not found.")                                                                \
	X(QE_NO_OBJECT_RETENTION, 1110, ENODATA, "NoSuchObjectLockConfiguration", 404, CLIENT,                            \
	  "The specified object does not have a ObjectLock configuration.")                                               \
	X(QE_INVALID_LOCATION, 1111, EINVAL, "InvalidLocationConstraint", 400, CLIENT,                                    \
	  "The specified location-constraint is not valid.")                                                              \
	X(QE_BODY_TOO_LARGE, 1112, E2BIG, "MaxMessageLengthExceeded", 400, CLIENT, "Your request was too big.")            \
	X(QE_MALFORMED_ACL, 1113, EINVAL, "MalformedACLError", 400, CLIENT,                                               \
	  "The XML you provided was not well-formed or did not validate against our published schema.")                   \
	X(QE_INVALID_VERSION_ID, 1114, EINVAL, "InvalidArgument", 400, CLIENT, "Invalid version id specified.")            \
	X(QE_INVALID_CHUNK, 1115, EINVAL, "InvalidChunkSizeError", 400, CLIENT, "Only the last chunk may be smaller, and a chunk must be well-formed.") \
	X(QE_MALFORMED_TRAILER, 1116, EINVAL, "MalformedTrailerError", 400, CLIENT,                                       \
	  "The request contained trailing data that was not well-formed or did not conform to our published schema.")
