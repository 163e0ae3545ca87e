/* SPDX-License-Identifier: Apache-2.0 */
#include "service/monitor.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "service/monitor_internal.h"

#define REPEAT_NS (600 * NS_PER_S)  /* errors that go on are told so often */
#define SLOW_NS (50 * NS_PER_MS)    /* a drive that is faster is never called slow */
#define SLOW_TIMES 5                /* slower than its peers */
#define SLOW_LOOKS 5                /* in a row */

struct monitor {
	struct meta_set *set;
	struct mutex lock; /* LOCK_QUEUE: memory */
	struct monitor_memory memory[SUPER_MAX_SLOTS];
};

/* ---- Judging ------------------------------------------------------------------------------------------------------ */
/* The average of the operations since the last look, an eighth of it into what is told. */
static void smooth(uint64_t *told, uint64_t ops, uint64_t ns)
{
	if (!ops)
		return;
	*told = *told ? (*told * 7 + ns / ops) / 8 : ns / ops;
}

static void take_latency(struct monitor_drive *d, const struct drive_stats *a, const struct drive_stats *b)
{
	smooth(&d->read_ns, b->reads - a->reads, b->read_ns - a->read_ns);
	smooth(&d->write_ns, b->writes - a->writes, b->write_ns - a->write_ns);
	smooth(&d->sync_ns, b->syncs - a->syncs, b->sync_ns - a->sync_ns);
}

