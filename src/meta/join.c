/* SPDX-License-Identifier: Apache-2.0
 *
 * R10 of STORAGE.md: a drive is taken in while its set serves. In this order, and nothing earlier:
 *
 *   who it is -> ISR record `joining`, with the `missing` rows of what it cannot have, durable -> in the superblocks of all
 *   `in` drives -> its superblock -> its files are there: from here on it gets every record and every cell, and nobody waits
 *   for it -> open segments end -> the records before are copied and read back (join_copy.c) -> `member` -> the writer rests
 *   for as long as one flush of it takes, so that it has flushed all that is durable -> ISR record `in` -> superblocks
 *
 * No checkpoint runs meanwhile: no log is recycled under the copy. But its drive may hang, in calls that do not return, and
 * writers must not wait for that: when the journal gets full the drive is given up, and checkpoints go on (join_gives_way).
 * So the checkpoint lock is held only where superblocks are at stake, never across I/O of the drive that joins. Its index
 * copy is taken when no checkpoint was made without it, else it is made anew behind the next one (index_rebuild.c).
 *
 * One that fails gets nothing more (isr_joiner_fails) and is out again. Its rows stay, and a crash anywhere leaves what R1
 * to R6 know: a drive that is `joining` or does not count.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/log.h"
#include "meta/set_internal.h"

#define REST_NS NS_PER_S /* so long may the writer rest for the last flush */
#define LOGS_AT_ONCE 64

struct join {
	struct meta_set *s;
	struct drive *d;
	struct op_ctx *ctx;
	unsigned slot;
	uint32_t bit;
	struct index *index;  /* its copy, when it is of use; NULL: it is made anew later */
	struct log_end end;
};

static void wake(struct meta_set *s)
{
	writer_unlock(s);
	answers_run(s);
}

static int join_failed(struct join *j, int rc, const char *step)
{
	char why[SLOT_WHY_MAX];

	meta_slot_why(j->s, j->slot, why, sizeof why);
	return *j->ctx->detail ? rc : op_fail(j->ctx, rc, "%s: %s", step, *why ? why : drive_err_text(rc));
}

/* ---- Checkpoints -------------------------------------------------------------------------------------------------- */
static bool room_is_low(struct meta_set *s)
{
	return journal_room(&s->journal) <= journal_reserve(&s->journal) + 1;
}

bool join_holds(struct meta_set *s)
{
	return __atomic_load_n(&s->joining, __ATOMIC_ACQUIRE) && !room_is_low(s);
}

void join_gives_way(struct meta_set *s)
{
	while (join_holds(s) && meta_writable(s))
		clock_sleep_ns(NS_PER_MS);
	mutex_lock(&s->writer);
	if (__atomic_load_n(&s->joining, __ATOMIC_ACQUIRE)) {
		__atomic_store_n(&s->join_ends, true, __ATOMIC_RELEASE);
		if (s->join_mask)
			isr_joiner_fails(s, "the journal needs room before it has a copy of it", 0);
		__atomic_store_n(&s->joining, false, __ATOMIC_RELEASE);
	}
	wake(s);
}

/* ---- Who it is ---------------------------------------------------------------------------------------------------- */
static bool lend(struct join *j)
{
	struct meta_set *s = j->s;

	MUTEX_GUARD(&s->checkpoint_lock);
	mutex_lock(&s->writer);
	bool vacant = !s->slot[j->slot].d;
	if (vacant) {
		slot_set_drive(s, j->slot, j->d);
		__atomic_store_n(&s->join_ends, false, __ATOMIC_RELEASE);
		__atomic_store_n(&s->joining, true, __ATOMIC_RELEASE);
	}
	wake(s);
	return vacant;
}

