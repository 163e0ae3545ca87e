/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/fsck.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "meta/fsck_internal.h"
#include "meta/set_internal.h"

#define WHAT_MAX 400

void fsck_tell(struct fsck *f, enum fsck_grade grade, const struct drive *d, const char *meaning, const char *cure,
	       const char *what, ...)
{
	char text[WHAT_MAX];
	va_list ap;

	va_start(ap, what);
	vsnprintf(text, sizeof text, what, ap);
	va_end(ap);
	f->p->tell(f->p->arg, &(struct fsck_finding){
		.grade = grade,
		.drive = d ? d->path : NULL,
		.what = text,
		.meaning = meaning,
		.cure = cure,
	});
}

/* ---- Drives ------------------------------------------------------------------------------------------------------- */
static void tell_identity(struct fsck *f, const struct drive *d, int rc)
{
	switch (rc) {
	case -QE_DRIVE_FORMAT:
		fsck_tell(f, FSCK_DAMAGE, d, "the daemon refuses it and leaves it as it is",
			  "check that the drive is mounted there; if its identity is lost, empty it and use it as a replacement",
			  "it is no quoin drive, or its identity and superblock are damaged");
		break;
	default:
		fsck_tell(f, FSCK_DAMAGE, d, "the set must do without it", "check the drive", "its identity cannot be read: %s",
			  drive_err_text(rc));
	}
}

static void check_super(struct fsck *f, struct drive *d)
{
	bool differ;
	int bad = super_check(d, &differ);

	if (bad < 0)
		fsck_tell(f, FSCK_DAMAGE, d, "the daemon leaves the drive out",
			  "check the drive; if its superblock is lost, empty it and use it as a replacement",
			  "its superblock cannot be read: %s", drive_err_text(bad));
	else if (bad > 0)
		fsck_tell(f, FSCK_REPAIRED, d, "the other slot has the newest state", "nothing", "a slot of its superblock is bad");
	else if (differ)
		fsck_tell(f, FSCK_REPAIRED, d, "a write of it was cut short", "nothing",
			  "the slots of its superblock differ");
}

/* 0, or that a daemon has the drive. */
static int check_drives(struct fsck *f)
{
	struct identity id;

	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++) {
		struct drive *d = f->p->drives[i];
		if (!d)
			continue;
		int rc = identity_read(d, &id);
		if (rc == -QE_DRIVE_LOCKED)
			return op_fail(f->ctx, rc, "%s is in use by a running quoin; stop it first", d->path);
		f->counts.drives++;
		if (rc == -ENODATA) {
			f->blank |= 1u << i; /* what becomes of it the others tell */
			continue;
		}
		if (rc < 0) {
			tell_identity(f, d, rc);
			continue;
		}
		if (id.damaged)
			fsck_tell(f, FSCK_REPAIRED, d, "its superblock tells the same", "nothing: it is written anew when the daemon starts",
				  "its identity is damaged");
		check_super(f, d);
	}
	return 0;
}

/* ---- What became of them ------------------------------------------------------------------------------------------ */
static bool has_slot(const struct meta_set *s, const struct drive *d)
{
	for (unsigned i = 0; i < s->n; i++)
		if (s->slot[i].d == d)
			return true;
	return false;
}

/* Drives with a good identity and superblock that no slot took. */
static void tell_foreign(struct fsck *f)
{
	struct identity id;
	struct super sup;

	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++) {
		struct drive *d = f->p->drives[i];
		if (d && !has_slot(f->s, d) && identity_read(d, &id) == 0 && super_read(d, true, &sup) == 0)
			fsck_tell(f, FSCK_DAMAGE, d, "the daemon refuses it and leaves it as it is",
				  "give the drives of one set only, each once", "it belongs to another set, or its slot is taken");
	}
}

/* No drive is made of an empty directory while the set does not write (R1). */
static void tell_blank(struct fsck *f)
{
	unsigned here = (unsigned)__builtin_popcount(f->counted);
	bool writes = f->s && here >= MAX(f->s->w, f->s->r);

	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++) {
		const struct drive *d = f->blank & 1u << i ? f->p->drives[i] : NULL;
		if (d && writes)
			fsck_tell(f, FSCK_REPAIRED, d, "the daemon takes it for a replacement of one that is not here",
				  "nothing, if it is one; else mount the drive there", "the drive is empty");
		else if (d)
			fsck_tell(f, FSCK_DAMAGE, d, "it cannot become a replacement: with so few of its drives the set does not write",
				  "mount the drive there, or bring others of the set back; when they are lost for good, let it take a "
				  "place by admin drive replace", "the drive is empty, and %u with data are here",
				  here);
	}
}

static void tell_slots(struct fsck *f)
{
	unsigned blank = (unsigned)__builtin_popcount(f->blank);

	for (unsigned i = 0; i < f->s->n; i++) {
		const struct drive *d = f->s->slot[i].d;
		if (!d && blank > 0)
			blank--;
		else if (!d)
			fsck_tell(f, FSCK_DAMAGE, NULL, "the set has less redundancy than it should", "bring its drive, or replace it",
				  "the drive of slot %u is not here or not usable", i);
		else if (!(f->counted & 1u << i))
			fsck_tell(f, FSCK_REPAIRED, d, "its journal counts for nothing; it was replaced, or never completed",
				  "nothing: it joins again while the daemon runs", "it is not a member of the set");
		else if (f->isr.slot[i].state != ISR_IN)
			fsck_tell(f, FSCK_REPAIRED, d, "it missed changes", "nothing: it is completed when the daemon starts",
				  "it is out of the set");
	}
}

static int open_set(struct fsck *f)
{
	struct meta_params p = {.read_only = true, .no_background = true, .index_map_bytes = f->p->index_map_bytes};

	memcpy(p.drives, f->p->drives, sizeof p.drives);
	return set_open(&p, f, f->ctx, &f->s);
}

int meta_fsck(const struct fsck_params *p, struct op_ctx *ctx, struct fsck_counts *ret)
{
	struct fsck f = {.p = p, .ctx = ctx};
	int rc = check_drives(&f);

	if (rc < 0)
		return rc;
	rc = open_set(&f);
	if (rc == -ENOMEM)
		return rc;
	tell_blank(&f);
	if (rc < 0) {
		fsck_tell(&f, FSCK_DAMAGE, NULL, "the set cannot be started with these drives", "bring more of its drives", "%s: %s",
			  err_text(rc), ctx->detail);
		*ret = f.counts;
		return 0;
	}
	tell_foreign(&f);
	tell_slots(&f);
	rc = fsck_rows(&f);
	while ((f.s = meta_set_close(f.s)))
		; /* what is asked for is an answer */
	*ret = f.counts;
	return rc;
}
