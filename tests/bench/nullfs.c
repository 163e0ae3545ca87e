/* SPDX-License-Identifier: Apache-2.0
 *
 * The floor of FUSE: one flat directory of files in memory, content in one shared 64 MiB ring (so reads give bytes, not
 * what was written). Same mount options and cache times as quoin's mount. For benchmarks only.
 *
 *   nullfs MOUNTPOINT        (foreground; ends when unmounted)
 */
#include <errno.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RING (64u << 20)
#define BUCKETS (1u << 20)

struct node {
	struct node *next;
	uint64_t ino, size;
	char *name;
};

static struct node *by_name[BUCKETS], **by_ino;
static uint64_t next_ino = 2, cap_ino;
static char *ring;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static uint32_t name_hash(const char *s)
{
	uint32_t h = 2166136261u;
	while (*s)
		h = (h ^ (unsigned char)*s++) * 16777619u;
	return h % BUCKETS;
}

static struct node *find(const char *name, struct node ***ret_at)
{
	struct node **at = &by_name[name_hash(name)];
	while (*at && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	if (ret_at)
		*ret_at = at;
	return *at;
}

static void fill(const struct node *n, struct stat *st)
{
	memset(st, 0, sizeof *st);
	st->st_ino = n ? n->ino : 1;
	st->st_mode = n ? S_IFREG | 0644 : S_IFDIR | 0755;
	st->st_nlink = n ? 1 : 2;
	st->st_size = n ? (off_t)n->size : 0;
}

static void entry_of(const struct node *n, struct fuse_entry_param *e)
{
	memset(e, 0, sizeof *e);
	e->ino = n->ino;
	e->attr_timeout = e->entry_timeout = 86400;
	fill(n, &e->attr);
}

static void op_init(void *arg, struct fuse_conn_info *conn)
{
	conn->want &= ~(unsigned)FUSE_CAP_WRITEBACK_CACHE;
	conn->max_write = 1 << 20;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = {.entry_timeout = 86400};
	pthread_mutex_lock(&lock);
	struct node *n = find(name, NULL);
	if (n)
		entry_of(n, &e);
	pthread_mutex_unlock(&lock);
	fuse_reply_entry(req, &e);
}

static struct node *node_of(fuse_ino_t ino)
{
	return ino > 1 && ino < next_ino ? by_ino[ino] : NULL;
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;
	pthread_mutex_lock(&lock);
	fill(node_of(ino), &st);
	pthread_mutex_unlock(&lock);
	fuse_reply_attr(req, &st, 86400);
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *in, int set, struct fuse_file_info *fi)
{
	struct stat st;
	pthread_mutex_lock(&lock);
	struct node *n = node_of(ino);
	if (n && (set & FUSE_SET_ATTR_SIZE))
		n->size = (uint64_t)in->st_size;
	fill(n, &st);
	pthread_mutex_unlock(&lock);
	fuse_reply_attr(req, &st, 86400);
}

static struct node *make(const char *name)
{
	struct node *n = calloc(1, sizeof *n);
	n->name = strdup(name);
	n->ino = next_ino++;
	if (n->ino >= cap_ino) {
		cap_ino = cap_ino ? cap_ino * 2 : 65536;
		by_ino = realloc(by_ino, cap_ino * sizeof *by_ino);
	}
	by_ino[n->ino] = n;
	struct node **at;
	find(name, &at);
	*at = n;
	return n;
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct fuse_entry_param e;
	pthread_mutex_lock(&lock);
	struct node *n = find(name, NULL);
	if (!n)
		n = make(name);
	entry_of(n, &e);
	pthread_mutex_unlock(&lock);
	fi->keep_cache = 1;
	fuse_reply_create(req, &e, fi);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fi->keep_cache = 1;
	fuse_reply_open(req, fi);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	size_t at = (size_t)off % RING;
	pthread_mutex_lock(&lock);
	struct node *n = node_of(ino);
	uint64_t len = n && (uint64_t)off < n->size ? n->size - (uint64_t)off : 0;
	pthread_mutex_unlock(&lock);
	fuse_reply_buf(req, ring + at, size < len ? size : (size_t)len);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off, struct fuse_file_info *fi)
{
	memcpy(ring + (size_t)off % RING, buf, size);
	pthread_mutex_lock(&lock);
	struct node *n = node_of(ino);
	if (n && (uint64_t)off + size > n->size)
		n->size = (uint64_t)off + size;
	pthread_mutex_unlock(&lock);
	fuse_reply_write(req, size);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct node **at;
	pthread_mutex_lock(&lock);
	struct node *n = find(name, &at);
	if (n)
		*at = n->next;
	pthread_mutex_unlock(&lock);
	fuse_reply_err(req, n ? 0 : ENOENT);
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent, const char *newname,
		      unsigned flags)
{
	struct node **at;
	pthread_mutex_lock(&lock);
	struct node *n = find(name, &at);
	if (n) {
		*at = n->next;
		free(n->name);
		n->name = strdup(newname);
		n->next = NULL;
		struct node *old = find(newname, &at);
		if (old)
			n->next = old->next;
		*at = n;
	}
	pthread_mutex_unlock(&lock);
	fuse_reply_err(req, n ? 0 : ENOENT);
}

static void op_ok(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fuse_reply_err(req, 0);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	fuse_reply_err(req, 0);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	fuse_reply_err(req, ENOSYS);
}

static const struct fuse_lowlevel_ops ops = {
	.init = op_init, .lookup = op_lookup, .getattr = op_getattr, .setattr = op_setattr, .create = op_create,
	.open = op_open, .read = op_read, .write = op_write, .unlink = op_unlink, .rename = op_rename, .flush = op_ok,
	.release = op_ok, .fsync = op_fsync, .getxattr = op_getxattr,
};

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: nullfs MOUNTPOINT\n");
		return 2;
	}
	ring = malloc(RING);
	for (size_t i = 0; i < RING; i++)
		ring[i] = (char)(i * 2654435761u >> 13);
	char opts[] = "-oallow_other,default_permissions";
	char *fargv[] = {argv[0], opts, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(2, fargv);
	struct fuse_session *se = fuse_session_new(&args, &ops, sizeof ops, NULL);
	if (!se || fuse_set_signal_handlers(se) < 0 || fuse_session_mount(se, argv[1]) < 0)
		return 1;
	struct fuse_loop_config *cfg = fuse_loop_cfg_create();
	fuse_loop_cfg_set_max_threads(cfg, 4);
	int rc = fuse_session_loop_mt(se, cfg);
	fuse_session_unmount(se);
	return rc != 0;
}