static int identify(struct join *j)
{
	struct meta_set *s = j->s;
	struct set_slot *slot = &s->slot[j->slot];
	int rc = meta_writable(s) ? 0 : op_fail(j->ctx, -QE_QUORUM_WRITE, "too few drives of the set are in sync for it to write");

	if (rc == 0)
		rc = drive_identify(s, j->slot, j->d, j->ctx);

	if (rc == 0)
		rc = super_read(j->d, false, &slot->super);
	if (rc == 0 && !super_fits(s, j->slot))
		rc = -QE_DRIVE_FORMAT;
	if (rc < 0)
		return *j->ctx->detail ? rc : op_fail(j->ctx, rc, "the superblock of %s: %s", j->d->path, drive_err_text(rc));
	slot->set = s;
	slot->has_super = true;
	return 0;
}

/* ---- `joining` ---------------------------------------------------------------------------------------------------- */
struct rows {
	struct join *j;
	struct meta_batch *b;
};

static bool put_missing(struct hash_node *n, void *arg)
{
	const struct segment_known *ss = CONTAINER_OF(n, struct segment_known, node);
	const struct rows *to = arg;
	unsigned slot = to->j->slot;

	if (ss->info.state != SEGMENT_DEAD && !erasure_missing_covers(to->j->s->erasure, slot, ss->info.id, 0))
		batch_missing(to->b, slot, ss->info.id, 0, MISSING_REPLACED);
	return false;
}

static int save_supers(struct meta_set *s)
{
	MUTEX_GUARD(&s->checkpoint_lock);

	return supers_save(s);
}

/* A drive whose journal was never complete, or that is not the one which the ISR knows here, has cells of none of the
 * segments; what it lacks of those without a row yet, their first blob will tell (put_born_missing). */
static int declare_joining(struct join *j)
{
	struct meta_set *s = j->s;
	struct set_slot *at = &s->slot[j->slot];
	struct meta_batch *b = meta_batch_new(s, META_DURABLE, OP_HEAL);

	if (!b)
		return -ENOMEM;
	mutex_lock(&s->writer);
	if (!meta_writable(s)) {
		wake(s);
		meta_batch_free(b);
		return -QE_QUORUM_WRITE;
	}
	if (!at->super.member || memcmp(s->isr.slot[j->slot].drive, at->id.drive, 16) != 0)
		hash_each(&s->segments, put_missing, &(struct rows){j, b});
	s->isr.slot[j->slot].state = ISR_JOINING;
	s->isr.slot[j->slot].index = ISR_INDEX_NONE;
	memcpy(s->isr.slot[j->slot].drive, at->id.drive, 16);
	snprintf(s->isr.reason, sizeof s->isr.reason, "slot %u joins", j->slot);
	isr_write(s, b);
	uint64_t seq = s->next_seq - 1;
	wake(s);
	int rc = meta_wait_blocking(s, seq);
	return rc < 0 ? rc : save_supers(s);
}

static int save_super(struct join *j)
{
	mutex_lock(&j->s->checkpoint_lock);
	mutex_lock(&j->s->writer);
	supers_fill(j->s, j->bit);
	wake(j->s);
	mutex_unlock(&j->s->checkpoint_lock);
	if (!supers_put(j->s, j->bit))
		return 0;
	slot_note(j->s, j->slot, "its superblock cannot be written");
	return -EIO;
}

/* Its copy is of the history, as far as it goes. When the memtables reach back to there it is as good as the others; no
 * checkpoint moves on meanwhile. -QE_DRIVE_TIMEOUT: the drive hangs. */
static int take_index(struct join *j)
{
	struct meta_set *s = j->s;
	struct index *ix = NULL;
	int rc = index_open_of(j->d, &(struct index_opening){.map_bytes = s->p.index_map_bytes}, &ix);

	if (rc < 0)
		return rc;
	rc = index_position(ix) >= publish_oldest_seq(&s->pub) ? index_ask(j->d, &ix, index_is_whole) : 0;
	if (rc > 0)
		j->index = ix;
	else
		index_close_of(j->d, ix);
	return rc;
}

