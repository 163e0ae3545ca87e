/* SPDX-License-Identifier: Apache-2.0
 *
 * Asynchronous I/O: an io_uring, or threads where it is not allowed; or a lane.
 *
 *   submit -> ops->submit -+-> drive_queue_local: waiting -> flush -> ring or workers -> ready -> reap -> done()
 *                          +-> drive_queue_ready: ready (drives that work synchronously)
 *
 * A lane is one worker, for what would be handed to a thread of the kernel for each I/O anyway. It takes all that waits and
 * then calls its owner: one thread is woken for a batch, and nobody for its end.
 *
 * One eventfd stands for all completions: the ring signals it, and so does the first entry of an empty ready list. Reap
 * clears it before it collects, so nothing is missed; it may find nothing.
 */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/thread.h"
#include "drive/drive.h"
#include "drive/drive_internal.h"

#define MAX_WORKERS 8
#define MAX_LANE_WORKERS 32 /* each but one sits in I/O that does not return */
#define MAX_TRANSFER (1U << 30)
#define RETRY_NS NS_PER_MS
#define SPIN_NS 100000

struct worker {
	struct drive_queue *q;
	pthread_t thread;
	uint64_t since_ns;     /* mono; of what it is at, 0: it waits */
	bool spins;            /* of a lane: what comes comes closely */
};

struct drive_queue {
	struct mutex lock;     /* LOCK_QUEUE: everything below but inflight */
	struct list waiting;   /* not yet given to the ring, or to a worker */
	struct list ready;     /* have their result */
	unsigned depth;
	unsigned in_ring;      /* entries of the ring without a completion */
	unsigned inflight;     /* atomic */
	unsigned submitted;    /* atomic; written under lock: grows when something comes to wait */
	int efd;
	bool uring;
	struct io_uring ring;
	struct cond work;      /* workers wait for `waiting` or stop */
	bool stop;
	unsigned workers, idle;
	struct worker worker[MAX_LANE_WORKERS];
	void (*finished)(void *arg); /* a lane's owner; NULL: no lane */
	void *arg;
};

static void signal_fd(struct drive_queue *q)
{
	uint64_t one = 1;

	/* Only a full counter can fail it, and then it is readable. */
	if (write(q->efd, &one, sizeof one) < 0)
		return;
}

static void clear_fd(struct drive_queue *q)
{
	uint64_t n;

	if (read(q->efd, &n, sizeof n) < 0)
		return;
}

static void make_ready_locked(struct drive_queue *q, struct drive_io *io, int result)
{
	bool first = list_empty(&q->ready);

	io->result = result;
	list_add_tail(&q->ready, &io->node);
	if (first && !q->finished)
		signal_fd(q);
}

void drive_queue_ready(struct drive_queue *q, struct drive_io *io, int result)
{
	mutex_lock(&q->lock);
	make_ready_locked(q, io, result);
	mutex_unlock(&q->lock);
}

void drive_queue_local(struct drive_queue *q, struct drive_io *io)
{
	/* Here, without the lock: the first O_DIRECT I/O of a file opens a descriptor. */
	io->fd = drive_posix_fd(io->file, io->flags);
	if (q->finished)
		__atomic_store_n(&io->submit_ns, DRIVE_NOT_BEGUN, __ATOMIC_RELAXED);
	mutex_lock(&q->lock);
	list_add_tail(&q->waiting, &io->node);
	__atomic_store_n(&q->submitted, q->submitted + 1, __ATOMIC_RELAXED);
	mutex_unlock(&q->lock);
}

void drive_queue_submit(struct drive_queue *q, struct drive_io *io)
{
	unsigned bad = io->flags & DRIVE_DIRECT ? DRIVE_BLOCK - 1 : 0;

	io->submit_ns = clock_mono_ns();
	io->moved = 0;
	io->result = -EINPROGRESS;
	__atomic_fetch_add(&q->inflight, 1, __ATOMIC_RELAXED);
	if (io->op != DRIVE_IO_READ)
		drive_change_begin(io->file->drive);
	if (drive_is_out(io->file->drive))
		drive_queue_ready(q, io, -EIO);
	else if (io->op != DRIVE_IO_SYNC && (((uintptr_t)io->buf | io->len | io->off) & bad))
		drive_queue_ready(q, io, -EINVAL);
	else if (io->op != DRIVE_IO_SYNC && io->len == 0)
		drive_queue_ready(q, io, 0);
	else
		io->file->drive->ops->submit(q, io);
}

