/* SPDX-License-Identifier: Apache-2.0
 *
 * Probes, without a signature: live (it runs), ready (it serves), cluster (it may write), under MinIO's paths and our own.
 */
#include "s3/request.h"

#include <limits.h>

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

/* Whoever asks for maintenance wants to take a drive more away. */
static unsigned write_status(const struct s3_request *r, const struct s3_health_state *st)
{
	struct str maintenance;

	if (!st->writable)
		return 503;
	if (s3_query(r, "maintenance", &maintenance) && str_eqc(maintenance, "true") && st->in_sync <= st->write_quorum)
		return 412;
	return 200;
}

static void answer(struct s3_request *r, enum probe probe)
{
	struct s3_server *s = r->srv;
	struct s3_health_state st = {.writable = true, .in_sync = UINT_MAX};

	if (probe != PROBE_WRITE) {
		s3_reply(r, 200);
		return;
	}
	if (s->p.health)
		s->p.health(s->p.health_arg, &st);
	if (st.write_quorum)
		http_reply_headerf(r->http, "x-minio-write-quorum", "%u", st.write_quorum);
	if (st.healing)
		http_reply_headerf(r->http, "x-minio-healing-drives", "%u", st.healing);
	s3_reply(r, write_status(r, &st));
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