static int first_super(struct join *j)
{
	struct super *p = &j->s->slot[j->slot].super;

	/* One that is of no use is made anew. */
	if (p->index_state == ISR_INDEX_GOOD && take_index(j) == -QE_DRIVE_TIMEOUT) {
		slot_note(j->s, j->slot, "its index copy does not answer");
		return -QE_DRIVE_TIMEOUT;
	}
	p->promised = MAX(p->promised, __atomic_load_n(&j->s->epoch, __ATOMIC_RELAXED));
	p->index_state = ISR_INDEX_NONE;
	p->index_position = 0;
	return save_super(j);
}

/* ---- Its log files ------------------------------------------------------------------------------------------------ */
struct cleaning {
	struct vec names;     /* char[24] */
	const uint64_t *keep;
	unsigned nkeep;
};

static int note_stale(void *arg, const char *name)
{
	struct cleaning *c = arg;
	char kept[40];

	for (unsigned i = 0; i < c->nkeep; i++) {
		journal_file_name(c->keep[i], kept, sizeof kept);
		if (strcmp(kept + strlen("journal/"), name) == 0)
			return 0;
	}
	char *at = strlen(name) < 24 ? vec_push(&c->names, 24) : NULL;
	if (at)
		snprintf(at, 24, "%s", name);
	return 0;
}

/* Files of logs that the set has dropped, or has not begun. */
static int clean_logs(struct join *j)
{
	uint64_t keep[LOGS_AT_ONCE];
	struct cleaning c = {.keep = keep};
	char path[40];

	mutex_lock(&j->s->writer);
	c.nkeep = journal_lacking(&j->s->journal, j->slot, keep, LOGS_AT_ONCE);
	wake(j->s);
	int rc = drive_list(j->d, "journal", note_stale, &c);
	for (unsigned i = 0; rc == 0 && i < c.names.n; i++) {
		snprintf(path, sizeof path, "journal/%s", (char *)c.names.p + 24 * i);
		rc = drive_unlink(j->d, path);
	}
	vec_free(&c.names);
	return rc == -ENOENT ? 0 : rc;
}

static int open_log(struct join *j, uint64_t log, struct drive_file **ret)
{
	uint64_t size = j->s->journal.file_size;
	char name[40];

	journal_file_name(log, name, sizeof name);
	int rc = drive_open(j->d, name, 0, 0, ret);
	if (rc == 0 && (*ret)->size == size)
		return 0;
	if (rc == 0)
		drive_file_unref(*ret); /* a new one takes its name */
	else if (rc != -ENOENT)
		return rc;
	return journal_make_file(j->d, log, size, ret);
}

static int give_logs(struct join *j, const uint64_t *logs, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct drive_file *f;
		int rc = open_log(j, logs[i], &f);
		if (rc < 0)
			return rc;
		mutex_lock(&j->s->writer);
		journal_give(&j->s->journal, j->slot, logs[i], f);
		wake(j->s);
		drive_file_unref(f);
	}
	return 0;
}

/* (W) From the next record on it gets them all; those before are `end` and what lies before it. */
static void begin_writes(struct join *j)
{
	struct meta_set *s = j->s;

	s->join_born.n = 0;
	s->join_mask = j->bit;
	erasure_set_writers(s->erasure, s->in_mask | j->bit);
	j->end = (struct log_end){
		.log = s->journal.cur->log,
		.off = s->journal.off,
		.seq = s->next_seq - 1,
		.crc = s->head_crc,
	};
}

