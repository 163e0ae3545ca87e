/* SPDX-License-Identifier: Apache-2.0
 *
 * R8: the kept history behind the lowest position of the index copies goes into the memtable, which shadows them. Rows are
 * absolute and carry their sequence, so a copy that is further on, or half-way through a checkpoint, does no harm.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/log.h"
#include "meta/recovery_internal.h"

static int replay_payload(struct recovery *r, const struct found_record *f, const struct record_batch *b)
{
	struct meta_set *s = r->s;
	uint64_t room = (uint64_t)s->k * f->head.cell_len;

	if (!b->inline_len || !f->payload)
		return 0; /* an unavailable one: its blobs answer so */
	if (b->inline_off > room || b->inline_len > room - b->inline_off)
		return -QE_CORRUPT;
	struct payload *p = payload_new(b->inline_len);
	if (!p)
		return -ENOMEM;
	p->inline_off = b->inline_off;
	memcpy(p->data, f->payload + b->inline_off, b->inline_len);
	int rc = memtable_payload_add(publish_active(&s->pub), b->seq, p->data, b->inline_len, payload_release);
	if (rc < 0)
		free(p);
	return rc;
}

static int replay_record(struct recovery *r, struct found_record *f)
{
	const uint8_t *body = record_body_of(r, f);
	struct record_body dec;
	struct record_batch b;
	int rc;

	if (!body || record_body_decode(&f->head, body, r->s->ncell, &dec) < 0)
		return -QE_CORRUPT;
	while ((rc = record_batch_next(&dec.batches, &b)) > 0) {
		apply_ops(r->s, b.ops, b.seq, false);
		rc = replay_payload(r, f, &b);
		if (rc < 0)
			return rc;
	}
	free(f->body);
	free(f->payload);
	f->body = f->payload = NULL;
	return rc;
}

int replay_payloads(struct recovery *r, struct found_record *f)
{
	const uint8_t *body = record_body_of(r, f);
	struct record_body dec;
	struct record_batch b;
	int rc;

	if (!body || record_body_decode(&f->head, body, r->s->ncell, &dec) < 0)
		return -QE_CORRUPT;
	while ((rc = record_batch_next(&dec.batches, &b)) > 0) {
		rc = replay_payload(r, f, &b);
		if (rc < 0)
			break;
	}
	return rc;
}

int replay(struct recovery *r)
{
	struct meta_set *s = r->s;
	int rc = publish_init(&s->pub, r->replay_from);

	if (rc < 0)
		return rc;
	s->has_publish = true;
	s->pub.erasure = s->erasure;
	for (unsigned i = 0; rc == 0 && i < s->n; i++)
		if (r->index_ok & 1u << i)
			rc = publish_add_index(&s->pub, s->slot[i].index);
	for (struct found_record *f = r->root; rc == 0 && f != r->kept;) {
		f = f->next;
		/* By place: an EPOCH with T = p lies behind the record that ends at p. */
		if (f->head.nbatch && (found_last_seq(f) > r->replay_from ||
				       (f->head.type == RECORD_EPOCH && found_last_seq(f) == r->replay_from)))
			rc = replay_record(r, f);
		s->last_wall_ns = MAX(s->last_wall_ns, f->head.wall_ns);
	}
	if (rc == 0)
		publish_applied(&s->pub, found_last_seq(r->kept));
	return rc;
}

/* ---- What the set keeps in memory of rows -------------------------------------------------------------------------- */
static int load_segment_rows(struct meta_set *s, struct meta_view *v)
{
	struct meta_iter *it;
	struct meta_row row;
	struct segment_info info;
	int rc = meta_iter_open(v, TABLE_SEGMENT, &it);

	if (rc < 0)
		return rc;
	for (rc = meta_iter_seek(it, "", 0, &row); rc > 0; rc = meta_iter_next(it, &row)) {
		rc = row_segment_decode(row.body, &info);
		if (rc == 0)
			rc = erasure_segment_add(s->erasure, &info);
		if (rc < 0)
			break;
		segment_note(s, &info, true);
	}
	meta_iter_close(it);
	return rc;
}

static int load_missing_rows(struct meta_set *s, struct meta_view *v)
{
	struct meta_iter *it;
	struct meta_row row;
	struct row_missing m;
	int rc = meta_iter_open(v, TABLE_MISSING, &it);

	if (rc < 0)
		return rc;
	for (rc = meta_iter_seek(it, "", 0, &row); rc > 0; rc = meta_iter_next(it, &row)) {
		const uint8_t *k = (const uint8_t *)row.key.p;
		rc = row.key.len == 13 ? row_missing_decode(row.body, &m) : -QE_CORRUPT;
		if (rc < 0)
			break;
		erasure_missing_add(s->erasure, k[0], be64_get(k + 1), be32_get(k + 9), m.to_4k);
		s->missing_ranges++;
	}
	meta_iter_close(it);
	return rc;
}

int load_segments(struct meta_set *s)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	int rc = meta_view_open(s, &v);

	if (rc == 0)
		rc = load_segment_rows(s, v);
	return rc < 0 ? rc : load_missing_rows(s, v);
}

/* ---- R5': what was found but not kept ------------------------------------------------------------------------------ */
int replay_doubt(struct recovery *r)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct meta_set *s = r->s;
	int rc = meta_view_open(s, &v);

	for (struct found_record *f = r->kept->next; rc == 0 && f; f = f->next) {
		const uint8_t *body = f->head.nbatch ? record_body_of(r, f) : NULL;
		struct record_body dec;
		struct record_batch b;
		if (!body || record_body_decode(&f->head, body, s->ncell, &dec) < 0)
			continue;
		while (rc == 0 && record_batch_next(&dec.batches, &b) > 0)
			rc = doubt_ops(s, v, b.ops, b.seq);
	}
	meta_view_close(v);
	v = NULL;
	if (rc == 0)
		publish_applied(&s->pub, found_last_seq(r->tail));
	return rc;
}
