/* SPDX-License-Identifier: Apache-2.0
 *
 * See life.h.
 */
#include "life.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

#define MARK 1000 /* key of an event's own row */

enum event_kind { EV_ORDERED, EV_DURABLE, EV_INLINE, EV_LARGE, EV_DROP, EV_CHECKPOINT, EV_SYNC };

/* What event i does; every script position is the same in every run. */
static enum event_kind kind_of(unsigned i)
{
	static const enum event_kind script[] = {
		EV_ORDERED, EV_DURABLE, EV_INLINE, EV_ORDERED, EV_LARGE, EV_ORDERED, EV_INLINE, EV_DROP, EV_CHECKPOINT,
		EV_DURABLE, EV_INLINE, EV_INLINE, EV_ORDERED, EV_SYNC, EV_DROP,
	};
	return script[(i - 1) % (sizeof script / sizeof *script)];
}

static uint32_t len_of(unsigned i)
{
	return kind_of(i) == EV_LARGE ? 400000 + i * 1000 : 600 + i * 777 % 30000;
}

/* The last event before i that made a blob which none before i dropped; 0: none. */
static unsigned victim(unsigned i)
{
	unsigned stack[LIFE_EVENTS + 1], n = 0;

	for (unsigned j = 1; j < i; j++) {
		if (kind_of(j) == EV_INLINE || kind_of(j) == EV_LARGE)
			stack[n++] = j;
		else if (kind_of(j) == EV_DROP && n)
			n--;
	}
	return n ? stack[n - 1] : 0;
}

static int run_event(struct life *l, unsigned i)
{
	struct fixture *f = &l->f;

	switch (kind_of(i)) {
	case EV_ORDERED:
		return put(f, META_ORDERED, MARK + i, i);
	case EV_DURABLE:
		return put(f, META_DURABLE, MARK + i, i);
	case EV_INLINE:
		return put_blob(f, META_DURABLE, MARK + i, i, len_of(i));
	case EV_LARGE:
		return put_large(f, META_DURABLE, MARK + i, i, len_of(i));
	case EV_DROP:
		return victim(i) ? drop(f, MARK + victim(i)) : 0;
	case EV_CHECKPOINT:
		meta_tick(f->s);
		return meta_checkpoint(f->s);
	case EV_SYNC:
		return meta_sync(f->s);
	}
	return 0;
}

void life_run(struct life *l)
{
	for (unsigned i = 1; i <= LIFE_EVENTS; i++) {
		l->begun = i;
		if (run_event(l, i) < 0)
			return;
		l->done = i;
		if (kind_of(i) != EV_ORDERED)
			l->durable = i;
	}
	l->begun = LIFE_EVENTS + 1;
}

/* Does the state hold exactly the events 1..n? */
static bool is_prefix(struct life *l, unsigned n)
{
	for (unsigned i = 1; i <= LIFE_EVENTS; i++) {
		enum event_kind k = kind_of(i);
		bool blob = k == EV_INLINE || k == EV_LARGE, gone = false;
		if (k != EV_ORDERED && k != EV_DURABLE && !blob)
			continue;
		for (unsigned j = i + 1; j <= n && blob; j++)
			gone |= kind_of(j) == EV_DROP && victim(j) == i;
		uint64_t have = get(&l->f, MARK + i);
		if ((have != 0) != (i <= n && !gone))
			return false;
		if (have && blob && check_blob(&l->f, MARK + i, i, len_of(i)) != 1)
			return false;
	}
	return true;
}

/* Some prefix that holds all that was answered; EV_DROP, EV_SYNC, EV_CHECKPOINT may be invisible, so any n that fits. */
void life_expect(struct life *l, unsigned at_least, const char *what, uint64_t n)
{
	for (unsigned i = at_least; i <= l->begun && i <= LIFE_EVENTS; i++)
		if (is_prefix(l, i)) {
			expect_counters(&l->f);
			return;
		}
	if (at_least > LIFE_EVENTS || l->begun > LIFE_EVENTS) {
		if (is_prefix(l, LIFE_EVENTS))
			return;
	}
	fail_msg("%s at %llu: no prefix of %u..%u events", what, (unsigned long long)n, at_least, l->begun);
}

void life_reopen(struct fixture *f, const char *what, uint64_t n)
{
	int rc = fixture_open(f, ALL(f));

	if (rc < 0)
		fail_msg("%s at %llu: open: %s (%s)", what, (unsigned long long)n, err_text(rc), f->detail);
}

unsigned life_step(unsigned by_default)
{
	uint64_t v = by_default;

	(void)!str_to_u64(str_of(getenv("QUOIN_CRASH_STEP")), &v);
	return (unsigned)(v ? v : by_default);
}
