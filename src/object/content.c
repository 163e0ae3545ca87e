/* SPDX-License-Identifier: Apache-2.0
 *
 * Content: loading, reading, storing and counting extents.
 */
#include "object/content.h"

#include "base/checksum.h"
#include "object/store_internal.h"

#define FILL_CHUNK (1u << 20)

/* ---- Loading -------------------------------------------------------------------------------------------------------- */
static int head_load(struct meta_view *v, uint64_t map, struct content *ret)
{
	struct meta_key k;
	int rc;

	ret->map = map;
	key_map(&k, map, 0, 0);
	rc = meta_get_k(v, TABLE_MAP, &k, &ret->head_row);
	if (rc <= 0)
		return rc < 0 ? rc : -QE_CORRUPT;
	rc = row_map_head_decode(ret->head_row.body, &ret->head);
	if (rc < 0)
		return rc;
	if (ret->head.base != 0 || ret->head.depth != 0)
		return -QE_DRIVE_FORMAT; /* layers are not built yet */
	ret->shared = ret->head.users > 1;
	return 0;
}

static void list_grow(struct arena *a, struct content *l, unsigned *cap, unsigned more)
{
	struct row_extent *e;

	if (l->n + more <= *cap)
		return;
	*cap = MAX(*cap * 2, l->n + more);
	e = arena_alloc(a, *cap * sizeof *e);
	if (l->n > 0)
		memcpy(e, l->e, l->n * sizeof *e);
	l->e = e;
}

static bool run_of(const struct meta_row *row, uint64_t map, uint64_t *ret_off)
{
	const uint8_t *k = (const uint8_t *)row->key.p;

	if (row->key.len != 17 || be64_get(k) != map || k[8] != 1)
		return false;
	*ret_off = be64_get(k + 9);
	return true;
}

/* A seek goes forward only, and a run says where it starts, not where it ends: steps back from `off`, further each time,
 * until a run starts between there and off. The last such run is the one that may hold off. */
#define STEP_BACK (64ull << 20)

static int runs_seek(struct meta_iter *it, uint64_t map, uint64_t off, struct meta_row *row)
{
	for (uint64_t back = STEP_BACK;; back *= 16) {
		uint64_t from = off > back ? off - back : 0, at;
		struct meta_key k;
		int rc;

		key_map(&k, map, 1, from);
		rc = meta_iter_seek(it, k.b, k.len, row);
		if (rc < 0 || from == 0 || back > UINT64_MAX / 16)
			return rc;
		if (rc == 1 && run_of(row, map, &at) && at <= off)
			return 1;
	}
}

static int runs_load(struct meta_view *v, struct arena *a, uint64_t off, uint64_t end, struct content *ret)
{
	struct row_extent run[ROW_MAP_RUN];
	struct meta_iter *it;
	struct meta_row row;
	unsigned cap = 0;
	uint64_t at;
	int rc, n = 0;

	rc = meta_iter_open(v, TABLE_MAP, &it);
	if (rc < 0)
		return rc;
	for (rc = runs_seek(it, ret->map, off, &row); rc == 1; rc = meta_iter_next(it, &row)) {
		if (!run_of(&row, ret->map, &at) || at >= end)
			break;
		n = row_extents_decode(row.body, run, ROW_MAP_RUN);
		if (n < 0)
			break;
		if (n == 0 || run[n - 1].off + run[n - 1].len <= off)
			continue;
		list_grow(a, ret, &cap, (unsigned)n);
		memcpy(&ret->e[ret->n], run, (size_t)n * sizeof run[0]);
		ret->n += (unsigned)n;
	}
	meta_iter_close(it);
	if (n < 0)
		return n;
	return MIN(rc, 0);
}

int content_load_range(struct meta_view *v, struct arena *a, const struct row_object *o, uint64_t off, uint64_t len,
                       struct content *ret)
{
	int rc;

	memset(ret, 0, sizeof *ret);
	if (o->map == 0) {
		ret->n = o->extents;
		ret->e = arena_dup(a, o->extent, MAX(o->extents, 1u) * sizeof o->extent[0]);
		return 0;
	}
	rc = head_load(v, o->map, ret);
	return rc < 0 ? rc : runs_load(v, a, off, len > UINT64_MAX - off ? UINT64_MAX : off + len, ret);
}

int content_load(struct meta_view *v, struct arena *a, const struct row_object *o, struct content *ret)
{
	return content_load_range(v, a, o, 0, UINT64_MAX, ret);
}

