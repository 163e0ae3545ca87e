/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers, the watermark's waiters, and threads that block.
 *
 * The leader only notes answers; they are given after it has let go of the writer, by one thread at a time, in order:
 * a done call may take locks of the layers above.
 *
 * While I/O is in flight somebody must wait for it: an event loop that is attached (meta_event_fd), else one of the
 * blocked threads (the *pilot*), else the background thread. A pilot that leaves wakes the next blocked thread; a thread
 * that leaves with I/O in flight and nobody blocked wakes the background thread. Every wait has a limit besides, so a
 * lost wake-up would cost milliseconds, not a hang.
 */
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "meta/set_internal.h"

#define PILOT_NS (20 * NS_PER_MS)
#define LOOP_NS (2 * NS_PER_MS) /* a loop that does not turn is helped after this */
#define SPIN_NS 50000           /* so long is looked for what the lane does before sleeping */

struct waiting_thread {
	struct list node;
	struct cond cond;
	struct meta_set *s;
	struct meta_waiter w;
	bool piloting, done;
	int rc;
};

/* ---- Wake-ups ----------------------------------------------------------------------------------------------------- */
/* Written before the flag is set: a clear in between leaves one wake-up too many, never one too few. */
static void write_kick(struct meta_set *s)
{
	uint64_t one = 1;

	if (__atomic_load_n(&s->kicked, __ATOMIC_SEQ_CST))
		return;
	if (write(s->kick_fd, &one, sizeof one) == (ssize_t)sizeof one)
		__atomic_store_n(&s->kicked, true, __ATOMIC_SEQ_CST);
}

/* Before leading, so that what was kicked for is seen by it. */
static void clear_kick(struct meta_set *s)
{
	uint64_t n;

	if (!__atomic_load_n(&s->kicked, __ATOMIC_SEQ_CST))
		return;
	__atomic_store_n(&s->kicked, false, __ATOMIC_SEQ_CST);
	while (read(s->kick_fd, &n, sizeof n) > 0)
		;
}

static void wake_background(struct meta_set *s)
{
	mutex_lock(&s->bg_lock);
	s->bg_pending = true;
	cond_signal(&s->bg_cond);
	mutex_unlock(&s->bg_lock);
}

void set_kick(struct meta_set *s)
{
	if (__atomic_load_n(&s->has_loop, __ATOMIC_SEQ_CST)) {
		write_kick(s);
		return;
	}
	mutex_lock(&s->answer_lock);
	bool pilot = s->pilot;
	mutex_unlock(&s->answer_lock);
	if (pilot)
		write_kick(s);
	else
		wake_background(s);
}

/* After leading: is anything left that needs somebody to wait for it? */
static void hand_over(struct meta_set *s)
{
	if (!drive_queue_inflight(s->queue) || __atomic_load_n(&s->has_loop, __ATOMIC_SEQ_CST))
		return;
	mutex_lock(&s->answer_lock);
	bool covered = s->pilot;
	if (!covered && !list_empty(&s->blocked)) {
		cond_signal(&LIST_ENTRY(s->blocked.next, struct waiting_thread, node)->cond);
		covered = true;
	}
	mutex_unlock(&s->answer_lock);
	if (!covered)
		wake_background(s);
}

/* ---- Giving answers ----------------------------------------------------------------------------------------------- */
void answer_batch(struct meta_set *s, struct meta_batch *b, int rc)
{
	b->rc = rc;
	mutex_lock(&s->answer_lock);
	list_add_tail(&s->answers, &b->node);
	mutex_unlock(&s->answer_lock);
}

void answer_waiters(struct meta_set *s, uint64_t durable, int rc)
{
	mutex_lock(&s->answer_lock);
	LIST_FOREACH_SAFE(it, &s->waiters) {
		struct meta_waiter *w = LIST_ENTRY(it, struct meta_waiter, node);
		if (rc == 0 && w->seq > durable)
			continue;
		list_del(&w->node);
		w->rc = rc;
		list_add_tail(&s->due, &w->node);
	}
	mutex_unlock(&s->answer_lock);
}

static void give_batch(struct meta_batch *b)
{
	if (b->done)
		b->done(b->arg, b, b->rc);
	else
		meta_batch_free(b);
}

