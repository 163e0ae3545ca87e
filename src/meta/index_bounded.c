/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows into an index copy whose drive may hang. It is slow by nature, so what counts is that it gets further: a copy that does
 * not for much longer than the drive timeout, or whose drive has left the set meanwhile, is given up. What was given up
 * keeps the copy, the drive and the memtable until LMDB returns, and closes the copy then.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/bounded.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "meta/set_internal.h"

#define PATIENCE 12 /* times the drive timeout */

struct apply {
	struct bounded b;
	unsigned refs;        /* atomic: of its thread, and of who asked */
	struct meta_set *s;   /* not for its thread: a call that was given up may outlive the set */
	struct drive *d;      /* held */
	struct index *ix;     /* closed with the last reference; NULL: whoever asked has it again */
	struct memtable *m;   /* referenced */
	uint64_t seq;
	uint64_t moved_ns;    /* atomic; mono */
	bool pause;           /* atomic: flushes of the journal are under way */
	struct index_applied did;
};

static struct apply *apply_of(struct bounded *b)
{
	return CONTAINER_OF(b, struct apply, b);
}

/* Paced by the journal: while its flushes are slow, the copies wait a little. */
static void moved(void *arg)
{
	struct apply *a = arg;

	__atomic_store_n(&a->moved_ns, clock_mono_ns(), __ATOMIC_RELAXED);
	if (__atomic_load_n(&a->pause, __ATOMIC_RELAXED))
		clock_sleep_ns(NS_PER_MS);
}

static int apply_run(struct bounded *b)
{
	struct apply *a = apply_of(b);

	return index_apply(a->ix, a->m, a->seq, moved, a, &a->did);
}

static bool apply_wanted(struct bounded *b)
{
	struct apply *a = apply_of(b);
	struct meta_set *s = a->s;
	uint64_t since = __atomic_load_n(&a->moved_ns, __ATOMIC_RELAXED), now = clock_mono_ns();

	__atomic_store_n(&a->pause, !s->p.no_background && drive_queue_inflight(s->queue), __ATOMIC_RELAXED);
	return !drive_is_out(a->d) && (now < since || now - since < PATIENCE * s->p.drive_timeout_ns);
}

static void apply_put(struct apply *a)
{
	if (__atomic_sub_fetch(&a->refs, 1, __ATOMIC_ACQ_REL))
		return;
	index_close(a->ix);
	memtable_unref(a->m);
	drive_unhold(a->d);
	free(a);
}

static void apply_end(struct bounded *b)
{
	apply_put(apply_of(b));
}

static struct apply *apply_new(struct meta_set *s, struct drive *d, struct index *ix, struct memtable *m, uint64_t seq)
{
	struct apply *a = calloc(1, sizeof *a);

	if (!a)
		return NULL;
	*a = (struct apply){
		.b = {.run = apply_run, .end = apply_end, .wanted = apply_wanted},
		.refs = 2,
		.s = s,
		.d = drive_hold(d),
		.ix = ix,
		.m = memtable_ref(m),
		.seq = seq,
		.moved_ns = clock_mono_ns(),
	};
	return a;
}

/* No view gets it any more. Where one still reads it the copy stays open, and its drive in use, until the process ends. */
static void give_up(struct meta_set *s, struct apply *a)
{
	uint64_t until = clock_mono_ns() + s->p.drive_timeout_ns;
	bool unread = !s->has_publish;

	index_on_bad(a->ix, NULL, NULL);
	while (!unread && !(unread = publish_remove_index(&s->pub, a->ix)) && clock_mono_ns() < until)
		clock_sleep_ns(NS_PER_MS);
	if (unread)
		apply_put(a);
}

void index_hangs(struct meta_set *s, unsigned slot)
{
	slot_note(s, slot, "its index copy does not answer");
	__atomic_fetch_or(&s->slot_errors, 1u << slot, __ATOMIC_SEQ_CST);
	set_kick(s);
}

int index_apply_bounded(struct meta_set *s, unsigned slot, struct index **ix, struct memtable *m, uint64_t seq,
			struct index_applied *ret)
{
	struct apply *a = apply_new(s, s->slot[slot].d, *ix, m, seq);

	if (!a)
		return -ENOMEM;
	if (!bounded_run(&a->b)) {
		index_hangs(s, slot);
		index_set(s, ix, NULL);
		s->slot[slot].super.index_state = ISR_INDEX_NONE;
		give_up(s, a);
		return -QE_DRIVE_TIMEOUT;
	}
	int rc = a->b.rc;
	*ret = a->did;
	a->ix = NULL;
	bounded_end(&a->b);
	apply_put(a);
	return rc;
}
