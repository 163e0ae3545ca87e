/* SPDX-License-Identifier: Apache-2.0
 *
 * Superblocks, and the record that begins an epoch. See recovery_internal.h.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "meta/recovery_internal.h"

static int write_super(void *arg, unsigned slot)
{
	struct meta_set *s = arg;

	return super_write(s->slot[slot].d, &s->slot[slot].super);
}

uint32_t epoch_supers(struct recovery *r, uint32_t slots)
{
	struct meta_set *s = r->s;
	struct super best = *super_newest(s, r->counted);

	if (r->isr_seq <= r->durable && isr_newer(r->isr_epoch, r->isr_seq, best.isr_epoch, best.isr_seq)) {
		best.isr = r->isr;
		best.isr_epoch = r->isr_epoch;
		best.isr_seq = r->isr_seq;
	}
	for (unsigned i = 0; i < s->n; i++) {
		struct super *p = &s->slot[i].super;
		if (!(slots & 1u << i))
			continue;
		p->start = r->start;
		p->isr = best.isr;
		p->isr_epoch = best.isr_epoch;
		p->isr_seq = best.isr_seq;
		p->durable_seq = MAX(MAX(p->durable_seq, best.isr_seq), r->start.first_seq - 1);
		p->epochs = s->nhistory;
		memcpy(p->epoch, s->history, sizeof p->epoch);
		p->member = true;
	}
	return slots_parallel(slots, write_super, s, NULL);
}

void epoch_history(struct recovery *r)
{
	struct meta_set *s = r->s;
	const struct super *best = NULL;

	for (unsigned i = 0; i < s->n; i++) {
		const struct super *p = &s->slot[i].super;
		if ((r->counted & 1u << i) && p->epochs && (!best || p->epoch[0].epoch > best->epoch[0].epoch))
			best = p;
	}
	s->nhistory = best ? best->epochs : 0;
	if (best)
		memcpy(s->history, best->epoch, sizeof s->history);
}

void history_add(struct meta_set *s, const struct super_epoch *e)
{
	if (s->nhistory && s->history[0].epoch >= e->epoch)
		return;
	memmove(s->history + 1, s->history, (SUPER_MAX_EPOCHS - 1) * sizeof *s->history);
	s->history[0] = *e;
	s->nhistory = MIN(s->nhistory + 1, (unsigned)SUPER_MAX_EPOCHS);
}

static void new_isr(struct recovery *r, uint32_t slots, struct isr_body *ret)
{
	struct meta_set *s = r->s;

	*ret = r->isr_kept;
	ret->n = (uint8_t)s->n;
	ret->k = (uint8_t)s->k;
	ret->m = (uint8_t)s->m;
	ret->w = (uint8_t)s->w;
	snprintf(ret->reason, sizeof ret->reason, "start of epoch %llu", (unsigned long long)r->epoch);
	for (unsigned i = 0; i < s->n; i++) {
		if (slots & 1u << i) {
			ret->slot[i].state = ISR_IN;
			memcpy(ret->slot[i].drive, s->slot[i].id.drive, 16);
			ret->slot[i].index = r->index_ok & 1u << i ? ISR_INDEX_GOOD : ISR_INDEX_NONE;
			continue;
		}
		if (ret->slot[i].state == ISR_IN)
			ret->slot[i].state = ISR_OUT;
		ret->slot[i].index = ISR_INDEX_NONE;
	}
}

struct sealing {
	struct meta_set *s;
	struct meta_batch *b;
};

/* R7: bytes behind a crash are never mistaken, since nothing is appended to a segment of an older epoch. */
static void seal_one(void *arg, const struct segment_info *info)
{
	struct sealing *seal = arg;
	struct segment_known *known = segment_note(seal->s, info, false);
	CLEANUP_BUF struct buf body = BUF_INIT;
	struct segment_info row = *info;
	struct meta_key k;

	row.live_bytes = known->info.live_bytes;
	known->info = row;
	known->known = true;
	row_segment_encode(&body, &row);
	key_u64(&k, row.id);
	batch_op(seal->b, TABLE_SEGMENT, key_of(&k), false, buf_str(&body));
}

/* The batch inside: what was missing when T became final, and the sealed segments. Rows carry T. */
static struct meta_batch *epoch_batch(struct recovery *r)
{
	struct meta_set *s = r->s;
	struct meta_batch *b = meta_batch_new(s, META_DURABLE, OP_HEAL);

