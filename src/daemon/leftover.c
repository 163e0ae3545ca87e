/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/leftover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bounded.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "drive/identity.h"
#include "fusefs/fusefs.h"

#define END_WAIT_NS (10 * NS_PER_S)

/* Looking at a drive may hang with its disk. */
struct look {
	struct bounded b;
	uint64_t deadline_ns;
	unsigned n;
	char *paths[]; /* of drives */
};

static struct look *look_of(struct bounded *b)
{
	return CONTAINER_OF(b, struct look, b);
}

static void look_end(struct bounded *b)
{
	struct look *l = look_of(b);

	for (unsigned i = 0; i < l->n; i++)
		free(l->paths[i]);
	free(l);
}

static bool look_wanted(struct bounded *b)
{
	return clock_mono_ns() < look_of(b)->deadline_ns;
}

/* Its first thread has ended, as all threads of a killed process do, but for those that the kernel keeps. */
static bool is_dead(pid_t pid)
{
	char path[64], text[512];
	FILE *f;
	size_t n;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	n = fread(text, 1, sizeof text - 1, f);
	fclose(f);
	text[n] = '\0';
	const char *state = strrchr(text, ')'); /* "4711 (name) Z ..."; the name may hold anything */
	return state && (strncmp(state, ") Z", 3) == 0 || strncmp(state, ") X", 3) == 0);
}

/* The process that is dead and has a drive all the same, or 0. */
static int look_run(struct bounded *b)
{
	struct look *l = look_of(b);

	for (unsigned i = 0; i < l->n; i++) {
		pid_t pid = identity_holder(l->paths[i]);
		if (pid && is_dead(pid))
			return (int)pid;
	}
	return 0;
}

static pid_t dead_holder(const struct conf *c)
{
	struct look *l = calloc(1, sizeof *l + c->drives.n * sizeof l->paths[0]);

	if (!l)
		return 0;
	l->b = (struct bounded){.run = look_run, .end = look_end, .wanted = look_wanted};
	l->deadline_ns = clock_mono_ns() + c->drive_timeout_ns;
	for (size_t i = 0; i < c->drives.n; i++) {
		l->paths[i] = strdup(c->drives.v[i]);
		if (!l->paths[i])
			break;
		l->n++;
	}
	if (!bounded_run(&l->b))
		return 0;
	pid_t pid = l->b.rc;
	bounded_end(&l->b);
	return pid;
}

void leftover_release(const struct conf *c)
{
	uint64_t deadline;
	pid_t pid;
	int rc;

	if (!*c->mount_path || !fusefs_is_at(c->mount_path))
		return;
	pid = dead_holder(c);
	if (!pid)
		return;
	log_warn("daemon", "a killed process cannot end, as its mount waits for it: aborting the mount pid=%d path=%s", (int)pid,
		 c->mount_path);
	rc = fusefs_release(c->mount_path);
	if (rc < 0) {
		log_error("daemon", "cannot abort the mount path=%s cause=\"%s\" cure=\"umount -f %s\"", c->mount_path, err_text(rc),
			  c->mount_path);
		return;
	}
	deadline = clock_mono_ns() + END_WAIT_NS;
	while (dead_holder(c) == pid && clock_mono_ns() < deadline)
		clock_sleep_ns(10 * NS_PER_MS);
}
