/* SPDX-License-Identifier: Apache-2.0
 *
 * R10, the journal: the logs that the set retains are made the same on a drive that joins, while the writer goes on behind
 * them. Recovery's eyes and hands are used: the journals of the `in` slots and of the joining one are read in step, and what
 * the joining one lacks is written as R6 writes it. A payload whose cells were too few before may have K now: it is completed
 * on every slot of the set.
 *
 * Nothing is written behind `end`: there the writer is at work. A dead branch of an old drive ends where the history that
 * it shares ends, and what lies in that place is gone before the first copy.
 */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "meta/recovery_internal.h"

#define QUEUE_DEPTH 64

struct copy {
	struct meta_set *s;
	unsigned slot;
	const struct log_end *end;
	struct drive_queue *queue; /* of its own: the set's is reaped under the writer's lock only */
	struct op_ctx *ctx;
};

struct log_ref {
	uint64_t log;
	unsigned slot;
	struct drive_file *f;
};

/* ---- The scan ----------------------------------------------------------------------------------------------------- */
static int take_refs(struct copy *c, struct vec *refs, uint32_t *ret_slots)
{
	struct meta_set *s = c->s;
	int rc = 0;

	mutex_lock(&s->writer);
	*ret_slots = s->in_mask | 1u << c->slot;
	LIST_FOREACH(it, &s->journal.used) {
		struct log_file *lf = LIST_ENTRY(it, struct log_file, node);
		for (unsigned i = 0; rc == 0 && i < s->n; i++) {
			if (!(*ret_slots & 1u << i) || !lf->file[i])
				continue;
			struct log_ref *ref = vec_push(refs, sizeof *ref);
			rc = ref ? 0 : -ENOMEM;
			if (ref)
				*ref = (struct log_ref){lf->log, i, drive_file_ref(lf->file[i])};
		}
	}
	writer_unlock(s);
	answers_run(s);
	return rc;
}

static int add_files(struct copy *c, struct recovery *r)
{
	struct vec refs = {0};
	int rc = take_refs(c, &refs, &r->counted);

	for (unsigned i = 0; i < refs.n; i++) {
		struct log_ref *ref = VEC_AT(&refs, struct log_ref, i);
		if (rc == 0)
			rc = scan_add_file(r, ref->slot, ref->log, ref->f);
		drive_file_unref(ref->f);
	}
	vec_free(&refs);
	return rc;
}

/* The record that ends at `end`; NULL: the history that is read does not come to it. */
static struct found_record *find_end(const struct copy *c, const struct recovery *r)
{
	for (struct found_record *f = r->root; f; f = f->next)
		if (f->head.head_crc == c->end->crc && found_last_seq(f) == c->end->seq)
			return f;
	return NULL;
}

/* Bodies and payload of records behind `from` are kept. */
static int scan(struct copy *c, struct recovery *r, uint64_t from, struct found_record **ret_end)
{
	*r = (struct recovery){.s = c->s, .ctx = c->ctx, .queue = c->queue, .replay_from = from,
				 .ends = &c->s->join_ends};
	list_init(&r->records);
	int rc = add_files(c, r);
	if (rc == 0)
		rc = scan_journals(r);
	if (rc < 0)
		return rc;
	*ret_end = find_end(c, r);
	return *ret_end ? 0 : op_fail(c->ctx, -QE_CORRUPT, "the journals of the drives in sync cannot be read");
}

/* ---- What the drive had ------------------------------------------------------------------------------------------- */
/* Where its history leaves that of the set. */
static int cut_branch(struct copy *c, struct recovery *r, const struct found_record *end)
{
	struct found_record *shared = r->root;
	int rc = 0;

	while (shared != end && (shared->next->copies & 1u << c->slot))
		shared = shared->next;
	if (shared == end)
		return 0;
	for (unsigned i = 0; rc == 0 && i < r->files[c->slot].n; i++) {
		struct found_file *f = VEC_AT(&r->files[c->slot], struct found_file, i);
		if (f->log == shared->log)
			rc = repair_zero_block(f->f, shared->off + shared->head.len);
		else if (f->log > shared->log && (f->log < c->end->log || (f->log == c->end->log && c->end->off > LOG_HEAD_BYTES)))
			rc = repair_zero_block(f->f, LOG_HEAD_BYTES);
	}
	return rc;
}

static int flush_files(const struct recovery *r, unsigned slot)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < r->files[slot].n; i++)
		rc = drive_sync(VEC_AT(&r->files[slot], struct found_file, i)->f);
	return rc;
}

