/* SPDX-License-Identifier: Apache-2.0
 *
 * The drives of the set, and the operator's hand on them.
 */
#include "admin/json_internal.h"
#include "admin/routes_internal.h"
#include "base/err.h"
#include "drive/drive.h"

static const char *state_name(enum drives_state s)
{
	static const char *const names[] = {"in", "joining", "out", "offline"};

	return s < ARRAY_SIZE(names) ? names[s] : "unknown";
}

static void add_open_drive(json_t *o, struct meta_set *set, unsigned slot)
{
	CLEANUP_DRIVE struct drive *d = meta_drive_of(set, slot);
	struct drive_space space;
	struct drive_stats st;

	if (!d)
		return;
	drive_stats(d, &st);
	admin_set_u64(o, "errors", st.errors);
	if (drive_space(d, &space) < 0)
		return;
	admin_set_u64(o, "total_bytes", space.total_bytes);
	admin_set_u64(o, "free_bytes", space.free_bytes);
}

static json_t *drive_json(const struct admin_params *a, const struct meta_stats *st, const struct heal_status *heal,
			  const struct drives_info *d)
{
	json_t *o = json_object();

	admin_set_u64(o, "slot", d->slot);
	json_object_set_new(o, "path", json_string(d->path));
	json_object_set_new(o, "state", json_string(state_name(d->state)));
	json_object_set_new(o, "healing", json_boolean(heal->drive[d->slot].s.active));
	admin_set_u64(o, "missing_ranges", st->missing_of[d->slot]);
	json_object_set_new(o, "full", json_boolean(st->full >> d->slot & 1));
	add_open_drive(o, object_store_set(a->store), d->slot);
	admin_set_u64(o, "failures", d->failures);
	admin_set_time(o, "retry", d->retry_ns);
	json_object_set_new(o, "reason", json_string(d->reason));
	return o;
}

int admin_drives_list(const struct admin_params *a, struct op_ctx *ctx, const struct admin_request *r, struct buf *ret)
{
	struct drives_info info[SUPER_MAX_SLOTS];
	unsigned n = drives_list(a->drives, info, ARRAY_SIZE(info));
	json_t *list = json_array();
	struct heal_status heal;
	struct meta_stats st;

	meta_stats(object_store_set(a->store), &st);
	heal_status(a->heal, &heal);
	for (unsigned i = 0; i < n; i++)
		json_array_append_new(list, drive_json(a, &st, &heal, &info[i]));
	return admin_dump(list, ret);
}

/* By the number of its slot, or by its path. */
static int find_drive(const struct admin_params *a, struct op_ctx *ctx, const struct admin_request *r, struct drives_info *ret)
{
	struct drives_info info[SUPER_MAX_SLOTS];
	unsigned n = drives_list(a->drives, info, ARRAY_SIZE(info));
	struct str name = admin_param(r, "drive");
	uint64_t slot = UINT64_MAX;

	if (str_to_u64(name, &slot) < 0)
		slot = UINT64_MAX;
	for (unsigned i = 0; i < n; i++)
		if (info[i].slot == slot || str_eqc(name, info[i].path)) {
			*ret = info[i];
			return 0;
		}
	return op_fail(ctx, -QE_INVALID_REQUEST, "the set has no drive \"%.80s\"; drive list names them", arena_str(&ctx->arena, name).p);
}

static int answer(unsigned slot, struct str path, const char *what, struct buf *ret)
{
	json_t *o = json_object();

	admin_set_u64(o, "slot", slot);
	admin_set_str(o, "path", path);
	json_object_set_new(o, "result", json_string(what));
	return admin_dump(o, ret);
}

int admin_drives_offline(const struct admin_params *a, struct op_ctx *ctx, const struct admin_request *r, struct buf *ret)
{
	struct drives_info d;
	int rc = find_drive(a, ctx, r, &d);

	if (rc == 0)
		rc = drives_offline(a->drives, d.slot, ctx);
	return rc < 0 ? rc : answer(d.slot, str_of(d.path), "it is taken out, and stays away until it is set online", ret);
}

int admin_drives_online(const struct admin_params *a, struct op_ctx *ctx, const struct admin_request *r, struct buf *ret)
{
	struct drives_info d;
	int rc = find_drive(a, ctx, r, &d);

	if (rc == 0)
		rc = drives_online(a->drives, d.slot, ctx);
	if (rc < 0)
		return rc;
	drives_poke(a->drives);
	return answer(d.slot, str_of(d.path), "it joins the set as soon as it can be opened", ret);
}

int admin_drives_replace(const struct admin_params *a, struct op_ctx *ctx, const struct admin_request *r, struct buf *ret)
{
	struct str path = admin_param(r, "path");
	bool writes = meta_writable(object_store_set(a->store));
	struct drives_info d;
	int rc = find_drive(a, ctx, r, &d);

	if (rc == 0)
		rc = drives_replace(a->drives, d.slot, path.len ? arena_str(&ctx->arena, path).p : NULL, ctx);
	if (rc < 0)
		return rc;
	drives_poke(a->drives);
	const char *what = writes ? "the empty directory takes the slot, and its data is made anew; drive list and heal status tell "
				    "how far it is" :
				    "the old drive counts as lost and must never be put back; when enough of the others are here or "
				    "replaced, the set writes, and the empty directory takes the slot; drive list and heal status tell "
				    "how far it is";
	return answer(d.slot, path.len ? path : str_of(d.path), what, ret);
}
