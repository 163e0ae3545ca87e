/* SPDX-License-Identifier: Apache-2.0
 *
 * Mounting and unmounting, as root or, through fusermount3, as an ordinary user.
 */
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "fusefs/fusefs_internal.h"

#define CACHE_NS (4 * 3600 * NS_PER_S)
#define STOP_WAIT_NS (5 * NS_PER_S)

static void log_libfuse(enum fuse_log_level level, const char *fmt, va_list ap)
{
	char line[512];
	size_t n;

	vsnprintf(line, sizeof line, fmt, ap);
	n = strlen(line);
	while (n && line[n - 1] == '\n')
		line[--n] = '\0';
	if (n)
		log_write(level <= FUSE_LOG_ERR       ? LOG_L_ERROR
		          : level <= FUSE_LOG_WARNING ? LOG_L_WARN
		                                      : LOG_L_DEBUG,
		          "fuse", "libfuse: %s", line);
}

/* ---- Read-ahead ----------------------------------------------------------------------------------------------------
 * The kernel's default is 128 KiB, and INIT can only lower it. */
static int write_text(const char *path, const char *text)
{
	CLEANUP_FD int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static void raise_read_ahead(const struct fusefs *m)
{
	char path[128], text[16];

	if (!m->dev[0])
		return;
	snprintf(path, sizeof path, "/sys/class/bdi/%s/read_ahead_kb", m->dev);
	snprintf(text, sizeof text, "%u", m->read_ahead_kb);
	if (write_text(path, text) < 0)
		log_debug("fuse", "read-ahead stays at the kernel's default path=%s", path);
}

/* ---- INIT: what libfuse 3.14 cannot ask for ------------------------------------------------------------------------
 * Without FUSE_HANDLE_KILLPRIV_V2 the kernel asks for the xattr security.capability before every single write. libfuse
 * learns of that flag only later, so the reply to INIT is completed on its way out. When it is written, the kernel has acted
 * on it. */
static ssize_t io_read(int fd, void *buf, size_t len, void *userdata)
{
	struct fusefs *m = userdata;
	ssize_t n = read(fd, buf, len);
	const struct fuse_in_header *in = buf;

	if (n >= (ssize_t)(sizeof *in + 16) && in->opcode == FUSE_INIT) {
		struct fuse_init_in init = {0};

		memcpy(&init, in + 1, MIN(sizeof init, (size_t)n - sizeof *in));
		m->init_unique = in->unique;
		m->init_flags = init.flags;
	}
	return n;
}

static ssize_t io_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	struct fusefs *m = userdata;
	const struct fuse_out_header *out = iov[0].iov_base;
	bool init = m->init_unique && out->unique == m->init_unique;

	if (init) {
		m->init_unique = 0;
		if (out->error == 0 && count > 1 && iov[1].iov_len >= 24 && (m->init_flags & FUSE_HANDLE_KILLPRIV_V2)) {
			struct fuse_init_out *reply = iov[1].iov_base;

			reply->flags |= FUSE_HANDLE_KILLPRIV_V2;
			m->killpriv = true;
		}
	}
	ssize_t n = writev(fd, iov, count);
	if (init && n > 0)
		raise_read_ahead(m);
	return n;
}

static const struct fuse_custom_io custom_io = {.writev = io_writev, .read = io_read};

/* ---- Before mounting --------------------------------------------------------------------------------------- */
static bool conf_allows_other(void)
{
	FILE *f = fopen("/etc/fuse.conf", "re");
	char line[256];
	bool yes = false;

	if (!f)
		return false;
	while (!yes && fgets(line, sizeof line, f))
		yes = str_eqc(str_trim(str_of(line)), "user_allow_other");
	fclose(f);
	return yes;
}

static bool in_path(const char *program)
{
	const char *path = getenv("PATH");
	struct str rest = str_of(path ? path : "/usr/bin:/bin:/usr/sbin:/sbin"), dir;
	char file[4096];

	while (str_split(&rest, ':', &dir)) {
		snprintf(file, sizeof file, "%.*s/%s", STR_FMT(dir), program);
		if (access(file, X_OK) == 0)
			return true;
	}
	return false;
}

/* What killed daemons left mounted answers nothing but ENOTCONN. The kernel answers a stat() all the same, from what it has
 * kept; statfs() it never keeps. */
static int remove_dead(const char *path, struct op_ctx *ctx)
{
	struct statfs st;
	char dev[32];

	for (;;) {
		connection_find(path, dev);
		if (!*dev)
			return 0;
		if (statfs(path, &st) == 0 || (errno != ENOTCONN && errno != ECONNABORTED))
			return op_fail(ctx, -EBUSY, "mount point %s: another quoin has mounted there; stop that one, or choose another directory",
			               path);
		log_warn("fuse", "removing the dead mount that an earlier process left path=%s", path);
		if (connection_unmount(path, true) < 0)
			return op_fail(ctx, -EBUSY,
			               "mount point %s: a dead mount is there and cannot be removed; run: fusermount3 -uz %s", path,
			               path);
	}
}

