/* SPDX-License-Identifier: Apache-2.0
 *
 * The end of a set.
 */
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fdio.h"
#include "base/log.h"
#include "meta/set_internal.h"

static bool free_segment(struct hash_node *n, void *arg)
{
	hash_remove(arg, n);
	free(CONTAINER_OF(n, struct segment_known, node));
	return false;
}

void set_free(struct meta_set *s)
{
	struct list *n;

	s->lane = drive_queue_free(s->lane);
	s->queue = drive_queue_free(s->queue);
	retired_free(s, true);
	erasure_set_free(s->erasure);
	while ((n = list_pop(&s->idle_wrecs)) != NULL)
		wrec_free(LIST_ENTRY(n, struct wrec, node));
	if (s->has_journal)
		journal_done(&s->journal);
	if (s->has_publish)
		publish_done(&s->pub);
	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++)
		if (s->slot[i].index)
			index_close(s->slot[i].index);
	hash_each(&s->segments, free_segment, &s->segments);
	hash_done(&s->segments);
	group_done(&s->group);
	vec_free(&s->join_born);
	buf_free(&s->body);
	vec_free(&s->stale);
	fd_closep(&s->epfd);
	fd_closep(&s->kick_fd);
	cond_destroy(&s->bg_cond);
	cond_destroy(&s->ckpt_cond);
	struct mutex *locks[] = {&s->writer, &s->queue_lock, &s->answer_lock, &s->bg_lock, &s->heal_lock, &s->checkpoint_lock,
				 &s->drives_lock};
	for (unsigned i = 0; i < ARRAY_SIZE(locks); i++)
		mutex_destroy(locks[i]);
	free(s);
}

static void queue_abandon(struct meta_set *s)
{
	struct list *q[] = {&s->q_control, &s->q_ordered, &s->q_durable};
	struct list left = LIST_INIT(left);
	struct list *n;

	mutex_lock(&s->queue_lock);
	for (unsigned i = 0; i < ARRAY_SIZE(q); i++)
		list_splice_tail(&left, q[i]);
	mutex_unlock(&s->queue_lock);
	while ((n = list_pop(&left)) != NULL)
		answer_batch(s, LIST_ENTRY(n, struct meta_batch, node), -QE_QUORUM_WRITE);
}

/* What is on its way is answered as of unknown outcome: the process that would have known is gone. */
static void abandon(struct meta_set *s)
{
	mutex_lock(&s->writer);
	__atomic_store_n(&s->killed, true, __ATOMIC_RELEASE);
	isr_abandon(s);
	queue_abandon(s);
	mutex_unlock(&s->writer);
	answers_run(s);
}

/* ---- What drives have not returned yet ---------------------------------------------------------------------------- */
static bool is_quiet(struct meta_set *s)
{
	struct drive_queue *q[] = {s->queue, s->lane};

	for (unsigned i = 0; i < ARRAY_SIZE(q); i++)
		if (q[i] && drive_queue_inflight(q[i]))
			return false;
	retired_free(s, false);
	return s->retired.n == 0 && (!s->erasure || erasure_set_quiet(s->erasure));
}

/* The set is abandoned: nobody else reaps. */
static bool comes_to_rest(struct meta_set *s, uint64_t within_ns)
{
	uint64_t since = clock_mono_ns();

	while (!is_quiet(s)) {
		if (clock_mono_ns() - since >= within_ns)
			return false;
		if (s->queue)
			drive_queue_reap(s->queue, 0);
		if (s->lane)
			drive_queue_reap(s->lane, 0);
		clock_sleep_ns(NS_PER_MS);
	}
	return true;
}

/* What hangs keeps its records, its files and with them its drive, the queues, and the set that they call back. All the other
 * drives are let go of: their owner can close them, so that another process can have them. */
static void let_go(struct meta_set *s)
{
	MUTEX_GUARD(&s->checkpoint_lock);

	if (s->erasure)
		erasure_set_writers(s->erasure, 0);
	for (unsigned i = 0; i < s->n; i++) {
		struct set_slot *at = &s->slot[i];
		struct index *ix = at->index;
		if (ix && (!s->has_publish || publish_remove_index(&s->pub, ix))) {
			index_set(s, &at->index, NULL);
			index_close_of(at->d, ix);
		}
		if (s->erasure)
			erasure_slot_detach(s->erasure, i);
		retired_detach(s, i);
		mutex_lock(&s->writer);
		if (s->has_journal)
			journal_drop_slot(&s->journal, i);
		slot_set_drive(s, i, NULL);
		mutex_unlock(&s->writer);
	}
	s->let_go = true;
}

/* ---- Ends --------------------------------------------------------------------------------------------------------- */
struct meta_set *set_end(struct meta_set *s)
{
	set_threads_stop(s);
	abandon(s);
	if (comes_to_rest(s, s->p.drive_timeout_ns)) {
		set_free(s);
		return NULL;
	}
	if (!s->let_go)
		let_go(s);
	return s;
}

struct meta_set *meta_set_kill(struct meta_set *s)
{
	if (!s)
		return NULL;
	/* A checkpoint that waits for an answer gets one, and then no other. */
	mutex_lock(&s->writer);
	__atomic_store_n(&s->killed, true, __ATOMIC_RELEASE);
	isr_abandon(s);
	mutex_unlock(&s->writer);
	answers_run(s);
	set_threads_stop(s);
	abandon(s);
	(void)!comes_to_rest(s, UINT64_MAX);
	set_free(s);
	return NULL;
}

struct meta_set *meta_set_close(struct meta_set *s)
{
	if (!s)
		return NULL;
	/* With the journal thread at work, which takes a drive out that does not answer. */
	set_checkpoints_stop(s);
	if (meta_writable(s) && !s->let_go) {
		int rc = meta_sync(s);
		if (rc == 0 && !s->hold_checkpoint)
			rc = meta_checkpoint(s);
		if (rc < 0)
			log_warn("meta", "no clean stop: %s; the next start reads the journal", err_text(rc));
	}
	return set_end(s);
}