	ASSERT(b);
	b->kind = BATCH_EPOCH;
	b->internal = true;
	b->seq = found_last_seq(r->kept);
	b->time = s->last_wall_ns = MAX(clock_wall_ns(), s->last_wall_ns + 1);
	for (unsigned i = 0; i < r->missing.n; i++) {
		const struct found_missing *m = VEC_AT(&r->missing, struct found_missing, i);
		batch_missing(b, m->slot, m->segment, m->from_4k, MISSING_RECOVERY);
	}
	erasure_seal_open(s->erasure, seal_one, &(struct sealing){s, b});
	batch_seal(b);
	return b;
}

static int flush_slot(void *arg, unsigned slot)
{
	struct meta_set *s = arg;
	int rc = 0;

	LIST_FOREACH(it, &s->journal.used) {
		struct log_file *lf = LIST_ENTRY(it, struct log_file, node);
		if (rc == 0 && (lf->dirty & 1u << slot) && lf->file[slot])
			rc = drive_sync(lf->file[slot]);
	}
	return rc;
}

static uint32_t flush_journal(struct meta_set *s)
{
	uint32_t failed = slots_parallel(s->in_mask, flush_slot, s, NULL);

	LIST_FOREACH(it, &s->journal.used)
		LIST_ENTRY(it, struct log_file, node)->dirty = 0;
	s->dirty_since_ns = 0;
	return failed;
}

/* Built, written and flushed on every member. Returns the members that failed. */
static uint32_t write_epoch(struct recovery *r, uint32_t slots)
{
	struct meta_set *s = r->s;
	struct record_epoch e = {
		.epoch = r->epoch,
		.last_seq = found_last_seq(r->kept),
		.last_crc = r->kept->head.head_crc,
	};
	struct meta_batch *b = epoch_batch(r);
	struct wrec *w = wrec_get(s);

	memcpy(e.boot, s->boot, 16);
	new_isr(r, slots, &e.isr);
	s->isr = e.isr;
	s->in_mask = slots;
	s->fail_mask = 0;
	s->next_seq = e.last_seq + 1;
	s->head_crc = e.last_crc;
	__atomic_store_n(&s->epoch, r->epoch, __ATOMIC_SEQ_CST);
	buf_reset(&s->body);
	record_epoch_put(&s->body, &e);
	batch_encode(s, &s->body, b);
	w->control = true;
	uint32_t failed = slots;
	int rc = meta_batch_err(b) ? meta_batch_err(b) : record_build(s, w, RECORD_EPOCH, 1, 0);
	if (rc < 0) {
		log_error("meta", "the record of the epoch could not be built: %s", err_text(rc));
	} else {
		record_write_sync(s, w);
		failed = s->fail_mask | flush_journal(s);
		apply_ops(s, buf_str(&b->ops), b->seq, true);
	}
	s->fail_mask = 0;
	wrec_put(s, w);
	meta_batch_free(b);
	return failed;
}

void supers_fill(struct meta_set *s, uint32_t mask)
{
	for (unsigned i = 0; i < s->n; i++) {
		struct super *p = &s->slot[i].super;
		if (!(mask & 1u << i))
			continue;
		p->start = s->start;
		p->isr = s->isr_durable;
		p->isr_epoch = s->isr_epoch;
		p->isr_seq = s->isr_seq;
		p->durable_seq = MAX(p->durable_seq, meta_durable_seq(s));
		p->epochs = s->nhistory;
		memcpy(p->epoch, s->history, sizeof p->epoch);
		p->index_state = s->slot[i].index ? (index_is_bad(s->slot[i].index) ? ISR_INDEX_BAD : ISR_INDEX_GOOD) : p->index_state;
		if (s->slot[i].index)
			p->index_position = index_position(s->slot[i].index);
	}
}

uint32_t supers_put(struct meta_set *s, uint32_t mask)
{
	return slots_parallel(mask, write_super, s, NULL);
}

uint32_t supers_write(struct meta_set *s, uint32_t mask)
{
	supers_fill(s, mask);
	return supers_put(s, mask);
}

uint32_t epoch_begin(struct recovery *r, uint32_t slots)
{
	struct meta_set *s = r->s;
	struct super_epoch e = {r->epoch, found_last_seq(r->kept) + 1, r->kept->head.head_crc};

	uint32_t failed = write_epoch(r, slots);
	if (failed)
		return failed;
	for (const struct found_record *f = r->root->next; f; f = f->next) {
		if (f->head.type == RECORD_EPOCH)
			history_add(s, &(struct super_epoch){f->head.epoch, f->head.first_seq, f->head.prev_crc});
		if (f == r->kept)
			break;
	}
	history_add(s, &e);
	s->isr_durable = s->isr;
	s->isr_durable.reason[0] = '\0';
	s->isr_epoch = r->epoch;
	s->isr_seq = e.first_seq - 1;
	s->start = r->start;
	__atomic_store_n(&s->durable_seq, e.first_seq - 1, __ATOMIC_SEQ_CST);
	return supers_write(s, slots);
}
