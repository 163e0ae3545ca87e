/* SPDX-License-Identifier: Apache-2.0
 *
 * Recovery: who counts (R1), the promise (R2), the ISR and D (R4), and the order of it all.
 *
 * Nothing is written before R2. With fewer drives than the write quorum nothing is written at all but the fdatasync of
 * R3, and the set is read-only (R5').
 */
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

const struct super *super_newest(const struct meta_set *s, uint32_t slots)
{
	const struct super *best = NULL;

	for (unsigned i = 0; i < s->n; i++) {
		const struct super *p = &s->slot[i].super;
		if ((slots & 1u << i) && (!best || isr_newer(p->isr_epoch, p->isr_seq, best->isr_epoch, best->isr_seq)))
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
	const struct super *best = super_newest(r->s, r->counted);
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

bool recovery_lost(struct recovery *r, uint32_t slots, const char *what)
{
	for (unsigned i = 0; i < r->s->n; i++)
		if (slots & 1u << i) {
			log_warn("meta", "drive left out: it fails in recovery path=%s step=%s", r->s->slot[i].d->path, what);
			r->s->slot[i].io_lost = true;
		}
	return slots != 0;
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
	const struct super *best = super_newest(s, all);

	if (!best)
		return need_more(r, 0);
	r->counted = named_by(s, &best->isr, all);
	for (;;) {
		if (bits(r->counted) < s->r)
			return need_more(r, r->counted);
		r->read_only = s->p.read_only || bits(r->counted) < MAX(s->r, s->w);
		int rc = indexes_open(r);
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
		rc = indexes_choose(r, &r->isr);
	if (rc == 0)
		find_durable(r);
	return rc;
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
	return !recovery_lost(r, supers_put(s, r->counted), "promise");
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

	epoch_history(r);
	indexes_close_others(r);
	uint32_t slots = repair_drives(r);
	if (recovery_lost(r, r->counted & ~slots, "repair"))
		return 1;
	if (recovery_lost(r, epoch_supers(r, slots), "superblock"))
		return 1;
	int rc = isr_at_tail(r);
	if (rc == 0)
		rc = replay(r);
	if (rc == 0)
		rc = load_segments(s);
	if (rc < 0)
		return rc;
	if (recovery_lost(r, journal_adopt(r, slots), "journal"))
		return 1;
	if (recovery_lost(r, epoch_begin(r, slots), "epoch"))
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
	rc = indexes_learn(r);
	if (rc == 0)
		rc = decide_tail(r);
	if (rc < 0)
		return rc;
	STAT_ADD(r->s, unavailable_blobs, r->unavailable);
	return r->read_only ? serve_read_only(r) : serve_writable(r);
}

static void read_boot_id(struct meta_set *s)
{
	CLEANUP_BUF struct buf text = BUF_INIT;

	if (fd_read_file("/proc/sys/kernel/random/boot_id", 64, &text) < 0 || text.len < UUID_TEXT_LEN ||
	    uuid_parse(str_sub(buf_str(&text), 0, UUID_TEXT_LEN), s->boot) < 0)
		memset(s->boot, 0, sizeof s->boot);
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