/* ---- Reading -------------------------------------------------------------------------------------------------------- */
/* Index of the first extent that ends behind off. */
static unsigned first_behind(const struct content *l, uint64_t off)
{
	unsigned lo = 0, hi = l->n;

	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;

		if (l->e[mid].off + l->e[mid].len <= off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int extent_read(struct meta_view *v, const struct row_extent *e, struct str inrow, uint64_t in, size_t len,
                       void *dst, unsigned flags)
{
	switch (e->kind) {
	case EXTENT_INROW:
		if (e->start + in + len > inrow.len)
			return -QE_CORRUPT;
		memcpy(dst, inrow.p + e->start + in, len);
		return 0;
	case EXTENT_BLOB:
		return meta_blob_read(v, e->blob, e->start + in, len, dst, flags);
	default:
		memset(dst, 0, len);
		return 0;
	}
}

int content_read(struct meta_view *v, const struct content *l, struct str inrow, uint64_t off, size_t len, void *dst,
                 unsigned flags)
{
	uint8_t *p = dst;

	for (unsigned i = first_behind(l, off); len > 0; i++) {
		size_t n = len;
		int rc;

		if (i >= l->n || l->e[i].off > off) {
			if (i < l->n)
				n = (size_t)MIN((uint64_t)n, l->e[i].off - off);
			memset(p, 0, n);
			i--; /* the extent is still ahead */
		} else {
			uint64_t in = off - l->e[i].off;

			n = (size_t)MIN((uint64_t)n, l->e[i].len - in);
			rc = extent_read(v, &l->e[i], inrow, in, n, p, flags);
			if (rc < 0)
				return rc;
		}
		p += n;
		off += n;
		len -= n;
	}
	return 0;
}

/* ---- Storing -------------------------------------------------------------------------------------------------------- */
static void run_put(struct meta_batch *b, uint64_t map, const struct row_extent *e, unsigned n)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	struct meta_key k;

	row_extents_encode(&body, e, n);
	key_map(&k, map, 1, e[0].off);
	meta_batch_put(b, TABLE_MAP, &k, buf_str(&body), 0);
}

static void head_put(struct meta_batch *b, uint64_t map, const struct row_map_head *h)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	struct meta_key k;

	row_map_head_encode(&body, h);
	key_map(&k, map, 0, 0);
	meta_batch_put(b, TABLE_MAP, &k, buf_str(&body), 0);
}

void content_store(struct object_store *s, struct meta_batch *b, const struct row_extent *e, unsigned n, uint64_t size,
                   struct row_object *o)
{
	struct row_extent run[ROW_MAP_RUN];
	struct row_map_head h = {.length = size, .users = 1};
	unsigned kept = 0, in_run = 0;

	for (unsigned i = 0; i < n; i++)
		kept += e[i].kind != EXTENT_HOLE && e[i].len > 0;
	o->map = kept > ROW_INLINE_EXTENTS ? meta_new_id(s->set) : 0;
	o->extents = 0;
	for (unsigned i = 0; i < n; i++) {
		if (e[i].kind == EXTENT_HOLE || e[i].len == 0)
			continue;
		if (!o->map) {
			o->extent[o->extents++] = e[i];
			continue;
		}
		ASSERT(e[i].kind == EXTENT_BLOB);
		run[in_run++] = e[i];
		if (in_run == ROW_MAP_RUN) {
			run_put(b, o->map, run, in_run);
			h.runs++;
			in_run = 0;
		}
	}
	if (!o->map)
		return;
	if (in_run > 0) {
		run_put(b, o->map, run, in_run);
		h.runs++;
	}
	head_put(b, o->map, &h);
}

int content_map_delete(struct meta_view *v, struct meta_batch *b, uint64_t map)
{
	struct meta_iter *it;
	struct meta_row row;
	struct meta_key from, k;
	uint64_t at;
	int rc;

	key_map(&from, map, 1, 0);
	rc = meta_iter_open(v, TABLE_MAP, &it);
	if (rc < 0)
		return rc;
	for (rc = meta_iter_seek(it, from.b, from.len, &row); rc == 1; rc = meta_iter_next(it, &row)) {
		if (!run_of(&row, map, &at))
			break;
		key_map(&k, map, 1, at);
		meta_batch_del(b, TABLE_MAP, &k);
	}
	meta_iter_close(it);
	key_map(&k, map, 0, 0);
	meta_batch_del(b, TABLE_MAP, &k);
	return MIN(rc, 0);
}

