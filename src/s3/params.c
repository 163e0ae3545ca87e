/* SPDX-License-Identifier: Apache-2.0
 *
 * Parameters and headers that several operations read.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/codec.h"
#include "s3/request.h"

bool s3_query(const struct s3_request *r, const char *name, struct str *ret)
{
	return uri_param_get(r->query, r->nquery, name, ret);
}

struct str s3_query_or(const struct s3_request *r, const char *name, const char *otherwise)
{
	struct str v;

	return s3_query(r, name, &v) ? v : str_of(otherwise);
}

bool s3_header(const struct s3_request *r, const char *name, struct str *ret)
{
	return http_request_header(r->http, name, ret);
}

int s3_query_uint(struct s3_request *r, const char *name, unsigned otherwise, unsigned max, unsigned *ret)
{
	struct str v;
	uint64_t n;

	*ret = otherwise;
	if (!s3_query(r, name, &v) || v.len == 0)
		return 0;
	if (str_to_u64(v, &n) < 0 || n > INT32_MAX)
		return op_fail(r->ctx, -QE_INVALID_ARGUMENT, "Argument %s must be an integer between 0 and 2147483647", name);
	*ret = n > max ? max : (unsigned)n;
	return 0;
}

int s3_version_id(struct s3_request *r, struct str *ret)
{
	*ret = STR_LIT("");
	if (!s3_query(r, "versionId", ret) || ret->len == 0 || str_eqc(*ret, "null"))
		return 0;
	for (size_t i = 0; i < ret->len; i++)
		if ((unsigned char)ret->p[i] <= ' ' || (unsigned char)ret->p[i] >= 0x7f)
			return -QE_INVALID_VERSION_ID;
	return 0;
}

/* ---- Multipart ------------------------------------------------------------------------------------------------------- */
int s3_parse_upload(struct str text, uint64_t *ret)
{
	uint8_t b[8];

	if (hex_decode(text, b, sizeof b) != (int)sizeof b)
		return -QE_NO_SUCH_UPLOAD;
	*ret = be64_get(b);
	return *ret ? 0 : -QE_NO_SUCH_UPLOAD;
}

int s3_upload_id(struct s3_request *r, uint64_t *ret)
{
	return s3_parse_upload(s3_query_or(r, "uploadId", ""), ret);
}

struct str s3_upload_text(struct s3_request *r, uint64_t id)
{
	return str_of(arena_printf(s3_arena(r), "%016llx", (unsigned long long)id));
}

int s3_part_number(struct s3_request *r, unsigned *ret)
{
	struct str v = s3_query_or(r, "partNumber", "");
	uint64_t n;

	if (str_to_u64(v, &n) < 0 || n < 1 || n > OBJECT_PARTS)
		return op_fail(r->ctx, -QE_INVALID_ARGUMENT, "Part number must be an integer between 1 and 10000, inclusive");
	*ret = (unsigned)n;
	return 0;
}

/* ---- Metadata -------------------------------------------------------------------------------------------------------- */
static const char *const kept_headers[] = {
	"cache-control",
	"content-disposition",
	"content-encoding",
	"content-language",
	"content-type",
	"expires",
	"x-amz-website-redirect-location",
};

#define META_PREFIX "x-amz-meta-"

/* "aws-chunked" describes the transfer, not the object. */
static struct str content_encoding(struct s3_request *r, struct str v)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct str rest = v, piece;

	while (rest.len && str_split(&rest, ',', &piece)) {
		piece = str_trim(piece);
		if (str_eq_nocase(piece, STR_LIT("aws-chunked")) || piece.len == 0)
			continue;
		if (b.len)
			buf_add_char(&b, ',');
		buf_add_str(&b, piece);
	}
	return arena_str(s3_arena(r), buf_str(&b));
}

static bool is_kept(struct str name)
{
	for (size_t i = 0; i < ARRAY_SIZE(kept_headers); i++)
		if (str_eq_nocase(name, str_of(kept_headers[i])))
			return true;
	return false;
}

static struct str lower(struct s3_request *r, struct str s)
{
	char *p = arena_dup(s3_arena(r), s.p, s.len);

	for (size_t i = 0; i < s.len; i++)
		if (p[i] >= 'A' && p[i] <= 'Z')
			p[i] = (char)(p[i] + 32);
	return (struct str){p, s.len};
}

