/* SPDX-License-Identifier: Apache-2.0
 *
 * CopyObject and UploadPartCopy: by reference, no bytes move.
 */
#include <errno.h>

#include "s3/handlers.h"
#include "s3/render.h"
#include "s3/request.h"
#include "s3/xml_write.h"

struct copy {
	struct s3_request *r;
	struct object_copy_args a;
	struct object_info info;
	const char *element;
};

/* "/bucket/key?versionId=id", percent-encoded; the first slash is optional. */
static int parse_source(struct s3_request *r, struct object_copy_args *a)
{
	struct str v, version;
	ptrdiff_t q, slash;
	int rc = 0;

	a->src_version = STR_LIT("");
	if (!s3_header(r, "x-amz-copy-source", &v))
		return -QE_INVALID_ARGUMENT;
	q = str_find(v, '?', 0);
	if (q >= 0) {
		version = str_sub(v, (size_t)q + 1, v.len - (size_t)q - 1);
		if (!str_starts(version, STR_LIT("versionId=")))
			return op_fail(r->ctx, -QE_INVALID_ARGUMENT, "Unsupported copy source parameter.");
		rc = uri_decode_arena(s3_arena(r), str_sub(version, 10, version.len - 10), false, &a->src_version);
		v = str_sub(v, 0, (size_t)q);
	}
	if (rc == 0)
		rc = uri_decode_arena(s3_arena(r), v, false, &v);
	if (rc == 0 && v.len && v.p[0] == '/')
		v = str_sub(v, 1, v.len - 1);
	slash = str_find(v, '/', 0);
	if (rc < 0 || slash <= 0 || (size_t)slash + 1 == v.len)
		return op_fail(r->ctx, -QE_INVALID_ARGUMENT,
		               "Copy Source must mention the source bucket and key: sourcebucket/sourcekey");
	a->src_bucket = str_sub(v, 0, (size_t)slash);
	a->src_key = str_sub(v, (size_t)slash + 1, v.len - (size_t)slash - 1);
	if (a->src_key.len > OBJECT_KEY_MAX)
		return -QE_KEY_TOO_LONG;
	return memchr(a->src_key.p, '\0', a->src_key.len) || !str_is_utf8(a->src_key) ? -QE_INVALID_KEY : 0;
}

static int directive(struct s3_request *r, const char *header, bool *ret_replace)
{
	struct str v;

	*ret_replace = false;
	if (!s3_header(r, header, &v) || str_eqc(v, "COPY"))
		return 0;
	*ret_replace = str_eqc(v, "REPLACE");
	return *ret_replace ? 0 : op_fail(r->ctx, -QE_INVALID_ARGUMENT, "Unknown %s.", header + sizeof "x-amz-" - 1);
}

static void on_copied(void *arg, int rc)
{
	struct copy *c = arg;
	struct s3_request *r = c->r;
	struct s3_checksum sum;
	struct buf b = BUF_INIT;

	if (s3_fails(r, rc))
		return;
	xml_begin(&b, c->element);
	xml_put_etag(&b, c->info.etag);
	xml_put_time(&b, "LastModified", c->info.mtime_ns);
	if (s3_checksum_load(c->info.checksum, &sum))
		s3_put_checksum(&b, r, &sum, c->a.upload == 0);
	xml_close(&b, c->element);
	s3_reply_xml(r, 200, &b);
}

static int copy_args(struct s3_request *r, struct object_copy_args *a)
{
	int rc = parse_source(r, a);

	a->bucket = r->bucket;
	a->key = r->key;
	if (rc == 0)
		rc = s3_refuse_unsupported(r);
	if (rc == 0)
		rc = s3_conditions(r, "x-amz-copy-source-", &a->src_cond);
	return rc;
}

static void start(struct s3_request *r, struct copy *c, int rc)
{
	if (rc == 0)
		rc = object_copy(r->srv->store, r->ctx, &c->a, &c->info, on_copied, c);
	s3_fails(r, rc);
}

void s3_copy_object(struct s3_request *r)
{
	struct copy *c = arena_zalloc(s3_arena(r), sizeof *c);
	int rc = copy_args(r, &c->a);

	c->r = r;
	c->element = "CopyObjectResult";
	if (rc == 0)
		rc = directive(r, "x-amz-metadata-directive", &c->a.replace_meta);
	if (rc == 0)
		rc = directive(r, "x-amz-tagging-directive", &c->a.replace_tags);
	if (rc == 0 && c->a.replace_meta)
		rc = s3_meta(r, &c->a.meta);
	if (rc == 0 && c->a.replace_tags)
		rc = s3_tags_header(r, &c->a.tags);
	if (rc == 0)
		rc = s3_storage_class(r, &c->a.storage_class);
	if (rc == 0)
		rc = s3_conditions(r, "", &c->a.cond);
	if (rc == 0 && !c->a.replace_meta && !s3_header(r, "x-amz-storage-class", NULL) &&
	    str_eq(c->a.src_bucket, r->bucket) && str_eq(c->a.src_key, r->key) && c->a.src_version.len == 0)
		rc = op_fail(
			r->ctx, -QE_INVALID_REQUEST,
			"This copy request is illegal because it is trying to copy an object to itself without changing the object's "
			"metadata, storage class, website redirect location or encryption attributes.");
	start(r, c, rc);
}

/* "bytes=first-last", both given. */
static int copy_range(struct s3_request *r, struct object_copy_args *a)
{
	struct str v, first, last;
	ptrdiff_t dash;

	if (!s3_header(r, "x-amz-copy-source-range", &v))
		return 0;
	dash = str_find(v, '-', 0);
	if (!str_starts(v, STR_LIT("bytes=")) || dash < 6)
		goto bad;
	first = str_sub(v, 6, (size_t)dash - 6);
	last = str_sub(v, (size_t)dash + 1, v.len - (size_t)dash - 1);
	if (str_to_u64(first, &a->first) < 0 || str_to_u64(last, &a->last) < 0 || a->last < a->first)
		goto bad;
	a->has_range = true;
	return 0;
bad:
	return op_fail(
		r->ctx, -QE_INVALID_ARGUMENT,
		"The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based "
		"offsets of the first and last bytes to copy");
}

void s3_upload_part_copy(struct s3_request *r)
{
	struct copy *c = arena_zalloc(s3_arena(r), sizeof *c);
	int rc = copy_args(r, &c->a);

	c->r = r;
	c->element = "CopyPartResult";
	if (rc == 0)
		rc = s3_part_number(r, &c->a.part);
	if (rc == 0)
		rc = s3_upload_id(r, &c->a.upload);
	if (rc == 0)
		rc = copy_range(r, &c->a);
	start(r, c, rc);
}
