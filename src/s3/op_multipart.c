/* SPDX-License-Identifier: Apache-2.0
 *
 * Multipart uploads. The upload keeps metadata, tags and the checksum that was agreed ("CRC32:COMPOSITE"); each part its
 * own checksum; completing checks the client's list, makes the object's checksum from the parts' and commits by reference.
 */
#include <errno.h>

#include "s3/handlers.h"
#include "s3/op_put.h"
#include "s3/render.h"
#include "s3/request.h"
#include "s3/xml_read.h"
#include "s3/xml_write.h"

/* ---- Create ---------------------------------------------------------------------------------------------------------- */
struct create {
	struct s3_request *r;
	uint64_t id;
	struct s3_checksum sum;
};

/* The algorithm and type for the object; CRC64NVME is always whole, the others composite unless asked. */
static int agreed_checksum(struct s3_request *r, struct s3_checksum *ret)
{
	struct str v, type;

	*ret = (struct s3_checksum){.algo = S3_ALGO_NONE};
	if (!s3_header(r, "x-amz-checksum-algorithm", &v)) {
		if (s3_header(r, "x-amz-checksum-type", NULL))
			return op_fail(r->ctx, -QE_INVALID_REQUEST,
			               "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.");
		return 0;
	}
	ret->algo = s3_algo_by_name(v);
	if (ret->algo == S3_ALGO_NONE)
		return op_fail(
			r->ctx, -QE_INVALID_REQUEST,
			"Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, "
			"CRC64NVME, SHA1, SHA256]");
	ret->composite = s3_algos[ret->algo].composite;
	if (!s3_header(r, "x-amz-checksum-type", &type))
		return 0;
	ret->composite = str_eq_nocase(type, STR_LIT("COMPOSITE"));
	if (!ret->composite && !str_eq_nocase(type, STR_LIT("FULL_OBJECT")))
		return op_fail(r->ctx, -QE_INVALID_REQUEST, "Value for x-amz-checksum-type header is invalid.");
	if (ret->composite ? !s3_algos[ret->algo].composite : !s3_algos[ret->algo].full)
		return op_fail(r->ctx, -QE_INVALID_REQUEST,
		               "The %s checksum type cannot be used with the %s checksum algorithm.",
		               ret->composite ? "COMPOSITE" : "FULL_OBJECT", s3_algos[ret->algo].name);
	return 0;
}

static void on_created(void *arg, int rc)
{
	struct create *c = arg;
	struct s3_request *r = c->r;
	struct buf b = BUF_INIT;

	if (s3_fails(r, rc))
		return;
	if (c->sum.algo != S3_ALGO_NONE) {
		s3_reply_header(r, "x-amz-checksum-algorithm", str_of(s3_algos[c->sum.algo].name));
		s3_reply_header(r, "x-amz-checksum-type", c->sum.composite ? STR_LIT("COMPOSITE") : STR_LIT("FULL_OBJECT"));
	}
	xml_begin(&b, "InitiateMultipartUploadResult");
	xml_put(&b, "Bucket", r->bucket);
	xml_put(&b, "Key", r->key);
	xml_put(&b, "UploadId", s3_upload_text(r, c->id));
	xml_close(&b, "InitiateMultipartUploadResult");
	s3_reply_xml(r, 200, &b);
}

void s3_create_upload(struct s3_request *r)
{
	struct create *c = arena_zalloc(s3_arena(r), sizeof *c);
	struct object_upload_args a = {.bucket = r->bucket, .key = r->key};
	int rc = s3_refuse_unsupported(r);

	c->r = r;
	if (rc == 0)
		rc = s3_meta(r, &a.meta);
	if (rc == 0)
		rc = s3_tags_header(r, &a.tags);
	if (rc == 0)
		rc = s3_storage_class(r, &a.storage_class);
	if (rc == 0)
		rc = agreed_checksum(r, &c->sum);
	if (rc == 0) {
		a.checksum = s3_checksum_store(s3_arena(r), &c->sum);
		rc = object_upload_create(r->srv->store, r->ctx, &a, &c->id, on_created, c);
	}
	s3_fails(r, rc);
}

/* ---- Parts ----------------------------------------------------------------------------------------------------------- */
struct part {
	enum s3_algo keep; /* the upload's */
};

