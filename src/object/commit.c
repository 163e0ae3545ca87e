/* SPDX-License-Identifier: Apache-2.0
 *
 * The one loop behind every change.
 */
#include "object/commit.h"

#include <stdlib.h>

#include "object/store_internal.h"

#define GATE_KEY 0

static void lock_granted(struct nslock_req *r);
static void commit_step(struct object_commit *c);
static void commit_finish(struct object_commit *c, int rc);

void commit_init(struct object_commit *c, struct object_store *s, enum meta_promise promise, enum op_origin origin,
                 commit_attempt_fn attempt)
{
	memset(c, 0, sizeof *c);
	c->store = s;
	c->promise = promise;
	c->origin = origin;
	c->attempt = attempt;
	list_init(&c->changes);
	c->nlocks = 1;
	c->lock[0].key = GATE_KEY;
	c->lock[0].granted = lock_granted;
	c->lock[0].arg = c;
	mutex_init(&c->wait_lock, LOCK_QUEUE);
	cond_init(&c->wait_cond);
}

void commit_lock_name(struct object_commit *c, uint64_t dir, struct str name)
{
	uint64_t key = hash_u64(dir) ^ hash_bytes(name.p, name.len);
	unsigned at = c->nlocks;

	if (key == GATE_KEY)
		key = 1;
	for (unsigned i = 1; i < c->nlocks; i++) {
		if (c->lock[i].key == key)
			return;
		if (c->lock[i].key > key && at > i)
			at = i;
	}
	ASSERT(c->nlocks < COMMIT_LOCKS);
	/* In key order, so that two commits with the same two names cannot wait for each other. */
	memmove(&c->lock[at + 1], &c->lock[at], (c->nlocks - at) * sizeof c->lock[0]);
	c->nlocks++;
	c->lock[at] = (struct nslock_req){.key = key, .exclusive = true, .granted = lock_granted, .arg = c};
}

static void unlock_names(struct object_commit *c)
{
	while (c->have_locks > 0)
		nslock_release(&c->store->names, &c->lock[--c->have_locks]);
}

static void step_work(struct work *w)
{
	commit_step(CONTAINER_OF(w, struct object_commit, work));
}

static void go_to_committer(struct object_commit *c)
{
	c->on_worker = true;
	c->work.run = step_work;
	workq_push(c->store->committer, &c->work);
}

static void lock_granted(struct nslock_req *r)
{
	struct object_commit *c = r->arg;

	c->have_locks++;
	if (!c->blocking) {
		go_to_committer(c);
		return;
	}
	mutex_lock(&c->wait_lock);
	c->granted = true;
	cond_signal(&c->wait_cond);
	mutex_unlock(&c->wait_lock);
}

/* False: not yet; lock_granted goes on, and c may be gone already. */
static bool take_locks(struct object_commit *c)
{
	while (c->have_locks < c->nlocks) {
		bool blocking = c->blocking;

		c->granted = false;
		if (nslock_acquire(&c->store->names, &c->lock[c->have_locks])) {
			c->have_locks++;
			continue;
		}
		if (!blocking)
			return false;
		mutex_lock(&c->wait_lock);
		while (!c->granted)
			cond_wait(&c->wait_cond, &c->wait_lock);
		mutex_unlock(&c->wait_lock);
	}
	return true;
}

static int attempt_once(struct object_commit *c)
{
	struct meta_set *set = c->store->set;
	struct meta_view *v;
	int rc;

	arena_reset(&c->arena);
	notifier_changes_free(&c->changes);
	store_drops_end(c);
	c->parts.n = 0;
	rc = meta_view_open(set, &v);
	if (rc < 0)
		return rc;
	if (!c->batch)
		c->batch = meta_batch_new(set, c->promise, c->origin);
	else
		meta_batch_reset(c->batch);
	if (c->batch) {
		meta_batch_view(c->batch, v);
		rc = c->attempt(c, v, c->batch);
	} else {
		rc = -ENOMEM;
	}
	c->seq = meta_view_consulted(v);
	meta_view_close(v);
	if (rc == 0)
		meta_batch_set_user(c->batch, c);
	return rc;
}

/* A rejected batch: true, try again. The fourth attempt goes alone. */
static bool may_retry(struct object_commit *c)
{
	if (++c->tries >= COMMIT_TRIES_MAX)
		return false;
	if (c->tries == COMMIT_TRIES_SHARED) {
		unlock_names(c);
		c->lock[0].exclusive = true;
	}
	return true;
}

static void submitted(void *arg, struct meta_batch *b, int rc)
{
	struct object_commit *c = arg;

	if (rc == -QE_CONFLICT && may_retry(c)) {
		go_to_committer(c);
		return;
	}
	if (rc == 0) {
		c->seq = meta_batch_seq(b);
		c->time_ns = meta_batch_time(b);
	}
	commit_finish(c, rc);
}