/* ---- Counting ------------------------------------------------------------------------------------------------------- */
int content_ref(struct meta_view *v, struct meta_batch *b, const struct row_extent *e, unsigned n, int delta)
{
	for (unsigned i = 0; i < n; i++) {
		struct meta_row row;
		struct meta_key k;
		int rc, d = 0;

		if (e[i].kind != EXTENT_BLOB)
			continue;
		key_u64(&k, e[i].blob);
		rc = meta_get_k(v, TABLE_BLOB, &k, &row);
		if (rc <= 0)
			return rc < 0 ? rc : -QE_CORRUPT;
		for (;;) {
			d += delta;
			if (i + 1 >= n || e[i + 1].kind != EXTENT_BLOB || e[i + 1].blob != e[i].blob)
				break;
			i++;
		}
		meta_batch_blob_ref(b, e[i].blob, &row, d);
	}
	return 0;
}

/* The head as the batch has it by now: a copy over a copy of the same map shares it and drops it in one batch, and many
 * deletes may drop it several times. head_row stays the one of the view, which is relied on. */
static int head_load_pending(struct meta_view *v, struct meta_batch *b, uint64_t map, struct content *ret)
{
	struct meta_key k;
	struct str body;
	int rc = head_load(v, map, ret);

	if (rc < 0)
		return rc;
	key_map(&k, map, 0, 0);
	rc = meta_batch_pending(b, TABLE_MAP, &k, &body);
	if (rc == -ENOENT)
		return 0;
	rc = rc == 1 ? row_map_head_decode(body, &ret->head) : -QE_CORRUPT;
	ret->shared = ret->head.users > 1;
	return rc;
}

static void users_put(struct meta_batch *b, const struct content *l, uint64_t users)
{
	struct row_map_head h = l->head;
	struct meta_key k;

	key_map(&k, l->map, 0, 0);
	meta_batch_expect(b, TABLE_MAP, &k, &l->head_row, true);
	h.users = users;
	head_put(b, l->map, &h);
}

int content_share(struct meta_view *v, struct meta_batch *b, const struct row_object *o)
{
	struct content l = {0};
	int rc;

	if (o->map == 0)
		return content_ref(v, b, o->extent, o->extents, 1);
	rc = head_load_pending(v, b, o->map, &l);
	if (rc == 0)
		users_put(b, &l, l.head.users + 1);
	return rc;
}

int content_weight(struct meta_view *v, const struct row_object *o, unsigned *ret)
{
	struct content l = {0};
	int rc = 0;

	*ret = o->extents;
	if (o->map) {
		rc = head_load(v, o->map, &l);
		*ret = l.head.runs * ROW_MAP_RUN; /* also of a shared one: the batch may drop the others too */
	}
	return rc;
}

int content_drop(struct meta_view *v, struct arena *a, struct meta_batch *b, const struct row_object *o)
{
	struct content l = {0};
	struct meta_key k;
	int rc;

	if (o->map == 0)
		return content_ref(v, b, o->extent, o->extents, -1);
	rc = head_load_pending(v, b, o->map, &l);
	if (rc < 0)
		return rc;
	if (l.shared) {
		users_put(b, &l, l.head.users - 1);
		return 0;
	}
	if (l.head.runs > CONTENT_DROP_MAX / ROW_MAP_RUN)
		return -E2BIG;
	rc = runs_load(v, a, 0, UINT64_MAX, &l);
	if (rc < 0)
		return rc;
	/* A copy that shares the map meanwhile changes its head. */
	key_map(&k, o->map, 0, 0);
	meta_batch_expect(b, TABLE_MAP, &k, &l.head_row, true);
	rc = content_ref(v, b, l.e, l.n, -1);
	return rc < 0 ? rc : content_map_delete(v, b, o->map);
}

/* Some runs from the front, and the head with that many fewer. */
static int drop_runs(struct meta_view *v, struct meta_batch *b, struct content *l)
{
	struct row_extent run[ROW_MAP_RUN];
	struct row_map_head h = l->head;
	struct meta_iter *it;
	struct meta_row row;
	struct meta_key k;
	uint64_t at;
	int rc;

	key_map(&k, l->map, 1, 0);
	rc = meta_iter_open(v, TABLE_MAP, &it);
	if (rc < 0)
		return rc;
	rc = meta_iter_seek(it, k.b, k.len, &row);
	for (unsigned n = 0; rc == 1 && n < CONTENT_DROP_MAX / ROW_MAP_RUN && run_of(&row, l->map, &at); n++) {
		rc = row_extents_decode(row.body, run, ROW_MAP_RUN);
		if (rc >= 0)
			rc = content_ref(v, b, run, (unsigned)rc, -1);
		if (rc < 0)
			break;
		key_map(&k, l->map, 1, at);
		meta_batch_del(b, TABLE_MAP, &k);
		if (h.runs > 0)
			h.runs--;
		rc = meta_iter_next(it, &row);
	}
	meta_iter_close(it);
	key_map(&k, l->map, 0, 0);
	meta_batch_expect(b, TABLE_MAP, &k, &l->head_row, true);
	head_put(b, l->map, &h);
	return MIN(rc, 0);
}

