/* SPDX-License-Identifier: Apache-2.0
 *
 * Log files: making, naming, rolling, recycling.
 */
#include "meta/journal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "meta/record.h"

void journal_file_name(uint64_t log, char *ret, size_t cap)
{
	snprintf(ret, cap, "journal/%016" PRIx64 ".log", log);
}

void journal_init(struct journal *j, unsigned n, unsigned log2_file, unsigned max_files)
{
	*j = (struct journal){
		.n = n,
		.file_size = 1ull << log2_file,
		.max_files = MAX(max_files, (unsigned)JOURNAL_MIN_FILES),
	};
	list_init(&j->used);
	list_init(&j->free);
	mutex_init(&j->lock, LOCK_QUEUE);
	cond_init(&j->prepared);
}

static void log_file_free(struct log_file *lf)
{
	if (!lf)
		return;
	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++)
		drive_file_unref(lf->file[i]);
	free(lf);
}

static void free_all(struct list *files)
{
	struct list *n;

	while ((n = list_pop(files)) != NULL)
		log_file_free(LIST_ENTRY(n, struct log_file, node));
}

void journal_done(struct journal *j)
{
	free_all(&j->used);
	free_all(&j->free);
	log_file_free(j->ready);
	cond_destroy(&j->prepared);
	mutex_destroy(&j->lock);
}

static void exchange_lists(struct list *a, struct list *b)
{
	struct list tmp = LIST_INIT(tmp);

	list_splice_tail(&tmp, a);
	list_splice_tail(a, b);
	list_splice_tail(b, &tmp);
}

void journal_exchange(struct journal *a, struct journal *b)
{
	struct journal old = *a;

	ASSERT(!a->preparing && !b->preparing && a->n == b->n && a->file_size == b->file_size);
	mutex_lock(&a->lock);
	memcpy(a->drive, b->drive, sizeof a->drive);
	memcpy(b->drive, old.drive, sizeof b->drive);
	exchange_lists(&a->used, &b->used);
	exchange_lists(&a->free, &b->free);
	a->nused = b->nused;
	a->nfree = b->nfree;
	a->cur = b->cur;
	a->off = b->off;
	a->ready = b->ready;
	a->max_files = b->max_files;
	b->nused = old.nused;
	b->nfree = old.nfree;
	b->cur = old.cur;
	b->off = old.off;
	b->ready = old.ready;
	mutex_unlock(&a->lock);
}

static void drop_file(struct log_file *lf, unsigned slot)
{
	if (!lf)
		return;
	drive_file_unref(lf->file[slot]);
	lf->file[slot] = NULL;
	lf->dirty &= ~(1u << slot);
}

void journal_drop_slot(struct journal *j, unsigned slot)
{
	LIST_FOREACH(it, &j->used)
		drop_file(LIST_ENTRY(it, struct log_file, node), slot);
	mutex_lock(&j->lock);
	LIST_FOREACH(it, &j->free)
		drop_file(LIST_ENTRY(it, struct log_file, node), slot);
	drop_file(j->ready, slot);
	j->drive[slot] = NULL;
	mutex_unlock(&j->lock);
}

void journal_take_slot(struct journal *j, unsigned slot, struct drive *d)
{
	mutex_lock(&j->lock);
	/* What is being made ready now does not know of it, and will be found lacking. */
	while (j->preparing)
		cond_wait(&j->prepared, &j->lock);
	j->drive[slot] = d;
	mutex_unlock(&j->lock);
}

unsigned journal_lacking(struct journal *j, unsigned slot, uint64_t *ret, unsigned max)
{
	unsigned n = 0;

	LIST_FOREACH(it, &j->used)
		if (!LIST_ENTRY(it, struct log_file, node)->file[slot] && n < max)
			ret[n++] = LIST_ENTRY(it, struct log_file, node)->log;
	mutex_lock(&j->lock);
	if (j->ready && !j->ready->file[slot] && n < max)
		ret[n++] = j->ready->log;
	mutex_unlock(&j->lock);
	return n;
}

static void give_file(struct log_file *lf, unsigned slot, uint64_t log, struct drive_file *f)
{
	if (lf && lf->log == log && !lf->file[slot])
		lf->file[slot] = drive_file_ref(f);
}

void journal_give(struct journal *j, unsigned slot, uint64_t log, struct drive_file *f)
{
	LIST_FOREACH(it, &j->used)
		give_file(LIST_ENTRY(it, struct log_file, node), slot, log, f);
	mutex_lock(&j->lock);
	give_file(j->ready, slot, log, f);
	mutex_unlock(&j->lock);
}

unsigned journal_reserve(struct journal *j)
{
	MUTEX_GUARD(&j->lock);

	return MAX(2u, j->max_files / 4);
}

unsigned journal_room(struct journal *j)
{
	mutex_lock(&j->lock);
	unsigned total = j->nused + j->nfree + (j->ready ? 1 : 0);
	unsigned room = total - j->nused + (j->max_files > total ? j->max_files - total : 0);
	mutex_unlock(&j->lock);
	return room;
}

uint64_t journal_most(struct journal *j)
{
	MUTEX_GUARD(&j->lock);

	return j->max_files * j->file_size;
}

