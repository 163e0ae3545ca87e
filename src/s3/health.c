/* SPDX-License-Identifier: Apache-2.0
 *
 * Probes, without a signature: live (it runs), ready (it serves), cluster (it may write), under MinIO's paths and our own.
 */
#include "s3/request.h"

enum probe { PROBE_LIVE, PROBE_READY, PROBE_WRITE, PROBE_READ };

static const struct {
	const char *path;
	enum probe probe;
} probes[] = {
	{"/minio/health/live", PROBE_LIVE},     {"/minio/health/ready", PROBE_READY},
	{"/minio/health/cluster", PROBE_WRITE}, {"/minio/health/cluster/read", PROBE_READ},
	{"/quoin/health/live", PROBE_LIVE},     {"/quoin/health/ready", PROBE_READY},
	{"/health/live", PROBE_LIVE},           {"/health/ready", PROBE_READY},
	{"/health/cluster", PROBE_WRITE},
};

static void answer(struct s3_request *r, enum probe probe)
{
	struct s3_server *s = r->srv;
	bool writable = true;
	unsigned quorum = 0;

	if (s->p.writable)
		writable = s->p.writable(s->p.writable_arg, &quorum);
	if (quorum && probe == PROBE_WRITE)
		http_reply_headerf(r->http, "x-minio-write-quorum", "%u", quorum);
	s3_reply(r, probe == PROBE_WRITE && !writable ? 503 : 200);
}

bool s3_health(struct s3_request *r)
{
	if (!r->head && !str_eqc(r->in->method, "GET"))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(probes); i++)
		if (str_eqc(r->in->path, probes[i].path)) {
			if (s3_is_signed(r)) /* somebody's bucket may be called so */
				return false;
			answer(r, probes[i].probe);
			return true;
		}
	return false;
}