/* An `in` slot that fails here is the writer's to remove. */
static void slots_failed(struct meta_set *s, uint32_t slots)
{
	slots_note(s, slots, "its journal cannot be repaired");
	__atomic_fetch_or(&s->slot_errors, slots, __ATOMIC_SEQ_CST);
	meta_drive(s);
}

static int copy_records(struct copy *c, struct recovery *r, const struct found_record *end)
{
	uint32_t written, joins = 1u << c->slot;
	int rc = cut_branch(c, r, end);

	if (rc < 0)
		return rc;
	uint32_t failed = repair_records(r, end, r->counted, &written);
	for (unsigned i = 0; i < c->s->n; i++)
		if (((written | joins) & ~failed & 1u << i) && flush_files(r, i) < 0)
			failed |= 1u << i;
	if (__atomic_load_n(r->ends, __ATOMIC_ACQUIRE))
		return -ECANCELED;
	if (failed & ~joins)
		slots_failed(c->s, failed & ~joins);
	return failed & joins ? -EIO : 0;
}

/* ---- Reading back ------------------------------------------------------------------------------------------------- */
static int drop_pages(struct copy *c, struct recovery *r)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < r->files[c->slot].n; i++)
		rc = drive_drop_clean(VEC_AT(&r->files[c->slot], struct found_file, i)->f);
	return rc;
}

static uint32_t payload_slots(const struct meta_set *s, const struct found_record *f)
{
	uint32_t mask = 0;

	for (unsigned c = 0; f->head.cell_len && c < s->ncell; c++)
		mask |= 1u << record_cell_slot(c, f->head.first_seq, s->n);
	return mask;
}

static int check_records(struct copy *c, const struct recovery *r, const struct found_record *end)
{
	struct meta_set *s = c->s;

	for (struct found_record *f = r->root; f != end;) {
		f = f->next;
		uint32_t lacks = payload_slots(s, f) & r->counted & ~f->cells_ok;
		if ((unsigned)__builtin_popcount(f->cells_ok) < s->k)
			lacks = 0; /* it stays unavailable until more drives come */
		if (!(f->copies & 1u << c->slot) || lacks)
			return op_fail(c->ctx, -QE_CORRUPT, "what was copied does not read back: record %llu",
				       (unsigned long long)f->head.first_seq);
	}
	return 0;
}

/* Payload that had too few cells when the set started is there now, and so are its blobs. */
static int restore_payload(struct copy *c, struct recovery *r, const struct found_record *end)
{
	struct meta_set *s = c->s;
	unsigned left = 0;
	int rc = 0;

	if (!s->hold_checkpoint)
		return 0;
	for (struct found_record *f = r->root; rc == 0 && f != end;) {
		f = f->next;
		left += f->unavailable;
		if (!f->payload)
			continue;
		mutex_lock(&s->writer);
		rc = replay_payloads(r, f);
		writer_unlock(s);
		answers_run(s);
	}
	if (rc < 0)
		return rc;
	__atomic_store_n(&s->st.unavailable_blobs, left, __ATOMIC_RELAXED);
	__atomic_store_n(&s->hold_checkpoint, left > 0, __ATOMIC_RELAXED);
	return 0;
}

static int copy_and_check(struct copy *c)
{
	struct found_record *end;
	struct recovery r;
	int rc = scan(c, &r, UINT64_MAX, &end);

	if (rc == 0)
		rc = copy_records(c, &r, end);
	if (rc == 0)
		rc = drop_pages(c, &r);
	scan_done(&r);
	if (rc < 0)
		return rc;
	rc = scan(c, &r, c->s->hold_checkpoint ? publish_oldest_seq(&c->s->pub) : UINT64_MAX, &end);
	if (rc == 0)
		rc = check_records(c, &r, end);
	if (rc == 0)
		rc = restore_payload(c, &r, end);
	scan_done(&r);
	return rc;
}

int join_copy(struct meta_set *s, unsigned slot, const struct log_end *end, struct op_ctx *ctx)
{
	struct copy c = {
		.s = s,
		.slot = slot,
		.end = end,
		.queue = drive_queue_new(QUEUE_DEPTH, s->p.queue_threads),
		.ctx = ctx,
	};

	if (!c.queue)
		return -ENOMEM;
	int rc = copy_and_check(&c);
	drive_queue_free(c.queue);
	return rc;
}