int content_drop_some(struct meta_view *v, struct arena *a, struct meta_batch *b, const struct row_object *o,
                      bool *ret_more)
{
	struct content l = {0};
	int rc = content_drop(v, a, b, o);

	*ret_more = rc == -E2BIG;
	if (rc != -E2BIG)
		return rc;
	rc = head_load(v, o->map, &l);
	return rc < 0 ? rc : drop_runs(v, b, &l);
}

/* ---- Parts of a list ------------------------------------------------------------------------------------------------- */
unsigned content_cut(const struct content *l, uint64_t off, uint64_t len, uint64_t to, struct row_extent *ret)
{
	uint64_t end = len > UINT64_MAX - off ? UINT64_MAX : off + len;
	unsigned n = 0;

	for (unsigned i = first_behind(l, off); i < l->n && l->e[i].off < end; i++) {
		struct row_extent e = l->e[i];
		uint64_t from = MAX(e.off, off), until = MIN(e.off + e.len, end);

		if (from > e.off || until < e.off + e.len)
			e.flags |= EXTENT_CUT;
		e.start += from - e.off;
		e.len = until - from;
		e.off = to + (from - off);
		ret[n++] = e;
	}
	return n;
}

static int fill_one(struct object_store *s, struct row_extent *e, uint8_t *buf)
{
	uint32_t c32 = 0;
	uint64_t c64 = 0;

	for (uint64_t at = 0; at < e->len;) {
		size_t n = (size_t)MIN(e->len - at, (uint64_t)FILL_CHUNK);
		int rc = meta_blob_read_now(s->set, e->blob, e->start + at, n, buf, 0);

		if (rc < 0)
			return rc;
		c32 = checksum_crc32c(c32, buf, n);
		c64 = checksum_crc64nvme(c64, buf, n);
		at += n;
	}
	e->crc32c = c32;
	e->crc64nvme = c64;
	e->flags &= (uint8_t)~EXTENT_CUT;
	return 0;
}

int content_crc_fill(struct object_store *s, struct row_extent *e, unsigned n)
{
	CLEANUP_FREE uint8_t *buf = NULL;

	for (unsigned i = 0; i < n; i++) {
		int rc;

		if (!(e[i].flags & EXTENT_CUT) || e[i].kind != EXTENT_BLOB)
			continue;
		if (!buf)
			buf = malloc(FILL_CHUNK);
		if (!buf)
			return -ENOMEM;
		rc = fill_one(s, &e[i], buf);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- CRCs ------------------------------------------------------------------------------------------------------------ */
struct crcs {
	uint32_t c32;
	uint64_t c64;
};

static void crcs_add(struct crcs *c, uint32_t c32, uint64_t c64, uint64_t len)
{
	c->c32 = checksum_crc32c_combine(c->c32, c32, len);
	c->c64 = checksum_crc64nvme_combine(c->c64, c64, len);
}

static void crcs_add_zeros(struct crcs *c, uint64_t len)
{
	if (len > 0)
		crcs_add(c, checksum_crc32c_zeros(len), checksum_crc64nvme_zeros(len), len);
}

void content_crcs(const struct row_extent *e, unsigned n, uint64_t size, uint32_t *ret_crc32c, uint64_t *ret_crc64nvme)
{
	struct crcs c = {0, 0};
	uint64_t at = 0;

	for (unsigned i = 0; i < n; i++) {
		crcs_add_zeros(&c, e[i].off - at);
		if (e[i].kind == EXTENT_HOLE)
			crcs_add_zeros(&c, e[i].len);
		else
			crcs_add(&c, e[i].crc32c, e[i].crc64nvme, e[i].len);
		at = e[i].off + e[i].len;
	}
	crcs_add_zeros(&c, size - at);
	*ret_crc32c = c.c32;
	*ret_crc64nvme = c.c64;
}