uint64_t journal_unmade(struct journal *j)
{
	mutex_lock(&j->lock);
	unsigned total = j->nused + j->nfree + (j->ready ? 1 : 0);
	uint64_t n = j->max_files > total ? j->max_files - total : 0;
	mutex_unlock(&j->lock);
	return n * j->file_size;
}

/* ---- Making files ready ------------------------------------------------------------------------------------------- */
/* A new file appears under its number only when all of it is on the medium: a crash leaves no short one. */
int journal_make_file(struct drive *d, uint64_t log, uint64_t size, struct drive_file **ret)
{
	char tmp[40], name[40];

	snprintf(tmp, sizeof tmp, "spare/%016" PRIx64 ".log", log);
	journal_file_name(log, name, sizeof name);
	int rc = drive_open(d, tmp, DRIVE_CREATE | DRIVE_PREWRITE, size, ret);
	if (rc == -EEXIST) { /* of a start that was cut short */
		rc = drive_unlink(d, tmp);
		if (rc == 0)
			rc = drive_open(d, tmp, DRIVE_CREATE | DRIVE_PREWRITE, size, ret);
	}
	if (rc < 0)
		return rc;
	rc = drive_rename(d, tmp, name);
	if (rc < 0) {
		drive_file_unref(*ret);
		*ret = NULL;
	}
	return rc;
}

static int rename_file(struct drive *d, uint64_t from, uint64_t to)
{
	char old[40], name[40];

	if (from == to)
		return 0;
	journal_file_name(from, old, sizeof old);
	journal_file_name(to, name, sizeof name);
	return drive_rename(d, old, name);
}

/* A drive that has no file where the others recycle one gets a new one. On failure lf may keep a file: the caller drops
 * it. */
static int ready_slot(struct journal *j, struct log_file *lf, unsigned slot, struct drive *d, uint64_t next)
{
	if (lf->file[slot])
		return rename_file(d, lf->named, next);
	return journal_make_file(d, next, j->file_size, &lf->file[slot]);
}

/* A free file, or room for a new one. NULL: neither. A free file that has the name already goes first (a crash leaves the
 * one that was made ready): renaming another over it would leave two that believe to have this name, and the second would
 * take it from the file in use. */
static struct log_file *take_locked(struct journal *j, uint64_t next)
{
	struct list *n = list_empty(&j->free) ? NULL : j->free.next;

	LIST_FOREACH(it, &j->free)
		if (LIST_ENTRY(it, struct log_file, node)->named == next)
			n = it;
	if (n) {
		list_del(n);
		j->nfree--;
		return LIST_ENTRY(n, struct log_file, node);
	}
	return j->nused < j->max_files ? calloc(1, sizeof(struct log_file)) : NULL;
}

static uint32_t ready_all(struct journal *j, struct log_file *lf, struct drive *const drive[], uint64_t next)
{
	uint32_t failed = 0;

	for (unsigned i = 0; i < j->n; i++) {
		if (!drive[i])
			continue;
		int rc = ready_slot(j, lf, i, drive[i], next);
		if (rc == 0)
			continue;
		log_debug("meta", "no log file on %s: %s", drive[i]->path, err_text(rc));
		failed |= 1u << i;
		drive_file_unref(lf->file[i]);
		lf->file[i] = NULL;
	}
	lf->log = lf->named = next;
	return failed;
}

int journal_prepare(struct journal *j, uint64_t next, uint32_t *ret_failed)
{
	struct drive *drive[SUPER_MAX_SLOTS];

	*ret_failed = 0;
	mutex_lock(&j->lock);
	while (j->preparing)
		cond_wait(&j->prepared, &j->lock);
	/* The caller may have asked before the writer rolled: a file under the number in use would take its place. */
	if (j->cur && next <= j->cur->log) {
		mutex_unlock(&j->lock);
		return 0;
	}
	struct log_file *lf = j->ready ? NULL : take_locked(j, next);
	if (!lf) {
		int rc = j->ready ? 0 : -QE_FULL;
		mutex_unlock(&j->lock);
		return rc;
	}
	j->preparing = true;
	for (unsigned i = 0; i < j->n; i++)
		drive[i] = drive_hold(j->drive[i]);
	mutex_unlock(&j->lock);
	*ret_failed = ready_all(j, lf, drive, next);
	for (unsigned i = 0; i < j->n; i++)
		drive_unhold(drive[i]);
	mutex_lock(&j->lock);
	j->ready = lf;
	j->preparing = false;
	cond_broadcast(&j->prepared);
	mutex_unlock(&j->lock);
	return 0;
}

void journal_roll(struct journal *j)
{
	mutex_lock(&j->lock);
	ASSERT(j->ready && (!j->cur || j->ready->log == j->cur->log + 1));
	list_add_tail(&j->used, &j->ready->node);
	j->cur = j->ready;
	j->ready = NULL;
	j->nused++;
	mutex_unlock(&j->lock);
	j->off = LOG_HEAD_BYTES;
}

void journal_recycle(struct journal *j, uint64_t log)
{
	mutex_lock(&j->lock);
	while (!list_empty(&j->used)) {
		struct log_file *lf = LIST_ENTRY(j->used.next, struct log_file, node);
		if (lf->log >= log || lf == j->cur)
			break;
		list_del(&lf->node);
		lf->log = 0;
		list_add_tail(&j->free, &lf->node);
		j->nused--;
		j->nfree++;
	}
	mutex_unlock(&j->lock);
}
