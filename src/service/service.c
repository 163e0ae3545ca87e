/* SPDX-License-Identifier: Apache-2.0
 *
 * The scheduler of the table. Each row has threads of its own, so that one that runs for hours keeps no other waiting;
 * they sleep on one condition, which is signalled by what changes a row from outside.
 */
#include "service/service.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/thread.h"

#define BURST_NS (100 * NS_PER_MS)    /* of the budget, after idling */
#define NEVER UINT64_MAX

struct entry {
	struct services *s;
	struct service row;
	bool paused, poked, cut;      /* cut: the newest run was told to end by a pause */
	bool by_poke;                 /* the newest run */
	unsigned working;             /* threads of the run that have not returned */
	unsigned joining;             /* threads of the run that have not begun */
	int rc;                       /* of the run: the first error */
	int last_rc;                  /* of the run before */
	uint64_t due_ns;              /* mono; NEVER: not planned */
	uint64_t begun_ns, rested_ns; /* mono: start of the newest run; when the rest behind it is over */
	uint64_t paid_ns;             /* mono: the budget is spent up to here */
	struct service_info info;
};

struct services {
	struct mutex lock; /* LOCK_QUEUE */
	struct cond changed;
	bool stop;
	unsigned n, nthreads;
	struct entry entry[SERVICES_MAX];
	pthread_t *thread;
};

struct service_run {
	struct entry *e;
	unsigned thread;
};

/* ---- Runs (under the lock) ---------------------------------------------------------------------------------------- */
static uint64_t due_at(const struct entry *e)
{
	if (e->paused || e->working)
		return NEVER;
	return e->poked ? 0 : MAX(e->due_ns, e->rested_ns);
}

static void begin(struct entry *e, uint64_t now)
{
	e->by_poke = e->poked;
	e->poked = e->cut = false;
	e->working = e->joining = e->row.concurrency;
	e->rc = 0;
	e->begun_ns = e->paid_ns = now;
	e->due_ns = e->row.period_ns ? now + e->row.period_ns : NEVER;
	e->info.cycle++;
	e->info.started_ns = clock_wall_ns();
	e->info.done = e->info.total = 0;
}

static void end(struct entry *e)
{
	uint64_t now = clock_mono_ns();

	e->rested_ns = now + e->row.pause_ns;
	e->info.ended_ns = clock_wall_ns();
	e->info.took_ns = now - e->begun_ns;
	e->info.failures += e->rc < 0;
	/* Once, not every period. */
	if (e->rc < 0 && e->rc != e->last_rc)
		log_warn("service", "a run failed, the next one tries again service=%s error=\"%s\"", e->row.name, err_text(e->rc));
	else if (e->rc == 0 && e->last_rc < 0)
		log_info("service", "runs without an error again service=%s", e->row.name);
	e->last_rc = e->rc;
}

static void take_part(struct entry *e)
{
	struct service_run r = {.e = e, .thread = --e->joining};

	mutex_unlock(&e->s->lock);
	int rc = e->row.run(e->row.arg, &r);
	mutex_lock(&e->s->lock);
	if (rc < 0 && e->rc == 0)
		e->rc = rc;
	if (--e->working == 0)
		end(e);
	cond_broadcast(&e->s->changed);
}

static void *service_main(void *arg)
{
	struct entry *e = arg;
	struct services *s = e->s;
	uint64_t seen = 0;

	mutex_lock(&s->lock);
	while (!s->stop) {
		uint64_t now = clock_mono_ns(), due = due_at(e);
		if (due <= now) {
			begin(e, now);
			cond_broadcast(&s->changed);
		}
		if (seen < e->info.cycle) {
			seen = e->info.cycle;
			take_part(e);
		} else if (due == NEVER) {
			cond_wait(&s->changed, &s->lock);
		} else {
			(void)cond_wait_until(&s->changed, &s->lock, due);
		}
	}
	mutex_unlock(&s->lock);
	return NULL;
}

/* ---- Start and stop ----------------------------------------------------------------------------------------------- */
static void entry_init(struct services *s, const struct service *row)
{
	struct entry *e = &s->entry[s->n++];

	e->s = s;
	e->row = *row;
	e->row.concurrency = MAX(row->concurrency, 1u);
	e->due_ns = row->period_ns ? clock_mono_ns() + row->first_ns : NEVER;
	e->info = (struct service_info){
		.name = row->name,
		.period_ns = row->period_ns,
		.budget = row->budget,
		.concurrency = row->run ? e->row.concurrency : 0,
	};
}

static int start_threads(struct services *s, struct entry *e)
{
	char name[16];

	snprintf(name, sizeof name, "qn-%s", e->row.name);
	for (unsigned i = 0; e->row.run && i < e->row.concurrency; i++) {
		pthread_t *more = reallocarray(s->thread, s->nthreads + 1, sizeof *more);

		if (!more)
			return -ENOMEM;
		s->thread = more;
		int rc = thread_start(&s->thread[s->nthreads], name, service_main, e);
		if (rc < 0)
			return rc;
		s->nthreads++;
	}
	return 0;
}

