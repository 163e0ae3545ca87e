/* SPDX-License-Identifier: Apache-2.0
 *
 * ListObjects, ListObjectsV2, ListObjectVersions. A page is copied out of the core and rendered; the token is the last
 * name, so nothing is kept between pages.
 */
#include "base/codec.h"
#include "s3/handlers.h"
#include "s3/render.h"
#include "s3/request.h"
#include "s3/xml_write.h"

struct listing {
	struct object_list_args a;
	struct object_list page;
	unsigned max; /* as asked, at most S3_PAGE; 0 is allowed */
	bool url, owner;
};

static int common_args(struct s3_request *r, struct listing *l)
{
	struct str v;
	int rc;

	l->a.bucket = r->bucket;
	l->a.prefix = s3_query_or(r, "prefix", "");
	l->a.delimiter = s3_query_or(r, "delimiter", "");
	if (s3_query(r, "encoding-type", &v) && v.len) {
		if (!str_eq_nocase(v, STR_LIT("url")))
			return op_fail(r->ctx, -QE_INVALID_ARGUMENT, "Invalid Encoding Method specified in Request");
		l->url = true;
	}
	rc = s3_query_uint(r, "max-keys", S3_PAGE, S3_PAGE, &l->max);
	l->a.max = l->max;
	return rc;
}

/* The page; an empty one when none was asked for, or when the marker lies behind all that has the prefix. */
static int read_page(struct s3_request *r, struct listing *l)
{
	uint64_t seq = 0;
	int rc;

	l->page = (struct object_list){0};
	if (l->max == 0)
		return s3_bucket_exists(r);
	rc = object_list(r->srv->store, r->ctx, &l->a, &l->page, &seq);
	s3_reveals(r, seq);
	return rc;
}

static void put_prefixes(struct buf *b, const struct listing *l)
{
	for (unsigned i = 0; i < l->page.n; i++) {
		if (!l->page.items[i].is_prefix)
			continue;
		xml_open(b, "CommonPrefixes");
		xml_put_key(b, "Prefix", l->page.items[i].key, l->url);
		xml_close(b, "CommonPrefixes");
	}
}

static void put_object(struct buf *b, struct s3_request *r, const struct listing *l, const struct object_info *o)
{
	struct s3_checksum sum;

	xml_put_key(b, "Key", o->key, l->url);
	if (l->a.versions) {
		xml_put_c(b, "VersionId", "null");
		xml_put_bool(b, "IsLatest", true);
	}
	xml_put_time(b, "LastModified", o->mtime_ns);
	xml_put_etag(b, o->etag);
	if (s3_checksum_load(o->checksum, &sum)) {
		xml_put_c(b, "ChecksumAlgorithm", s3_algos[sum.algo].name);
		xml_put_c(b, "ChecksumType", sum.composite ? "COMPOSITE" : "FULL_OBJECT");
	}
	xml_put_u64(b, "Size", o->size);
	if (l->owner)
		s3_put_owner(b, "Owner", r);
	xml_put(b, "StorageClass", s3_class_name(o->storage_class));
}

static void put_objects(struct buf *b, struct s3_request *r, const struct listing *l, const char *element)
{
	buf_reserve(b, 512 + (size_t)l->page.n * 320);
	for (unsigned i = 0; i < l->page.n; i++) {
		if (l->page.items[i].is_prefix)
			continue;
		xml_open(b, element);
		put_object(b, r, l, &l->page.items[i]);
		xml_close(b, element);
	}
}

static void put_head(struct buf *b, const struct listing *l)
{
	xml_put(b, "Name", l->a.bucket);
	xml_put_key(b, "Prefix", l->a.prefix, l->url);
	if (l->a.delimiter.len)
		xml_put_key(b, "Delimiter", l->a.delimiter, l->url);
	xml_put_u64(b, "MaxKeys", l->max);
	if (l->url)
		xml_put_c(b, "EncodingType", "url");
}

