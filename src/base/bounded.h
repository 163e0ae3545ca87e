/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls that may never return, as those into the file system of a disk that hangs: each is made in another thread, and
 * whoever asked can give it up. It then goes on by itself and must find all that it needs in its struct: buffers, references.
 */
#ifndef QUOIN_BASE_BOUNDED_H
#define QUOIN_BASE_BOUNDED_H

#include <stdbool.h>

#include "base/lock.h"

struct bounded {                     /* embedded in what the call needs, on the heap */
	int (*run)(struct bounded *b);
	void (*end)(struct bounded *b);  /* frees it, with results that nobody took */
	bool (*wanted)(struct bounded *b); /* asked from time to time while it runs: false gives it up */
	int rc;                          /* of run */
	/* bounded_run's own */
	struct mutex lock;               /* LOCK_POOL */
	struct cond cond;
	bool returned, given_up;
};

/* Waits for b->run. True: it has returned, and the caller takes the results and ends it (bounded_end). False: it was given
 * up and is not the caller's any more. Where no thread can be had it is run here. */
bool bounded_run(struct bounded *b) WARN_UNUSED;
void bounded_end(struct bounded *b);

#endif
