/* SPDX-License-Identifier: Apache-2.0
 *
 * What S3 shows of rows, and conditional headers.
 */
#include "object/store_internal.h"

#define META_MODE "x-amz-meta-mode"
#define META_UID "x-amz-meta-uid"
#define META_GID "x-amz-meta-gid"
#define META_MTIME "x-amz-meta-mtime"

static void info_from_obj(const struct row_object *o, struct object_info *ret)
{
	ret->size = o->size;
	ret->mtime_ns = o->mtime_ns;
	ret->flags = o->flags;
	ret->crc32c = o->crc32c;
	ret->crc64nvme = o->crc64nvme;
	ret->etag = o->etag.len > 0 ? o->etag : STR_LIT(ETAG_EMPTY);
	ret->checksum = o->checksum;
	ret->storage_class = o->storage_class;
	ret->meta = o->meta;
	ret->tags = o->tags;
	ret->parts = o->parts;
}

void info_from_file(const struct file_state *f, struct object_info *ret)
{
	memset(ret, 0, sizeof *ret);
	info_from_obj(&f->obj, ret);
	ret->file_id = f->id;
	ret->attr = f->attr;
	ret->xattrs = f->xattrs;
}

void info_from_dir(const struct row_dir *d, uint64_t id, struct object_info *ret)
{
	memset(ret, 0, sizeof *ret);
	if (d->marker) {
		info_from_obj(&d->obj, ret);
	} else {
		/* Made by mkdir: an empty object of which nothing else is known. */
		ret->mtime_ns = d->attr.mtime_ns;
		ret->flags = VERSION_NULL | VERSION_HAS_CRC;
		ret->etag = STR_LIT(ETAG_EMPTY);
	}
	ret->file_id = id;
	ret->attr = d->attr;
	ret->xattrs = d->xattrs;
}

int info_from_path(struct path *p, struct object_info *ret)
{
	struct path_slot *s = &p->slot;
	struct path_node n;
	struct file_state f;
	int rc;

	if (!s->present || s->entry.id == 0)
		return 0;
	if (!s->is_dir) {
		rc = file_load(p->view, &s->entry, &f);
		if (rc < 0)
			return rc;
		info_from_file(&f, ret);
		return !(ret->flags & VERSION_DELETE_MARKER);
	}
	rc = path_load_dir(p, s, &n);
	if (rc < 0)
		return rc;
	if (!(n.dir.flags & DIR_EXPLICIT))
		return 0;
	info_from_dir(&n.dir, n.id, ret);
	return 1;
}

void info_to_arena(struct object_info *i, struct arena *a)
{
	struct str *all[] = {&i->key, &i->etag, &i->checksum, &i->storage_class, &i->meta, &i->tags, &i->parts, &i->xattrs};

	for (unsigned n = 0; n < ARRAY_SIZE(all); n++)
		*all[n] = arena_str(a, *all[n]);
}

/* ---- Attributes from metadata ---------------------------------------------------------------------------------------- */
static bool meta_number(struct str meta, struct str name, uint64_t *ret)
{
	struct str v;

	return row_kv_get(meta, name, &v) && str_to_u64(v, ret) == 0;
}

static int octal(struct str s, uint64_t *ret)
{
	uint64_t v = 0;

	if (s.len == 0 || s.len > 8)
		return -EINVAL;
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] < '0' || s.p[i] > '7')
			return -EINVAL;
		v = v * 8 + (uint64_t)(s.p[i] - '0');
	}
	*ret = v;
	return 0;
}

/* s3fs writes decimal ("33188"), rclone octal ("0100644" or "100644"): a value that is octal with a file type in it, or
 * that starts with 0, is taken for octal. */
