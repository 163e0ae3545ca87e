/* SPDX-License-Identifier: Apache-2.0
 *
 * The guard around reads of mapped pages and calls of LMDB. A page that cannot be read from the drive is a SIGBUS, so
 * is one behind the end of a truncated file. The handlers are installed when a copy is opened; a signal outside a
 * guarded call is passed on to whoever had it before.
 */
#include "meta/index_internal.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>

#include "base/err.h"

static _Thread_local sigjmp_buf *volatile guard;
static struct sigaction old_bus, old_segv;

static void on_signal(int sig, siginfo_t *info, void *context)
{
	sigjmp_buf *to = guard;
	const struct sigaction *old = sig == SIGBUS ? &old_bus : &old_segv;

	if (to) {
		guard = NULL;
		siglongjmp(*to, 1);
	}
	if (old->sa_flags & SA_SIGINFO)
		old->sa_sigaction(sig, info, context);
	else if (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN)
		old->sa_handler(sig);
	else
		sigaction(sig, &(struct sigaction){.sa_handler = SIG_DFL}, NULL); /* the instruction runs again and ends us */
}

static void install_one(int sig, struct sigaction *old)
{
	struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK}, now;

	sigemptyset(&sa.sa_mask);
	ASSERT(sigaction(sig, NULL, &now) == 0);
	if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_signal)
		return;
	*old = now;
	ASSERT(sigaction(sig, &sa, NULL) == 0);
}

void guard_install(void)
{
	static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;

	ASSERT(pthread_mutex_lock(&once) == 0);
	install_one(SIGBUS, &old_bus);
	install_one(SIGSEGV, &old_segv);
	ASSERT(pthread_mutex_unlock(&once) == 0);
}

void guard_assert(MDB_env *env, const char *msg)
{
	sigjmp_buf *to = guard;

	if (to) {
		guard = NULL;
		siglongjmp(*to, 1);
	}
}

int guard_call(guard_fn fn, void *arg)
{
	sigjmp_buf here;
	int rc;

	ASSERT(!guard);
	/* The mask is not saved, which would be a system call each time: the handlers do not change it (SA_NODEFER). */
	if (sigsetjmp(here, 0))
		return -QE_CORRUPT;
	guard = &here;
	rc = fn(arg);
	guard = NULL;
	return rc;
}