/* Several headers of one name become one, as HTTP says. */
static struct str joined(struct s3_request *r, unsigned at)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	unsigned n = 0;

	for (unsigned i = at; i < r->in->nheaders; i++)
		if (str_eq_nocase(r->in->headers[i].name, r->in->headers[at].name)) {
			if (n++)
				buf_add_char(&b, ',');
			buf_add_str(&b, str_trim(r->in->headers[i].value));
		}
	return n == 1 ? str_trim(r->in->headers[at].value) : arena_str(s3_arena(r), buf_str(&b));
}

static bool seen_before(const struct s3_request *r, unsigned at)
{
	for (unsigned i = 0; i < at; i++)
		if (str_eq_nocase(r->in->headers[i].name, r->in->headers[at].name))
			return true;
	return false;
}

int s3_meta(struct s3_request *r, struct str *ret)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	size_t user = 0;
	bool type = false;

	for (unsigned i = 0; i < r->in->nheaders; i++) {
		struct str name = r->in->headers[i].name, value;
		bool meta = name.len > sizeof META_PREFIX - 1 &&
		            str_eq_nocase(str_sub(name, 0, sizeof META_PREFIX - 1), STR_LIT(META_PREFIX));

		if ((!meta && !is_kept(name)) || seen_before(r, i))
			continue;
		value = joined(r, i);
		if (meta) {
			user += name.len - (sizeof META_PREFIX - 1) + value.len;
		} else if (str_eq_nocase(name, STR_LIT("content-encoding"))) {
			value = content_encoding(r, value);
			if (value.len == 0)
				continue;
		} else if (str_eq_nocase(name, STR_LIT("content-type"))) {
			type = true;
		}
		row_kv_add(&b, lower(r, name), value);
	}
	if (!type)
		row_kv_add(&b, STR_LIT("content-type"), STR_LIT("binary/octet-stream"));
	if (user > S3_USER_META)
		return -QE_METADATA_TOO_LARGE;
	if (buf_err(&b))
		return buf_err(&b);
	*ret = arena_str(s3_arena(r), buf_str(&b));
	return 0;
}

/* ---- Tags ------------------------------------------------------------------------------------------------------------ */
static size_t utf8_length(struct str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

int s3_tag_ok(struct s3_request *r, struct str key, struct str value)
{
	if (key.len == 0 || utf8_length(key) > 128 || !str_is_utf8(key))
		return op_fail(r->ctx, -QE_INVALID_TAG, "The TagKey you have provided is invalid");
	if (utf8_length(value) > 256 || !str_is_utf8(value))
		return op_fail(r->ctx, -QE_INVALID_TAG, "The TagValue you have provided is invalid");
	return 0;
}

unsigned s3_kv_count(struct str kv)
{
	struct str name, value;
	unsigned n = 0;

	while (row_kv_next(&kv, &name, &value))
		n++;
	return n;
}

int s3_tags_header(struct s3_request *r, struct str *ret)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct uri_param *p;
	struct str v;
	unsigned n;

	*ret = STR_LIT("");
	if (!s3_header(r, "x-amz-tagging", &v))
		return 0;
	if (uri_parse_query(s3_arena(r), v, 11, &p, &n) < 0)
		return op_fail(
			r->ctx, -QE_INVALID_ARGUMENT,
			"The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name "
			"duplicates.");
	if (n > 10)
		return op_fail(r->ctx, -QE_INVALID_TAG, "Object tags cannot be greater than 10");
	for (unsigned i = 0; i < n; i++) {
		int rc = s3_tag_ok(r, p[i].name, p[i].value);
		if (rc < 0)
			return rc;
		for (unsigned k = 0; k < i; k++)
			if (str_eq(p[i].name, p[k].name))
				return op_fail(r->ctx, -QE_INVALID_TAG, "Cannot provide multiple Tags with the same key");
		row_kv_add(&b, p[i].name, p[i].value);
	}
	if (buf_err(&b))
		return buf_err(&b);
	*ret = arena_str(s3_arena(r), buf_str(&b));
	return 0;
}

int s3_storage_class(struct s3_request *r, struct str *ret)
{
	struct str v;

	*ret = STR_LIT("");
	if (!s3_header(r, "x-amz-storage-class", &v) || v.len == 0 || str_eqc(v, "STANDARD"))
		return 0;
	if (!str_eqc(v, "REDUCED_REDUNDANCY"))
		return -QE_INVALID_STORAGE_CLASS;
	*ret = v;
	return 0;
}

