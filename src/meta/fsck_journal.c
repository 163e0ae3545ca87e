/* SPDX-License-Identifier: Apache-2.0
 *
 * The journals, as recovery read them: a record that a drive should have and has not, a payload cell that is bad, a file
 * header. Recovery repairs all of it from the other drives (R6). A hole it refuses, and fsck tells that as its answer.
 */
#include "meta/fsck_internal.h"
#include "meta/recovery_internal.h"

struct lacks {
	uint64_t records, cells, files;
};

static bool should_have_cell(const struct recovery *r, const struct found_record *f, unsigned slot)
{
	return f->head.cell_len && (f->head.cells & 1u << slot) &&
	       record_slot_cell(slot, f->head.first_seq, r->s->n) < r->s->ncell;
}

/* Of a file that begins behind the journal's start: the header comes with its first record. */
static bool head_ok(struct recovery *r, unsigned slot, uint64_t log)
{
	const struct found_file *file = scan_file(r, slot, log);

	return file && file->head_ok;
}

static void look_at_records(struct fsck *f, struct recovery *r, struct lacks lacks[SUPER_MAX_SLOTS])
{
	for (const struct found_record *rec = r->root; rec != r->kept;) {
		rec = rec->next;
		f->counts.records++;
		for (unsigned i = 0; i < r->s->n; i++) {
			if (!(r->counted & 1u << i))
				continue;
			lacks[i].records += !(rec->copies & 1u << i);
			lacks[i].files += rec->off == LOG_HEAD_BYTES && !head_ok(r, i, rec->log);
			lacks[i].cells += should_have_cell(r, rec, i) && !(rec->cells_ok & 1u << i);
		}
	}
}

static void tell_lacks(struct fsck *f, const struct drive *d, const struct lacks *l)
{
	static const char meaning[] = "the other drives have them", cure[] = "nothing: they are copied when the daemon starts";

	if (l->files)
		fsck_tell(f, FSCK_REPAIRED, d, meaning, cure, "%llu of its journal files are absent or have a bad header",
			  (unsigned long long)l->files);
	if (l->records)
		fsck_tell(f, FSCK_REPAIRED, d, meaning, cure, "%llu records of its journal are absent or damaged",
			  (unsigned long long)l->records);
	if (l->cells)
		fsck_tell(f, FSCK_REPAIRED, d, meaning, cure, "%llu payload cells in its journal are absent or damaged",
			  (unsigned long long)l->cells);
}

void fsck_journals(struct fsck *f, struct recovery *r)
{
	struct lacks lacks[SUPER_MAX_SLOTS] = {0};

	f->counted = r->counted;
	f->index_read = r->index_ok;
	f->isr = r->isr;
	look_at_records(f, r, lacks);
	for (unsigned i = 0; i < r->s->n; i++)
		if (r->counted & 1u << i)
			tell_lacks(f, r->s->slot[i].d, &lacks[i]);
	if (r->unavailable)
		fsck_tell(f, FSCK_DAMAGE, NULL, "the payload of these records cannot be read until more drives are here",
			  "bring more of the set's drives", "%u records have too few good payload cells", r->unavailable);
}
