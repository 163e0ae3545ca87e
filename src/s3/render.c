/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/render.h"

#include <sys/stat.h>

#include "base/clock.h"
#include "s3/xml_write.h"

int s3_bucket_exists(struct s3_request *r)
{
	struct object_bucket_info info;
	uint64_t seq = 0;
	int rc = object_bucket_head(r->srv->store, r->ctx, r->bucket, &info, &seq);

	s3_reveals(r, seq);
	return rc;
}

void s3_put_owner(struct buf *b, const char *element, const struct s3_request *r)
{
	xml_open(b, element);
	xml_put_c(b, "ID", S3_OWNER_ID);
	xml_put_c(b, "DisplayName", r->srv->server_name);
	xml_close(b, element);
}

struct str s3_class_name(struct str stored)
{
	return stored.len ? stored : STR_LIT("STANDARD");
}

void s3_put_checksum(struct buf *b, struct s3_request *r, const struct s3_checksum *c, bool typed)
{
	if (c->algo == S3_ALGO_NONE || !c->has_value)
		return;
	xml_put(b, s3_algos[c->algo].element, s3_checksum_text(s3_arena(r), c));
	if (typed)
		xml_put_c(b, "ChecksumType", c->composite ? "COMPOSITE" : "FULL_OBJECT");
}

static bool has_meta(const struct object_info *info, const char *name)
{
	struct str value;

	return row_kv_get(info->meta, str_of(name), &value);
}

/* What the mount wrote shows its times and kind as rclone and s3fs do. */
static void reply_posix(struct s3_request *r, const struct object_info *info)
{
	uint64_t t = info->attr.mtime_ns;

	if (!(info->flags & VERSION_MOUNT))
		return;
	if (!has_meta(info, "x-amz-meta-mtime"))
		http_reply_headerf(r->http, "x-amz-meta-mtime", "%llu.%09llu", (unsigned long long)(t / NS_PER_S),
		                   (unsigned long long)(t % NS_PER_S));
	if (info->attr.mode && !S_ISREG(info->attr.mode) && !S_ISDIR(info->attr.mode) && !has_meta(info, "x-amz-meta-mode"))
		http_reply_headerf(r->http, "x-amz-meta-mode", "%u", info->attr.mode);
}

struct override {
	const char *param, *meta, *header;
};

/* Query parameters of signed requests that replace a header of the answer. */
static const struct override overrides[] = {
	{"response-content-type", "content-type", "Content-Type"},
	{"response-content-language", "content-language", "Content-Language"},
	{"response-expires", "expires", "Expires"},
	{"response-cache-control", "cache-control", "Cache-Control"},
	{"response-content-disposition", "content-disposition", "Content-Disposition"},
	{"response-content-encoding", "content-encoding", "Content-Encoding"},
};

static const struct override *override_of(struct str meta_name)
{
	for (size_t i = 0; i < ARRAY_SIZE(overrides); i++)
		if (str_eqc(meta_name, overrides[i].meta))
			return &overrides[i];
	return NULL;
}

static void reply_meta(struct s3_request *r, const struct object_info *info)
{
	struct str rest = info->meta, name, value;

	while (row_kv_next(&rest, &name, &value)) {
		const struct override *o = override_of(name);
		if (!o)
			s3_reply_header(r, arena_str(s3_arena(r), name).p, value);
		else if (!s3_query(r, o->param, NULL))
			s3_reply_header(r, o->header, value);
	}
	for (size_t i = 0; i < ARRAY_SIZE(overrides); i++)
		if (s3_query(r, overrides[i].param, &value))
			s3_reply_header(r, overrides[i].header, value);
	if (!has_meta(info, "content-type") && !s3_query(r, "response-content-type", NULL))
		s3_reply_header(r, "Content-Type", STR_LIT("binary/octet-stream"));
}

void s3_reply_object(struct s3_request *r, const struct object_info *info)
{
	unsigned tags = s3_kv_count(info->tags);

	s3_reply_etag(r, info->etag);
	s3_reply_http_time(r, "Last-Modified", info->mtime_ns);
	reply_meta(r, info);
	reply_posix(r, info);
	if (tags)
		http_reply_headerf(r->http, "x-amz-tagging-count", "%u", tags);
	if (info->storage_class.len)
		s3_reply_header(r, "x-amz-storage-class", info->storage_class);
}
