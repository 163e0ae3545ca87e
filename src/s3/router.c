/* SPDX-License-Identifier: Apache-2.0
 *
 * Which bucket, which key, which operation. Path style always; virtual-host style below the configured domains.
 */
#include <string.h>

#include "s3/request.h"

/* Parameters that name a configuration of their own: without a row they are not the plain operation. */
static const char *const subresources[] = {
	"accelerate",
	"acl",
	"analytics",
	"attributes",
	"cors",
	"delete",
	"encryption",
	"events",
	"intelligent-tiering",
	"inventory",
	"legal-hold",
	"lifecycle",
	"location",
	"logging",
	"metadataTable",
	"metrics",
	"notification",
	"object-lock",
	"ownershipControls",
	"policy",
	"policyStatus",
	"publicAccessBlock",
	"renameObject",
	"replication",
	"requestPayment",
	"restore",
	"retention",
	"select",
	"session",
	"tagging",
	"torrent",
	"uploadId",
	"uploads",
	"versioning",
	"versions",
	"website",
};

static bool marker_matches(struct str marker, const struct uri_param *q, unsigned nq)
{
	ptrdiff_t eq = str_find(marker, '=', 0);
	struct str name = eq < 0 ? marker : str_sub(marker, 0, (size_t)eq);

	for (unsigned i = 0; i < nq; i++)
		if (str_eq(q[i].name, name))
			return eq < 0 || str_eq(q[i].value, str_sub(marker, (size_t)eq + 1, marker.len - (size_t)eq - 1));
	return false;
}

/* Number of markers when the row matches, else -1. */
static int row_matches(const struct s3_op *op, const struct uri_param *q, unsigned nq, const struct http_header *h,
                       unsigned nh)
{
	struct str rest = str_of(op->query), marker;
	int score = 0;

	while (rest.len && str_split(&rest, '&', &marker)) {
		if (!marker_matches(marker, q, nq))
			return -1;
		score++;
	}
	if (!op->header)
		return score;
	for (unsigned i = 0; i < nh; i++)
		if (str_eq_nocase(h[i].name, str_of(op->header)))
			return score + 1;
	return -1;
}

const struct s3_op *s3_op_find(struct str method, enum s3_scope scope, const struct uri_param *q, unsigned nq,
                               const struct http_header *h, unsigned nh)
{
	const struct s3_op *best = NULL;
	int best_score = -1;

	for (size_t i = 0; i < s3_ops_count; i++) {
		const struct s3_op *op = &s3_ops[i];
		int score;

		if (op->scope != scope || !str_eqc(method, op->method))
			continue;
		score = row_matches(op, q, nq, h, nh);
		if (score > best_score) {
			best = op;
			best_score = score;
		}
	}
	return best;
}

/* "host:port" without the port. */
static struct str host_name(struct str host)
{
	ptrdiff_t colon;

	host = str_trim(host);
	if (host.len && host.p[0] == '[')
		return host;
	colon = str_find(host, ':', 0);
	return colon < 0 ? host : str_sub(host, 0, (size_t)colon);
}

static void find_host_bucket(struct s3_request *r)
{
	struct str domains = str_of(r->srv->domain), domain, host;

	if (!domains.len || !s3_header(r, "Host", &host))
		return;
	host = host_name(host);
	while (domains.len && str_split(&domains, ',', &domain)) {
		domain = str_trim(domain);
		if (domain.len && host.len > domain.len + 1 && host.p[host.len - domain.len - 1] == '.' &&
		    str_eq_nocase(str_sub(host, host.len - domain.len, domain.len), domain)) {
			r->host_bucket = str_sub(host, 0, host.len - domain.len - 1);
			return;
		}
	}
}

/* An absolute URI (proxies) without its scheme and authority. */
static struct str plain_path(struct str path)
{
	ptrdiff_t slash;

	if (path.len && path.p[0] == '/')
		return str_sub(path, 1, path.len - 1);
	if (!str_starts(path, STR_LIT("http://")) && !str_starts(path, STR_LIT("https://")))
		return path;
	slash = str_find(path, '/', 8);
	return slash < 0 ? STR_LIT("") : str_sub(path, (size_t)slash + 1, path.len - (size_t)slash - 1);
}

static int split_path(struct s3_request *r)
{
	struct str path = plain_path(r->in->path), bucket = path, key = STR_LIT("");
	ptrdiff_t slash = str_find(path, '/', 0);

	if (r->host_bucket.len) {
		bucket = r->host_bucket;
		key = path;
	} else if (slash >= 0) {
		bucket = str_sub(path, 0, (size_t)slash);
		key = str_sub(path, (size_t)slash + 1, path.len - (size_t)slash - 1);
	}
	if (uri_decode_arena(s3_arena(r), bucket, false, &r->bucket) < 0 ||
	    uri_decode_arena(s3_arena(r), key, false, &r->key) < 0)
		return -QE_URI_TOO_LONG;
	if (r->bucket.len == 0 && r->key.len && strspn(r->key.p, "/") == r->key.len)
		r->key = STR_LIT("");
	if (r->key.len > OBJECT_KEY_MAX)
		return -QE_KEY_TOO_LONG;
	if (memchr(r->key.p, '\0', r->key.len) || !str_is_utf8(r->key))
		return -QE_INVALID_KEY;
	if (r->bucket.len == 0 && r->key.len)
		return -QE_INVALID_BUCKET_NAME;
	return 0;
}

static bool names_subresource(const struct s3_request *r)
{
	for (unsigned i = 0; i < r->nquery; i++)
		for (size_t k = 0; k < ARRAY_SIZE(subresources); k++)
			if (str_eqc(r->query[i].name, subresources[k]))
				return true;
	return false;
}

static bool find_route(struct s3_request *r)
{
	for (unsigned i = 0; i < r->srv->p.nroutes; i++) {
		const struct http_route *t = &r->srv->p.routes[i];
		if (str_starts(r->in->path, str_of(t->prefix))) {
			r->route = t;
			return true;
		}
	}
	return false;
}

int s3_route(struct s3_request *r)
{
	enum s3_scope scope;
	int rc;

	if (find_route(r))
		return 0;
	find_host_bucket(r);
	rc = split_path(r);
	if (rc < 0)
		return rc;
	scope = r->key.len ? S3_OBJECT : r->bucket.len ? S3_BUCKET : S3_SERVICE;
	r->op = s3_op_find(r->in->method, scope, r->query, r->nquery, r->in->headers, r->in->nheaders);
	if (r->op && !r->op->query && names_subresource(r))
		return -QE_NOT_IMPLEMENTED;
	return 0;
}
