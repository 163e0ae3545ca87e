/* SPDX-License-Identifier: Apache-2.0
 *
 * Extended attributes (SEMANTICS.md, Attributes).
 *
 *   user.K            x-amz-meta-K, where HTTP can carry name and value; else kept beside it
 *   user.s3.tag.K     the tag K
 *   quoin.etag, quoin.version, quoin.checksum   read only, not listed
 *   security.*, trusted.*, and all of a directory without a key of its own   kept as they are
 *   system.posix_acl_*  refused: the kernel checks permissions by mode bits
 */
#include <linux/limits.h>
#include <sys/xattr.h>

#include "base/codec.h"
#include "object/fs_internal.h"

#define TOTAL_MAX 65536u
#define META_TOTAL_MAX 2048u /* what S3 allows for user metadata */
#define META_NAME_MAX 128u
#define TAGS_MAX 10u
#define META "x-amz-meta-"

struct attrs { /* where a node's attributes lie */
	struct str meta, tags, own;
	bool s3; /* has metadata of its own in S3 */
};

static bool token_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* Names that have a meaning of their own among the metadata. */
static bool reserved(struct str k)
{
	static const char *const names[] = {"mtime", "mode", "uid", "gid", "atime", "ctime"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_eqc(k, names[i]))
			return true;
	return false;
}

static bool http_carries(struct str k, struct str value)
{
	if (k.len == 0 || k.len > META_NAME_MAX || reserved(k) || str_starts(k, STR_LIT("s3.tag.")))
		return false;
	for (size_t i = 0; i < k.len; i++)
		if (!token_char(k.p[i]))
			return false;
	for (size_t i = 0; i < value.len; i++)
		if (value.p[i] < 0x20 || value.p[i] > 0x7e)
			return false;
	return value.len > 0 && value.p[0] != ' ' && value.p[value.len - 1] != ' ';
}

static bool strip(struct str *name, const char *prefix)
{
	struct str p = str_of(prefix);

	if (!str_starts(*name, p))
		return false;
	*name = str_sub(*name, p.len, name->len - p.len);
	return true;
}

static struct str meta_name(struct arena *a, struct str k)
{
	return str_of(arena_printf(a, META "%.*s", STR_FMT(k)));
}

struct str xattr_without(struct arena *a, struct str kv, struct str name)
{
	struct buf b = BUF_INIT;
	struct str rest = kv, k, v, out;

	if (!row_kv_get(kv, name, &v))
		return kv;
	while (row_kv_next(&rest, &k, &v))
		if (!str_eq(k, name))
			row_kv_add(&b, k, v);
	out = arena_str(a, buf_str(&b));
	buf_free(&b);
	return out;
}

static struct str kv_with(struct arena *a, struct str kv, struct str name, struct str value)
{
	struct buf b = BUF_INIT;
	struct str out;

	buf_add_str(&b, xattr_without(a, kv, name));
	row_kv_add(&b, name, value);
	out = arena_str(a, buf_str(&b));
	buf_free(&b);
	return out;
}

static size_t meta_total(struct str kv)
{
	struct str rest = kv, k, v;
	size_t sum = 0;

	while (row_kv_next(&rest, &k, &v))
		if (str_starts(k, STR_LIT(META)))
			sum += k.len - strlen(META) + v.len;
	return sum;
}

static unsigned kv_count(struct str kv)
{
	struct str rest = kv, k, v;
	unsigned n = 0;

	while (row_kv_next(&rest, &k, &v))
		n++;
	return n;
}

/* ---- Reading ----------------------------------------------------------------------------------------------- */
struct seen { /* a node's attributes in a view, and what quoin.* shows */
	struct meta_view *v;
	struct attrs at;
	struct row_object obj;
};

static int look(struct fs_node *n, struct seen *s)
{
	struct meta_row row;
	struct fs_where w;
	struct row_dir d;
	int rc;

	memset(s, 0, sizeof *s);
	if (n->kind == FS_ROOT)
		return 0;
	if (n->kind == FS_OBJECT) {
		rc = node_view(n, &s->v, &w);
		if (rc < 0)
			return rc;
		s->obj = w.file.obj;
		s->at = (struct attrs){.meta = s->obj.meta, .tags = s->obj.tags, .own = w.file.xattrs, .s3 = true};
		return 0;
	}
	rc = meta_view_open(n->fs->set, &s->v);
	if (rc == 0)
		rc = dir_row(s->v, n->ino, &row, &d);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	s->obj = d.obj;
	s->at = (struct attrs){.own = d.xattrs, .s3 = d.marker};
	if (d.marker) {
		s->at.meta = d.obj.meta;
		s->at.tags = d.obj.tags;
	}
	return 0;
}

