/* SPDX-License-Identifier: Apache-2.0
 *
 * The store: its threads and shared parts, and the hooks that meta calls.
 */
#include "object/store.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "object/body.h"
#include "object/store_internal.h"

#define WORKERS_DEFAULT 4
#define BODY_MEMORY_DEFAULT (256ull << 20)
#define WRITEBACK_NS_DEFAULT (30ull * 1000000000ull)

static void params_fill(struct object_params *p)
{
	if (p->workers == 0)
		p->workers = WORKERS_DEFAULT;
	if (p->body_memory == 0)
		p->body_memory = BODY_MEMORY_DEFAULT;
	if (p->dirty_memory == 0)
		p->dirty_memory = BODY_MEMORY_DEFAULT;
	if (p->writeback_ns == 0)
		p->writeback_ns = WRITEBACK_NS_DEFAULT;
	if (p->file_mode == 0)
		p->file_mode = 0644;
	if (p->dir_mode == 0)
		p->dir_mode = 0755;
}

struct object_store *object_store_open(const struct object_params *p, struct op_ctx *ctx)
{
	struct object_store *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	s->p = *p;
	params_fill(&s->p);
	s->set = p->set;
	nslock_init(&s->names);
	store_holds_init(s);
	s->notifier = notifier_new(s);
	s->bodies = body_pool_new(s->set, s->p.body_memory);
	s->workers = workq_new("qn-object", s->p.workers);
	s->committer = workq_new("qn-commit", 1);
	s->background = workq_new("qn-object-bg", 1);
	if (!s->notifier || !s->bodies || !s->workers || !s->committer || !s->background) {
		op_fail(ctx, -ENOMEM, "no memory or threads for the object store");
		(void)!object_store_close(s); /* nothing was written */
		return NULL;
	}
	store_sweep_start(s);
	return s;
}

struct object_store *object_store_close(struct object_store *s)
{
	if (!s)
		return NULL;
	atomic_store(&s->closing, true);
	s->workers = workq_free(s->workers);
	s->background = workq_free(s->background);
	s->committer = workq_free(s->committer);
	s->bodies = body_pool_free(s->bodies, s->p.drive_timeout_ns);
	if (s->bodies)
		return s;
	s->notifier = notifier_free(s->notifier);
	store_holds_done(s);
	free(s->orphans.id);
	nslock_done(&s->names);
	free(s);
	return NULL;
}

bool store_closing(struct object_store *s)
{
	return atomic_load(&s->closing);
}

struct meta_set *object_store_set(struct object_store *s)
{
	return s->set;
}

struct workq *object_store_workers(struct object_store *s)
{
	return s->workers;
}

void object_background(struct object_store *s, uint64_t *ret_done, uint64_t *ret_begun)
{
	/* In this order: never more done than begun. */
	*ret_done = atomic_load(&s->jobs_done);
	*ret_begun = atomic_load(&s->jobs_begun);
}

void object_store_applied(void *arg, struct meta_batch *b)
{
	struct object_commit *c = meta_batch_user(b);

	if (c)
		commit_applied(c, b);
}

/* Mounts forget what they know when the state changed without a batch to tell. What could not be removed while the set was
 * read-only is looked for again. */
void object_store_reset(void *arg)
{
	struct object_store *s = *(struct object_store **)arg;

	if (!s)
		return;
	notifier_reset(s->notifier);
	if (!store_closing(s))
		store_sweep_start(s);
}
