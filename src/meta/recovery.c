/* SPDX-License-Identifier: Apache-2.0
 *
 * Recovery: who counts (R1), the promise (R2), the ISR and D (R4), EPOCH (R6), and the order of it all.
 *
 * Nothing is written before R2. With fewer drives than the write quorum nothing is written at all but the fdatasync of
 * R3, and the set is read-only (R5').
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/fdio.h"
#include "base/log.h"
#include "meta/fsck_internal.h"
#include "meta/recovery_internal.h"

static unsigned bits(uint32_t mask)
{
	return (unsigned)__builtin_popcount(mask);
}

/* ---- Superblocks -------------------------------------------------------------------------------------------------- */
bool super_fits(const struct meta_set *s, unsigned slot)
{
	const struct super *p = &s->slot[slot].super;

	return memcmp(p->deployment, s->deployment, 16) == 0 && memcmp(p->drive, s->slot[slot].id.drive, 16) == 0 &&
	       p->slot == slot && p->n == s->n && p->m == s->m && p->log2_file == s->p.log2_journal_file;
}

int supers_find(struct meta_set *s, struct op_ctx *ctx)
{
	unsigned found = 0;

	for (unsigned i = 0; i < s->n; i++) {
		struct set_slot *slot = &s->slot[i];
		if (!slot->d)
			continue;
		int rc = super_read(slot->d, true, &slot->super);
		const struct super *p = &slot->super;
		if (rc == 0 && !found)
			s->p.log2_journal_file = p->log2_file;
		if (rc == 0 && !super_fits(s, i))
			rc = -QE_DRIVE_FORMAT;
		if (rc < 0) {
			log_error("meta", "drive left out: its superblock is not valid path=%s error=\"%s\"", slot->d->path,
				  err_text(rc));
			slot->d = NULL;
			continue;
		}
		slot->has_super = true;
		found++;
	}
	return found ? 0 : op_fail(ctx, -QE_QUORUM_READ, "no drive has a valid superblock");
}

static bool newer(uint64_t ae, uint64_t as, uint64_t be, uint64_t bs)
{
	return ae > be || (ae == be && as > bs);
}

/* The newest ISR body of the slots. */
static const struct super *newest_isr(const struct meta_set *s, uint32_t slots)
{
	const struct super *best = NULL;

	for (unsigned i = 0; i < s->n; i++) {
		const struct super *p = &s->slot[i].super;
		if ((slots & 1u << i) && (!best || newer(p->isr_epoch, p->isr_seq, best->isr_epoch, best->isr_seq)))
			best = p;
	}
	return best;
}

static uint32_t usable(const struct meta_set *s)
{
	uint32_t mask = 0;

	for (unsigned i = 0; i < s->n; i++)
		if (s->slot[i].d && s->slot[i].has_super && !s->slot[i].io_lost)
			mask |= 1u << i;
	return mask;
}

/* R1: members that the body names by drive id in their slot, in any state. */
static uint32_t named_by(const struct meta_set *s, const struct isr_body *isr, uint32_t slots)
{
	uint32_t mask = 0;

	for (unsigned i = 0; i < s->n && i < isr->n; i++)
		if ((slots & 1u << i) && s->slot[i].super.member &&
		    memcmp(isr->slot[i].drive, s->slot[i].id.drive, 16) == 0)
			mask |= 1u << i;
	return mask;
}

static int need_more(struct recovery *r, uint32_t have)
{
	struct meta_set *s = r->s;
	char list[128] = "";
	size_t at = 0;

	for (unsigned i = 0; i < s->n; i++)
		if (!(have & 1u << i) && at < sizeof list - 8)
			at += (size_t)snprintf(list + at, sizeof list - at, "%s%u", at ? ", " : "", i);
	return op_fail(r->ctx, -QE_QUORUM_READ, "%u drives of this set count, %u are needed; of slots %s bring more", bits(have), s->r,
		       list);
}

/* ---- R4: the ISR in force, and D ---------------------------------------------------------------------------------- */
static int body_of(struct recovery *r, struct found_record *f, struct record_body *ret)
{
	const uint8_t *body = record_body_of(r, f);

	return body ? record_body_decode(&f->head, body, r->s->ncell, ret) : -QE_CORRUPT;
}