static bool get_quoin(struct op_ctx *ctx, const struct seen *s, struct str name, struct str *ret)
{
	static const uint8_t none[16];
	char *text;

	if (str_eqc(name, "quoin.etag"))
		*ret = s->obj.etag;
	else if (str_eqc(name, "quoin.checksum") && s->obj.checksum.len)
		*ret = s->obj.checksum;
	else if (str_eqc(name, "quoin.checksum") && (s->obj.flags & VERSION_HAS_CRC))
		*ret = str_of(arena_printf(&ctx->arena, "CRC64NVME:%016llx", (unsigned long long)s->obj.crc64nvme));
	else if (str_eqc(name, "quoin.version") && memcmp(s->obj.version_id, none, sizeof none) == 0)
		*ret = STR_LIT("null");
	else if (str_eqc(name, "quoin.version")) {
		text = arena_alloc(&ctx->arena, UUID_TEXT_LEN + 1);
		uuid_format(s->obj.version_id, text);
		*ret = str_of(text);
	} else {
		return false;
	}
	return s->at.s3 && ret->len > 0;
}

static bool get_value(struct op_ctx *ctx, const struct seen *s, struct str name, struct str *ret)
{
	struct str k = name;

	if (row_kv_get(s->at.own, name, ret))
		return true;
	if (strip(&k, "user.s3.tag."))
		return row_kv_get(s->at.tags, k, ret);
	if (strip(&k, "user."))
		return row_kv_get(s->at.meta, meta_name(&ctx->arena, k), ret);
	return get_quoin(ctx, s, name, ret);
}

static ssize_t give(struct str value, void *p, size_t size)
{
	if (size == 0)
		return (ssize_t)value.len;
	if (size < value.len)
		return -ERANGE;
	if (value.len)
		memcpy(p, value.p, value.len);
	return (ssize_t)value.len;
}

static bool acl(struct str name)
{
	return str_starts(name, STR_LIT("system."));
}

ssize_t fs_getxattr(struct fs *f, struct op_ctx *ctx, struct fs_node *n, struct str name, void *p, size_t size)
{
	struct seen s;
	struct str value;
	ssize_t rc;

	if (acl(name))
		return -EOPNOTSUPP;
	rc = look(n, &s);
	if (rc == 0)
		rc = get_value(ctx, &s, name, &value) ? give(value, p, size) : -ENODATA;
	meta_view_close(s.v);
	return rc;
}

static void list_name(struct buf *b, const char *prefix, struct str name)
{
	buf_add_c(b, prefix);
	buf_add_str(b, name);
	buf_add_char(b, '\0');
}

ssize_t fs_listxattr(struct fs *f, struct op_ctx *ctx, struct fs_node *n, void *p, size_t size)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct str rest, k, v, own;
	struct seen s;
	ssize_t rc = look(n, &s);

	if (rc == 0) {
		for (rest = s.at.own; row_kv_next(&rest, &k, &v);)
			list_name(&b, "", k);
		for (rest = s.at.meta; row_kv_next(&rest, &k, &v);) {
			if (!strip(&k, META))
				continue;
			own = str_of(arena_printf(&ctx->arena, "user.%.*s", STR_FMT(k)));
			if (!row_kv_get(s.at.own, own, &v))
				list_name(&b, "", own);
		}
		for (rest = s.at.tags; row_kv_next(&rest, &k, &v);)
			list_name(&b, "user.s3.tag.", k);
		rc = buf_err(&b) ? -ENOMEM : give(buf_str(&b), p, size);
	}
	meta_view_close(s.v);
	return rc;
}

/* ---- Changing ---------------------------------------------------------------------------------------------- */
struct xattr_change {
	struct object_commit c;
	struct fs_node *n;
	struct str name, value;
	int flags;
	bool remove;
};

static int set_tag(struct xattr_change *x, struct arena *a, struct str k, struct attrs *at)
{
	if (k.len == 0 || k.len > 128 || x->value.len > 256 || !str_is_utf8(x->value) || !at->s3)
		return -EINVAL;
	at->tags = kv_with(a, at->tags, k, x->value);
	return kv_count(at->tags) > TAGS_MAX ? -ENOSPC : 0;
}

static int set_value(struct xattr_change *x, struct arena *a, struct attrs *at)
{
	struct str k = x->name, meta;

	if (strip(&k, "user.s3.tag."))
		return set_tag(x, a, k, at);
	if (at->s3 && strip(&k, "user.") && http_carries(k, x->value)) {
		meta = kv_with(a, at->meta, meta_name(a, k), x->value);
		if (meta_total(meta) <= META_TOTAL_MAX) {
			at->meta = meta;
			at->own = xattr_without(a, at->own, x->name);
			return 0;
		}
	}
	k = x->name;
	if (strip(&k, "user."))
		at->meta = xattr_without(a, at->meta, meta_name(a, k));
	at->own = kv_with(a, at->own, x->name, x->value);
	return at->own.len > TOTAL_MAX ? -ENOSPC : 0;
}