static void commit_step(struct object_commit *c)
{
	struct meta_set *set = c->store->set;
	bool on_worker = c->on_worker;
	int rc;

	if (!take_locks(c))
		return;
	rc = attempt_once(c);
	if (rc != 0) {
		commit_finish(c, rc == COMMIT_NOTHING ? 0 : rc);
		return;
	}
	meta_submit(c->batch, submitted, c);
	/* c may be gone. No event loop passes here after a worker: nobody else would move the batch. */
	if (on_worker)
		meta_drive(set);
}

/* Nothing was decided from state that could be taken back. */
static bool outcome_reveals_nothing(int rc)
{
	return rc == -QE_QUORUM_WRITE || rc == -QE_UNKNOWN_OUTCOME || rc == -QE_FULL || rc == -QE_CONFLICT || rc == -ENOMEM;
}

static bool reveals_only_itself(const struct object_commit *c, int rc)
{
	return rc == 0 && c->applied && !c->reveals;
}

static void release_all(struct object_commit *c)
{
	unlock_names(c);
	store_drops_end(c);
	notifier_changes_free(&c->changes);
}

static void waited(struct object_waiter *w, int rc)
{
	struct object_commit *c = CONTAINER_OF(w, struct object_commit, waiter);

	c->done(c, rc < 0 ? rc : c->rc);
}

static void commit_finish(struct object_commit *c, int rc)
{
	release_all(c);
	c->rc = rc;
	c->waiter.own = reveals_only_itself(c, rc);
	c->waiter.done = waited;
	if (c->origin != OP_S3 || outcome_reveals_nothing(rc) || object_wait(c->store, c->seq, &c->waiter))
		c->done(c, rc);
}

void commit_start(struct object_commit *c)
{
	c->blocking = false;
	commit_step(c);
}

void commit_start_later(struct object_commit *c)
{
	c->blocking = false;
	go_to_committer(c);
}

int commit_run(struct object_commit *c)
{
	int rc;

	c->blocking = true;
	do {
		if (!take_locks(c))
			return -QE_INTERNAL;
		rc = attempt_once(c);
		if (rc != 0)
			break;
		rc = meta_commit(c->batch);
		if (rc == 0) {
			c->seq = meta_batch_seq(c->batch);
			c->time_ns = meta_batch_time(c->batch);
		}
	} while (rc == -QE_CONFLICT && may_retry(c));
	release_all(c);
	if (rc == COMMIT_NOTHING)
		rc = 0;
	if (c->origin == OP_S3 && !outcome_reveals_nothing(rc)) {
		int wrc = object_wait_blocking(c->store, c->seq, reveals_only_itself(c, rc));

		if (wrc < 0)
			return wrc;
	}
	return rc;
}

void commit_fini(struct object_commit *c)
{
	ASSERT(c->have_locks == 0);
	meta_batch_free(c->batch);
	c->batch = NULL;
	notifier_changes_free(&c->changes);
	arena_free(&c->arena);
	free(c->drops.id);
	free(c->holds.id);
	free(c->parts.id);
	c->drops = c->holds = c->parts = (struct store_ids){NULL, 0, 0};
	cond_destroy(&c->wait_cond);
	mutex_destroy(&c->wait_lock);
}

/* Order of STORAGE.md section 2: visible already; locks go, the names are handed to the notifier. The FUSE waiters are
 * answered by meta when this returns. */
void commit_applied(struct object_commit *c, struct meta_batch *b)
{
	c->applied = true;
	while (c->parts.n > 0)
		store_parts_reap(c->store, c->parts.id[--c->parts.n]);
	if (!list_empty(&c->changes))
		notifier_apply(c->store->notifier, meta_batch_seq(b), &c->changes);
	release_all(c);
}

void commit_reap_parts(struct object_commit *c, uint64_t upload)
{
	store_ids_must_add(&c->parts, upload);
}

static struct notify_change *note(struct object_commit *c, enum notify_kind kind, struct str name)
{
	struct notify_change *ch = calloc(1, sizeof *ch + name.len + 1);

	ASSERT(ch != NULL);
	ch->kind = kind;
	ch->mount = c->mount;
	ch->name_len = name.len;
	if (name.len > 0)
		memcpy(ch->name, name.p, name.len);
	list_add_tail(&c->changes, &ch->node);
	return ch;
}

struct notify_change *commit_notify_entry(struct object_commit *c, enum notify_kind kind, uint64_t parent,
                                          struct str name, uint64_t old_ino)
{
	struct notify_change *ch = note(c, kind, name);

	ch->parent = parent;
	ch->ino = old_ino;
	return ch;
}

struct notify_change *commit_notify_inode(struct object_commit *c, enum notify_kind kind, uint64_t ino, uint64_t off,
                                          uint64_t len)
{
	struct notify_change *ch = note(c, kind, (struct str){NULL, 0});

	ch->ino = ino;
	ch->off = off;
	ch->len = len;
	return ch;
}