static int take_part(struct join *j)
{
	struct meta_set *s = j->s;
	uint64_t logs[LOGS_AT_ONCE];
	unsigned n = 1;
	int rc = clean_logs(j);

	if (rc < 0)
		return rc;
	reclaim_orphans_of(s, j->d);
	journal_take_slot(&s->journal, j->slot, j->d);
	erasure_slot_attach(s->erasure, j->slot, j->d);
	while (rc == 0 && n) {
		mutex_lock(&s->writer);
		n = journal_lacking(&s->journal, j->slot, logs, LOGS_AT_ONCE);
		rc = __atomic_load_n(&s->join_ends, __ATOMIC_ACQUIRE) ? -QE_BUSY : meta_writable(s) ? 0 : -QE_QUORUM_WRITE;
		if (rc == 0 && n == 0)
			begin_writes(j);
		wake(s);
		if (rc == 0)
			rc = give_logs(j, logs, n);
	}
	if (rc < 0)
		return rc;
	/* Nothing is written to a segment any more that it has only a part of, but by blobs that have begun. */
	erasure_seal_open(s->erasure, set_sealed, s);
	return meta_wait_blocking(s, j->end.seq);
}

/* ---- `in` --------------------------------------------------------------------------------------------------------- */
static bool gets_all(const struct join *j)
{
	return meta_writable(j->s) && (j->s->join_mask & j->bit);
}

/* (W) What has returned from it is flushed. Lets go of the lock while it waits. True: there may be more. */
static bool flush_joiner(struct join *j, uint64_t deadline)
{
	struct meta_set *s = j->s;

	round_begin_joiner(s);
	while (s->join_round && s->join_round->waiting && gets_all(j) && clock_mono_ns() < deadline)
		writer_pause(s);
	bool partial = s->join_round && s->join_round->partial;
	if (gets_all(j) && s->join_round && s->join_round->waiting)
		isr_joiner_fails(s, "flush", -ETIMEDOUT);
	round_release(&s->join_round);
	return partial && gets_all(j);
}

/* (W) The writer rests and the drive has flushed all that it was given. Once with the writer at work, so that little is
 * left for the time that it rests. */
static bool come_to_rest(struct join *j)
{
	struct meta_set *s = j->s;
	uint64_t timeout = MIN(REST_NS, s->p.drive_timeout_ns);

	while (gets_all(j) && flush_joiner(j, clock_mono_ns() + timeout))
		;
	if (!gets_all(j) || !writer_rest(s))
		return false;
	uint64_t deadline = clock_mono_ns() + timeout;
	while (gets_all(j) && s->join_inflight && clock_mono_ns() < deadline)
		writer_pause(s);
	if (gets_all(j) && s->join_inflight)
		isr_joiner_fails(s, "write", -ETIMEDOUT);
	while (gets_all(j) && flush_joiner(j, deadline))
		;
	return gets_all(j) && !(erasure_set_suspects(s->erasure) & j->bit);
}

/* (W) From building on, nothing becomes durable until it is flushed there too (Q2). */
static void declare_in(struct join *j, struct meta_batch *b)
{
	struct meta_set *s = j->s;
	struct meta_key k;

	for (unsigned i = 0; i < s->join_born.n; i++) {
		key_missing(&k, (uint8_t)j->slot, *VEC_AT(&s->join_born, uint64_t, i), 0);
		batch_op(b, TABLE_MISSING, key_of(&k), true, (struct str){NULL, 0});
		b->missing = true;
	}
	s->join_mask = 0;
	s->join_born.n = 0;
	s->in_mask |= j->bit;
	s->isr.slot[j->slot].state = ISR_IN;
	s->isr.slot[j->slot].index = j->index ? ISR_INDEX_GOOD : ISR_INDEX_NONE;
	snprintf(s->isr.reason, sizeof s->isr.reason, "slot %u is in sync", j->slot);
	isr_write(s, b);
}

/* A durable record calls it good. */
static int lend_index(struct join *j)
{
	struct set_slot *at = &j->s->slot[j->slot];
	MUTEX_GUARD(&j->s->checkpoint_lock);

	index_set(j->s, &at->index, j->index);
	j->index = NULL;
	index_watch(at);
	return publish_add_index(&j->s->pub, at->index);
}

