/* SPDX-License-Identifier: Apache-2.0
 *
 * R0: which drive is which slot. Drives are found by their identity, not by their place on the command line. One that
 * does not fit is refused, named in the log with the cure, never written, and treated as absent. Only when every drive is
 * blank they become a new set: all superblocks first, then the identities, so that a crash in between is told from a set
 * whose drive was replaced.
 */
#include <string.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/log.h"
#include "meta/set_internal.h"

enum found { FOUND_NONE, FOUND_BLANK, FOUND_ID };
struct candidate {
	enum found found;
	struct identity id;
};

static const char *cure(int rc)
{
	switch (rc) {
	case -QE_DRIVE_LOCKED:
		return "stop the other quoin process";
	case -QE_DRIVE_FOREIGN:
		return "give the drives of this deployment only, or an empty directory to replace one";
	case -QE_DRIVE_FORMAT:
		return "check that the directory is a quoin drive and this quoin is not older than the one that made it";
	default:
		return "check the drive";
	}
}

static void refuse(const struct drive *d, int rc)
{
	log_error("meta", "drive refused path=%s cause=\"%s\" cure=\"%s\"", d->path, drive_err_text(rc), cure(rc));
}

/* Of a drive that is taken; one that cannot be written to will be noticed by what writes more. */
static void mend(struct drive *d, struct identity *id)
{
	if (!id->damaged)
		return;
	int rc = identity_mend(d, id);
	log_warn("meta", "the identity of a drive was damaged and is written anew from its superblock path=%s result=\"%s\"",
		 d->path, rc < 0 ? err_text(rc) : "ok");
}

static void look(struct meta_set *s, struct candidate *c)
{
	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++) {
		struct drive *d = s->p.drives[i];
		if (!d)
			continue;
		int rc = identity_read(d, &c[i].id);
		if (rc == 0)
			c[i].found = FOUND_ID;
		else if (rc == -ENODATA)
			c[i].found = FOUND_BLANK;
		else
			refuse(d, rc);
	}
}

static unsigned count(const struct candidate *c, enum found f)
{
	unsigned n = 0;

	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++)
		n += c[i].found == f;
	return n;
}

static bool same_set(const struct meta_set *s, const struct identity *a, const struct identity *b)
{
	return memcmp(a->deployment, b->deployment, 16) == 0 && a->pool == b->pool && a->set == b->set;
}

/* The set that most drives belong to. */
static const struct identity *majority(const struct meta_set *s, const struct candidate *c)
{
	const struct identity *best = NULL;
	unsigned most = 0;

	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++) {
		unsigned n = 0;
		for (unsigned j = 0; c[i].found == FOUND_ID && j < SUPER_MAX_SLOTS; j++)
			n += c[j].found == FOUND_ID && same_set(s, &c[i].id, &c[j].id);
		if (n > most) {
			most = n;
			best = &c[i].id;
		}
	}
	return best;
}

static void take_drive(struct meta_set *s, struct drive *d, const struct identity *id)
{
	struct set_slot *slot = &s->slot[id->slot];

	slot->set = s;
	slot->d = d;
	slot->id = *id;
	if (!s->p.read_only)
		mend(d, &slot->id);
}

/* W and R by the geometry. An operator who gives drives up says that none of them will be seen again: then W may be what is
 * left, and K drives are enough. R stays, for what was promised before. */
static unsigned write_quorum(const struct meta_set *s)
{
	unsigned w = s->k + (s->n == 2 * s->m);

	return MAX(s->k, MIN(w, s->n - (unsigned)__builtin_popcount(s->given_up)));
}

static void set_geometry(struct meta_set *s, unsigned n, unsigned m)
{
	s->n = n;
	s->m = m;
	s->k = n - m;
	s->ncell = n;
	s->r = m + (n != 2 * m);
	s->w = write_quorum(s);
}

void slots_give_up(struct meta_set *s, uint32_t slots)
{
	s->given_up = slots;
	__atomic_store_n(&s->w, write_quorum(s), __ATOMIC_RELAXED);
	if (s->erasure)
		erasure_set_need(s->erasure, s->w);
}

/* ---- A new set ---------------------------------------------------------------------------------------------------- */
static void first_super(struct meta_set *s, unsigned slot, const struct isr_body *isr, struct super *ret)
{
	memset(ret, 0, sizeof *ret);
	memcpy(ret->deployment, s->deployment, 16);
	memcpy(ret->drive, isr->slot[slot].drive, 16);
	ret->pool = s->p.pool;
	ret->set = s->p.set;
	ret->slot = (uint16_t)slot;
	ret->n = (uint16_t)s->n;
	ret->k = (uint16_t)s->k;
	ret->m = (uint16_t)s->m;
	ret->w = (uint16_t)s->w;
	ret->log2_file = (uint16_t)s->p.log2_journal_file;
	ret->start = (struct super_start){.log = 1, .off = LOG_HEAD_BYTES, .first_seq = 1};
	ret->isr = *isr;
	ret->index_state = isr->slot[slot].index;
	ret->member = true; /* R1: by format, all drives of a new set */
}

