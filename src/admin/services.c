/* SPDX-License-Identifier: Apache-2.0
 *
 * What runs in the background, and the operator's hand on it.
 */
#include "admin/json_internal.h"
#include "admin/routes_internal.h"
#include "base/clock.h"
#include "base/err.h"

static const char *state_name(enum service_state s)
{
	static const char *const names[] = {"waiting", "running", "paused"};

	return s < ARRAY_SIZE(names) ? names[s] : "unknown";
}

static json_t *service_json(const struct service_info *i)
{
	json_t *o = json_object();

	json_object_set_new(o, "name", json_string(i->name));
	json_object_set_new(o, "state", json_string(state_name(i->state)));
	admin_set_u64(o, "cycle", i->cycle);
	admin_set_u64(o, "failures", i->failures);
	admin_set_time(o, "started", i->started_ns);
	admin_set_time(o, "ended", i->ended_ns);
	admin_set_seconds(o, "took_seconds", i->took_ns);
	admin_set_time(o, "next", i->next_ns);
	admin_set_u64(o, "done", i->done);
	admin_set_u64(o, "total", i->total);
	if (i->concurrency) {
		admin_set_seconds(o, "period_seconds", i->period_ns);
		admin_set_u64(o, "threads", i->concurrency);
		admin_set_u64(o, "budget", i->budget);
	}
	json_object_set_new(o, "note", json_string(i->note));
	return o;
}

json_t *admin_services_json(const struct admin_params *a)
{
	struct service_info info[SERVICES_MAX];
	unsigned n = services_list(a->services, info, ARRAY_SIZE(info));
	json_t *list = json_array();

	for (unsigned i = 0; i < n; i++)
		json_array_append_new(list, service_json(&info[i]));
	return list;
}

json_t *admin_scanner_json(const struct admin_params *a)
{
	CLEANUP_BUF struct buf lines = BUF_INIT;
	struct usage_report r;
	json_t *o = json_object(), *list = json_array();

	usage_scan_report(a->usage, &r, &lines);
	admin_set_u64(o, "cycle", r.cycle);
	admin_set_time(o, "last_cycle", r.ended_ns);
	admin_set_seconds(o, "took_seconds", r.took_ns);
	admin_set_u64(o, "rows", r.rows);
	admin_set_u64(o, "differences", r.differences);
	for (struct str rest = buf_str(&lines), line; rest.len > 0 && str_split(&rest, '\n', &line);)
		if (line.len > 0)
			json_array_append_new(list, json_stringn(line.p, line.len));
	json_object_set_new(o, "found", list);
	return o;
}

int admin_services_list(const struct admin_params *a, struct op_ctx *ctx, const struct admin_request *r, struct buf *ret)
{
	return admin_dump(admin_services_json(a), ret);
}

static const char *name_of(struct op_ctx *ctx, const struct admin_request *r)
{
	return arena_str(&ctx->arena, admin_param(r, "name")).p;
}

static int answer(struct op_ctx *ctx, const char *name, int rc, struct buf *ret)
{
	if (rc == -ENOENT)
		return op_fail(ctx, -QE_INVALID_REQUEST, "there is no service \"%.60s\"; service list names them", name);
	if (rc == -EOPNOTSUPP)
		return op_fail(ctx, -QE_INVALID_REQUEST, "%.60s works by itself whenever there is something to do: it cannot be run or "
			       "paused by hand", name);
	if (rc < 0)
		return rc;
	json_t *o = json_object();
	json_object_set_new(o, "service", json_string(name));
	return admin_dump(o, ret);
}

int admin_services_run(const struct admin_params *a, struct op_ctx *ctx, const struct admin_request *r, struct buf *ret)
{
	const char *name = name_of(ctx, r);

	return answer(ctx, name, services_poke(a->services, name), ret);
}

int admin_services_pause(const struct admin_params *a, struct op_ctx *ctx, const struct admin_request *r, struct buf *ret)
{
	const char *name = name_of(ctx, r);

	return answer(ctx, name, services_pause(a->services, name, true), ret);
}

int admin_services_resume(const struct admin_params *a, struct op_ctx *ctx, const struct admin_request *r, struct buf *ret)
{
	const char *name = name_of(ctx, r);

	return answer(ctx, name, services_pause(a->services, name, false), ret);
}
