/* SPDX-License-Identifier: Apache-2.0
 *
 * The guard of a mount: a process of its own, because what it does must be done when the daemon's threads no longer run.
 *
 * To invalidate a name takes the directory's lock in the kernel. Whoever has it may wait for an answer of ours. If we are
 * killed meanwhile, our notifier sits in the kernel and waits for that lock, so that the process does not end, so that its
 * connection is not closed, so that nobody answers whoever has the lock: the mount hangs, the drives stay locked, and the
 * service manager waits for a process that is dead. Only aborting the connection ends it (kernel documentation,
 * filesystems/fuse.rst, "Interrupting filesystem operations" and "Aborting a filesystem connection").
 *
 * The kernel tells the guard when the thread that forked it ends (PR_SET_PDEATHSIG, prctl(2)), whatever the others do. A
 * crash that dumps core ends no thread before all have stopped, which is too late: its signal handler tells the guard.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "fusefs/fusefs_internal.h"

#define GUARD_FD 3 /* the guard's end of the socket */
#define PARENT_ENDED SIGUSR1

struct fusefs_guard {
	pid_t pid;
	int socket; /* SOCK_SEQPACKET: one message each */
};

enum word { MOUNTED, UNMOUNTED, CRASHED };

/* With MOUNTED comes the descriptor that aborts the connection, if there is one. */
struct message {
	enum word word;
	char path[PATH_MAX], dev[32];
};

/* ---- The guard ------------------------------------------------------------------------------------------------------ */
struct watch {
	int control; /* -1: none */
	char path[PATH_MAX], dev[32]; /* "": not mounted */
};

static void forget(struct watch *w)
{
	fd_closep(&w->control);
	w->control = -1;
	w->path[0] = '\0';
}

static void let_go(struct watch *w)
{
	if (!w->path[0])
		return;
	log_warn("fuse", "the daemon was killed or crashed: who uses the mount gets errors until it is mounted again path=%s",
	         w->path);
	if ((w->control < 0 || write(w->control, "1", 1) < 0) && connection_force(w->path, w->dev) < 0)
		log_error("fuse", "cannot abort the connection of the mount; if it hangs: umount -f %s", w->path);
	forget(w);
}

static int receive(struct message *m, int *ret_fd)
{
	struct iovec iov = {m, sizeof *m};
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
	ssize_t n;

	do
		n = recvmsg(GUARD_FD, &h, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	*ret_fd = -1;
	if (n <= 0)
		return -1;
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(ret_fd, CMSG_DATA(c), sizeof *ret_fd);
	return 0;
}

/* False: the daemon has ended, and its connection with it. */
static bool hear(struct watch *w)
{
	struct message m = {0};
	int fd;

	if (receive(&m, &fd) < 0)
		return false;
	if (m.word == CRASHED) {
		let_go(w);
		return true;
	}
	forget(w);
	w->control = fd;
	if (m.word == MOUNTED) {
		memcpy(w->path, m.path, sizeof w->path);
		memcpy(w->dev, m.dev, sizeof w->dev);
	}
	return true;
}

static _Noreturn void stand_guard(int socket, pid_t parent)
{
	struct watch w = {.control = -1};
	struct pollfd p[2] = {{.fd = GUARD_FD, .events = POLLIN}, {.events = POLLIN}};
	sigset_t set;

	/* What is held here would be held on when the daemon has ended. */
	if (dup2(socket, GUARD_FD) < 0 || close_range(GUARD_FD + 1, ~0u, 0) < 0)
		_exit(1);
	prctl(PR_SET_NAME, "quoin-guard");
	/* It ends with the daemon, not with what tells the daemon to. */
	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigemptyset(&set);
	sigaddset(&set, PARENT_ENDED);
	p[1].fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (p[1].fd < 0 || prctl(PR_SET_PDEATHSIG, PARENT_ENDED) < 0 || getppid() != parent)
		_exit(1);
	for (;;) {
		if (poll(p, ARRAY_SIZE(p), -1) < 0)
			continue;
		if (p[1].revents)
			break;
		if (p[0].revents && !hear(&w))
			_exit(0);
	}
	let_go(&w);
	_exit(0);
}

/* ---- The daemon ----------------------------------------------------------------------------------------------------- */
static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
static volatile sig_atomic_t crash_socket = -1; /* no guard */

static void crashed(int sig)
{
	const enum word word = CRASHED; /* a message without the rest */
	ssize_t n = write(crash_socket, &word, sizeof word); /* async-signal-safe; without the guard there is nothing to do */

	(void)n;
	/* Who handles it by now, and called this, would get it again. */
	sigaction(sig, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
	raise(sig);
}

static void handle_crashes(int socket)
{
	struct sigaction now, want = {.sa_handler = crashed, .sa_flags = SA_NODEFER | SA_ONSTACK};

	crash_socket = socket;
	for (unsigned i = 0; i < ARRAY_SIZE(crashes); i++)
		/* Sanitizers and the like come first. */
		if (sigaction(crashes[i], NULL, &now) == 0 && now.sa_handler == SIG_DFL)
			sigaction(crashes[i], &want, NULL);
}

struct fusefs_guard *fusefs_guard_start(void)
{
	struct fusefs_guard *g = malloc(sizeof *g);
	int pair[2];
	pid_t self = getpid();

	if (!g || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		free(g);
		return NULL;
	}
	g->pid = fork();
	if (g->pid == 0)
		stand_guard(pair[1], self);
	close(pair[1]);
	g->socket = pair[0];
	if (g->pid < 0) {
		close(g->socket);
		free(g);
		return NULL;
	}
	handle_crashes(g->socket);
	return g;
}

struct fusefs_guard *fusefs_guard_stop(struct fusefs_guard *g)
{
	if (!g)
		return NULL;
	crash_socket = -1; /* the number may be somebody else's from now on */
	close(g->socket);
	while (waitpid(g->pid, NULL, 0) < 0 && errno == EINTR)
		;
	free(g);
	return NULL;
}

static int say(const struct fusefs_guard *g, const struct message *m, int fd)
{
	struct iovec iov = {(void *)(uintptr_t)m, sizeof *m};
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		h.msg_control = &control;
		h.msg_controllen = sizeof control;
		control.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
	}
	return sendmsg(g->socket, &h, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

void guard_mounted(const struct fusefs_guard *g, const char *path, const char *dev)
{
	struct message m = {.word = MOUNTED};

	if (!g)
		return;

	CLEANUP_FD int fd = connection_control(dev);
	if (fd < 0 && geteuid() != 0) /* root can force an unmount */
		log_warn("fuse", "if the daemon is killed, the mount may hang: root should mount the control file system: "
		                 "mount -t fusectl fusectl /sys/fs/fuse/connections");
	snprintf(m.path, sizeof m.path, "%s", path);
	snprintf(m.dev, sizeof m.dev, "%s", dev);
	if (say(g, &m, fd) < 0)
		log_warn("fuse", "the guard of the mount is gone: if the daemon is killed, it may hang until: umount -f %s", path);
}

void guard_unmounted(const struct fusefs_guard *g)
{
	struct message m = {.word = UNMOUNTED};
	int rc = g ? say(g, &m, -1) : 0;

	if (rc < 0)
		log_debug("fuse", "the guard of the mount is gone");
}