static int write_identity(struct drive *d, const struct super *sup, struct identity *ret)
{
	struct identity id = {
		.pool = sup->pool,
		.set = sup->set,
		.slot = sup->slot,
		.n = sup->n,
		.k = sup->k,
		.m = sup->m,
		.created_ns = clock_wall_ns(),
	};

	memcpy(id.deployment, sup->deployment, 16);
	memcpy(id.drive, sup->drive, 16);
	int rc = identity_format(d, &id);
	if (rc == 0)
		*ret = id;
	return rc;
}

static int give_identity(struct meta_set *s, struct drive *d, const struct super *sup)
{
	struct identity id;
	int rc = write_identity(d, sup, &id);

	if (rc == 0)
		take_drive(s, d, &id);
	return rc;
}

static int format_drives(struct meta_set *s, struct op_ctx *ctx)
{
	struct super sup[SUPER_MAX_SLOTS];
	struct isr_body isr = {.n = (uint8_t)s->n, .k = (uint8_t)s->k, .m = (uint8_t)s->m, .w = (uint8_t)s->w};
	int rc = 0;

	uuid_random(s->deployment);
	for (unsigned i = 0; i < s->n; i++) {
		isr.slot[i].state = ISR_IN;
		isr.slot[i].index = index_homes(s) & 1u << i ? ISR_INDEX_GOOD : ISR_INDEX_NONE;
		uuid_random(isr.slot[i].drive);
	}
	for (unsigned i = 0; rc == 0 && i < s->n; i++) {
		first_super(s, i, &isr, &sup[i]);
		rc = super_format(s->p.drives[i], &sup[i]);
		if (rc < 0)
			op_fail(ctx, rc, "cannot format %s: %s", s->p.drives[i]->path, err_text(rc));
	}
	for (unsigned i = 0; rc == 0 && i < s->n; i++) {
		rc = give_identity(s, s->p.drives[i], &sup[i]);
		if (rc < 0)
			op_fail(ctx, rc, "cannot format %s: %s", s->p.drives[i]->path, err_text(rc));
	}
	return rc;
}

static int check_new_geometry(struct meta_set *s, struct op_ctx *ctx)
{
	unsigned n = s->p.n, m = s->p.m, given = 0;

	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++)
		given += s->p.drives[i] && i < n;
	if (n < 1 || n > SUPER_MAX_SLOTS || 2 * m > n)
		return op_fail(ctx, -QE_CONFIG, "a set has 1 to 16 drives and at most half of them parity, not %u with %u", n, m);
	if (given != n)
		return op_fail(ctx, -QE_CONFIG, "a new set of %u drives needs all of them, and all of them empty", n);
	if (s->p.log2_journal_file < 20 || s->p.log2_journal_file > 30)
		return op_fail(ctx, -QE_CONFIG, "journal files have 2^20 to 2^30 bytes");
	set_geometry(s, n, m);
	return 0;
}

/* ---- A set that is there ------------------------------------------------------------------------------------------ */
/* A format that was cut short among the identities: superblocks of all are written, and none has started. */
static void complete_format(struct meta_set *s, struct candidate *c, const struct identity *id)
{
	struct super sup;

	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++) {
		struct drive *d = s->p.drives[i];
		if (c[i].found != FOUND_BLANK)
			continue;
		int rc = super_read(d, true, &sup);
		if (rc == 0 && memcmp(sup.deployment, id->deployment, 16) == 0 && sup.promised == 0 && sup.slot < s->n &&
		    !s->slot[sup.slot].d)
			rc = give_identity(s, d, &sup);
		else
			rc = -ENODATA;
		if (rc == 0)
			log_info("meta", "format completed path=%s slot=%u", d->path, sup.slot);
		else
			log_info("meta", "drive is empty: it replaces one once the set serves path=%s", d->path);
	}
}

