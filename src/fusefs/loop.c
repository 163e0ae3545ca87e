/* SPDX-License-Identifier: Apache-2.0
 *
 * The worker threads of a mount. `keep` threads stay; whenever a request is taken and no thread is left to receive the
 * next one, another is started, up to `max`: requests that block (fsync, reads from drives) never hold up the others.
 */
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "fusefs/fusefs_internal.h"

struct worker {
	struct list node;
	struct fusefs *m;
	pthread_t thread;
};

struct thread_state {
	struct op_ctx ctx;
	void *buffer;
	size_t buffer_len;
};
static __thread struct thread_state *state;

struct op_ctx *loop_ctx(fuse_req_t req)
{
	const struct fuse_ctx *c = fuse_req_ctx(req);
	struct op_ctx *ctx = &state->ctx;

	arena_reset(&ctx->arena);
	ctx->request_id++;
	ctx->uid = c->uid;
	ctx->gid = c->gid;
	ctx->umask = c->umask;
	ctx->detail[0] = '\0';
	return ctx;
}

void *loop_buffer(size_t len)
{
	if (state->buffer_len < len) {
		void *p;

		if (posix_memalign(&p, 4096, len))
			return NULL;
		free(state->buffer);
		state->buffer = p;
		state->buffer_len = len;
	}
	return state->buffer;
}

static void *worker_main(void *arg);

/* With m->lock held. Threads on the ended list have given the lock up for the last time: joining does not wait. */
static void reap(struct fusefs *m)
{
	struct list *l;

	while ((l = list_pop(&m->ended))) {
		struct worker *w = LIST_ENTRY(l, struct worker, node);

		thread_join(w->thread);
		free(w);
	}
}

/* With m->lock held. */
static int worker_add(struct fusefs *m)
{
	struct worker *w;
	int rc;

	reap(m);
	w = calloc(1, sizeof *w);
	if (!w)
		return -ENOMEM;
	w->m = m;
	list_add_tail(&m->workers, &w->node);
	m->threads++;
	atomic_fetch_add(&m->idle, 1);
	rc = thread_start(&w->thread, "qn-fuse", worker_main, w);
	if (rc < 0) {
		atomic_fetch_sub(&m->idle, 1);
		m->threads--;
		list_del(&w->node);
		free(w);
	}
	return rc;
}

static void maybe_add(struct fusefs *m, const struct fuse_buf *buf)
{
	const struct fuse_in_header *in = buf->mem;

	if (!(buf->flags & FUSE_BUF_IS_FD) && (in->opcode == FUSE_FORGET || in->opcode == FUSE_BATCH_FORGET))
		return; /* never blocks */
	MUTEX_GUARD(&m->lock);
	if (atomic_load(&m->idle) == 0 && m->threads < m->max && !m->stopping && worker_add(m) < 0)
		log_warn("fuse", "no memory for another thread");
}

/* More threads than `keep` wait for requests: this one ends. Those that only waited once are kept up to twice as many. */
static bool surplus(struct fusefs *m)
{
	return atomic_load(&m->idle) > 2 * m->keep + 2;
}

static void worker_end(struct worker *w)
{
	struct fusefs *m = w->m;
	bool last;

	mutex_lock(&m->lock);
	list_del(&w->node);
	list_add_tail(&m->ended, &w->node);
	last = --m->threads == 0 && !m->stopping;
	cond_broadcast(&m->changed);
	if (last && m->on_end)
		m->on_end(m->arg);
	mutex_unlock(&m->lock);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct fusefs *m = w->m;
	struct fuse_buf buf = {0};
	struct thread_state ts = {0};
	int n;

	state = &ts;
	op_ctx_init(&ts.ctx, OP_FUSE);
	while (!fuse_session_exited(m->se)) {
		n = fuse_session_receive_buf(m->se, &buf);
		if (n == -EINTR || n == -EAGAIN || n == -ENOENT)
			continue;
		if (n <= 0)
			break;
		if (atomic_fetch_sub(&m->idle, 1) == 1)
			maybe_add(m, &buf);
		atomic_fetch_add_explicit(&m->requests, 1, memory_order_relaxed);
		fuse_session_process_buf(m->se, &buf);
		atomic_fetch_add(&m->idle, 1);
		if (surplus(m))
			break;
	}
	atomic_fetch_sub(&m->idle, 1);
	free(buf.mem);
	free(ts.buffer);
	op_ctx_done(&ts.ctx);
	worker_end(w);
	return NULL;
}

int loop_start(struct fusefs *m)
{
	int rc = 0;

	MUTEX_GUARD(&m->lock);
	for (unsigned i = 0; i < m->keep && rc == 0; i++)
		rc = worker_add(m);
	return m->threads ? 0 : rc;
}

bool loop_ended(struct fusefs *m, uint64_t wait_ns)
{
	uint64_t deadline = clock_mono_ns() + wait_ns;

	MUTEX_GUARD(&m->lock);
	while (m->threads && cond_wait_until(&m->changed, &m->lock, deadline))
		;
	return m->threads == 0;
}

void loop_join(struct fusefs *m)
{
	MUTEX_GUARD(&m->lock);
	while (m->threads)
		cond_wait(&m->changed, &m->lock);
	reap(m);
}