static uint64_t write_cost(const struct monitor_drive *d)
{
	return d->write_ns + d->sync_ns;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

uint64_t monitor_peers(const struct monitor_memory *m, unsigned n, unsigned slot)
{
	uint64_t cost[SUPER_MAX_SLOTS];
	unsigned k = 0;

	for (unsigned i = 0; i < n; i++)
		if (i != slot && m[i].seen && m[i].last.present && m[i].last.state == ISR_IN && write_cost(&m[i].told))
			cost[k++] = write_cost(&m[i].told);
	qsort(cost, k, sizeof cost[0], by_value);
	return k ? cost[k / 2] : 0;
}

static unsigned judge_speed(struct monitor_memory *m, uint64_t peers_ns)
{
	uint64_t cost = write_cost(&m->told);
	bool far = peers_ns && cost > SLOW_NS && cost > SLOW_TIMES * peers_ns;
	bool near = !peers_ns || cost < SLOW_NS / 2 || cost < SLOW_TIMES * peers_ns / 2;

	m->slow_looks = far ? m->slow_looks + 1 : 0;
	if (!m->told.slow && m->slow_looks >= SLOW_LOOKS) {
		m->told.slow = true;
		return MONITOR_SLOW;
	}
	if (!m->told.slow || !near)
		return 0;
	m->told.slow = false;
	return MONITOR_FAST;
}

static unsigned judge_errors(struct monitor_memory *m, uint64_t errors, uint64_t mono_ns)
{
	if (errors <= m->errors_told || (m->errors_told_ns && mono_ns - m->errors_told_ns < REPEAT_NS))
		return 0;
	m->errors_told = errors;
	m->errors_told_ns = mono_ns;
	return MONITOR_ERRORS;
}

unsigned monitor_judge(struct monitor_memory *m, const struct monitor_sample *now, uint64_t peers_ns, uint64_t mono_ns,
		       uint64_t wall_ns)
{
	/* That of a slot that is out may be open or not, from one look of the keeper to the next. */
	bool vanished = now->state == ISR_IN && now->present != m->last.present;
	bool changed = !m->seen || vanished || now->state != m->last.state;
	/* Counters that fell are those of another drive in this slot. */
	bool same = m->seen && now->present && m->last.present && now->st.reads >= m->last.st.reads &&
		    now->st.writes >= m->last.st.writes && now->st.errors >= m->last.st.errors;
	unsigned events = changed ? MONITOR_STATE : 0;

	if (changed)
		m->told = (struct monitor_drive){.since_ns = wall_ns};
	if (!same) {
		m->errors_told = m->errors_told_ns = 0;
		m->slow_looks = 0;
	} else {
		take_latency(&m->told, &m->last.st, &now->st);
	}
	m->seen = true;
	m->last = *now;
	if (!now->present)
		return events;
	return events | judge_errors(m, now->st.errors, mono_ns) | judge_speed(m, peers_ns);
}

/* ---- Telling ------------------------------------------------------------------------------------------------------ */
static const char *state_text(const struct monitor_sample *now)
{
	static const char *const text[] = {"it is out of the set", "it is joining the set", "it is in sync"};

	return now->present ? text[now->state] : "it is absent";
}

/* What changes later is told by who changes it, with the reason. */
static void tell_start(struct meta_set *set, unsigned slot, const char *path, const struct monitor_sample *now)
{
	bool good = now->present && now->state == ISR_IN;
	char why[320];

	if (good)
		return; /* nothing to tell of a start where all is well */
	meta_slot_why(set, slot, why, sizeof why);
	if (!now->present)
		log_warn("drive", "%s slot=%u cause=\"%s\"", state_text(now), slot,
			 *why ? why : "no directory that can be used holds the drive of this slot");
	else
		log_warn("drive", "%s drive=%s slot=%u cause=\"%s\"", state_text(now), path, slot,
			 now->st.last_error_ns ? now->st.last_error : *why ? why : "it missed what was written while it was away");
}

static void tell(unsigned slot, const char *path, const struct monitor_sample *now, const struct monitor_drive *told,
		 unsigned events, uint64_t peers_ns)
{
	unsigned long long ms = write_cost(told) / NS_PER_MS, peers = peers_ns / NS_PER_MS;

	if (events & MONITOR_ERRORS)
		log_warn("drive", "I/O errors drive=%s slot=%u errors=%llu last=\"%s\"", path, slot,
			 (unsigned long long)now->st.errors, now->st.last_error);
	if (events & MONITOR_SLOW)
		log_warn("drive", "it is slow, and the set waits for it drive=%s slot=%u write_ms=%llu others_ms=%llu", path, slot,
			 ms, peers);
	if (events & MONITOR_FAST)
		log_info("drive", "it is no longer slow drive=%s slot=%u write_ms=%llu others_ms=%llu", path, slot, ms, peers);
}

static void look_at_slot(struct monitor *m, const struct meta_stats *st, unsigned slot)
{
	CLEANUP_DRIVE struct drive *d = meta_drive_of(m->set, slot);
	struct monitor_sample now = {.present = d != NULL, .state = st->state[slot]};
	struct monitor_memory *mem = &m->memory[slot];

	if (d)
		drive_stats(d, &now.st);
	mutex_lock(&m->lock);
	uint64_t peers = monitor_peers(m->memory, st->n, slot);
	bool first = !mem->seen;
	unsigned events = monitor_judge(mem, &now, peers, clock_mono_ns(), clock_wall_ns());
	struct monitor_drive told = mem->told;
	mutex_unlock(&m->lock);
	if (first)
		tell_start(m->set, slot, drive_path(d), &now);
	tell(slot, drive_path(d), &now, &told, events, peers);
}

int monitor_run(void *arg, struct service_run *r)
{
	struct monitor *m = arg;
	struct meta_stats st;

	meta_stats(m->set, &st);
	for (unsigned i = 0; i < st.n && !service_run_ends(r); i++)
		look_at_slot(m, &st, i);
	return 0;
}

/* ---- The object --------------------------------------------------------------------------------------------------- */
struct monitor *monitor_new(struct meta_set *set)
{
	struct monitor *m = calloc(1, sizeof *m);

	if (!m)
		return NULL;
	m->set = set;
	mutex_init(&m->lock, LOCK_QUEUE);
	return m;
}

struct monitor *monitor_free(struct monitor *m)
{
	if (!m)
		return NULL;
	mutex_destroy(&m->lock);
	free(m);
	return NULL;
}

void monitor_drive(struct monitor *m, unsigned slot, struct monitor_drive *ret)
{
	MUTEX_GUARD(&m->lock);
	*ret = m->memory[slot].told;
}