static int adopt_drives(struct meta_set *s, struct candidate *c, struct op_ctx *ctx)
{
	const struct identity *id = majority(s, c);

	if (id->pool != s->p.pool || id->set != s->p.set)
		return op_fail(ctx, -QE_DRIVE_FOREIGN, "these are drives of pool %u set %u", id->pool, id->set);
	/* Who only looks need not know. */
	if (!s->p.read_only && ((s->p.n && s->p.n != id->n) || s->p.m != id->m))
		return op_fail(ctx, -QE_CONFIG, "this set has %u drives, %u of them parity; it was told %u with %u", id->n, id->m,
			       s->p.n, s->p.m);
	if (id->n < 1 || id->n > SUPER_MAX_SLOTS || 2 * id->m > id->n || id->k + id->m != id->n)
		return op_fail(ctx, -QE_DRIVE_FORMAT, "the geometry of these drives is not supported");
	memcpy(s->deployment, id->deployment, 16);
	set_geometry(s, id->n, id->m);
	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++) {
		if (c[i].found != FOUND_ID)
			continue;
		if (!same_set(s, &c[i].id, id) || c[i].id.slot >= s->n || s->slot[c[i].id.slot].d)
			refuse(s->p.drives[i], -QE_DRIVE_FOREIGN);
		else
			take_drive(s, s->p.drives[i], &c[i].id);
	}
	if (!s->p.read_only)
		complete_format(s, c, id);
	return 0;
}

void drives_find_again(struct meta_set *s, const struct meta_set *as)
{
	struct candidate c[SUPER_MAX_SLOTS] = {0};
	struct identity id = {.pool = as->p.pool, .set = as->p.set};

	memcpy(s->deployment, as->deployment, 16);
	memcpy(id.deployment, as->deployment, 16);
	set_geometry(s, as->n, as->m);
	look(s, c);
	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++) {
		if (c[i].found != FOUND_ID)
			continue;
		if (!same_set(s, &c[i].id, &id) || c[i].id.slot >= s->n || s->slot[c[i].id.slot].d)
			refuse(s->p.drives[i], -QE_DRIVE_FOREIGN);
		else
			take_drive(s, s->p.drives[i], &c[i].id);
	}
}

/* ---- A drive that comes later ------------------------------------------------------------------------------------- */
static int format_replacement(struct meta_set *s, unsigned slot, struct drive *d, struct op_ctx *ctx)
{
	struct super sup;
	struct isr_body isr;

	mutex_lock(&s->writer);
	isr = s->isr_durable;
	writer_unlock(s);
	uuid_random(isr.slot[slot].drive);
	first_super(s, slot, &isr, &sup);
	sup.start = s->start;
	sup.index_state = ISR_INDEX_NONE;
	sup.member = false;
	int rc = super_format(d, &sup);
	if (rc == 0)
		rc = write_identity(d, &sup, &s->slot[slot].id);
	if (rc < 0)
		return op_fail(ctx, rc, "cannot format %s: %s", d->path, err_text(rc));
	log_info("meta", "an empty drive is formatted for its slot slot=%u path=%s", slot, d->path);
	return 0;
}

int drive_identify(struct meta_set *s, unsigned slot, struct drive *d, struct op_ctx *ctx)
{
	struct identity id;
	int rc = identity_read(d, &id);

	if (rc == -ENODATA)
		return format_replacement(s, slot, d, ctx);
	if (rc < 0)
		return op_fail(ctx, rc, "%s: %s; %s", d->path, drive_err_text(rc), cure(rc));
	if (memcmp(id.deployment, s->deployment, 16) != 0 || id.pool != s->p.pool || id.set != s->p.set || id.n != s->n ||
	    id.m != s->m)
		return op_fail(ctx, -QE_DRIVE_FOREIGN, "%s is a drive of another set; %s", d->path, cure(-QE_DRIVE_FOREIGN));
	if (id.slot != slot)
		return op_fail(ctx, -QE_DRIVE_FOREIGN, "%s belongs to slot %u of this set, not to slot %u", d->path, id.slot, slot);
	mend(d, &id);
	s->slot[slot].id = id;
	return 0;
}

int drives_find(struct meta_set *s, struct op_ctx *ctx)
{
	struct candidate c[SUPER_MAX_SLOTS] = {0};
	int rc;

	look(s, c);
	if (count(c, FOUND_ID))
		return adopt_drives(s, c, ctx);
	if (s->p.read_only)
		return op_fail(ctx, -QE_QUORUM_READ, "no drive of a set is here");
	rc = check_new_geometry(s, ctx);
	if (rc < 0)
		return rc;
	if (count(c, FOUND_BLANK) != s->n)
		return op_fail(ctx, -QE_QUORUM_READ, "no drive of a set is here, and not all given ones are empty");
	log_info("meta", "formatting a new set drives=%u data=%u parity=%u", s->n, s->k, s->m);
	return format_drives(s, ctx);
}