static int upload_of(struct s3_request *r, uint64_t *ret_id, struct object_upload_info *ret)
{
	uint64_t seq = 0;
	int rc = s3_upload_id(r, ret_id);

	if (rc == 0)
		rc = object_upload_info(r->srv->store, r->ctx, r->bucket, r->key, *ret_id, ret, &seq);
	s3_reveals(r, seq);
	return rc;
}

void s3_upload_part_begin(struct s3_request *r)
{
	struct object_put_args a = {0};
	struct object_upload_info up = {0};
	struct part *p = arena_zalloc(s3_arena(r), sizeof *p);
	struct s3_checksum agreed = {.algo = S3_ALGO_NONE};
	enum s3_algo sent = r->want.algo != S3_ALGO_NONE ? r->want.algo : r->trailer_algo;
	int rc = s3_part_number(r, &a.part);

	r->state = p;
	if (rc == 0)
		rc = s3_refuse_unsupported(r);
	if (rc == 0)
		rc = upload_of(r, &a.upload, &up);
	if (rc == 0) {
		r->seq = 0; /* the part's own commit is behind the upload's */
		(void)s3_checksum_load(up.checksum, &agreed);
	}
	p->keep = agreed.algo;
	if (rc == 0 && agreed.algo != S3_ALGO_NONE) {
		if (sent != S3_ALGO_NONE && sent != agreed.algo)
			rc = op_fail(r->ctx, -QE_INVALID_REQUEST,
			             "Checksum Type mismatch occurred, expected checksum Type: %s, actual checksum Type: %s",
			             s3_algos[agreed.algo].name, s3_algos[sent].name);
		r->digests |= s3_algos[agreed.algo].digest;
	}
	if (rc == 0)
		rc = s3_put_open(r, &a);
	s3_fails(r, rc);
}

static void part_done(struct s3_request *r, const struct object_info *info, const struct s3_checksum *sum)
{
	s3_reply_etag(r, info->etag);
	if (sum->algo != S3_ALGO_NONE && sum->has_value)
		s3_reply_header(r, s3_algos[sum->algo].header, s3_checksum_text(s3_arena(r), sum));
	s3_reply(r, 200);
}

void s3_upload_part(struct s3_request *r)
{
	struct part *p = r->state;

	s3_put_finish(r, p->keep, part_done);
}

/* ---- ListParts ------------------------------------------------------------------------------------------------------- */
static void put_part(struct buf *b, struct s3_request *r, const struct object_part *p)
{
	struct s3_checksum sum;

	xml_open(b, "Part");
	xml_put_u64(b, "PartNumber", p->number);
	xml_put_time(b, "LastModified", p->mtime_ns);
	xml_put_etag(b, p->etag);
	xml_put_u64(b, "Size", p->size);
	if (s3_checksum_load(p->checksum, &sum))
		s3_put_checksum(b, r, &sum, false);
	xml_close(b, "Part");
}

static void put_people(struct buf *b, const struct s3_request *r)
{
	s3_put_owner(b, "Initiator", r);
	s3_put_owner(b, "Owner", r);
}

static void put_parts_head(struct buf *b, struct s3_request *r, const struct object_upload_info *up, uint64_t id)
{
	struct s3_checksum agreed;

	xml_put(b, "Bucket", r->bucket);
	xml_put_key(b, "Key", r->key, str_eq_nocase(s3_query_or(r, "encoding-type", ""), STR_LIT("url")));
	xml_put(b, "UploadId", s3_upload_text(r, id));
	put_people(b, r);
	xml_put(b, "StorageClass", s3_class_name(up->storage_class));
	if (s3_checksum_load(up->checksum, &agreed)) {
		xml_put_c(b, "ChecksumAlgorithm", s3_algos[agreed.algo].name);
		xml_put_c(b, "ChecksumType", agreed.composite ? "COMPOSITE" : "FULL_OBJECT");
	}
}