/* ---- Version 1 ------------------------------------------------------------------------------------------------------- */
void s3_list_objects(struct s3_request *r)
{
	struct listing l = {.owner = true};
	struct buf b = BUF_INIT;
	int rc = common_args(r, &l);

	l.a.start_after = s3_query_or(r, "marker", "");
	if (rc == 0)
		rc = read_page(r, &l);
	if (s3_fails(r, rc))
		return;
	xml_begin(&b, "ListBucketResult");
	put_head(&b, &l);
	xml_put_key(&b, "Marker", l.a.start_after, l.url);
	xml_put_bool(&b, "IsTruncated", l.page.truncated);
	if (l.page.truncated && l.a.delimiter.len) /* else the last key is the marker */
		xml_put_key(&b, "NextMarker", l.page.next, l.url);
	put_objects(&b, r, &l, "Contents");
	put_prefixes(&b, &l);
	xml_close(&b, "ListBucketResult");
	s3_reply_xml(r, 200, &b);
}

/* ---- Version 2 ------------------------------------------------------------------------------------------------------- */
/* Tokens are opaque to clients: base64 of the last name. */
static struct str token_of(struct s3_request *r, struct str name)
{
	char *text = arena_alloc(s3_arena(r), name.len * 4 / 3 + 8);

	return (struct str){text, base64_encode(name.p, name.len, text)};
}

static int read_token(struct s3_request *r, struct listing *l, struct str *ret_token)
{
	struct str v = s3_query_or(r, "continuation-token", "");
	char *name;
	int n;

	*ret_token = v;
	l->a.start_after = s3_query_or(r, "start-after", "");
	if (v.len == 0)
		return 0;
	name = arena_alloc(s3_arena(r), v.len);
	n = base64_decode(v, name, v.len);
	if (n <= 0)
		return op_fail(r->ctx, -QE_INVALID_ARGUMENT, "The continuation token provided is incorrect");
	l->a.start_after = (struct str){name, (size_t)n};
	return 0;
}

void s3_list_objects_v2(struct s3_request *r)
{
	struct listing l = {.owner = str_eq_nocase(s3_query_or(r, "fetch-owner", ""), STR_LIT("true"))};
	struct str token, start_after = s3_query_or(r, "start-after", "");
	struct buf b = BUF_INIT;
	int rc = common_args(r, &l);

	if (rc == 0)
		rc = read_token(r, &l, &token);
	if (rc == 0)
		rc = read_page(r, &l);
	if (s3_fails(r, rc))
		return;
	xml_begin(&b, "ListBucketResult");
	put_head(&b, &l);
	if (s3_query(r, "start-after", NULL))
		xml_put_key(&b, "StartAfter", start_after, l.url);
	if (s3_query(r, "continuation-token", NULL))
		xml_put(&b, "ContinuationToken", token);
	xml_put_u64(&b, "KeyCount", l.page.n);
	xml_put_bool(&b, "IsTruncated", l.page.truncated);
	if (l.page.truncated)
		xml_put(&b, "NextContinuationToken", token_of(r, l.page.next));
	put_objects(&b, r, &l, "Contents");
	put_prefixes(&b, &l);
	xml_close(&b, "ListBucketResult");
	s3_reply_xml(r, 200, &b);
}

/* ---- Versions -------------------------------------------------------------------------------------------------------- */
/* Only elements that strict clients know: they fail on any other. */
void s3_list_versions(struct s3_request *r)
{
	struct listing l = {.owner = true, .a.versions = true};
	struct str marker = s3_query_or(r, "key-marker", ""), version = s3_query_or(r, "version-id-marker", "");
	struct buf b = BUF_INIT;
	int rc = common_args(r, &l);

	if (rc == 0 && version.len && marker.len == 0)
		rc = op_fail(r->ctx, -QE_INVALID_ARGUMENT, "A version-id marker cannot be specified without a key marker.");
	l.a.start_after = marker;
	l.a.version_marker = version;
	if (rc == 0)
		rc = read_page(r, &l);
	if (s3_fails(r, rc))
		return;
	xml_begin(&b, "ListVersionsResult");
	put_head(&b, &l);
	xml_put_key(&b, "KeyMarker", marker, l.url);
	xml_put(&b, "VersionIdMarker", version);
	xml_put_bool(&b, "IsTruncated", l.page.truncated);
	if (l.page.truncated) {
		xml_put_key(&b, "NextKeyMarker", l.page.next, l.url);
		if (l.page.n && !l.page.items[l.page.n - 1].is_prefix)
			xml_put_c(&b, "NextVersionIdMarker", "null");
	}
	put_objects(&b, r, &l, "Version");
	put_prefixes(&b, &l);
	xml_close(&b, "ListVersionsResult");
	s3_reply_xml(r, 200, &b);
}
