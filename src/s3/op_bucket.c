/* SPDX-License-Identifier: Apache-2.0
 *
 * Buckets themselves.
 */
#include "s3/handlers.h"
#include "s3/render.h"
#include "s3/request.h"
#include "s3/xml_read.h"
#include "s3/xml_write.h"

static void put_bucket(struct buf *b, const struct s3_request *r, const struct object_bucket_info *info)
{
	xml_open(b, "Bucket");
	xml_put(b, "Name", info->name);
	xml_put_time(b, "CreationDate", info->created_ns);
	if (r->srv->region[0])
		xml_put_c(b, "BucketRegion", r->srv->region);
	xml_close(b, "Bucket");
}

void s3_list_buckets(struct s3_request *r)
{
	struct str prefix = s3_query_or(r, "prefix", ""), after = s3_query_or(r, "continuation-token", "");
	struct object_bucket_info *list;
	struct str last = STR_LIT("");
	struct buf b = BUF_INIT;
	unsigned n, max, shown = 0;
	uint64_t seq = 0;
	bool more = false;
	int rc = s3_query_uint(r, "max-buckets", 10000, 10000, &max);

	if (rc == 0)
		rc = object_bucket_list(r->srv->store, r->ctx, &list, &n, &seq);
	s3_reveals(r, seq);
	if (s3_fails(r, rc))
		return;
	xml_begin(&b, "ListAllMyBucketsResult");
	s3_put_owner(&b, "Owner", r);
	xml_open(&b, "Buckets");
	for (unsigned i = 0; i < n && !more; i++) {
		if (!str_starts(list[i].name, prefix) || (after.len && str_cmp(list[i].name, after) <= 0))
			continue;
		if (shown == max) {
			more = true;
			break;
		}
		put_bucket(&b, r, &list[i]);
		last = list[i].name;
		shown++;
	}
	xml_close(&b, "Buckets");
	if (prefix.len)
		xml_put(&b, "Prefix", prefix);
	if (more)
		xml_put(&b, "ContinuationToken", last);
	xml_close(&b, "ListAllMyBucketsResult");
	s3_reply_xml(r, 200, &b);
}

static void on_created(void *arg, int rc)
{
	struct s3_request *r = arg;

	if (s3_fails(r, rc))
		return;
	s3_reply_header(r, "Location", str_of(arena_printf(s3_arena(r), "/%.*s", STR_FMT(r->bucket))));
	s3_reply(r, 200);
}

/* An empty body, or CreateBucketConfiguration with the region of this server. */
static int check_location(struct s3_request *r)
{
	struct str doc = str_trim(buf_str(&r->small)), where;
	struct xml_node *root;
	int rc;

	if (doc.len == 0)
		return 0;
	rc = xml_parse(s3_arena(r), doc, &root);
	if (rc < 0)
		return rc;
	if (!str_eqc(root->name, "CreateBucketConfiguration") && !str_eqc(root->name, "CreateBucketRequest"))
		return -QE_MALFORMED_XML;
	where = xml_text(root, "LocationConstraint");
	if (where.len == 0 || r->srv->region[0] == '\0' || str_eqc(where, r->srv->region))
		return 0;
	return -QE_INVALID_LOCATION;
}

void s3_create_bucket(struct s3_request *r)
{
	struct str v;
	int rc = s3_header(r, "x-amz-bucket-object-lock-enabled", &v) && str_eq_nocase(v, STR_LIT("true"))
	             ? op_fail(r->ctx, -QE_NOT_IMPLEMENTED, "Object lock is not implemented.")
	             : 0;

	if (rc == 0 && !object_bucket_name_ok(r->bucket))
		rc = -QE_INVALID_BUCKET_NAME;
	if (rc == 0)
		rc = s3_refuse_unsupported(r);
	if (rc == 0)
		rc = check_location(r);
	if (rc == 0)
		rc = object_bucket_create(r->srv->store, r->ctx, r->bucket, on_created, r);
	s3_fails(r, rc);
}

void s3_head_bucket(struct s3_request *r)
{
	if (s3_fails(r, s3_bucket_exists(r)))
		return;
	s3_reply(r, 200);
}

static void on_deleted(void *arg, int rc)
{
	struct s3_request *r = arg;

	if (!s3_fails(r, rc))
		s3_reply(r, 204);
}

void s3_delete_bucket(struct s3_request *r)
{
	struct str v;
	int rc = 0;

	if (s3_header(r, "x-minio-force-delete", &v) && str_eq_nocase(v, STR_LIT("true")))
		rc = op_fail(r->ctx, -QE_NOT_IMPLEMENTED, "Deleting a bucket with its objects is not implemented.");
	if (rc == 0)
		rc = object_bucket_delete(r->srv->store, r->ctx, r->bucket, on_deleted, r);
	s3_fails(r, rc);
}

void s3_get_bucket_location(struct s3_request *r)
{
	struct buf b = BUF_INIT;

	if (s3_fails(r, s3_bucket_exists(r)))
		return;
	xml_begin(&b, "LocationConstraint");
	/* us-east-1 is told as nothing, as AWS does. */
	if (r->srv->region[0] && !str_eqc(str_of(r->srv->region), "us-east-1"))
		xml_escape(&b, str_of(r->srv->region));
	xml_close(&b, "LocationConstraint");
	s3_reply_xml(r, 200, &b);
}
