/* SPDX-License-Identifier: Apache-2.0
 *
 * What may be a part of the history or not, which only a later recovery decides (STORAGE.md Q4, R5').
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "meta/envelope.h"
#include "meta/set_internal.h"

/* The row that is shown for the key gets the sequence of the record in doubt, so that who consults it waits for a
 * watermark that does not come: 503, never the value nor its absence. */
static int doubt_row(struct meta_set *s, struct meta_view *v, const struct record_op *op, uint64_t seq)
{
	CLEANUP_FREE char *row = NULL;
	struct meta_row seen;
	struct memtable_row echo = {.table = op->table, .key = op->key, .seq = seq, .deleted = true};
	int rc = meta_get(v, op->table, op->key.p, op->key.len, &seen);

	if (rc < 0)
		return rc;
	if (rc > 0) {
		row = malloc(ENVELOPE_BYTES + seen.body.len);
		if (!row)
			return -ENOMEM;
		memcpy(row + ENVELOPE_BYTES, seen.body.p, seen.body.len);
		envelope_seal(op->table, op->key, seq, row, ENVELOPE_BYTES + seen.body.len);
		echo.row = (struct str){row, ENVELOPE_BYTES + seen.body.len};
		echo.deleted = false;
	}
	return memtable_put(publish_active(&s->pub), &echo);
}

int doubt_ops(struct meta_set *s, struct meta_view *v, struct str ops, uint64_t seq)
{
	struct record_op op;
	int rc = 0;

	while (rc == 0 && record_op_next(&ops, &op) > 0)
		rc = doubt_row(s, v, &op, seq);
	return rc;
}

static int doubt_record(struct meta_set *s, struct meta_view *v, const struct wrec *r)
{
	int rc = 0;

	LIST_FOREACH(it, &r->batches) {
		struct meta_batch *b = LIST_ENTRY(it, struct meta_batch, node);
		rc = rc == 0 ? doubt_ops(s, v, buf_str(&b->ops), b->seq) : rc;
	}
	return rc;
}

void doubt_unapplied(struct meta_set *s)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	int rc = list_empty(&s->unapplied) ? 0 : meta_view_open(s, &v);

	LIST_FOREACH(it, &s->unapplied) {
		struct wrec *r = LIST_ENTRY(it, struct wrec, node);
		if (r->last_seq <= publish_applied_seq(&s->pub))
			continue; /* it could not be built: no drive has it */
		rc = rc == 0 ? doubt_record(s, v, r) : rc;
		publish_applied(&s->pub, r->last_seq);
	}
	if (rc < 0)
		log_warn("meta", "keys of changes in doubt cannot be told: S3 may show them as they were before cause=\"%s\"", err_text(rc));
}