static int check_point(const char *path, struct op_ctx *ctx)
{
	struct stat st;
	int rc = remove_dead(path, ctx);

	if (rc < 0)
		return rc;
	if (stat(path, &st) < 0)
		return op_fail(ctx, -errno, "mount point %s: %s%s", path, strerror(errno),
		               errno == ENOENT     ? "; create it first"
		               : errno == ENOTCONN ? "; unmount what is dead there first"
		                                   : "");
	if (!S_ISDIR(st.st_mode))
		return op_fail(ctx, -ENOTDIR, "mount point %s is not a directory", path);
	return 0;
}

static int check_system(struct op_ctx *ctx)
{
	if (access("/dev/fuse", F_OK) < 0)
		return op_fail(ctx, -ENODEV,
		               "/dev/fuse is missing; load the kernel module (modprobe fuse) or give the container the device");
	if (geteuid() != 0 && access("/dev/fuse", R_OK | W_OK) < 0)
		return op_fail(ctx, -EACCES,
		               "/dev/fuse may not be used by this user; it is mode 0666 where udev runs (chmod 666 /dev/fuse)");
	if (geteuid() != 0 && !in_path("fusermount3"))
		return op_fail(ctx, -ENOENT,
		               "fusermount3 is not in PATH: an ordinary user needs it to mount; install the package fuse3");
	return 0;
}