/* ---- Conditions ------------------------------------------------------------------------------------------------------ */
static bool cond_header(struct s3_request *r, const char *prefix, const char *name, struct str *ret)
{
	return s3_header(r, prefix[0] ? arena_printf(s3_arena(r), "%s%s", prefix, name) : name, ret);
}

/* A date that cannot be parsed is no condition (RFC 9110 13.1.3). */
static bool cond_date(struct s3_request *r, const char *prefix, const char *name, uint64_t *ret)
{
	struct str v;

	return cond_header(r, prefix, name, &v) &&
	       (clock_parse_http(str_trim(v), ret) == 0 || clock_parse_iso(str_trim(v), ret) == 0);
}

int s3_conditions(struct s3_request *r, const char *prefix, struct object_cond *ret)
{
	*ret = (struct object_cond){0};
	if (!cond_header(r, prefix, "if-match", &ret->if_match))
		ret->if_match = (struct str){0};
	if (!cond_header(r, prefix, "if-none-match", &ret->if_none_match))
		ret->if_none_match = (struct str){0};
	ret->has_modified_since = cond_date(r, prefix, "if-modified-since", &ret->if_modified_since_ns);
	ret->has_unmodified_since = cond_date(r, prefix, "if-unmodified-since", &ret->if_unmodified_since_ns);
	return 0;
}

/* ---- What is not there ----------------------------------------------------------------------------------------------- */
static const char *const unsupported[] = {
	"x-amz-server-side-encryption",
	"x-amz-server-side-encryption-customer-algorithm",
	"x-amz-copy-source-server-side-encryption-customer-algorithm",
	"x-amz-grant-read",
	"x-amz-grant-read-acp",
	"x-amz-grant-write",
	"x-amz-grant-write-acp",
	"x-amz-grant-full-control",
	"x-amz-write-offset-bytes",
};

int s3_refuse_unsupported(struct s3_request *r)
{
	for (size_t i = 0; i < ARRAY_SIZE(unsupported); i++)
		if (s3_header(r, unsupported[i], NULL))
			return op_fail(r->ctx, -QE_NOT_IMPLEMENTED, "The header %s asks for what is not implemented.",
			               unsupported[i]);
	if (s3_header(r, "x-amz-object-lock-mode", NULL) || s3_header(r, "x-amz-object-lock-retain-until-date", NULL) ||
	    s3_header(r, "x-amz-object-lock-legal-hold", NULL))
		return op_fail(r->ctx, -QE_INVALID_REQUEST, "Bucket is missing Object Lock Configuration");
	return 0;
}

/* ---- Ranges ---------------------------------------------------------------------------------------------------------- */
enum s3_range_kind s3_range_parse(struct str v, uint64_t size, uint64_t *ret_off, uint64_t *ret_len)
{
	uint64_t first, last;
	struct str a, b;
	ptrdiff_t dash;

	v = str_trim(v);
	if (v.len < 6 || !str_eq_nocase(str_sub(v, 0, 6), STR_LIT("bytes=")))
		return S3_RANGE_NONE;
	v = str_trim(str_sub(v, 6, v.len - 6));
	dash = str_find(v, '-', 0);
	if (dash < 0 || str_find(v, ',', 0) >= 0)
		return S3_RANGE_NONE;
	a = str_trim(str_sub(v, 0, (size_t)dash));
	b = str_trim(str_sub(v, (size_t)dash + 1, v.len - (size_t)dash - 1));
	if (a.len == 0) { /* the last n bytes */
		if (str_to_u64(b, &last) < 0)
			return S3_RANGE_NONE;
		if (last == 0 || size == 0)
			return S3_RANGE_UNSATISFIABLE;
		*ret_len = MIN(last, size);
		*ret_off = size - *ret_len;
		return S3_RANGE_OK;
	}
	if (str_to_u64(a, &first) < 0 || (b.len && str_to_u64(b, &last) < 0) || (b.len && last < first))
		return S3_RANGE_NONE;
	if (first >= size)
		return S3_RANGE_UNSATISFIABLE;
	if (b.len == 0 || last >= size)
		last = size - 1;
	*ret_off = first;
	*ret_len = last - first + 1;
	return S3_RANGE_OK;
}