static int find_isr(struct recovery *r)
{
	const struct super *best = newest_isr(r->s, r->counted);
	struct record_body dec;

	r->isr = r->isr_root = best->isr;
	r->isr_epoch = best->isr_epoch;
	r->isr_seq = best->isr_seq;
	for (struct found_record *f = r->root->next; f; f = f->next) {
		if (f->head.type != RECORD_ISR && f->head.type != RECORD_EPOCH)
			continue;
		int rc = body_of(r, f, &dec);
		if (rc < 0)
			return rc;
		r->isr = dec.epoch.isr;
		r->isr_epoch = f->head.epoch;
		r->isr_seq = found_last_seq(f);
	}
	return 0;
}

static bool names_epoch(const struct meta_set *s, uint32_t slots, uint64_t epoch)
{
	for (unsigned i = 0; i < s->n; i++)
		for (unsigned j = 0; (slots & 1u << i) && j < s->slot[i].super.epochs; j++)
			if (s->slot[i].super.epoch[j].epoch == epoch)
				return true;
	return false;
}

/* R5': an EPOCH that nothing shows to have served tells nothing about durability (TRACES.md H24). */
static bool served(const struct recovery *r, const struct found_record *f)
{
	if (!r->read_only || f->head.type != RECORD_EPOCH)
		return true;
	return (f->next && f->next->head.epoch == f->head.epoch) || names_epoch(r->s, r->counted, f->head.epoch);
}

static void find_durable(struct recovery *r)
{
	struct meta_set *s = r->s;

	r->durable = MAX(r->start.first_seq - 1, s->durable_floor);
	for (unsigned i = 0; i < s->n; i++) {
		if (!(r->counted & 1u << i))
			continue;
		r->durable = MAX(r->durable, s->slot[i].super.durable_seq);
		if (r->index_ok & 1u << i)
			r->durable = MAX(r->durable, index_position(s->slot[i].index));
	}
	for (const struct found_record *f = r->root->next; f; f = f->next) {
		if (!served(r, f))
			continue;
		r->durable = MAX(r->durable, f->head.durable_seq);
		if (f->head.type == RECORD_EPOCH)
			r->durable = MAX(r->durable, found_last_seq(f));
	}
}

/* A superblock that knows a later epoch than the history has proves that its end is lost. */
static int check_epochs(struct recovery *r)
{
	struct meta_set *s = r->s;

	for (unsigned i = 0; i < s->n; i++) {
		const struct super *p = &s->slot[i].super;
		if ((r->counted & 1u << i) && p->epochs && p->epoch[0].epoch > MAX(r->head->head.epoch, r->root_epoch))
			return op_fail(r->ctx, -QE_CORRUPT, "a hole: drive %s knows epoch %llu, the journals end in %llu; more "
				       "drives of this set are needed", s->slot[i].d->path,
				       (unsigned long long)p->epoch[0].epoch, (unsigned long long)r->head->head.epoch);
	}
	return 0;
}

/* ---- Index copies ------------------------------------------------------------------------------------------------- */
static void index_bad(void *arg, const char *why)
{
	struct set_slot *slot = arg;

	log_error("meta", "index copy is bad path=%s cause=\"%s\"", slot->d->path, why);
	__atomic_fetch_or(&slot->set->index_bad, 1u << slot->id.slot, __ATOMIC_SEQ_CST);
}

void index_watch(struct set_slot *slot)
{
	index_on_bad(slot->index, index_bad, slot);
}

static bool lost(struct recovery *r, uint32_t slots, const char *what)
{
	for (unsigned i = 0; i < r->s->n; i++)
		if (slots & 1u << i) {
			log_warn("meta", "drive left out: it fails in recovery path=%s step=%s", r->s->slot[i].d->path, what);
			r->s->slot[i].io_lost = true;
		}
	return slots != 0;
}

/* 0; 1: a drive that does not answer is lost. */
static int open_indexes(struct recovery *r)
{
	struct meta_set *s = r->s;
	uint32_t hang = 0;

	for (unsigned i = 0; i < s->n; i++) {
		struct set_slot *slot = &s->slot[i];
		if (!(r->counted & 1u << i) || slot->index || slot->super.index_state == ISR_INDEX_BAD)
			continue;
		if (slot->super.index_state == ISR_INDEX_NONE && !(index_homes(s) & 1u << i))
			continue;
		bool fresh = slot->super.start.first_seq == 1;
		int rc = index_open_of(slot->d, &(struct index_opening){s->p.index_map_bytes, fresh, s->p.read_only}, &slot->index);
		if (rc == -QE_DRIVE_TIMEOUT)
			hang |= 1u << i;
		if (rc < 0) {
			log_warn("meta", "index copy cannot be opened path=%s error=\"%s\"", slot->d->path, err_text(rc));
			slot->index = NULL;
			continue;
		}
		index_watch(slot);
	}
	return lost(r, hang, "opening of its index copy");
}

