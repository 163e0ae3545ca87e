/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of admin calls.
 */
#include "admin/routes_internal.h"

#include "base/err.h"
#include "base/log.h"

static const struct route {
	const char *method, *path; /* below /quoin/admin/v1/ */
	const char *action;        /* that it is, for the log; later for policies */
	admin_call_fn *fn;
} routes[] = {
	{"GET", "info", "admin:ServerInfo", admin_info},
	{"GET", "inspect", "admin:InspectData", admin_inspect},
	{"GET", "drives", "admin:StorageInfo", admin_drives_list},
	{"POST", "drives/offline", "admin:Drives", admin_drives_offline},
	{"POST", "drives/online", "admin:Drives", admin_drives_online},
	{"POST", "drives/replace", "admin:Drives", admin_drives_replace},
	{"GET", "heal", "admin:Heal", admin_heal_status},
	{"GET", "heal/request", "admin:Heal", admin_heal_request},
	{"POST", "heal", "admin:Heal", admin_heal_start},
	{"GET", "scrub", "admin:Heal", admin_scrub_report},
	{"POST", "scrub", "admin:Heal", admin_scrub_start},
	{"GET", "services", "admin:ServerInfo", admin_services_list},
	{"POST", "services/run", "admin:Services", admin_services_run},
	{"POST", "services/pause", "admin:Services", admin_services_pause},
	{"POST", "services/resume", "admin:Services", admin_services_resume},
};

struct str admin_param(const struct admin_request *r, const char *name)
{
	struct str v = {"", 0};

	uri_param_get(r->params, r->nparams, name, &v);
	return v;
}

static int unknown(struct op_ctx *ctx, const struct route *same_path)
{
	if (same_path)
		return op_fail(ctx, -QE_METHOD_NOT_ALLOWED, "this call is made by %s", same_path->method);
	return op_fail(ctx, -QE_INVALID_REQUEST, "no such admin call; the client may be newer than this server");
}

static void log_call(const struct route *t, const struct admin_request *r, int rc)
{
	CLEANUP_BUF struct buf what = BUF_INIT;

	for (unsigned i = 0; i < r->nparams; i++)
		buf_addf(&what, " %.*s=\"%.*s\"", STR_FMT(r->params[i].name), STR_FMT(r->params[i].value));
	log_info("admin", "%s call=%s%s result=\"%s\"", t->action, t->path, buf_cstr(&what), rc < 0 ? err_text(rc) : "done");
}

int admin_call(const struct admin_params *a, struct op_ctx *ctx, const struct admin_request *r, struct buf *ret)
{
	const struct route *same_path = NULL;

	for (unsigned i = 0; i < ARRAY_SIZE(routes); i++) {
		const struct route *t = &routes[i];

		if (!str_eqc(r->path, t->path))
			continue;
		same_path = t;
		if (!str_eqc(r->method, t->method))
			continue;
		int rc = t->fn(a, ctx, r, ret);
		if (!str_eqc(r->method, "GET"))
			log_call(t, r, rc);
		return rc;
	}
	return unknown(ctx, same_path);
}
