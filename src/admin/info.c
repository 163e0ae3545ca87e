/* SPDX-License-Identifier: Apache-2.0
 *
 * GET /quoin/admin/v1/info
 */
#include "admin/routes_internal.h"

#include "admin/json_internal.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/err.h"
#include "drive/drive.h"
#include "meta/meta.h"
#include "object/object.h"

static const char *slot_state(unsigned state)
{
	static const char *const names[] = {"out", "joining", "in"};

	return state < ARRAY_SIZE(names) ? names[state] : "unknown";
}

static const char *index_state(unsigned state)
{
	static const char *const names[] = {"none", "building", "good", "bad"};

	return state < ARRAY_SIZE(names) ? names[state] : "unknown";
}

static void add_space(json_t *o, struct drive *d)
{
	struct drive_space sp;

	if (drive_space(d, &sp) < 0)
		return;
	admin_set_u64(o, "total_bytes", sp.total_bytes);
	admin_set_u64(o, "free_bytes", sp.free_bytes);
}

static void add_health(json_t *o, struct drive *d)
{
	struct drive_stats st;

	drive_stats(d, &st);
	admin_set_u64(o, "errors", st.errors);
	admin_set_u64(o, "bytes_read", st.bytes_read);
	admin_set_u64(o, "bytes_written", st.bytes_written);
	if (!st.last_error_ns)
		return;
	json_object_set_new(o, "last_error", json_string(st.last_error));
	admin_set_time(o, "last_error_time", st.last_error_ns);
}

static void set_ms(json_t *o, const char *name, uint64_t ns)
{
	json_object_set_new(o, name, json_real((double)(ns / 1000) / 1e3));
}

static void add_speed(json_t *o, const struct monitor_drive *m)
{
	set_ms(o, "read_ms", m->read_ns);
	set_ms(o, "write_ms", m->write_ns);
	set_ms(o, "flush_ms", m->sync_ns);
	json_object_set_new(o, "slow", json_boolean(m->slow));
}

/* heal_info only while it lasts. */
static void add_healing(json_t *o, const struct admin_params *a, unsigned slot, const char *path)
{
	struct heal_status h;

	heal_status(a->heal, &h);
	json_object_set_new(o, "healing", json_boolean(h.drive[slot].s.active));
	if (h.drive[slot].s.active)
		json_object_set_new(o, "heal_info", admin_heal_info_json(&h.drive[slot], slot, path));
}

static json_t *drive_json(const struct admin_params *a, const struct meta_stats *st, unsigned slot)
{
	struct meta_set *set = object_store_set(a->store);
	const struct isr_body *isr = &st->isr;
	struct monitor_drive watched;
	json_t *o = json_object();
	CLEANUP_DRIVE struct drive *d = meta_drive_of(set, slot);
	char id[UUID_TEXT_LEN + 1];

	uuid_format(isr->slot[slot].drive, id);
	admin_set_u64(o, "slot", slot);
	json_object_set_new(o, "id", json_string(id));
	json_object_set_new(o, "path", d ? json_string(d->path) : json_null());
	/* A slot that is out may have its drive open or not, from one look of the keeper to the next. */
	bool absent = !d && isr->slot[slot].state == ISR_IN;
	json_object_set_new(o, "state", json_string(absent ? "absent" : slot_state(st->state[slot])));
	monitor_drive(a->monitor, slot, &watched);
	admin_set_time(o, "since", watched.since_ns);
	admin_set_u64(o, "missing_ranges", st->missing_of[slot]);
	json_object_set_new(o, "full", json_boolean(st->full >> slot & 1));
	add_healing(o, a, slot, d ? d->path : NULL);
	json_object_set_new(o, "index", json_string(index_state(st->index_bad & 1u << slot ? ISR_INDEX_BAD : isr->slot[slot].index)));
	if (!d)
		return o;
	json_object_set_new(o, "direct", json_boolean(d->direct));
	json_object_set_new(o, "root_disk", json_boolean(d->root_disk));
	add_space(o, d);
	add_health(o, d);
	add_speed(o, &watched);
	return o;
}

static unsigned drives_in(const struct meta_stats *st)
{
	unsigned n = 0;

	for (unsigned i = 0; i < st->n; i++)
		n += st->state[i] == ISR_IN;
	return n;
}