void s3_list_parts(struct s3_request *r)
{
	struct object_upload_info up;
	struct object_part *parts = NULL;
	unsigned max, after, n = 0;
	struct buf b = BUF_INIT;
	uint64_t id, seq = 0;
	bool more = false;
	int rc = s3_query_uint(r, "max-parts", S3_PAGE, S3_PAGE, &max);

	if (rc == 0)
		rc = s3_query_uint(r, "part-number-marker", 0, INT32_MAX, &after);
	if (rc == 0)
		rc = upload_of(r, &id, &up);
	if (rc == 0 && max)
		rc = object_part_list(r->srv->store, r->ctx, r->bucket, r->key, id, after, max, &parts, &n, &more, &seq);
	s3_reveals(r, seq);
	if (s3_fails(r, rc))
		return;
	xml_begin(&b, "ListPartsResult");
	put_parts_head(&b, r, &up, id);
	xml_put_u64(&b, "PartNumberMarker", after);
	xml_put_u64(&b, "NextPartNumberMarker", n ? parts[n - 1].number : 0);
	xml_put_u64(&b, "MaxParts", max);
	xml_put_bool(&b, "IsTruncated", more);
	for (unsigned i = 0; i < n; i++)
		put_part(&b, r, &parts[i]);
	xml_close(&b, "ListPartsResult");
	s3_reply_xml(r, 200, &b);
}

/* ---- Complete -------------------------------------------------------------------------------------------------------- */
struct complete {
	struct s3_request *r;
	uint64_t id;
	struct object_part *parts;
	unsigned n;
	struct s3_checksum claim, sum;
	struct object_info info;
	struct object_cond cond;
};

static struct str without_quotes(struct str s)
{
	if (s.len >= 2 && s.p[0] == '"' && s.p[s.len - 1] == '"')
		return str_sub(s, 1, s.len - 2);
	return s;
}

/* A part's checksum in the client's list, as it is kept. */
static int listed_checksum(struct s3_request *r, const struct xml_node *node, struct str *ret)
{
	struct s3_checksum sum;

	*ret = STR_LIT("");
	for (unsigned i = 0; i < S3_ALGOS; i++) {
		struct str v = xml_text(node, s3_algos[i].element);
		if (v.len == 0)
			continue;
		if (s3_checksum_parse((enum s3_algo)i, v, &sum) < 0 || sum.composite)
			return op_fail(r->ctx, -QE_INVALID_REQUEST, "Value for %s is invalid.", s3_algos[i].element);
		*ret = s3_checksum_store(s3_arena(r), &sum);
	}
	return 0;
}

static int read_list(struct s3_request *r, struct complete *c)
{
	struct xml_node *root;
	uint64_t number;
	int rc = xml_parse(s3_arena(r), buf_str(&r->small), &root);

	if (rc < 0)
		return rc;
	c->n = xml_count(root, "Part");
	if (!str_eqc(root->name, "CompleteMultipartUpload") || c->n == 0 || c->n > OBJECT_PARTS)
		return -QE_MALFORMED_XML;
	c->parts = arena_zalloc(s3_arena(r), c->n * sizeof *c->parts);
	c->n = 0;
	for (const struct xml_node *p = root->child; p; p = p->next) {
		struct object_part *part = &c->parts[c->n];
		if (!str_eqc(p->name, "Part"))
			continue;
		if (str_to_u64(xml_text(p, "PartNumber"), &number) < 0)
			return -QE_MALFORMED_XML;
		if (number < 1 || number > OBJECT_PARTS)
			return -QE_INVALID_PART;
		part->number = (unsigned)number;
		part->etag = without_quotes(xml_text(p, "ETag"));
		rc = listed_checksum(r, p, &part->checksum);
		if (rc < 0)
			return rc;
		if (c->n && part->number <= c->parts[c->n - 1].number)
			return -QE_INVALID_PART_ORDER;
		c->n++;
	}
	return 0;
}

/* Sizes and checksums of the listed parts, from the core; it compares again when it commits. */
static int look_up_parts(struct s3_request *r, struct complete *c, struct object_part *ret)
{
	struct object_part *page;
	unsigned n, after = 0, at = 0;
	uint64_t seq = 0;
	bool more = true;

	while (more && at < c->n) {
		int rc = object_part_list(r->srv->store, r->ctx, r->bucket, r->key, c->id, after, S3_PAGE, &page, &n, &more,
		                          &seq);
		if (rc < 0)
			return rc;
		for (unsigned i = 0; i < n && at < c->n; i++) {
			after = page[i].number;
			if (page[i].number == c->parts[at].number)
				ret[at++] = page[i];
			else if (page[i].number > c->parts[at].number)
				return -QE_INVALID_PART;
		}
		if (n == 0)
			break;
	}
	return at == c->n ? 0 : -QE_INVALID_PART;
}