static bool meta_mode(struct str meta, uint32_t *ret)
{
	struct str v;
	uint64_t o, d;
	bool is_octal, is_decimal;

	if (!row_kv_get(meta, STR_LIT(META_MODE), &v))
		return false;
	is_octal = octal(v, &o) == 0;
	is_decimal = str_to_u64(v, &d) == 0;
	if (is_octal && (v.p[0] == '0' || v.len <= 4 || (o & S_IFMT) == S_IFREG || (o & S_IFMT) == S_IFDIR)) {
		*ret = (uint32_t)(o & 07777);
		return true;
	}
	if (is_decimal)
		*ret = (uint32_t)(d & 07777);
	return is_decimal;
}

/* "1700000000", "1700000000.123456789"; rclone adds the fraction. */
static bool meta_mtime(struct str meta, uint64_t *ret_ns)
{
	struct str v;
	uint64_t s, frac = 0;
	ptrdiff_t dot;

	if (!row_kv_get(meta, STR_LIT(META_MTIME), &v))
		return false;
	dot = str_find(v, '.', 0);
	if (str_to_u64(dot < 0 ? v : str_sub(v, 0, (size_t)dot), &s) < 0 || s > UINT64_MAX / NS_PER_S - 1)
		return false;
	for (size_t i = 0, n = dot < 0 ? 0 : v.len - (size_t)dot - 1; i < 9 && dot >= 0; i++) {
		char c = i < n ? v.p[(size_t)dot + 1 + i] : '0';

		if (c < '0' || c > '9')
			return false;
		frac = frac * 10 + (uint64_t)(c - '0');
	}
	*ret_ns = s * NS_PER_S + frac;
	return true;
}

void attr_from_meta(const struct object_store *s, struct str meta, uint64_t now_ns, struct row_attr *ret)
{
	uint32_t mode = s->p.file_mode;
	uint64_t v;

	*ret = (struct row_attr){
		.uid = s->p.uid,
		.gid = s->p.gid,
		.atime_ns = now_ns,
		.mtime_ns = now_ns,
		.ctime_ns = now_ns,
		.btime_ns = now_ns,
	};
	if (meta.len > 0) {
		meta_mode(meta, &mode);
		if (meta_number(meta, STR_LIT(META_UID), &v) && v < UINT32_MAX)
			ret->uid = (uint32_t)v;
		if (meta_number(meta, STR_LIT(META_GID), &v) && v < UINT32_MAX)
			ret->gid = (uint32_t)v;
		if (meta_mtime(meta, &v))
			ret->mtime_ns = ret->atime_ns = v;
	}
	ret->mode = S_IFREG | (mode & 07777);
}

/* ---- Conditions ------------------------------------------------------------------------------------------------------ */
static bool etag_listed(struct str list, struct str etag)
{
	struct str piece;

	while (str_split(&list, ',', &piece)) {
		piece = str_trim(piece);
		if (str_starts(piece, STR_LIT("W/")))
			piece = str_sub(piece, 2, piece.len - 2);
		if (piece.len >= 2 && piece.p[0] == '"' && piece.p[piece.len - 1] == '"')
			piece = str_sub(piece, 1, piece.len - 2);
		if (str_eqc(piece, "*") || str_eq(piece, etag))
			return true;
	}
	return false;
}

int object_cond_check(const struct object_cond *c, const struct object_info *info, bool for_write)
{
	uint64_t mtime_s = info ? info->mtime_ns / NS_PER_S : 0;

	if (!info) {
		/* Only a write gets here without an object. */
		return c->if_match.p ? -QE_NO_SUCH_KEY : 0;
	}
	if (c->if_match.p) {
		if (!etag_listed(c->if_match, info->etag))
			return -QE_PRECONDITION;
	} else if (c->has_unmodified_since && mtime_s > c->if_unmodified_since_ns / NS_PER_S) {
		return -QE_PRECONDITION;
	}
	if (c->if_none_match.p) {
		if (etag_listed(c->if_none_match, info->etag))
			return for_write ? -QE_PRECONDITION : -QE_NOT_MODIFIED;
	} else if (c->has_modified_since && mtime_s <= c->if_modified_since_ns / NS_PER_S) {
		return for_write ? -QE_PRECONDITION : -QE_NOT_MODIFIED;
	}
	return 0;
}