/* One that serves is nobody's to give up. */
static int ask(struct set_slot *slot, bool (*fn)(struct index *ix))
{
	return slot->index_lent ? fn(slot->index) : index_ask(slot->d, &slot->index, fn);
}

/* Struck because its drive left, not because it was bad: what it applied is history (index_rebuild.c). */
static int was_away(struct set_slot *slot)
{
	if (slot->super.index_state != ISR_INDEX_GOOD)
		return 0;
	if (!slot->index_checked) {
		int rc = ask(slot, index_is_whole);
		if (rc < 0)
			return rc;
		slot->index_whole = rc;
	}
	slot->index_checked = true;
	return slot->index_whole;
}

/* A row that a copy hides would be missed until the next start: what is loaded once, as a whole, is compared with its sum. */
static bool hides_nothing(struct index *ix)
{
	return index_check_table(ix, TABLE_SEGMENT) == 0 && index_check_table(ix, TABLE_MISSING) == 0;
}

/* 1: it can be read; 0: not; -QE_DRIVE_TIMEOUT: its drive does not answer, and it is gone. */
static int is_good(struct set_slot *slot, const struct isr_body *isr)
{
	int rc = isr->slot[slot->id.slot].index == ISR_INDEX_GOOD ? 1 : was_away(slot);

	return rc > 0 ? ask(slot, hides_nothing) : rc;
}

/* Read is what the ISR calls good, or what was away, as far as the journal still reaches it. p: the lowest of their
 * positions. 1: a drive that does not answer is lost. */
static int choose_indexes(struct recovery *r, const struct isr_body *isr)
{
	struct meta_set *s = r->s;

	uint32_t hang = 0;

	r->index_ok = 0;
	r->replay_from = UINT64_MAX;
	for (unsigned i = 0; i < s->n; i++) {
		struct index *ix = s->slot[i].index;
		if (!(r->counted & 1u << i) || !ix || index_is_bad(ix) || index_position(ix) + 1 < r->start.first_seq)
			continue;
		int rc = is_good(&s->slot[i], isr);
		if (rc == -QE_DRIVE_TIMEOUT)
			hang |= 1u << i;
		if (rc <= 0)
			continue;
		r->index_ok |= 1u << i;
		r->replay_from = MIN(r->replay_from, index_position(ix));
	}
	if (lost(r, hang, "reading of its index copy"))
		return 1;
	if (r->index_ok)
		return 0;
	return op_fail(r->ctx, -QE_QUORUM_READ, "no drive that is here has a good copy of the index; bring more drives");
}

/* What is not read is made anew once the set serves (index_rebuild.c). */
static void close_others(struct recovery *r)
{
	for (unsigned i = 0; i < r->s->n; i++) {
		struct set_slot *slot = &r->s->slot[i];
		if (!(r->counted & 1u << i) || (r->index_ok & 1u << i))
			continue;
		slot->index = slot->index_lent ? NULL : index_close(slot->index);
		slot->index_lent = false; /* a further attempt may open one, and that is its own */
		slot->super.index_state = ISR_INDEX_NONE;
	}
}

/* ---- R1, R3, R4 together ------------------------------------------------------------------------------------------ */
/* The scan keeps what is behind p, and p depends on the ISR that the scan finds: superblocks tell a bound. */
static void guess_replay(struct recovery *r)
{
	r->replay_from = UINT64_MAX;
	for (unsigned i = 0; i < r->s->n; i++)
		if ((r->counted & 1u << i) && r->s->slot[i].index)
			r->replay_from = MIN(r->replay_from, index_position(r->s->slot[i].index));
}