void answers_run(struct meta_set *s)
{
	struct list batches = LIST_INIT(batches), due = LIST_INIT(due);
	struct list *n;

	mutex_lock(&s->answer_lock);
	while (!s->answering && !(list_empty(&s->answers) && list_empty(&s->due))) {
		s->answering = true;
		list_splice_tail(&batches, &s->answers);
		list_splice_tail(&due, &s->due);
		mutex_unlock(&s->answer_lock);
		while ((n = list_pop(&batches)) != NULL)
			give_batch(LIST_ENTRY(n, struct meta_batch, node));
		while ((n = list_pop(&due)) != NULL) {
			struct meta_waiter *w = LIST_ENTRY(n, struct meta_waiter, node);
			w->done(w, w->rc);
		}
		mutex_lock(&s->answer_lock);
		s->answering = false;
	}
	mutex_unlock(&s->answer_lock);
}

/* ---- Leading ------------------------------------------------------------------------------------------------------ */
static void lead(struct meta_set *s)
{
	writer_lead(s);
	answers_run(s);
}

void meta_drive(struct meta_set *s)
{
	clear_kick(s);
	if (!drive_queue_inflight(s->queue))
		drive_queue_quiet(s->queue); /* leading reaps what finishes from here on */
	lead(s);
	hand_over(s);
}

void lane_finished(void *arg)
{
	struct meta_set *s = arg;

	lead(s);
	hand_over(s);
}

int meta_event_fd(struct meta_set *s)
{
	return s->epfd;
}

void meta_attach_loop(struct meta_set *s, bool attached)
{
	__atomic_store_n(&s->has_loop, attached, __ATOMIC_SEQ_CST);
	if (!attached)
		hand_over(s);
}

int events_open(struct meta_set *s)
{
	struct epoll_event ev = {.events = EPOLLIN};

	s->epfd = epoll_create1(EPOLL_CLOEXEC);
	s->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->epfd < 0 || s->kick_fd < 0 || epoll_ctl(s->epfd, EPOLL_CTL_ADD, s->kick_fd, &ev) < 0 ||
	    epoll_ctl(s->epfd, EPOLL_CTL_ADD, drive_queue_fd(s->queue), &ev) < 0)
		return -errno;
	return 0;
}

/* Waits for the I/O of the writer, for everybody; the caller has set s->pilot. */
static void pilot(struct meta_set *s)
{
	struct pollfd p = {.fd = s->epfd, .events = POLLIN};

	(void)poll(&p, 1, (int)(PILOT_NS / NS_PER_MS));
	clear_kick(s);
}

/* One turn of the background thread: true while I/O is in flight that only it waits for. */
bool background_pilot(struct meta_set *s)
{
	bool mine = false;

	if (drive_queue_inflight(s->queue) && !__atomic_load_n(&s->has_loop, __ATOMIC_SEQ_CST)) {
		mutex_lock(&s->answer_lock);
		mine = !s->pilot && list_empty(&s->blocked);
		s->pilot |= mine;
		mutex_unlock(&s->answer_lock);
	}
	if (mine) {
		pilot(s);
		mutex_lock(&s->answer_lock);
		s->pilot = false;
		mutex_unlock(&s->answer_lock);
	}
	lead(s);
	return mine && drive_queue_inflight(s->queue);
}

/* ---- Blocking ----------------------------------------------------------------------------------------------------- */
static void thread_done(struct waiting_thread *t, int rc)
{
	struct meta_set *s = t->s;

	mutex_lock(&s->answer_lock);
	t->rc = rc;
	__atomic_store_n(&t->done, true, __ATOMIC_RELEASE);
	bool piloting = t->piloting;
	cond_signal(&t->cond);
	mutex_unlock(&s->answer_lock);
	if (piloting)
		write_kick(s);
}

/* A record in the lane is through in less time than it takes to sleep and be woken. */
static void spin(const struct waiting_thread *t)
{
	uint64_t until = clock_mono_ns() + SPIN_NS;

	while (!__atomic_load_n(&t->done, __ATOMIC_ACQUIRE) && clock_mono_ns() < until)
		sched_yield();
}

