/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of the daemon: up, wait for signals, down.
 */
#include "daemon/daemon.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "conf/conf.h"
#include "daemon/leftover.h"
#include "daemon/notify.h"
#include "daemon/wire.h"
#include "fusefs/fusefs.h"

static void block_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, set, NULL);
	sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
}

static void log_keys(const char *what, const char **keys, size_t n)
{
	for (size_t i = 0; i < n; i++)
		log_info("daemon", "%s key=%s", what, keys[i]);
}

/* The log level is the only key that a reload applies (conf/schema.c); no layer has one. */
static void reload(struct conf **c)
{
	struct conf *fresh;
	struct conf_changes changes;
	struct conf_error err;
	char state[64];

	snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)(clock_mono_ns() / 1000));
	daemon_notify(state);
	int rc = conf_reload(*c, &fresh, &changes, &err);
	if (rc < 0) {
		log_error("daemon", "reload refused, the old configuration stays: %s", err.text);
		daemon_notify("READY=1");
		return;
	}
	log_keys("reloaded", changes.applied, changes.n_applied);
	log_keys("changed, takes effect at the next start", changes.restart, changes.n_restart);
	log_set_level((enum log_level)fresh->log_level);
	conf_changes_free(&changes);
	conf_free(*c);
	*c = fresh;
	log_info("daemon", "configuration reloaded");
	daemon_notify("READY=1");
}

/* Returns after SIGTERM or SIGINT. */
static void serve(struct conf **c, const sigset_t *signals)
{
	for (;;) {
		int sig;

		if (sigwait(signals, &sig) != 0)
			continue;
		if (sig != SIGHUP) {
			log_info("daemon", "stopping signal=%s", sig == SIGINT ? "INT" : "TERM");
			return;
		}
		reload(c);
	}
}

int daemon_run(struct conf *c)
{
	struct wire *w = NULL;
	sigset_t signals;

	log_set_level((enum log_level)c->log_level);
	block_signals(&signals);
	for (size_t i = 0; i < c->warnings.n; i++)
		log_warn("conf", "%s", c->warnings.v[i]);
	/* While there is one thread. */
	struct fusefs_guard *guard = *c->mount_path ? fusefs_guard_start() : NULL;
	if (*c->mount_path && !guard)
		log_warn("daemon", "no guard for the mount: if the daemon is killed, it may hang until: umount -f %s", c->mount_path);
	leftover_release(c);
	int rc = wire_up(c, guard, &w);
	if (rc == 0) {
		daemon_notify("READY=1");
		serve(&c, &signals);
		daemon_notify("STOPPING=1");
	}
	w = wire_down(w);
	conf_free(c);
	guard = fusefs_guard_stop(guard);
	if (w) {
		/* No destructors: threads that sit in the kernel may wake up beside them. */
		log_warn("daemon", "stopped, without waiting for drives that do not answer");
		_exit(rc == 0 ? WIRE_EXIT_LEFT : 1);
	}
	if (rc == 0)
		log_info("daemon", "stopped");
	return rc == 0 ? 0 : 1;
}