static int admit(struct join *j)
{
	struct meta_set *s = j->s;
	struct meta_batch *b = meta_batch_new(s, META_DURABLE, OP_HEAL);

	if (!b)
		return -ENOMEM;
	mutex_lock(&s->writer);
	bool ok = come_to_rest(j);
	if (ok)
		declare_in(j, b);
	else
		meta_batch_free(b);
	s->freezing = false;
	uint64_t seq = s->next_seq - 1;
	writer_step(s);
	wake(s);
	if (!ok)
		return -EIO;
	int rc = meta_wait_blocking(s, seq);
	if (rc == 0 && j->index)
		rc = lend_index(j);
	return rc < 0 ? rc : save_supers(s);
}

/* ---- All of it ---------------------------------------------------------------------------------------------------- */
static int join_run(struct join *j)
{
	struct meta_set *s = j->s;
	int rc = identify(j);

	if (rc < 0)
		return rc;
	rc = declare_joining(j);
	if (rc == 0)
		rc = first_super(j);
	if (rc < 0)
		return join_failed(j, rc, "it cannot begin to join");
	rc = take_part(j);
	if (rc < 0)
		return join_failed(j, rc, "its log files cannot be made");
	rc = join_copy(s, j->slot, &j->end, j->ctx);
	if (rc < 0)
		return join_failed(j, rc, "the journal cannot be copied to it");
	s->slot[j->slot].super.member = true;
	rc = save_super(j);
	if (rc == 0)
		rc = admit(j);
	return rc < 0 ? join_failed(j, rc, "it cannot keep up") : 0;
}

/* Out as before; a record says so, unless its `joining` was never built. */
static void give_up(struct join *j)
{
	struct meta_set *s = j->s;
	struct meta_batch *b = meta_batch_new(s, META_DURABLE, OP_HEAL);

	mutex_lock(&s->writer);
	if (s->join_mask & j->bit)
		isr_joiner_fails(s, "joining", -ECANCELED);
	if (!(s->in_mask & j->bit)) {
		journal_drop_slot(&s->journal, j->slot);
		drive_set_out(j->d, true, NULL);
	}
	if (b && s->isr.slot[j->slot].state == ISR_JOINING && meta_writable(s)) {
		s->isr.slot[j->slot].state = ISR_OUT;
		snprintf(s->isr.reason, sizeof s->isr.reason, "slot %u did not join", j->slot);
		isr_write(s, b);
		b = NULL;
	}
	wake(s);
	meta_batch_free(b);
}

int meta_slot_join(struct meta_set *s, struct drive *d, unsigned slot, struct op_ctx *ctx)
{
	struct join j = {.s = s, .d = d, .ctx = ctx, .slot = slot, .bit = 1u << slot};

	ASSERT(slot < s->n);
	/* What the journal holds comes whole to the drive, what is destaged without it must be healed: only when writers may
	 * soon wait for room, since no checkpoint runs meanwhile. It may as well fail. */
	if (meta_writable(s) && journal_room(&s->journal) < s->journal.max_files / 2)
		(void)!meta_checkpoint(s);
	if (!lend(&j))
		return op_fail(ctx, -EBUSY, "slot %u has a drive", slot);
	slot_well(s, slot);
	int rc = join_run(&j);
	if (rc < 0)
		give_up(&j);
	index_close(j.index);
	__atomic_store_n(&s->joining, false, __ATOMIC_RELEASE);
	if (rc < 0) {
		slot_well(s, slot);
		slot_note(s, slot, "%s", ctx->detail);
		return rc;
	}
	slot_well(s, slot);
	mutex_lock(&s->writer);
	slots_give_up(s, s->given_up & ~j.bit);
	s->rebuild_ns = 0; /* its index copy is due */
	wake(s);
	log_info("meta", "drive in slot=%u path=%s", slot, d->path);
	return 0;
}
