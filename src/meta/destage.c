/* SPDX-License-Identifier: Apache-2.0
 *
 * Destaging: the payload of live inline blobs of the frozen memtable moves from the journal to packed stripes (pack.c).
 */
#include "base/bytes.h"
#include "base/err.h"
#include "meta/pack_internal.h"

static int add_blob(struct pack *to, uint64_t blob, const struct row_blob *r, const struct payload *p)
{
	uint64_t off = r->payload_off - p->inline_off;

	if (off > p->len || r->stored_len > p->len - off || r->stored_len > UINT32_MAX)
		return -QE_CORRUPT;
	return pack_add(to, blob, 0, p->data + off, (uint32_t)r->stored_len);
}

/* A blob row of the frozen memtable: still in the journal, as far as it is known now? */
static int visit(struct meta_set *s, struct pack *to, const struct memtable_row *row)
{
	struct memtable_row newest;
	struct row_blob r;
	size_t len;

	if (row->deleted || row->key.len != 8)
		return 0;
	mutex_lock(&s->writer);
	bool found = publish_newest(&s->pub, TABLE_BLOB, row->key, &newest);
	int rc = 0;
	const struct payload *p = NULL;
	if (found && !newest.deleted)
		rc = row_blob_decode(str_sub(newest.row, ENVELOPE_BYTES, newest.row.len - ENVELOPE_BYTES), &r);
	if (found && !newest.deleted && rc == 0 && r.place == BLOB_JOURNAL) {
		const void *data = memtable_payload(publish_frozen(&s->pub), r.seq, &len);
		p = data ? payload_of(data) : NULL;
		rc = data ? 0 : -QE_QUORUM_READ;
	}
	/* The frozen memtable, and with it the payload, stays until this checkpoint ends. */
	writer_unlock(s);
	return rc < 0 || !p ? rc : add_blob(to, be64_get(row->key.p), &r, p);
}

int destage_run(struct meta_set *s)
{
	const struct memtable *frozen = publish_frozen(&s->pub);
	struct memtable_row row;
	struct pack *to;
	int rc = pack_new(s, s->erasure, &to);

	if (rc < 0)
		return rc;
	for (const void *at = memtable_seek(frozen, TABLE_BLOB, (struct str){"", 0}, UINT64_MAX, &row); rc == 0 && at;
	     at = memtable_next(frozen, at, UINT64_MAX, &row))
		rc = visit(s, to, &row);
	if (rc == 0)
		rc = pack_flush(to);
	STAT_ADD(s, destaged_blobs, pack_done(to).blobs);
	STAT_ADD(s, destaged_bytes, pack_done(to).bytes);
	pack_free(to);
	return rc;
}
