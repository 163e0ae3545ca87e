/* SPDX-License-Identifier: Apache-2.0
 *
 * DeleteObject and DeleteObjects.
 */
#include "s3/handlers.h"
#include "s3/render.h"
#include "s3/request.h"
#include "s3/xml_read.h"
#include "s3/xml_write.h"

static void on_deleted(void *arg, int rc)
{
	struct s3_request *r = arg;

	if (!s3_fails(r, rc))
		s3_reply(r, 204);
}

void s3_delete_object(struct s3_request *r)
{
	struct str version;
	int rc = s3_version_id(r, &version);

	/* Deleting all the same would be the opposite of what was asked for. */
	if (rc == 0 && (s3_header(r, "If-Match", NULL) || s3_header(r, "x-amz-if-match-last-modified-time", NULL) ||
	                s3_header(r, "x-amz-if-match-size", NULL)))
		rc = op_fail(r->ctx, -QE_NOT_IMPLEMENTED, "Conditional deletes are not implemented.");
	if (rc == 0)
		rc = object_delete(r->srv->store, r->ctx, r->bucket, r->key, version, NULL, on_deleted, r);
	s3_fails(r, rc);
}

/* ---- Many ------------------------------------------------------------------------------------------------------------ */
struct multi {
	struct s3_request *r;
	bool quiet;
	unsigned n;
	struct object_delete_item *items;
	unsigned nsent; /* those with a well-formed key */
	struct object_delete_item *sent;
};

static void put_result(struct buf *b, const struct object_delete_item *it, bool quiet)
{
	const struct err_info *e;

	if (it->rc >= 0) {
		if (quiet)
			return;
		xml_open(b, "Deleted");
		xml_put(b, "Key", it->key);
		if (it->version.len)
			xml_put(b, "VersionId", it->version);
		xml_close(b, "Deleted");
		return;
	}
	e = err_lookup(it->rc);
	xml_open(b, "Error");
	xml_put(b, "Key", it->key);
	if (it->version.len)
		xml_put(b, "VersionId", it->version);
	xml_put_c(b, "Code", e->s3_code);
	xml_put_c(b, "Message", e->text);
	xml_close(b, "Error");
}

static void on_all_deleted(void *arg, int rc)
{
	struct multi *m = arg;
	struct buf b = BUF_INIT;
	unsigned k = 0;

	if (s3_fails(m->r, rc))
		return;
	xml_begin(&b, "DeleteResult");
	for (unsigned i = 0; i < m->n; i++)
		put_result(&b, m->items[i].rc < 0 ? &m->items[i] : &m->sent[k++], m->quiet);
	xml_close(&b, "DeleteResult");
	s3_reply_xml(m->r, 200, &b);
}

static int check_item(const struct object_delete_item *it)
{
	if (it->key.len > OBJECT_KEY_MAX)
		return -QE_KEY_TOO_LONG;
	if (!str_is_utf8(it->key))
		return -QE_INVALID_KEY;
	return 0;
}

static int read_items(struct s3_request *r, struct multi *m)
{
	struct xml_node *root;
	int rc = xml_parse(s3_arena(r), buf_str(&r->small), &root);

	if (rc < 0)
		return rc;
	m->n = xml_count(root, "Object");
	if (!str_eqc(root->name, "Delete") || m->n == 0 || m->n > S3_PAGE)
		return -QE_MALFORMED_XML;
	m->quiet = str_eq_nocase(xml_text(root, "Quiet"), STR_LIT("true"));
	m->items = arena_zalloc(s3_arena(r), m->n * sizeof *m->items);
	m->sent = arena_zalloc(s3_arena(r), m->n * sizeof *m->sent);
	m->n = 0;
	for (const struct xml_node *c = root->child; c; c = c->next) {
		struct object_delete_item *it = &m->items[m->n];
		const struct xml_node *key;
		if (!str_eqc(c->name, "Object"))
			continue;
		key = xml_child(c, "Key");
		if (!key || key->text.len == 0)
			return -QE_MALFORMED_XML;
		it->key = key->text; /* blanks count */
		it->version = xml_text(c, "VersionId");
		it->rc = check_item(it);
		if (xml_child(c, "ETag") || xml_child(c, "LastModifiedTime") || xml_child(c, "Size"))
			it->rc = -QE_NOT_IMPLEMENTED;
		if (it->rc == 0)
			m->sent[m->nsent++] = *it;
		m->n++;
	}
	return 0;
}

void s3_delete_objects(struct s3_request *r)
{
	struct multi *m = arena_zalloc(s3_arena(r), sizeof *m);
	int rc = read_items(r, m);

	m->r = r;
	if (rc == 0 && m->nsent == 0) {
		rc = s3_bucket_exists(r);
		if (rc == 0) {
			on_all_deleted(m, 0);
			return;
		}
	} else if (rc == 0) {
		rc = object_delete_many(r->srv->store, r->ctx, r->bucket, m->sent, m->nsent, on_all_deleted, m);
	}
	s3_fails(r, rc);
}