/* The object's checksum, made of the parts'; compared with what the client says it is. */
static int object_checksum(struct s3_request *r, struct complete *c, const struct s3_checksum *agreed)
{
	struct object_part *have = arena_zalloc(s3_arena(r), c->n * sizeof *have);
	int rc = look_up_parts(r, c, have);

	if (rc < 0)
		return rc;
	if (!s3_checksum_combine(agreed->algo, agreed->composite, have, c->n, &c->sum))
		return op_fail(r->ctx, -QE_INVALID_REQUEST,
		               "The upload was created using a %s checksum. The complete request must include "
		               "the checksum for each part.",
		               s3_algos[agreed->algo].name);
	for (unsigned i = 0; i < c->n; i++)
		if (c->parts[i].checksum.len == 0)
			c->parts[i].checksum = have[i].checksum; /* the very parts that were looked at */
	return 0;
}

/* x-amz-checksum-* of this request is the object's, not the document's. */
static int check_claim(struct s3_request *r, const struct s3_checksum *claim, const struct s3_checksum *sum)
{
	if (claim->algo == S3_ALGO_NONE)
		return 0;
	if (sum->algo != claim->algo)
		return op_fail(r->ctx, -QE_INVALID_REQUEST,
		               "Checksum Type mismatch occurred, expected checksum Type: %s, actual checksum Type: "
		               "%s",
		               sum->algo == S3_ALGO_NONE ? "null" : s3_algos[sum->algo].name, s3_algos[claim->algo].name);
	if (!s3_checksum_equal(claim, sum) || (claim->parts && claim->parts != sum->parts))
		return op_fail(r->ctx, -QE_BAD_DIGEST, "The %s you specified did not match the calculated checksum.",
		               s3_algos[claim->algo].name);
	return 0;
}

static void on_completed(void *arg, int rc)
{
	struct complete *c = arg;
	struct s3_request *r = c->r;
	struct buf b = BUF_INIT;
	struct str host = STR_LIT("");

	if (s3_fails(r, rc))
		return;
	(void)s3_header(r, "Host", &host);
	xml_begin(&b, "CompleteMultipartUploadResult");
	xml_put(&b, "Location", str_of(arena_printf(s3_arena(r), "http://%.*s%.*s", STR_FMT(host), STR_FMT(r->in->path))));
	xml_put(&b, "Bucket", r->bucket);
	xml_put(&b, "Key", r->key);
	xml_put_etag(&b, c->info.etag);
	s3_put_checksum(&b, r, &c->sum, true);
	xml_close(&b, "CompleteMultipartUploadResult");
	s3_reply_xml(r, 200, &b);
}

/* The checksum in the head is the object's, not the document's. */
void s3_complete_upload_begin(struct s3_request *r)
{
	struct complete *c = arena_zalloc(s3_arena(r), sizeof *c);

	r->state = c;
	c->claim = r->want;
	r->want.algo = S3_ALGO_NONE;
}

void s3_complete_upload(struct s3_request *r)
{
	struct complete *c = r->state;
	struct object_upload_info up = {0};
	struct s3_checksum agreed;
	int rc = read_list(r, c);

	c->r = r;
	c->sum.algo = S3_ALGO_NONE;
	if (rc == 0)
		rc = upload_of(r, &c->id, &up);
	if (rc == 0)
		rc = s3_conditions(r, "", &c->cond);
	if (rc == 0 && s3_checksum_load(up.checksum, &agreed))
		rc = object_checksum(r, c, &agreed);
	else if (rc == 0 && c->claim.algo == S3_CRC64NVME) {
		agreed = (struct s3_checksum){.algo = S3_CRC64NVME};
		rc = object_checksum(r, c, &agreed);
	}
	if (rc == 0)
		rc = check_claim(r, &c->claim, &c->sum);
	if (rc == 0)
		rc = object_upload_complete(r->srv->store, r->ctx, r->bucket, r->key, c->id, c->parts, c->n,
		                            s3_checksum_store(s3_arena(r), &c->sum), &c->cond, &c->info, on_completed, c);
	s3_fails(r, rc);
}