int services_start(const struct service *rows, unsigned n, struct services **ret)
{
	struct services *s = calloc(1, sizeof *s);
	int rc = 0;

	if (!s)
		return -ENOMEM;
	ASSERT(n <= SERVICES_MAX);
	mutex_init(&s->lock, LOCK_QUEUE);
	cond_init(&s->changed);
	for (unsigned i = 0; i < n; i++)
		entry_init(s, &rows[i]);
	for (unsigned i = 0; rc == 0 && i < n; i++)
		rc = start_threads(s, &s->entry[i]);
	if (rc < 0)
		services_stop(s);
	else
		*ret = s;
	return rc;
}

struct services *services_stop(struct services *s)
{
	if (!s)
		return NULL;
	mutex_lock(&s->lock);
	s->stop = true;
	cond_broadcast(&s->changed);
	mutex_unlock(&s->lock);
	for (unsigned i = 0; i < s->nthreads; i++)
		thread_join(s->thread[i]);
	cond_destroy(&s->changed);
	mutex_destroy(&s->lock);
	free(s->thread);
	free(s);
	return NULL;
}

/* ---- From outside ------------------------------------------------------------------------------------------------- */
static uint64_t planned_wall(const struct entry *e)
{
	uint64_t now = clock_mono_ns(), at = due_at(e);

	if (at == NEVER)
		return 0;
	return clock_wall_ns() + (at > now ? at - now : 0);
}

static void entry_info(const struct entry *e, struct service_info *ret)
{
	*ret = e->info;
	ret->state = e->working ? SERVICE_RUNNING : e->paused ? SERVICE_PAUSED : SERVICE_WAITING;
	ret->next_ns = planned_wall(e);
}

unsigned services_list(struct services *s, struct service_info *ret, unsigned max)
{
	unsigned n = MIN(s->n, max);

	mutex_lock(&s->lock);
	for (unsigned i = 0; i < n; i++)
		entry_info(&s->entry[i], &ret[i]);
	mutex_unlock(&s->lock);
	/* Without the lock: it asks another layer. */
	for (unsigned i = 0; i < n; i++)
		if (s->entry[i].row.watch)
			s->entry[i].row.watch(s->entry[i].row.arg, &ret[i]);
	return n;
}

/* -ENOENT; -EOPNOTSUPP: it works by itself. */
static int find(struct services *s, const char *name, struct entry **ret)
{
	for (unsigned i = 0; i < s->n; i++) {
		if (strcmp(s->entry[i].row.name, name) != 0)
			continue;
		*ret = &s->entry[i];
		return s->entry[i].row.run ? 0 : -EOPNOTSUPP;
	}
	return -ENOENT;
}

int services_poke(struct services *s, const char *name)
{
	struct entry *e;
	int rc = find(s, name, &e);

	if (rc < 0)
		return rc;
	MUTEX_GUARD(&s->lock);
	e->poked = true;
	cond_broadcast(&s->changed);
	return 0;
}

int services_pause(struct services *s, const char *name, bool paused)
{
	struct entry *e;
	int rc = find(s, name, &e);

	if (rc < 0)
		return rc;
	MUTEX_GUARD(&s->lock);
	e->paused = paused;
	if (paused)
		e->cut |= e->working > 0;
	else
		e->poked |= e->cut;
	cond_broadcast(&s->changed);
	return 0;
}

/* ---- For run() ---------------------------------------------------------------------------------------------------- */
unsigned service_run_thread(const struct service_run *r)
{
	return r->thread;
}

bool service_run_poked(const struct service_run *r)
{
	MUTEX_GUARD(&r->e->s->lock);
	return r->e->by_poke;
}

bool service_run_ends(const struct service_run *r)
{
	MUTEX_GUARD(&r->e->s->lock);
	return r->e->s->stop || r->e->paused;
}

bool service_run_spend(struct service_run *r, uint64_t n)
{
	struct entry *e = r->e;
	struct services *s = e->s;
	MUTEX_GUARD(&s->lock);
	uint64_t now = clock_mono_ns(), until = now;

	if (e->row.budget) {
		e->paid_ns = MAX(e->paid_ns, now > BURST_NS ? now - BURST_NS : 0);
		until = e->paid_ns;
		e->paid_ns += (uint64_t)((double)n * 1e9 / (double)e->row.budget);
	}
	while (!s->stop && !e->paused && clock_mono_ns() < until)
		(void)cond_wait_until(&s->changed, &s->lock, until);
	return !s->stop && !e->paused;
}

void service_run_progress(struct service_run *r, uint64_t done, uint64_t total)
{
	MUTEX_GUARD(&r->e->s->lock);
	r->e->info.done = done;
	r->e->info.total = total;
}

void service_run_note(struct service_run *r, const char *fmt, ...)
{
	MUTEX_GUARD(&r->e->s->lock);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->e->info.note, sizeof r->e->info.note, fmt, ap);
	va_end(ap);
}