/* ---- Start and stop ---------------------------------------------------------------------------------------- */
static int session_open(struct fusefs *m, bool others, struct op_ctx *ctx)
{
	char options[128];
	char *argv[] = {(char *)(uintptr_t) "quoin", (char *)(uintptr_t) "-o", options, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(3, argv);
	int rc = 0;

	snprintf(options, sizeof options, "fsname=quoin,subtype=quoin,default_permissions%s", others ? ",allow_other" : "");
	m->se = fuse_session_new(&args, &fusefs_ops, sizeof fusefs_ops, m);
	fuse_opt_free_args(&args);
	if (!m->se)
		return op_fail(ctx, -ENOMEM, "cannot make a FUSE session");
	if (fuse_session_mount(m->se, m->path) != 0) {
		rc = op_fail(ctx, -EIO, "cannot mount on %s: %s", m->path,
		             geteuid() == 0 ? "the kernel refused; see the log"
		                            : "fusermount3 refused; see the log, and /etc/fuse.conf");
		fuse_session_destroy(m->se);
		m->se = NULL;
		return rc;
	}
	if (fuse_session_custom_io(m->se, &custom_io, fuse_session_fd(m->se)) != 0)
		log_warn("fuse", "libfuse takes no I/O functions; small writes will be slower");
	return 0;
}

static int mount_on(struct fusefs *m, const struct fusefs_params *p, struct op_ctx *ctx)
{
	bool others = !p->private;
	int rc;

	if (others && geteuid() != 0 && !conf_allows_other()) {
		log_warn("fuse", "only this user can use the mount: user_allow_other is not set in /etc/fuse.conf path=%s",
		         m->path);
		others = false;
	}
	rc = session_open(m, others, ctx);
	if (rc < 0)
		return rc;
	connection_find(m->path, m->dev);
	guard_mounted(m->guard, m->path, m->dev);
	rc = loop_start(m);
	if (rc < 0)
		return op_fail(ctx, rc, "cannot start the threads of the mount");
	log_info("fuse", "mounted path=%s threads=%u", m->path, m->keep);
	return 0;
}

/* As far as can be told. NULL: no memory. */
static char *real_path(struct str path)
{
	char *given = strndup(path.p, path.len), at[PATH_MAX];

	if (!given || connection_place(given, at) < 0)
		return given;
	free(given);
	return strdup(at);
}

static struct fusefs *fusefs_new(const struct fusefs_params *p)
{
	struct fusefs *m = calloc(1, sizeof *m);
	uint64_t life = p->cache_ns ? p->cache_ns : CACHE_NS;

	if (!m)
		return NULL;
	mutex_init(&m->lock, LOCK_QUEUE);
	cond_init(&m->changed);
	list_init(&m->workers);
	list_init(&m->ended);
	m->store = p->store;
	m->guard = p->guard;
	m->keep = p->threads ? p->threads : 2;
	m->max = MAX(p->max_threads ? p->max_threads : 64, m->keep);
	m->cache_s = (double)life / (double)NS_PER_S;
	m->on_end = p->ended;
	m->arg = p->arg;
	m->names = names_new(life);
	m->path = real_path(p->path);
	m->read_ahead_kb = p->read_ahead_kb ? p->read_ahead_kb : 1024;
	return m;
}

static struct fusefs *fusefs_free(struct fusefs *m)
{
	if (m->notify)
		m->notify = notify_mount_remove(m->notify);
	mutex_lock(&m->lock);
	while (m->reset_jobs)
		cond_wait(&m->changed, &m->lock);
	mutex_unlock(&m->lock);
	if (m->se) {
		fuse_session_unmount(m->se); /* nothing is mounted any more: frees what mounting allocated */
		fuse_session_destroy(m->se);
	}
	if (m->root)
		fs_forget(m->root, 1);
	if (m->fs)
		m->fs = fs_free(m->fs);
	names_free(m->names);
	cond_destroy(&m->changed);
	mutex_destroy(&m->lock);
	free(m->path);
	free(m);
	return NULL;
}

static void name_told(void *mount, uint64_t dir, struct str name)
{
	struct fusefs *m = mount;

	names_add(m->names, dir, name);
}

static int core_open(struct fusefs *m, const struct fusefs_params *p, struct op_ctx *ctx)
{
	struct fs_params fp = {
		.store = p->store, .bucket = p->bucket, .prefix = p->prefix, .mount = m, .name_told = name_told};
	int rc;

	if (!m->names || !m->path)
		return op_fail(ctx, -ENOMEM, "no memory for the mount");
	m->fs = fs_new(&fp, &rc);
	if (!m->fs)
		return op_fail(ctx, rc, "nothing to mount: bucket `%.*s`: %s", STR_FMT(p->bucket), err_text(rc));
	rc = fs_root(m->fs, &m->root);
	if (rc < 0)
		return rc;
	m->notify = notify_mount_add(p->store, &fusefs_notify_ops, m);
	return m->notify ? 0 : op_fail(ctx, -ENOMEM, "no memory for the notifier");
}

int fusefs_start(const struct fusefs_params *p, struct op_ctx *ctx, struct fusefs **ret)
{
	struct fusefs *m = fusefs_new(p);
	int rc;

	if (!m)
		return op_fail(ctx, -ENOMEM, "no memory for the mount");
	fuse_set_log_func(log_libfuse);
	rc = m->path ? check_point(m->path, ctx) : -ENOMEM;
	if (rc == 0)
		rc = check_system(ctx);
	if (rc == 0)
		rc = core_open(m, p, ctx);
	if (rc == 0)
		rc = mount_on(m, p, ctx);
	if (rc < 0) {
		fusefs_free(m);
		return rc;
	}
	*ret = m;
	return 0;
}

static void abort_it(const char *dev)
{
	int rc = connection_abort(dev);

	if (rc < 0 && rc != -ENOENT) /* it went with the mount */
		log_warn("fuse", "cannot abort the connection device=%s cause=\"%s\"", dev, err_text(rc));
}

struct fusefs *fusefs_stop(struct fusefs *m)
{
	bool ended;

	if (!m)
		return NULL;
	mutex_lock(&m->lock);
	m->stopping = true;
	ended = m->threads == 0; /* somebody else unmounted it, or aborted the connection and left the mount */
	mutex_unlock(&m->lock);
	/* Requests are served until the kernel lets go, so that an unmount finds nothing stuck. */
	if (connection_is_at(m->path, m->dev) && connection_unmount(m->path, ended) < 0) {
		log_warn("fuse", "the mount is in use: unmounting it lazily path=%s", m->path);
		if (connection_unmount(m->path, true) < 0)
			log_error("fuse", "cannot unmount path=%s", m->path);
		abort_it(m->dev);
	}
	if (!loop_ended(m, STOP_WAIT_NS)) {
		abort_it(m->dev);
		fuse_session_exit(m->se);
	}
	loop_join(m);
	guard_unmounted(m->guard);
	log_info("fuse", "unmounted path=%s", m->path);
	return fusefs_free(m);
}

void fusefs_place(const struct fusefs *m, struct fusefs_place *ret)
{
	snprintf(ret->path, sizeof ret->path, "%s", m->path);
	snprintf(ret->dev, sizeof ret->dev, "%s", m->dev);
	ret->guard = m->guard;
}

void fusefs_abandon(const struct fusefs_place *at)
{
	if (connection_is_at(at->path, at->dev) && connection_unmount(at->path, true) < 0)
		log_error("fuse", "cannot unmount path=%s", at->path);
	abort_it(at->dev);
	guard_unmounted(at->guard);
}

void fusefs_stats(const struct fusefs *m, struct fusefs_stats *ret)
{
	ret->requests = atomic_load(&((struct fusefs *)(uintptr_t)m)->requests);
	ret->notifications = atomic_load(&((struct fusefs *)(uintptr_t)m)->notifications);
	ret->threads = m->threads;
}
