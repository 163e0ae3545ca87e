/* SPDX-License-Identifier: Apache-2.0
 *
 * Configurations that clients ask for and that are fixed here, or do not exist.
 */
#include "s3/handlers.h"
#include "s3/render.h"
#include "s3/request.h"
#include "s3/xml_read.h"
#include "s3/xml_write.h"

/* The bucket, and the object where the scope is one. */
static int target_exists(struct s3_request *r)
{
	struct object_handle *h = NULL;
	struct str version;
	uint64_t seq = 0;
	int rc;

	if (r->op->scope == S3_BUCKET)
		return s3_bucket_exists(r);
	rc = s3_version_id(r, &version);
	if (rc == 0)
		rc = object_open(r->srv->store, r->ctx, r->bucket, r->key, version, &h, &seq);
	s3_reveals(r, seq);
	object_close(h);
	return rc;
}

static void empty_document(struct s3_request *r, const char *root)
{
	struct buf b = BUF_INIT;

	if (s3_fails(r, target_exists(r)))
		return;
	xml_begin(&b, root);
	xml_close(&b, root);
	s3_reply_xml(r, 200, &b);
}

void s3_not_configured(struct s3_request *r)
{
	int rc = target_exists(r);

	s3_error(r, rc < 0 ? rc : -r->op->err);
}

void s3_delete_nothing(struct s3_request *r)
{
	if (!s3_fails(r, target_exists(r)))
		s3_reply(r, 204);
}

void s3_get_bucket_versioning(struct s3_request *r)
{
	empty_document(r, "VersioningConfiguration");
}

void s3_get_accelerate(struct s3_request *r)
{
	empty_document(r, "AccelerateConfiguration");
}

void s3_get_logging(struct s3_request *r)
{
	empty_document(r, "BucketLoggingStatus");
}

void s3_get_notification(struct s3_request *r)
{
	empty_document(r, "NotificationConfiguration");
}

void s3_get_request_payment(struct s3_request *r)
{
	struct buf b = BUF_INIT;

	if (s3_fails(r, target_exists(r)))
		return;
	xml_begin(&b, "RequestPaymentConfiguration");
	xml_put_c(&b, "Payer", "BucketOwner");
	xml_close(&b, "RequestPaymentConfiguration");
	s3_reply_xml(r, 200, &b);
}

void s3_get_acl(struct s3_request *r)
{
	struct buf b = BUF_INIT;

	if (s3_fails(r, target_exists(r)))
		return;
	xml_begin(&b, "AccessControlPolicy");
	s3_put_owner(&b, "Owner", r);
	buf_add_c(&b, "<AccessControlList><Grant><Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" "
	              "xsi:type=\"CanonicalUser\">");
	xml_put_c(&b, "ID", S3_OWNER_ID);
	xml_put_c(&b, "DisplayName", r->srv->server_name);
	buf_add_c(&b, "</Grantee><Permission>FULL_CONTROL</Permission></Grant></AccessControlList>");
	xml_close(&b, "AccessControlPolicy");
	s3_reply_xml(r, 200, &b);
}

/* Private is what there is: the canned ACL, or a document with the owner's one grant. */
static int check_acl(struct s3_request *r)
{
	struct str canned = {0}, doc = str_trim(buf_str(&r->small));
	const struct xml_node *list, *grant;
	struct xml_node *root;

	if (s3_header(r, "x-amz-acl", &canned) && !str_eqc(canned, "private"))
		return op_fail(r->ctx, -QE_NOT_IMPLEMENTED, "Only private access control lists are implemented.");
	if (doc.len == 0)
		return canned.len ? 0 : -QE_MALFORMED_ACL;
	if (xml_parse(s3_arena(r), doc, &root) < 0 || !str_eqc(root->name, "AccessControlPolicy"))
		return -QE_MALFORMED_ACL;
	list = xml_child(root, "AccessControlList");
	if (!list)
		return -QE_MALFORMED_ACL;
	grant = xml_child(list, "Grant");
	if (xml_count(list, "Grant") > 1 || (grant && !str_eqc(xml_text(grant, "Permission"), "FULL_CONTROL")))
		return op_fail(r->ctx, -QE_NOT_IMPLEMENTED, "Only private access control lists are implemented.");
	return 0;
}

void s3_put_acl(struct s3_request *r)
{
	int rc = target_exists(r);

	if (rc == 0)
		rc = s3_refuse_unsupported(r);
	if (rc == 0)
		rc = check_acl(r);
	if (!s3_fails(r, rc))
		s3_reply(r, 200);
}