static void remove_value(struct xattr_change *x, struct arena *a, struct attrs *at)
{
	struct str k = x->name;

	at->own = xattr_without(a, at->own, x->name);
	if (strip(&k, "user.s3.tag."))
		at->tags = xattr_without(a, at->tags, k);
	else if (strip(&k, "user."))
		at->meta = xattr_without(a, at->meta, meta_name(a, k));
}

static bool exists(struct arena *a, const struct attrs *at, struct str name)
{
	struct str k = name, v;

	if (row_kv_get(at->own, name, &v))
		return true;
	if (strip(&k, "user.s3.tag."))
		return row_kv_get(at->tags, k, &v);
	return strip(&k, "user.") && row_kv_get(at->meta, meta_name(a, k), &v);
}

static int change(struct xattr_change *x, struct arena *a, struct attrs *at)
{
	bool there = exists(a, at, x->name);

	if (x->remove) {
		if (!there)
			return -ENODATA;
		remove_value(x, a, at);
		return 0;
	}
	if (there && (x->flags & XATTR_CREATE))
		return -EEXIST;
	if (!there && (x->flags & XATTR_REPLACE))
		return -ENODATA;
	return set_value(x, a, at);
}

static int change_file(struct xattr_change *x, struct meta_view *v, struct meta_batch *b)
{
	struct fs_where w;
	struct attrs at;
	int rc = node_where(x->n, v, &w);

	if (rc < 0)
		return rc;
	at = (struct attrs){.meta = w.file.obj.meta, .tags = w.file.obj.tags, .own = w.file.xattrs, .s3 = true};
	rc = change(x, &x->c.arena, &at);
	if (rc < 0)
		return rc;
	w.file.obj.meta = at.meta;
	w.file.obj.tags = at.tags;
	w.file.xattrs = at.own;
	w.file.attr.ctime_ns = MAX(clock_wall_ns(), w.file.attr.ctime_ns);
	where_put(b, &w, false);
	return 0;
}

static int change_dir(struct xattr_change *x, struct meta_view *v, struct meta_batch *b)
{
	struct arena *a = &x->c.arena;
	struct path_node *n;
	struct attrs at;
	struct path p;
	int rc = path_dir(&p, x->c.store, v, a, x->n->ino);

	if (rc < 0)
		return rc;
	n = path_last(&p);
	at = (struct attrs){.own = n->dir.xattrs, .s3 = n->dir.marker};
	if (at.s3) {
		at.meta = n->dir.obj.meta;
		at.tags = n->dir.obj.tags;
	}
	rc = change(x, a, &at);
	if (rc == 0 && n->dir.parent)
		rc = change_explicit(&p, b);
	if (rc < 0)
		return rc;
	n->dir.xattrs = at.own;
	if (at.s3) {
		n->dir.obj.meta = at.meta;
		n->dir.obj.tags = at.tags;
	}
	n->dir.attr.ctime_ns = MAX(clock_wall_ns(), n->dir.attr.ctime_ns);
	path_dir_expect(b, n);
	path_dir_put(b, n->id, &n->dir, false);
	return 0;
}

static int xattr_attempt(struct object_commit *c, struct meta_view *v, struct meta_batch *b)
{
	struct xattr_change *x = CONTAINER_OF(c, struct xattr_change, c);
	int rc = x->n->kind == FS_OBJECT ? change_file(x, v, b) : change_dir(x, v, b);

	if (rc == 0)
		commit_notify_inode(c, NOTIFY_ATTR, x->n->ino, 0, 0);
	return rc;
}

static int change_run(struct xattr_change *x)
{
	int rc;

	if (x->n->kind == FS_ROOT)
		return -EOPNOTSUPP;
	commit_init(&x->c, x->n->fs->s, META_ORDERED, OP_FUSE, xattr_attempt);
	x->c.mount = x->n->fs->mount;
	rc = node_run(&x->c);
	commit_fini(&x->c);
	return rc;
}

int fs_setxattr(struct fs *f, struct op_ctx *ctx, struct fs_node *n, struct str name, const void *p, size_t size,
                int flags)
{
	struct xattr_change x = {.n = n, .name = name, .value = {p, size}, .flags = flags};

	if (acl(name))
		return -EOPNOTSUPP;
	if (str_starts(name, STR_LIT("quoin.")))
		return -EPERM;
	if (name.len > XATTR_NAME_MAX || size > TOTAL_MAX)
		return name.len > XATTR_NAME_MAX ? -ERANGE : -E2BIG;
	return change_run(&x);
}

int fs_removexattr(struct fs *f, struct op_ctx *ctx, struct fs_node *n, struct str name)
{
	struct xattr_change x = {.n = n, .name = name, .remove = true};

	if (acl(name))
		return -EOPNOTSUPP;
	return str_starts(name, STR_LIT("quoin.")) ? -EPERM : change_run(&x);
}
