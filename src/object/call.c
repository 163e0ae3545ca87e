/* SPDX-License-Identifier: Apache-2.0
 *
 * A call of the S3 face that changes state: a commit in memory of its own, answered by (done, arg) or waited for.
 */
#include "object/store_internal.h"

void *object_call_new(struct object_store *s, size_t size, commit_attempt_fn attempt,
                      void (*finish)(struct object_call *k, int rc), object_done_fn done, void *arg)
{
	struct object_call *k = calloc(1, size);

	if (!k)
		return NULL;
	commit_init(&k->commit, s, META_DURABLE, OP_S3, attempt);
	k->finish = finish;
	k->done = done;
	k->arg = arg;
	return k;
}

void object_call_end(struct object_call *k, int rc)
{
	object_done_fn done = k->done;
	void *arg = k->arg;

	if (k->finish)
		k->finish(k, rc);
	commit_fini(&k->commit);
	free(k);
	if (done)
		done(arg, rc);
}

static void call_done(struct object_commit *c, int rc)
{
	object_call_end(CONTAINER_OF(c, struct object_call, commit), rc);
}

int object_call_run(struct object_call *k)
{
	int rc;

	if (k->done) {
		k->commit.done = call_done;
		commit_start(&k->commit);
		return 0;
	}
	rc = commit_run(&k->commit);
	object_call_end(k, rc);
	return rc;
}
