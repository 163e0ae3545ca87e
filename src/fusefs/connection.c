/* SPDX-License-Identifier: Apache-2.0
 *
 * What the kernel knows of mounts: where they are, how they go, and how their connections are aborted, without asking the
 * mount itself, which may have nobody to answer.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fusefs/fusefs_internal.h"

/* ---- Where it is ---------------------------------------------------------------------------------------------------- */

/* The next character of a path as mountinfo writes it: blanks and backslashes in octal, "\040" (proc(5)). */
static char mangled(struct str *word)
{
	unsigned char c = (unsigned char)word->p[0];
	size_t n = 1;

	if (c == '\\' && word->len >= 4) {
		c = (unsigned char)((word->p[1] - '0') << 6 | (word->p[2] - '0') << 3 | (word->p[3] - '0'));
		n = 4;
	}
	*word = str_sub(*word, n, word->len - n);
	return (char)c;
}

static bool is_path(struct str word, const char *path)
{
	while (word.len && *path)
		if (mangled(&word) != *path++)
			return false;
	return !word.len && !*path;
}

/* "36 35 0:53 / /mnt rw,nosuid - fuse.quoin quoin rw": whether it is of that path; if so, the device of a mount of quoin. */
static bool parse_mount(struct str line, const char *path, struct str *ret_dev)
{
	struct str word, dev = {0};
	int i = 0;

	while (i < 5 && str_split(&line, ' ', &word))
		if (i++ == 2)
			dev = word;
	if (i < 5 || !is_path(word, path))
		return false;
	while (str_split(&line, ' ', &word) && !str_eqc(word, "-")) /* options, some of them optional */
		;
	*ret_dev = str_split(&line, ' ', &word) && str_eqc(word, "fuse.quoin") ? dev : (struct str){0};
	return true;
}

void connection_find(const char *path, char ret[32])
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t cap = 0;

	ret[0] = '\0';
	if (!f)
		return;
	while (getline(&line, &cap, f) > 0) {
		struct str dev;

		if (parse_mount(str_of(line), path, &dev) && dev.len < 32) /* the last one is the topmost */
			snprintf(ret, 32, "%.*s", STR_FMT(dev));
	}
	free(line);
	fclose(f);
}

bool connection_is_at(const char *path, const char *dev)
{
	char found[32];

	connection_find(path, found);
	return *dev && strcmp(found, dev) == 0;
}

/* ---- How it goes ---------------------------------------------------------------------------------------------------- */

/* argv[0] is looked up in PATH. The exit status, or -1. */
static int run(const char *const argv[])
{
	int status, null;
	pid_t pid = fork();

	if (pid < 0)
		return -1;
	if (pid == 0) {
		null = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (null >= 0) {
			dup2(null, 1);
			dup2(null, 2);
		}
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int connection_unmount(const char *path, bool lazy)
{
	const char *argv[] = {"fusermount3", "-u", "-q", lazy ? "-z" : path, lazy ? path : NULL, NULL};

	if (umount2(path, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
		return 0;
	if (errno != EPERM)
		return -errno;
	return run(argv) == 0 ? 0 : -EBUSY;
}

int connection_control(const char *dev)
{
	char path[128];
	const char *minor = strchr(dev, ':');

	if (!minor)
		return -ENOENT;
	snprintf(path, sizeof path, "/sys/fs/fuse/connections/%s/abort", minor + 1);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int connection_abort(const char *dev)
{
	CLEANUP_FD int fd = connection_control(dev);

	if (fd < 0)
		return fd;
	return write(fd, "1", 1) < 0 ? -errno : 0;
}

/* A forced unmount aborts the connection even if the mount is in use. */
int connection_force(const char *path, const char *dev)
{
	if (!connection_is_at(path, dev))
		return -ENOENT;
	return umount2(path, UMOUNT_NOFOLLOW | MNT_FORCE) == 0 || errno == EBUSY ? 0 : -errno;
}

int connection_place(const char *path, char ret[PATH_MAX])
{
	CLEANUP_FD int fd = open(path, O_PATH | O_CLOEXEC); /* asks nothing of what is mounted there */
	char name[32];

	if (fd < 0)
		return -errno;
	snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(name, ret, PATH_MAX);
	if (n < 0)
		return -errno;
	if (n == PATH_MAX)
		return -ENAMETOOLONG;
	ret[n] = '\0';
	return 0;
}

static int find(const char *path, char ret[PATH_MAX], char ret_dev[32])
{
	int rc = connection_place(path, ret);

	if (rc < 0)
		return rc;
	connection_find(ret, ret_dev);
	return *ret_dev ? 0 : -ENOENT;
}

bool fusefs_is_at(const char *path)
{
	char at[PATH_MAX], dev[32];

	return find(path, at, dev) == 0;
}

int fusefs_release(const char *path)
{
	char at[PATH_MAX], dev[32];
	int rc = find(path, at, dev);

	if (rc < 0)
		return rc;
	rc = connection_abort(dev);
	return rc < 0 ? connection_force(at, dev) : 0;
}