/* 1: a drive was lost, begin again. */
static int read_state(struct recovery *r)
{
	struct meta_set *s = r->s;
	uint32_t all = usable(s);
	const struct super *best = newest_isr(s, all);

	if (!best)
		return need_more(r, 0);
	r->counted = named_by(s, &best->isr, all);
	for (;;) {
		if (bits(r->counted) < s->r)
			return need_more(r, r->counted);
		r->read_only = s->p.read_only || bits(r->counted) < MAX(s->r, s->w);
		int rc = open_indexes(r);
		if (rc)
			return rc;
		guess_replay(r);
		rc = scan_journals(r);
		if (rc == 0)
			rc = find_isr(r);
		if (rc < 0)
			return rc;
		/* The ISR on the history may be newer than what superblocks told. */
		uint32_t again = r->counted & named_by(s, &r->isr, r->counted);
		if (again == r->counted)
			break;
		r->counted = again;
		scan_forget(r);
	}
	int rc = check_epochs(r);
	if (rc == 0)
		rc = choose_indexes(r, &r->isr);
	if (rc == 0)
		find_durable(r);
	return rc;
}

/* Segments that stripes of (D, T] may lie in. */
static int learn_from_index(struct recovery *r)
{
	struct meta_set *s = r->s;
	struct index_txn *t;
	struct index_cursor *c;
	struct memtable_row row;
	struct segment_info info;
	int rc = index_txn_open(s->slot[__builtin_ctz(r->index_ok)].index, &t);

	if (rc < 0)
		return rc;
	rc = index_cursor_open(t, TABLE_SEGMENT, &c);
	if (rc == 0) {
		for (rc = index_seek(c, (struct str){"", 0}, &r->arena, &row); rc > 0; rc = index_next(c, &r->arena, &row))
			if (row_segment_decode(str_sub(row.row, ENVELOPE_BYTES, row.row.len - ENVELOPE_BYTES), &info) == 0)
				(void)!erasure_segment_add(s->erasure, &info);
		index_cursor_close(c);
	}
	index_txn_close(t);
	return rc;
}

static int write_super(void *arg, unsigned slot)
{
	struct meta_set *s = arg;

	return super_write(s->slot[slot].d, &s->slot[slot].super);
}

/* ---- R2 ----------------------------------------------------------------------------------------------------------- */
/* Promised on every drive that counts; one that cannot promise counts no more, and the attempt is repeated without it. */
static bool promise(struct recovery *r)
{
	struct meta_set *s = r->s;

	r->epoch = r->max_epoch;
	for (unsigned i = 0; i < s->n; i++)
		if (s->slot[i].has_super)
			r->epoch = MAX(r->epoch, s->slot[i].super.promised);
	r->epoch++;
	for (unsigned i = 0; i < s->n; i++)
		if (r->counted & 1u << i)
			s->slot[i].super.promised = r->epoch;
	return !lost(r, slots_parallel(r->counted, write_super, s, NULL), "promise");
}