/* ---- io_uring --------------------------------------------------------------------------------------------------- */

static void prepare(struct io_uring_sqe *sqe, struct drive_io *io)
{
	char *p = io->buf ? (char *)io->buf + io->moved : NULL; /* of a sync */
	unsigned len = (unsigned)MIN(io->len - io->moved, (size_t)MAX_TRANSFER);
	uint64_t off = io->off + io->moved;

	switch (io->op) {
	case DRIVE_IO_READ:
		io_uring_prep_read(sqe, io->fd, p, len, off);
		break;
	case DRIVE_IO_WRITE:
		io_uring_prep_write(sqe, io->fd, p, len, off);
		sqe->rw_flags = io->flags & DRIVE_DSYNC ? RWF_DSYNC : 0;
		break;
	case DRIVE_IO_SYNC:
		io_uring_prep_fsync(sqe, io->fd, IORING_FSYNC_DATASYNC);
		break;
	}
	io_uring_sqe_set_data(sqe, io);
}

static void flush_ring_locked(struct drive_queue *q)
{
	while (q->in_ring < q->depth && !list_empty(&q->waiting)) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&q->ring);
		if (!sqe)
			break;
		prepare(sqe, LIST_ENTRY(list_pop(&q->waiting), struct drive_io, node));
		q->in_ring++;
	}
	/* What the kernel does not take now (no memory, interrupted) stays in the ring; reap tries again. */
	while (io_uring_sq_ready(&q->ring) && io_uring_submit(&q->ring) > 0)
		;
}

static void complete_locked(struct drive_queue *q, struct drive_io *io, int res)
{
	if (res == -EINTR || res == -EAGAIN) {
		list_add_head(&q->waiting, &io->node);
		return;
	}
	if (res < 0 || io->op == DRIVE_IO_SYNC) {
		make_ready_locked(q, io, MIN(res, 0));
		return;
	}
	if (res == 0) {
		make_ready_locked(q, io, io->op == DRIVE_IO_READ ? -QE_END_OF_FILE : -EIO);
		return;
	}
	io->moved += (size_t)res;
	if (io->moved == io->len) {
		make_ready_locked(q, io, 0);
		return;
	}
	/* The rest of a transfer that ended inside a block cannot be O_DIRECT. */
	if (io->moved & (DRIVE_BLOCK - 1))
		io->fd = drive_posix_fd(io->file, 0);
	list_add_head(&q->waiting, &io->node);
}

static void collect_ring_locked(struct drive_queue *q)
{
	struct io_uring_cqe *cqe;

	while (io_uring_peek_cqe(&q->ring, &cqe) == 0) {
		struct drive_io *io = io_uring_cqe_get_data(cqe);
		int res = cqe->res;
		io_uring_cqe_seen(&q->ring, cqe);
		q->in_ring--;
		complete_locked(q, io, res);
	}
}

static bool ring_can(struct io_uring *ring)
{
	struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
	bool ok = probe && io_uring_opcode_supported(probe, IORING_OP_READ) &&
		  io_uring_opcode_supported(probe, IORING_OP_WRITE) && io_uring_opcode_supported(probe, IORING_OP_FSYNC);

	if (probe)
		io_uring_free_probe(probe);
	return ok;
}

static bool start_ring(struct drive_queue *q)
{
	if (io_uring_queue_init(q->depth, &q->ring, IORING_SETUP_CLAMP) < 0)
		return false;
	if (ring_can(&q->ring) && io_uring_register_eventfd(&q->ring, q->efd) == 0) {
		q->depth = MIN(q->depth, *q->ring.sq.kring_entries);
		return true;
	}
	io_uring_queue_exit(&q->ring);
	return false;
}

/* ---- Threads ---------------------------------------------------------------------------------------------------- */

static int run_io(struct drive_io *io)
{
	const struct drive_ops *ops = io->file->drive->ops;

	switch (io->op) {
	case DRIVE_IO_READ:
		return ops->pread(io->file, io->buf, io->len, io->off, io->flags);
	case DRIVE_IO_WRITE:
		return ops->pwrite(io->file, io->buf, io->len, io->off, io->flags);
	case DRIVE_IO_SYNC:
		return ops->sync(io->file);
	}
	return -EINVAL;
}

