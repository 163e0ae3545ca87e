/* SPDX-License-Identifier: Apache-2.0
 *
 * GET /quoin/admin/v1/inspect?bucket=B&key=K: what lies where.
 */
#include "admin/routes_internal.h"

#include "admin/json_internal.h"
#include "base/err.h"
#include "meta/meta.h"
#include "object/content.h"
#include "object/object.h"

static const char *place_name(unsigned place)
{
	static const char *const names[] = {"", "journal", "large", "packed"};

	return place < ARRAY_SIZE(names) ? names[place] : "unknown";
}

static int segment_get(struct meta_view *v, uint64_t id, struct segment_info *ret)
{
	struct meta_key k;
	struct meta_row row;

	key_u64(&k, id);
	int rc = meta_get_k(v, TABLE_SEGMENT, &k, &row);
	if (rc <= 0)
		return rc < 0 ? rc : -QE_CORRUPT;
	return row_segment_decode(row.body, ret);
}

/* Which drive holds which cell of the blob's segment; for a packed blob only its own cell is marked. */
static int add_cells(json_t *o, struct meta_set *set, struct meta_view *v, const struct row_blob *b)
{
	struct segment_info si;
	char name[32];
	int rc = segment_get(v, b->segment, &si);

	if (rc < 0)
		return rc;
	snprintf(name, sizeof name, "seg/%016llx.seg", (unsigned long long)b->segment);
	json_object_set_new(o, "file", json_string(name));
	admin_set_u64(o, "offset", (uint64_t)b->offset_4k * DRIVE_BLOCK);
	json_t *cells = json_array();
	for (unsigned i = 0; i < (unsigned)(si.k + si.m); i++) {
		unsigned slot = (i + si.rotation) % si.n;
		CLEANUP_DRIVE struct drive *d = meta_drive_of(set, slot);
		json_t *c = json_object();

		json_object_set_new(c, "cell", json_integer(i));
		json_object_set_new(c, "kind", json_string(i < si.k ? "data" : "parity"));
		json_object_set_new(c, "slot", json_integer(slot));
		json_object_set_new(c, "drive", d ? json_string(d->path) : json_null());
		if (b->place == BLOB_PACKED)
			json_object_set_new(c, "holds_blob", json_boolean(i == b->cell));
		json_array_append_new(cells, c);
	}
	json_object_set_new(o, "cells", cells);
	if (b->place == BLOB_PACKED)
		admin_set_u64(o, "offset_in_cell", b->byte);
	return 0;
}

static int blob_json(struct meta_set *set, struct meta_view *v, uint64_t id, json_t **ret)
{
	struct meta_key k;
	struct meta_row row;
	struct row_blob b;

	key_u64(&k, id);
	int rc = meta_get_k(v, TABLE_BLOB, &k, &row);
	if (rc <= 0)
		return rc < 0 ? rc : -QE_CORRUPT;
	rc = row_blob_decode(row.body, &b);
	if (rc < 0)
		return rc;
	*ret = json_object();
	admin_set_u64(*ret, "id", id);
	json_object_set_new(*ret, "place", json_string(place_name(b.place)));
	admin_set_u64(*ret, "references", b.refs);
	admin_set_u64(*ret, "plain_bytes", b.plain_len);
	admin_set_u64(*ret, "stored_bytes", b.stored_len);
	if (b.place == BLOB_JOURNAL) {
		admin_set_u64(*ret, "sequence", b.seq);
		admin_set_u64(*ret, "payload_offset", b.payload_off);
		return 0;
	}
	admin_set_u64(*ret, "segment", b.segment);
	rc = add_cells(*ret, set, v, &b);
	if (rc < 0)
		json_decref(*ret);
	return rc;
}

static int extent_json(struct meta_set *set, struct meta_view *v, const struct row_extent *e, json_t *list)
{
	static const char *const kinds[] = {"", "blob", "inrow", "hole"};
	json_t *o = json_object(), *blob;
	int rc = 0;

	admin_set_u64(o, "offset", e->off);
	admin_set_u64(o, "length", e->len);
	json_object_set_new(o, "kind", json_string(e->kind < ARRAY_SIZE(kinds) ? kinds[e->kind] : "unknown"));
	if (e->kind == EXTENT_BLOB) {
		admin_set_u64(o, "start", e->start);
		rc = blob_json(set, v, e->blob, &blob);
		if (rc == 0)
			json_object_set_new(o, "blob", blob);
	}
	json_array_append_new(list, o);
	return rc;
}

static json_t *info_json(const struct object_info *info)
{
	json_t *o = json_object();

	admin_set_str(o, "key", info->key);
	admin_set_u64(o, "file", info->file_id);
	admin_set_u64(o, "size", info->size);
	admin_set_str(o, "etag", info->etag);
	admin_set_time(o, "last_modified", info->mtime_ns);
	admin_set_u64(o, "mode", info->attr.mode);
	admin_set_u64(o, "uid", info->attr.uid);
	admin_set_u64(o, "gid", info->attr.gid);
	return o;
}

int admin_inspect(const struct admin_params *a, struct op_ctx *ctx, const struct admin_request *r, struct buf *ret)
{
	struct meta_set *set = object_store_set(a->store);
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct object_handle *h;
	const struct content *list_of;
	uint64_t seq;
	int rc = object_open(a->store, ctx, admin_param(r, "bucket"), admin_param(r, "key"), (struct str){"", 0}, &h, &seq);

	if (rc < 0)
		return rc;
	json_t *o = info_json(object_handle_info(h)), *list = json_array();
	rc = meta_view_open(set, &v);
	list_of = object_handle_content(h);
	for (unsigned i = 0; rc == 0 && i < list_of->n; i++)
		rc = extent_json(set, v, &list_of->e[i], list);
	object_close(h);
	json_object_set_new(o, "extents", list);
	if (rc < 0) {
		json_decref(o);
		return rc;
	}
	return admin_dump(o, ret);
}