/* ---- Abort and list -------------------------------------------------------------------------------------------------- */
static void on_aborted(void *arg, int rc)
{
	struct s3_request *r = arg;

	if (!s3_fails(r, rc))
		s3_reply(r, 204);
}

void s3_abort_upload(struct s3_request *r)
{
	uint64_t id;
	int rc = s3_upload_id(r, &id);

	if (rc == 0)
		rc = object_upload_abort(r->srv->store, r->ctx, r->bucket, r->key, id, on_aborted, r);
	s3_fails(r, rc);
}

static void put_upload(struct buf *b, struct s3_request *r, const struct object_upload_info *up, bool url)
{
	struct s3_checksum agreed;

	xml_open(b, "Upload");
	xml_put_key(b, "Key", up->key, url);
	xml_put(b, "UploadId", s3_upload_text(r, up->id));
	put_people(b, r);
	xml_put(b, "StorageClass", s3_class_name(up->storage_class));
	xml_put_time(b, "Initiated", up->initiated_ns);
	if (s3_checksum_load(up->checksum, &agreed)) {
		xml_put_c(b, "ChecksumAlgorithm", s3_algos[agreed.algo].name);
		xml_put_c(b, "ChecksumType", agreed.composite ? "COMPOSITE" : "FULL_OBJECT");
	}
	xml_close(b, "Upload");
}

static void put_uploads(struct buf *b, struct s3_request *r, const struct object_upload_list_args *a,
                        const struct object_upload_list *l, unsigned max, bool url)
{
	xml_begin(b, "ListMultipartUploadsResult");
	xml_put(b, "Bucket", r->bucket);
	xml_put_key(b, "KeyMarker", a->key_marker, url);
	xml_put(b, "UploadIdMarker", s3_query_or(r, "upload-id-marker", ""));
	xml_put_key(b, "NextKeyMarker", l->truncated ? l->next_key : STR_LIT(""), url);
	xml_put(b, "NextUploadIdMarker", l->truncated ? s3_upload_text(r, l->next_id) : STR_LIT(""));
	xml_put_key(b, "Delimiter", a->delimiter, url);
	xml_put_key(b, "Prefix", a->prefix, url);
	xml_put_u64(b, "MaxUploads", max);
	if (url)
		xml_put_c(b, "EncodingType", "url");
	xml_put_bool(b, "IsTruncated", l->truncated);
	for (unsigned i = 0; i < l->n; i++)
		put_upload(b, r, &l->items[i], url);
	for (unsigned i = 0; i < l->nprefixes; i++) {
		xml_open(b, "CommonPrefixes");
		xml_put_key(b, "Prefix", l->prefixes[i], url);
		xml_close(b, "CommonPrefixes");
	}
	xml_close(b, "ListMultipartUploadsResult");
}

void s3_list_uploads(struct s3_request *r)
{
	struct object_upload_list_args a = {.bucket = r->bucket,
	                                    .prefix = s3_query_or(r, "prefix", ""),
	                                    .delimiter = s3_query_or(r, "delimiter", ""),
	                                    .key_marker = s3_query_or(r, "key-marker", "")};
	struct object_upload_list l = {0};
	struct buf b = BUF_INIT;
	struct str v = STR_LIT("");
	uint64_t seq = 0;
	unsigned max;
	int rc = s3_query_uint(r, "max-uploads", S3_PAGE, S3_PAGE, &max);

	if (rc == 0 && s3_query(r, "encoding-type", &v) && v.len && !str_eq_nocase(v, STR_LIT("url")))
		rc = op_fail(r->ctx, -QE_INVALID_ARGUMENT, "Invalid Encoding Method specified in Request");
	if (rc == 0 && a.key_marker.len && s3_query_or(r, "upload-id-marker", "").len)
		rc = s3_parse_upload(s3_query_or(r, "upload-id-marker", ""), &a.id_marker);
	a.max = max;
	if (rc == 0)
		rc = max ? object_upload_list(r->srv->store, r->ctx, &a, &l, &seq) : s3_bucket_exists(r);
	s3_reveals(r, seq);
	if (s3_fails(r, rc))
		return;
	put_uploads(&b, r, &a, &l, max, v.len > 0);
	s3_reply_xml(r, 200, &b);
}