static void work_locked(struct worker *w, struct drive_io *io)
{
	struct drive_queue *q = w->q;

	w->since_ns = clock_mono_ns();
	if (q->finished)
		__atomic_store_n(&io->submit_ns, w->since_ns, __ATOMIC_RELAXED);
	mutex_unlock(&q->lock);
	int rc = run_io(io);
	mutex_lock(&q->lock);
	make_ready_locked(q, io, rc);
}

static void finished_locked(struct worker *w)
{
	struct drive_queue *q = w->q;

	w->since_ns = clock_mono_ns();
	mutex_unlock(&q->lock);
	q->finished(q->arg);
	mutex_lock(&q->lock);
}

/* Waking a thread costs more than a record does. So while one follows the other closely, the lane's looks for the next a
 * little before it sleeps; when that was in vain it sleeps at once, until they come closely again. */
static void rest_locked(struct worker *w)
{
	struct drive_queue *q = w->q;
	uint64_t since = q->finished ? clock_mono_ns() : 0, now = since;

	w->since_ns = 0;
	if (w->spins) {
		unsigned taken = __atomic_load_n(&q->submitted, __ATOMIC_RELAXED);
		mutex_unlock(&q->lock);
		while (__atomic_load_n(&q->submitted, __ATOMIC_RELAXED) == taken && now - since < SPIN_NS) {
			sched_yield();
			now = clock_mono_ns();
		}
		mutex_lock(&q->lock);
	}
	if (list_empty(&q->waiting) && !q->stop) {
		q->idle++;
		cond_wait(&q->work, &q->lock);
		q->idle--;
		now = q->finished ? clock_mono_ns() : 0;
	}
	w->spins = q->finished && now - since < 2 * SPIN_NS;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct drive_queue *q = w->q;
	bool did = false;

	mutex_lock(&q->lock);
	for (;;) {
		struct list *n = list_pop(&q->waiting);
		if (n) {
			work_locked(w, LIST_ENTRY(n, struct drive_io, node));
			did = true;
		} else if (did && q->finished) {
			did = false;
			finished_locked(w);
		} else if (q->stop) {
			break;
		} else {
			rest_locked(w);
		}
	}
	mutex_unlock(&q->lock);
	return NULL;
}

static void stop_threads(struct drive_queue *q)
{
	mutex_lock(&q->lock);
	q->stop = true;
	cond_broadcast(&q->work);
	mutex_unlock(&q->lock);
	for (unsigned i = 0; i < q->workers; i++)
		thread_join(q->worker[i].thread);
}

static bool start_worker(struct drive_queue *q)
{
	struct worker *w = &q->worker[q->workers];

	w->q = q;
	if (thread_start(&w->thread, q->finished ? "qn-plain-io" : "qn-drive-io", worker_main, w) < 0)
		return false;
	q->workers++;
	return true;
}

/* Fewer than wished will do. */
static bool start_threads(struct drive_queue *q)
{
	while (q->workers < MIN(q->depth, (unsigned)MAX_WORKERS) && start_worker(q))
		;
	return q->workers > 0;
}

void drive_queue_watch(struct drive_queue *q, uint64_t stuck_ns)
{
	uint64_t now = clock_mono_ns();
	MUTEX_GUARD(&q->lock);
	bool stuck = !list_empty(&q->waiting) && q->workers < MAX_LANE_WORKERS;

	for (unsigned i = 0; i < q->workers; i++)
		stuck &= q->worker[i].since_ns && now - q->worker[i].since_ns > stuck_ns;
	if (stuck)
		(void)!start_worker(q);
}

/* ---- Both ------------------------------------------------------------------------------------------------------- */

static struct drive_queue *queue_alloc(unsigned depth)
{
	struct drive_queue *q = calloc(1, sizeof *q);

	if (!q)
		return NULL;
	mutex_init(&q->lock, LOCK_QUEUE);
	cond_init(&q->work);
	list_init(&q->waiting);
	list_init(&q->ready);
	q->depth = MAX(depth, 1U);
	q->efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return q;
}