static json_t *set_json(const struct admin_params *a, const struct meta_stats *st)
{
	struct scrub_report scrub;
	json_t *o = json_object();

	admin_set_u64(o, "drives", st->n);
	admin_set_u64(o, "data", st->k);
	admin_set_u64(o, "parity", st->m);
	admin_set_u64(o, "write_quorum", st->w);
	admin_set_u64(o, "in_sync", drives_in(st));
	json_object_set_new(o, "writable", json_boolean(st->writable));
	admin_set_u64(o, "epoch", st->epoch);
	admin_set_u64(o, "applied_seq", st->applied_seq);
	admin_set_u64(o, "durable_seq", st->durable_seq);
	admin_set_u64(o, "missing_ranges", st->missing_ranges);
	admin_set_u64(o, "unavailable_blobs", st->unavailable_blobs);
	scrub_report(a->scrub, &scrub);
	admin_set_u64(o, "unreadable_stripes", scrub_unreadable(&scrub));
	admin_set_u64(o, "degraded_reads", st->degraded_reads);
	json_t *drives = json_array();
	for (unsigned i = 0; i < st->n; i++)
		json_array_append_new(drives, drive_json(a, st, i));
	json_object_set_new(o, "slots", drives);
	return o;
}

static json_t *journal_json(const struct meta_stats *st)
{
	json_t *o = json_object();

	admin_set_u64(o, "files", st->journal_files);
	admin_set_u64(o, "free_files", st->journal_free);
	admin_set_u64(o, "records", st->records);
	admin_set_u64(o, "batches", st->batches);
	admin_set_u64(o, "rejected_batches", st->rejected);
	admin_set_u64(o, "flush_rounds", st->flush_rounds);
	set_ms(o, "flush_p50_ms", st->flush.p50_us * 1000);
	set_ms(o, "flush_p99_ms", st->flush.p99_us * 1000);
	admin_set_u64(o, "bytes", st->journal_bytes);
	admin_set_u64(o, "memtable_bytes", st->memtable_bytes);
	admin_set_u64(o, "memtable_rows", st->memtable_rows);
	admin_set_u64(o, "frozen_bytes", st->frozen_bytes);
	admin_set_u64(o, "checkpoints", st->checkpoints);
	admin_set_u64(o, "checkpoint_seq", st->checkpoint_seq);
	admin_set_u64(o, "checkpoint_rows", st->checkpoint_rows);
	admin_set_u64(o, "checkpoint_row_bytes", st->checkpoint_row_bytes);
	admin_set_u64(o, "index_bytes_written", st->index_bytes);
	admin_set_u64(o, "destaged_blobs", st->destaged_blobs);
	admin_set_u64(o, "destaged_bytes", st->destaged_bytes);
	return o;
}

static int buckets_json(struct object_store *store, struct op_ctx *ctx, json_t **ret)
{
	struct object_bucket_info *b;
	unsigned n;
	uint64_t seq;
	int rc = object_bucket_list(store, ctx, &b, &n, &seq);

	if (rc < 0)
		return rc;
	*ret = json_array();
	for (unsigned i = 0; i < n; i++) {
		json_t *o = json_object();

		admin_set_str(o, "name", b[i].name);
		admin_set_u64(o, "objects", b[i].usage.objects);
		admin_set_u64(o, "bytes", b[i].usage.bytes);
		json_array_append_new(*ret, o);
	}
	return 0;
}

int admin_info(const struct admin_params *a, struct op_ctx *ctx, const struct admin_request *r, struct buf *ret)
{
	struct meta_set *set = object_store_set(a->store);
	struct meta_stats st;
	char id[UUID_TEXT_LEN + 1];
	json_t *buckets;
	int rc = buckets_json(a->store, ctx, &buckets);

	if (rc < 0)
		return rc;
	meta_stats(set, &st);
	uuid_format(meta_deployment_id(set), id);
	json_t *o = json_object();
	json_object_set_new(o, "version", json_string(PACKAGE_VERSION));
	json_object_set_new(o, "deployment", json_string(id));
	json_object_set_new(o, "endpoint", json_string(a->address));
	json_object_set_new(o, "mount", a->mount ? json_string(a->mount) : json_null());
	admin_set_u64(o, "uptime_seconds", (clock_wall_ns() - a->started_ns) / NS_PER_S);
	json_object_set_new(o, "set", set_json(a, &st));
	json_object_set_new(o, "journal", journal_json(&st));
	json_object_set_new(o, "services", admin_services_json(a));
	json_object_set_new(o, "scanner", admin_scanner_json(a));
	json_object_set_new(o, "buckets", buckets);
	return admin_dump(o, ret);
}
