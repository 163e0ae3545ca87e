/* SPDX-License-Identifier: Apache-2.0
 *
 * Payload that cannot be read: where it lies, in a fixed memory, and whose it is. See heal.h.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "meta/heal_internal.h"
#include "meta/owner.h"

static bool is_noted(const struct meta_lost_list *list, const struct erasure_lost_stripe *l)
{
	for (unsigned i = 0; i < list->n; i++) {
		const struct meta_lost *m = &list->at[i];
		if (m->segment == l->segment && m->from_4k <= l->offset_4k && l->offset_4k + l->cell_4k <= m->to_4k)
			return true;
	}
	return false;
}

void lost_note(void *arg, const struct erasure_lost_stripe *l)
{
	struct meta_lost_list *list = arg;
	struct meta_lost *last = list->n ? &list->at[list->n - 1] : NULL;

	if (is_noted(list, l))
		return;
	list->stripes++;
	if (last && last->segment == l->segment && last->to_4k == l->offset_4k && last->cells == l->cells)
		last->to_4k += l->cell_4k;
	else if (list->n < META_LOST_MAX)
		list->at[list->n++] = (struct meta_lost){l->segment, l->offset_4k, l->offset_4k + l->cell_4k, l->cells};
}

/* ---- Whose it is -------------------------------------------------------------------------------------------------- */
#define CANDIDATES_MAX 4096

struct candidate {
	uint64_t blob;
	bool packed;
	struct meta_lost_blob at;
};

struct search {
	struct meta_set *set;
	struct erasure_set *erasure;
	const struct meta_lost_list *list;
	bool (*go_on)(void *arg, uint64_t bytes);
	void *arg;
	struct meta_lost_blobs *found;
	struct vec candidates;
	struct vec owners; /* struct blob_owner, of found->at */
};

static bool go_on(void *arg)
{
	const struct search *f = arg;

	return f->go_on(f->arg, 0);
}

static bool is_lost(const struct search *f, const struct row_blob *b)
{
	struct segment_info info;

	for (unsigned i = 0; i < f->list->n; i++) {
		const struct meta_lost *l = &f->list->at[i];
		if (l->segment != b->segment || b->offset_4k >= l->to_4k)
			continue;
		if (b->place == BLOB_PACKED && b->offset_4k >= l->from_4k && (l->cells & 1u << b->cell))
			return true;
		if (b->place == BLOB_LARGE && erasure_segment_get(f->erasure, b->segment, &info) &&
		    b->offset_4k + erasure_blob_units(&info, b->stored_len) > l->from_4k)
			return true;
	}
	return false;
}

static int on_blob(void *arg, const struct meta_row *row)
{
	struct search *f = arg;
	struct row_blob b;

	if (row->key.len != 8 || row_blob_decode(row->body, &b) < 0 || b.place == BLOB_JOURNAL || !is_lost(f, &b))
		return 0;
	struct candidate *c = f->candidates.n < CANDIDATES_MAX ? vec_push(&f->candidates, sizeof *c) : NULL;
	if (!c) {
		f->found->more++;
		return 0;
	}
	c->blob = be64_get(row->key.p);
	c->packed = b.place == BLOB_PACKED;
	c->at = (struct meta_lost_blob){
		.segment = b.segment, .offset = (uint64_t)b.offset_4k * DRIVE_BLOCK, .bytes = b.stored_len};
	return 0;
}

/* Many packed blobs lie in a cell, and those are good that the damage does not touch. */
static bool is_readable(const struct search *f, const struct candidate *c)
{
	CLEANUP_FREE void *p = c->packed ? malloc(c->at.bytes) : NULL;

	return p && meta_blob_read_now(f->set, c->blob, 0, c->at.bytes, p, 0) == 0;
}

static int choose(struct search *f)
{
	for (unsigned i = 0; i < f->candidates.n; i++) {
		const struct candidate *c = VEC_AT(&f->candidates, struct candidate, i);
		if (!go_on(f))
			return -QE_BUSY;
		if (is_readable(f, c))
			continue;
		struct blob_owner *o = f->found->n < META_LOST_MAX ? vec_push(&f->owners, sizeof *o) : NULL;
		if (!o) {
			f->found->more++;
			continue;
		}
		o->blob = c->blob;
		f->found->at[f->found->n++] = c->at;
	}
	return 0;
}

static int search(struct search *f)
{
	struct meta_key k = {.len = 0};
	int rc;

	do
		rc = go_on(f) ? rows_page(f->set, TABLE_BLOB, &k, on_blob, f) : -QE_BUSY;
	while (rc > 0);
	if (rc == 0)
		rc = choose(f);
	if (rc == 0)
		rc = owners_find(f->set, &f->owners, go_on, f);
	for (unsigned i = 0; rc == 0 && i < f->found->n; i++) {
		f->found->at[i].names = strdup(buf_cstr(&VEC_AT(&f->owners, struct blob_owner, i)->text));
		if (!f->found->at[i].names)
			rc = -ENOMEM;
	}
	return rc;
}

int meta_lost_find(struct meta_set *s, const struct meta_lost_list *list, bool (*more)(void *arg, uint64_t bytes), void *arg,
		   struct meta_lost_blobs *ret)
{
	CLEANUP_ERASURE struct erasure_set *e = meta_erasure_hold(s);
	struct search f = {.set = s, .erasure = e, .list = list, .go_on = more, .arg = arg, .found = ret};

	memset(ret, 0, sizeof *ret);
	int rc = list->n ? search(&f) : 0;
	owners_free(&f.owners);
	vec_free(&f.candidates);
	if (rc < 0)
		meta_lost_blobs_free(ret);
	return rc;
}

void meta_lost_blobs_free(struct meta_lost_blobs *b)
{
	for (unsigned i = 0; i < b->n; i++)
		free(b->at[i].names);
	memset(b, 0, sizeof *b);
}