struct drive_queue *drive_queue_new(unsigned depth, bool force_threads)
{
	struct drive_queue *q = queue_alloc(depth);

	if (!q)
		return NULL;
	q->uring = q->efd >= 0 && !force_threads && start_ring(q);
	if (q->efd < 0 || (!q->uring && !start_threads(q)))
		return drive_queue_free(q);
	return q;
}

struct drive_queue *drive_queue_new_lane(void (*finished)(void *arg), void *arg)
{
	struct drive_queue *q = queue_alloc(1);

	if (!q)
		return NULL;
	q->finished = finished;
	q->arg = arg;
	return q->efd < 0 || !start_threads(q) ? drive_queue_free(q) : q;
}

struct drive_queue *drive_queue_free(struct drive_queue *q)
{
	if (!q)
		return NULL;
	while (drive_queue_inflight(q)) {
		drive_queue_flush(q);
		drive_queue_reap(q, NS_PER_S);
		if (q->finished)
			clock_sleep_ns(NS_PER_MS);
	}
	if (q->uring)
		io_uring_queue_exit(&q->ring);
	else
		stop_threads(q);
	if (q->efd >= 0)
		close(q->efd);
	cond_destroy(&q->work);
	mutex_destroy(&q->lock);
	free(q);
	return NULL;
}

int drive_queue_fd(struct drive_queue *q)
{
	return q->efd;
}

bool drive_queue_is_uring(const struct drive_queue *q)
{
	return q->uring;
}

void drive_queue_quiet(struct drive_queue *q)
{
	clear_fd(q);
}

unsigned drive_queue_inflight(const struct drive_queue *q)
{
	return __atomic_load_n(&q->inflight, __ATOMIC_ACQUIRE);
}

void drive_queue_flush(struct drive_queue *q)
{
	mutex_lock(&q->lock);
	if (q->uring)
		flush_ring_locked(q);
	bool wake = q->idle && !q->uring && !list_empty(&q->waiting);
	mutex_unlock(&q->lock);
	/* Not under the lock: who wakes needs it first of all. */
	if (wake && q->finished)
		cond_signal(&q->work);
	else if (wake)
		cond_broadcast(&q->work);
}

/* Moves what is finished to ret; true when the ring still holds entries that the kernel would not take. */
static bool collect(struct drive_queue *q, struct list *ret)
{
	bool stuck = false;

	if (!q->finished)
		clear_fd(q);
	mutex_lock(&q->lock);
	if (q->uring) {
		collect_ring_locked(q);
		flush_ring_locked(q);
		stuck = io_uring_sq_ready(&q->ring) > 0;
	}
	list_splice_tail(ret, &q->ready);
	mutex_unlock(&q->lock);
	return stuck;
}

static void wait_fd(struct drive_queue *q, uint64_t ns)
{
	struct pollfd p = {.fd = q->efd, .events = POLLIN};
	struct timespec ts = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};

	(void)ppoll(&p, 1, &ts, NULL);
}

static unsigned run_done(struct drive_queue *q, struct list *finished)
{
	struct list *n;
	unsigned count = 0;

	while ((n = list_pop(finished)) != NULL) {
		struct drive_io *io = LIST_ENTRY(n, struct drive_io, node);
		drive_account(io->file, io->op, io->result, io->len, io->submit_ns);
		count++;
		if (io->op != DRIVE_IO_READ)
			drive_change_end(io->file->drive);
		/* done may free or submit io: it is not ours any more. */
		io->done(io);
		__atomic_fetch_sub(&q->inflight, 1, __ATOMIC_RELEASE);
	}
	return count;
}

unsigned drive_queue_reap(struct drive_queue *q, uint64_t timeout_ns)
{
	struct list finished = LIST_INIT(finished);
	uint64_t now_ns = timeout_ns ? clock_mono_ns() : 0;
	uint64_t deadline_ns = now_ns + timeout_ns;

	for (;;) {
		bool stuck = collect(q, &finished);
		if (!list_empty(&finished) || now_ns >= deadline_ns || q->finished)
			break;
		wait_fd(q, stuck ? MIN(RETRY_NS, deadline_ns - now_ns) : deadline_ns - now_ns);
		now_ns = clock_mono_ns();
	}
	unsigned count = run_done(q, &finished);
	if (count)
		drive_queue_flush(q);
	return count;
}