/* Until t->done: leads, waits for I/O when nobody else does, else for the answer. */
static int thread_wait(struct waiting_thread *t)
{
	struct meta_set *s = t->s;

	lead(s);
	if (s->lane && drive_queue_inflight(s->lane))
		spin(t);
	mutex_lock(&s->answer_lock);
	list_add_tail(&s->blocked, &t->node);
	while (!t->done) {
		bool loop = __atomic_load_n(&s->has_loop, __ATOMIC_SEQ_CST);
		if (s->pilot || loop || !drive_queue_inflight(s->queue)) {
			(void)cond_wait_until(&t->cond, &s->answer_lock, clock_mono_ns() + (loop ? LOOP_NS : PILOT_NS));
			if (t->done)
				break;
		} else {
			s->pilot = t->piloting = true;
			mutex_unlock(&s->answer_lock);
			pilot(s);
			mutex_lock(&s->answer_lock);
			s->pilot = t->piloting = false;
		}
		mutex_unlock(&s->answer_lock);
		lead(s);
		mutex_lock(&s->answer_lock);
	}
	list_del(&t->node);
	mutex_unlock(&s->answer_lock);
	hand_over(s);
	return t->rc;
}

static void thread_init(struct waiting_thread *t, struct meta_set *s)
{
	*t = (struct waiting_thread){.s = s};
	cond_init(&t->cond);
	list_init(&t->node);
}

static void batch_done(void *arg, struct meta_batch *b, int rc)
{
	thread_done(arg, rc);
}

int meta_commit(struct meta_batch *b)
{
	struct waiting_thread t;

	thread_init(&t, b->set);
	meta_submit(b, batch_done, &t);
	int rc = thread_wait(&t);
	cond_destroy(&t.cond);
	return rc;
}

static void waiter_done(struct meta_waiter *w, int rc)
{
	thread_done(CONTAINER_OF(w, struct waiting_thread, w), rc);
}

/* (A) */
static bool stale_locked(struct meta_set *s, uint64_t seq)
{
	bool is = seq == SEQ_DOUBT;

	for (unsigned i = 0; !is && i < s->stale.n; i++) {
		const struct stale_range *r = VEC_AT(&s->stale, struct stale_range, i);
		is = seq > r->after && seq <= r->last;
	}
	return is;
}

bool meta_seq_lost(struct meta_set *s, uint64_t seq)
{
	if (seq == SEQ_DOUBT || !__atomic_load_n(&s->has_stale, __ATOMIC_ACQUIRE))
		return seq == SEQ_DOUBT;
	MUTEX_GUARD(&s->answer_lock);
	return stale_locked(s, seq);
}

uint64_t meta_seq_both(struct meta_set *s, uint64_t a, uint64_t b)
{
	return meta_seq_lost(s, a) || meta_seq_lost(s, b) ? SEQ_DOUBT : MAX(a, b);
}

/* Registers; false: there is nothing to wait for. Of a state that is gone nothing becomes durable: looked at behind the
 * watermark, which a revived set raises last. */
static bool waiter_add(struct meta_set *s, uint64_t seq, struct meta_waiter *w)
{
	list_init(&w->node);
	w->seq = seq;
	if (meta_seq_durable(s, seq))
		return false;
	mutex_lock(&s->answer_lock);
	bool stale = stale_locked(s, seq);
	bool wait = stale || meta_durable_seq(s) < seq;
	bool can = !stale && meta_writable(s) && !__atomic_load_n(&s->killed, __ATOMIC_ACQUIRE);
	w->rc = can ? 0 : -QE_UNKNOWN_OUTCOME;
	if (wait)
		list_add_tail(w->rc ? &s->due : &s->waiters, &w->node);
	mutex_unlock(&s->answer_lock);
	for (uint64_t old = __atomic_load_n(&s->flush_upto, __ATOMIC_SEQ_CST); wait && can && old < seq;)
		if (__atomic_compare_exchange_n(&s->flush_upto, &old, seq, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			break;
	return wait;
}

bool meta_wait(struct meta_set *s, uint64_t seq, struct meta_waiter *w)
{
	if (!waiter_add(s, seq, w))
		return true;
	meta_drive(s);
	return false;
}

int meta_wait_blocking(struct meta_set *s, uint64_t seq)
{
	struct waiting_thread t;

	thread_init(&t, s);
	t.w.done = waiter_done;
	int rc = waiter_add(s, seq, &t.w) ? thread_wait(&t) : 0;
	cond_destroy(&t.cond);
	return rc;
}

int meta_sync(struct meta_set *s)
{
	struct meta_batch *b = meta_batch_new(s, META_DURABLE, OP_ADMIN);

	if (!b)
		return -ENOMEM;
	b->kind = BATCH_BARRIER;
	b->internal = true;
	int rc = meta_commit(b);
	meta_batch_free(b);
	return rc;
}
