/* SPDX-License-Identifier: Apache-2.0
 *
 * Tells the kernel what changed behind its back (STORAGE.md section 2, Notifier rules). deliver runs on the mount's own
 * notifier thread with no lock held: invalidating a name takes the directory's lock in the kernel, which a request that
 * we are serving may hold.
 */
#include <errno.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "fusefs/fusefs_internal.h"

static struct str plain_name(const struct notify_change *c)
{
	struct str name = {c->name, c->name_len};

	if (name.len && name.p[name.len - 1] == '/')
		name.len--;
	return name;
}

static bool held(void *mount, const struct notify_change *c)
{
	struct fusefs *m = mount;

	switch (c->kind) {
	case NOTIFY_ENTRY:
	case NOTIFY_EXPIRE:
		/* The directory's times, and its pages of names, change with the name. */
		return names_has(m->names, c->parent, plain_name(c)) || fs_told(m->fs, c->parent);
	case NOTIFY_ATTR:
	case NOTIFY_DATA:
		return fs_told(m->fs, c->ino);
	case NOTIFY_SETTLE:
		break;
	}
	return false;
}

static void done(struct fusefs *m, const char *what, int rc)
{
	atomic_fetch_add_explicit(&m->notifications, 1, memory_order_relaxed);
	if (rc < 0 && rc != -ENOENT && rc != -ENOTDIR && rc != -ENOTCONN && rc != -ENODEV)
		log_debug("fuse", "notification refused what=%s rc=%d", what, rc);
}

static void tell_name(struct fusefs *m, struct fs_node *parent, struct str name, bool expire)
{
	fuse_ino_t ino = ino_of(m, parent);
	int rc = expire ? fuse_lowlevel_notify_expire_entry(m->se, ino, name.p, name.len, FUSE_LL_EXPIRE_ONLY)
	                : fuse_lowlevel_notify_inval_entry(m->se, ino, name.p, name.len);

	done(m, expire ? "expire" : "entry", rc);
}

static void tell_inode(struct fusefs *m, struct fs_node *n, int64_t off, int64_t len)
{
	struct fs_node *parent;
	char name[256];
	int rc = fuse_lowlevel_notify_inval_inode(m->se, ino_of(m, n), off, len);

	done(m, "inode", rc);
	if (rc != -ENOENT || n == m->root || !fs_node_place(m->fs, n, &parent, name))
		return;
	/* The kernel has no such inode, or not yet: the reply that brings it may be under way, with the state before the
	 * change. Expiring the name waits for that reply (both take the directory's lock) and makes the kernel ask again. */
	tell_name(m, parent, str_of(name), true);
	fs_forget(parent, 1);
}

/* Who changes names of a directory holds its lock in the kernel from before the request until the names in the kernel's
 * cache are changed. To invalidate a name takes the lock; this one is nobody's. */
static void settle(struct fusefs *m, uint64_t dir)
{
	struct fs_node *n = fs_notice(m->fs, dir, NULL);

	if (!n)
		return;
	tell_name(m, n, STR_LIT(".quoin settles"), false);
	fs_forget(n, 1);
}

static void deliver(void *mount, const struct notify_change *c)
{
	struct fusefs *m = mount;

	if (c->kind == NOTIFY_SETTLE) {
		settle(m, c->parent);
		return;
	}

	bool name = c->kind == NOTIFY_ENTRY || c->kind == NOTIFY_EXPIRE, told;
	struct fs_node *n = fs_notice(m->fs, name ? c->parent : c->ino, &told);

	if (!n)
		return;
	if (name)
		tell_name(m, n, plain_name(c), c->kind == NOTIFY_EXPIRE);
	if (c->kind == NOTIFY_DATA)
		tell_inode(m, n, (int64_t)c->off, (int64_t)c->len);
	else if (told)
		tell_inode(m, n, -1, 0);
	fs_forget(n, 1);
}

/* ---- All of it ------------------------------------------------------------------------------------------------ */
#define NOTIFY_INC_EPOCH 8 /* FUSE_NOTIFY_INC_EPOCH of 7.44: every name is looked up again; older kernels refuse it */

static void forget_names(struct fusefs *m)
{
	struct fuse_out_header out = {.len = sizeof out, .error = NOTIFY_INC_EPOCH};
	ssize_t n = write(fuse_session_fd(m->se), &out, sizeof out);

	done(m, "epoch", n < 0 ? -errno : 0);
}

static void tell_all(struct work *w)
{
	struct fusefs *m = CONTAINER_OF(w, struct fusefs, reset_work);
	struct fs_node **all;
	size_t n;

	atomic_store(&m->resetting, false);
	forget_names(m);
	n = fs_nodes(m->fs, &all);
	for (size_t i = 0; i < n; i++) {
		struct fs_node *parent;
		char name[256];

		if (all[i] != m->root && fs_node_place(m->fs, all[i], &parent, name)) {
			tell_name(m, parent, str_of(name), true);
			fs_forget(parent, 1);
		}
		done(m, "inode", fuse_lowlevel_notify_inval_inode(m->se, ino_of(m, all[i]), 0, 0));
		fs_forget(all[i], 1);
	}
	free(all);
	fs_revived(m->fs);
	mutex_lock(&m->lock);
	m->reset_jobs--;
	cond_broadcast(&m->changed);
	mutex_unlock(&m->lock);
}

static void reset(void *mount)
{
	struct fusefs *m = mount;

	if (atomic_exchange(&m->resetting, true))
		return; /* queued and not begun: it will see this state as well */
	mutex_lock(&m->lock);
	m->reset_jobs++;
	mutex_unlock(&m->lock);
	m->reset_work.run = tell_all;
	workq_push(object_store_workers(m->store), &m->reset_work);
}

const struct notify_ops fusefs_notify_ops = {.held = held, .deliver = deliver, .reset = reset};