/* ---- R6: superblocks and EPOCH ------------------------------------------------------------------------------------ */
/* Before EPOCH: nothing of the coming epoch, and no D that only this start worked out (TRACES.md H32). */
static uint32_t write_supers_before(struct recovery *r, uint32_t slots)
{
	struct meta_set *s = r->s;
	struct super best = *newest_isr(s, r->counted);

	if (r->isr_seq <= r->durable && newer(r->isr_epoch, r->isr_seq, best.isr_epoch, best.isr_seq)) {
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

/* The newest list of a superblock; recovery adds what it finds behind that once it serves. */
static void collect_history(struct recovery *r)
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

static void read_boot_id(struct meta_set *s)
{
	CLEANUP_BUF struct buf text = BUF_INIT;

	if (fd_read_file("/proc/sys/kernel/random/boot_id", 64, &text) < 0 || text.len < UUID_TEXT_LEN ||
	    uuid_parse(str_sub(buf_str(&text), 0, UUID_TEXT_LEN), s->boot) < 0)
		memset(s->boot, 0, sizeof s->boot);
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

static uint32_t begin_epoch(struct recovery *r, uint32_t slots)
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

/* ---- The attempt -------------------------------------------------------------------------------------------------- */
/* The ISR in force at T. */
static int isr_at_tail(struct recovery *r)
{
	struct record_body dec;

	r->isr_kept = r->isr_root;
	for (struct found_record *f = r->root; f != r->kept;) {
		f = f->next;
		if (f->head.type != RECORD_ISR && f->head.type != RECORD_EPOCH)
			continue;
		int rc = body_of(r, f, &dec);
		if (rc < 0)
			return rc;
		r->isr_kept = dec.epoch.isr;
	}
	return 0;
}

/* 0: it serves; 1: again, with the drives that are left. */
static int serve_writable(struct recovery *r)
{
	struct meta_set *s = r->s;

	collect_history(r);
	close_others(r);
	uint32_t slots = repair_drives(r);
	if (lost(r, r->counted & ~slots, "repair"))
		return 1;
	if (lost(r, write_supers_before(r, slots), "superblock"))
		return 1;
	int rc = isr_at_tail(r);
	if (rc == 0)
		rc = replay(r);
	if (rc == 0)
		rc = load_segments(s);
	if (rc < 0)
		return rc;
	if (lost(r, journal_adopt(r, slots), "journal"))
		return 1;
	if (lost(r, begin_epoch(r, slots), "epoch"))
		return 1;
	erasure_set_writers(s->erasure, slots);
	ids_begin(s, r->epoch);
	s->start_epoch = s->reign_epoch = r->epoch;
	s->last_record_ns = clock_mono_ns();
	s->hold_checkpoint = r->unavailable > 0;
	__atomic_store_n(&s->checkpoint_seq, r->replay_from, __ATOMIC_RELAXED);
	__atomic_store_n(&s->memtable_first_ns, memtable_rows(publish_active(&s->pub)) ? clock_mono_ns() : 0, __ATOMIC_RELAXED);
	__atomic_store_n(&s->writable, true, __ATOMIC_SEQ_CST);
	char text[SLOTS_TEXT];
	log_info("meta", "set is up epoch=%llu seq=%llu in=\"%u of %u (slots %s)\" replayed_from=%llu unavailable=%u",
		 (unsigned long long)r->epoch, (unsigned long long)found_last_seq(r->kept), bits(slots), s->n, slots_text(slots, text),
		 (unsigned long long)r->replay_from, r->unavailable);
	return 0;
}

static int serve_read_only(struct recovery *r)
{
	struct meta_set *s = r->s;
	int rc = replay(r);

	if (rc == 0)
		rc = load_segments(s);
	if (rc == 0)
		rc = replay_doubt(r);
	if (rc < 0)
		return rc;
	s->pub.vouched = r->durable;
	s->isr = r->isr;
	s->in_mask = 0;
	s->start = r->start;
	s->next_seq = found_last_seq(r->tail) + 1;
	__atomic_store_n(&s->epoch, MAX(r->head->head.epoch, r->root_epoch), __ATOMIC_SEQ_CST);
	__atomic_store_n(&s->durable_seq, r->durable, __ATOMIC_SEQ_CST);
	erasure_set_writers(s->erasure, 0);
	ids_begin(s, s->epoch);
	if (s->p.read_only)
		return 0; /* nobody wants to write */
	log_error("meta", "the set is read-only: %u drives count, %u are needed to write seq=%llu durable=%llu", bits(r->counted),
		  MAX(s->r, s->w), (unsigned long long)found_last_seq(r->kept), (unsigned long long)r->durable);
	return 0;
}

static int attempt(struct recovery *r)
{
	int rc = scan_files(r);

	if (rc == 0)
		rc = read_state(r);
	if (rc)
		return rc;
	if (!r->read_only && !promise(r))
		return 1;
	rc = learn_from_index(r);
	if (rc == 0)
		rc = decide_tail(r);
	if (rc < 0)
		return rc;
	STAT_ADD(r->s, unavailable_blobs, r->unavailable);
	return r->read_only ? serve_read_only(r) : serve_writable(r);
}

/* Back to what was before the attempt, but for what is on the drives. */
static void undo_attempt(struct meta_set *s)
{
	if (s->has_publish) {
		for (unsigned i = 0; i < s->n; i++)
			if (s->slot[i].index)
				(void)publish_remove_index(&s->pub, s->slot[i].index);
		publish_done(&s->pub);
	}
	s->has_publish = false;
	journal_done(&s->journal);
	journal_init(&s->journal, s->n, s->p.log2_journal_file, s->journal.max_files);
	s->st.unavailable_blobs = 0;
	s->missing_ranges = 0;
}

int recovery_run(struct meta_set *s, struct op_ctx *ctx)
{
	int rc = 1;

	read_boot_id(s);
	for (unsigned i = 0; rc == 1 && i <= s->n; i++) {
		struct recovery r = {.s = s, .ctx = ctx, .queue = s->queue};
		list_init(&r.records);
		rc = attempt(&r);
		if (rc == 0 && s->fsck)
			fsck_journals(s->fsck, &r);
		scan_done(&r);
		if (rc == 1)
			undo_attempt(s);
	}
	return rc == 1 ? op_fail(ctx, -QE_QUORUM_WRITE, "too many drives fail while the set starts") : rc;
}
