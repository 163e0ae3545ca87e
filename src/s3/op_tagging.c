/* SPDX-License-Identifier: Apache-2.0
 *
 * Tags of objects.
 */
#include "s3/handlers.h"
#include "s3/render.h"
#include "s3/request.h"
#include "s3/xml_read.h"
#include "s3/xml_write.h"

void s3_get_tagging(struct s3_request *r)
{
	struct object_handle *h = NULL;
	struct str version, rest, name, value;
	struct buf b = BUF_INIT;
	uint64_t seq = 0;
	int rc = s3_version_id(r, &version);

	if (rc == 0)
		rc = object_open(r->srv->store, r->ctx, r->bucket, r->key, version, &h, &seq);
	s3_reveals(r, seq);
	if (s3_fails(r, rc))
		return;
	xml_begin(&b, "Tagging");
	xml_open(&b, "TagSet");
	rest = object_handle_info(h)->tags;
	while (row_kv_next(&rest, &name, &value)) {
		xml_open(&b, "Tag");
		xml_put(&b, "Key", name);
		xml_put(&b, "Value", value);
		xml_close(&b, "Tag");
	}
	object_close(h);
	xml_close(&b, "TagSet");
	xml_close(&b, "Tagging");
	s3_reply_xml(r, 200, &b);
}

static int read_tags(struct s3_request *r, struct str *ret)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	const struct xml_node *set;
	struct xml_node *root;
	unsigned n = 0;
	int rc = xml_parse(s3_arena(r), buf_str(&r->small), &root);

	if (rc < 0)
		return rc;
	set = xml_child(root, "TagSet");
	if (!str_eqc(root->name, "Tagging") || !set)
		return -QE_MALFORMED_XML;
	for (const struct xml_node *t = set->child; t; t = t->next) {
		const struct xml_node *k = xml_child(t, "Key"), *v = xml_child(t, "Value");
		if (!str_eqc(t->name, "Tag") || !k || !v)
			return -QE_MALFORMED_XML;
		rc = s3_tag_ok(r, k->text, v->text);
		if (rc < 0)
			return rc;
		for (const struct xml_node *o = set->child; o != t; o = o->next)
			if (str_eq(xml_child(o, "Key")->text, k->text))
				return op_fail(r->ctx, -QE_INVALID_TAG, "Cannot provide multiple Tags with the same key");
		if (++n > 10)
			return op_fail(r->ctx, -QE_INVALID_TAG, "Object tags cannot be greater than 10");
		row_kv_add(&b, k->text, v->text);
	}
	if (buf_err(&b))
		return buf_err(&b);
	*ret = arena_str(s3_arena(r), buf_str(&b));
	return 0;
}

static void on_put(void *arg, int rc)
{
	struct s3_request *r = arg;

	if (!s3_fails(r, rc))
		s3_reply(r, 200);
}

static void on_deleted(void *arg, int rc)
{
	struct s3_request *r = arg;

	if (!s3_fails(r, rc))
		s3_reply(r, 204);
}

static int only_null_version(struct s3_request *r)
{
	struct str version;
	int rc = s3_version_id(r, &version);

	return rc < 0 ? rc : version.len && !str_eqc(version, "null") ? -QE_NO_SUCH_VERSION : 0;
}

void s3_put_tagging(struct s3_request *r)
{
	struct str tags;
	int rc = only_null_version(r);

	if (rc == 0)
		rc = read_tags(r, &tags);
	if (rc == 0)
		rc = object_set_tags(r->srv->store, r->ctx, r->bucket, r->key, tags, on_put, r);
	s3_fails(r, rc);
}

void s3_delete_tagging(struct s3_request *r)
{
	int rc = only_null_version(r);

	if (rc == 0)
		rc = object_set_tags(r->srv->store, r->ctx, r->bucket, r->key, STR_LIT(""), on_deleted, r);
	s3_fails(r, rc);
}
