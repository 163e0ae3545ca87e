/* SPDX-License-Identifier: Apache-2.0
 *
 * Listings: one pass over the names from the first key that may be shown, at most `max` results.
 */
#include "object/store_internal.h"
#include "object/walk.h"

#define VIEW_NS (300 * NS_PER_MS) /* a listing that takes longer goes on in a fresh view */
#define CLOCK_EVERY 64

struct lister {
	struct object_store *store;
	struct op_ctx *ctx;
	const struct object_list_args *a;
	struct object_list *ret;
	struct meta_view *view;
	struct walk walk;
	bool walking;
	uint64_t opened_ns, seq;
	unsigned steps;
	struct str from; /* where the next view begins */
	bool over;       /* nothing can follow */
};

static void lister_close(struct lister *l)
{
	if (l->walking)
		walk_close(&l->walk);
	l->walking = false;
	if (l->view)
		l->seq = meta_seq_both(l->store->set, l->seq, meta_view_consulted(l->view));
	meta_view_close(l->view);
	l->view = NULL;
}

static int lister_open(struct lister *l)
{
	struct path p;
	int rc = meta_view_open(l->store->set, &l->view);

	if (rc < 0)
		return rc;
	l->opened_ns = clock_mono_ns();
	rc = path_bucket(&p, l->store, l->view, &l->ctx->arena, l->a->bucket);
	if (rc == 0)
		rc = walk_open(&l->walk, l->view, p.bucket_info.root_dir);
	if (rc < 0)
		return rc;
	l->walking = true;
	return walk_seek(&l->walk, l->from);
}

static struct str with_zero(struct arena *a, struct str s)
{
	char *p = arena_alloc(a, s.len + 1);

	memcpy(p, s.p, s.len);
	p[s.len] = 0;
	return (struct str){p, s.len + 1};
}

/* Where the delimiter ends in the key behind the prefix; 0: it does not occur. */
static size_t delimiter_end(const struct object_list_args *a, struct str key)
{
	const char *hit;

	if (a->delimiter.len == 0 || key.len <= a->prefix.len)
		return 0;
	hit = memmem(key.p + a->prefix.len, key.len - a->prefix.len, a->delimiter.p, a->delimiter.len);
	return hit ? (size_t)(hit - key.p) + a->delimiter.len : 0;
}

/* Everything behind a prefix of keys; over when there is nothing. */
static struct str behind(struct lister *l, struct str prefix)
{
	struct str s = key_behind_prefix(&l->ctx->arena, prefix);

	l->over = s.p == NULL;
	return s;
}

static void first_key(struct lister *l)
{
	const struct object_list_args *a = l->a;

	l->from = a->prefix;
	if (a->start_after.len == 0 || str_cmp(a->start_after, a->prefix) < 0)
		return;
	/* A common prefix that was returned last: all of it is done. */
	if (str_starts(a->start_after, a->prefix) && delimiter_end(a, a->start_after) == a->start_after.len)
		l->from = behind(l, a->start_after);
	else
		l->from = with_zero(&l->ctx->arena, a->start_after);
}

static bool emit(struct lister *l, const struct object_info *i, struct str key, bool is_prefix)
{
	struct object_list *r = l->ret;
	struct object_info *to;

	if (r->n == l->a->max) {
		r->truncated = true;
		return false;
	}
	to = &r->items[r->n++];
	if (i)
		*to = *i;
	else
		memset(to, 0, sizeof *to);
	to->is_prefix = is_prefix;
	to->key = arena_str(&l->ctx->arena, key);
	to->etag = arena_str(&l->ctx->arena, to->etag);
	to->checksum = arena_str(&l->ctx->arena, to->checksum);
	to->storage_class = arena_str(&l->ctx->arena, to->storage_class);
	to->meta = to->tags = to->parts = to->xattrs = (struct str){NULL, 0};
	r->next = to->key;
	return true;
}

static int dir_of(struct lister *l, const struct walk_item *it, struct row_dir *ret)
{
	struct meta_row row;
	struct meta_key k;
	int rc;

	if (it->entry.id == 0)
		return 0;
	key_u64(&k, it->entry.id);
	rc = meta_get_k(l->view, TABLE_DIR, &k, &row);
	if (rc <= 0)
		return rc < 0 ? rc : -QE_CORRUPT;
	rc = row_dir_decode(row.body, ret);
	if (rc < 0)
		return rc;
	return (ret->flags & DIR_EXPLICIT) || ret->live > 0;
}

/* The item and all that shares its common prefix: 1 go on, 0 full. */
static int take_prefix(struct lister *l, const struct walk_item *it, size_t end)
{
	struct str cp = str_sub(it->key, 0, end);

	if (!emit(l, NULL, cp, true))
		return 0;
	if (it->is_dir && end == it->key.len) {
		walk_skip(&l->walk);
		return 1;
	}
	l->from = behind(l, cp);
	if (l->over)
		return 0;
	int rc = walk_seek(&l->walk, l->from);

	return rc < 0 ? rc : 1;
}

static int take(struct lister *l, struct walk_item *it)
{
	size_t end = delimiter_end(l->a, it->key);
	struct object_info info;
	struct file_state f;
	struct row_dir d;
	int rc;

	if (it->is_dir) {
		rc = dir_of(l, it, &d);
		if (rc <= 0) {
			walk_skip(&l->walk);
			return rc < 0 ? rc : 1;
		}
	}
	if (end > 0)
		return take_prefix(l, it, end);
	if (it->is_dir) {
		if (!(d.flags & DIR_EXPLICIT))
			return 1;
		info_from_dir(&d, it->entry.id, &info);
	} else {
		rc = file_load(l->view, &it->entry, &f);
		if (rc < 0)
			return rc;
		info_from_file(&f, &info);
	}
	return emit(l, &info, it->key, false);
}

/* A view must not grow old: goes on in a new one behind what was seen. */
static int refresh(struct lister *l, const struct walk_item *it)
{
	if (++l->steps % CLOCK_EVERY != 0 || clock_mono_ns() - l->opened_ns < VIEW_NS)
		return 0;
	if (it->is_dir && !l->walk.enter)
		l->from = behind(l, it->key);
	else
		l->from = with_zero(&l->ctx->arena, it->key);
	lister_close(l);
	return l->over ? 0 : lister_open(l);
}

static int lister_run(struct lister *l)
{
	struct walk_item it;
	int rc;

	for (;;) {
		rc = walk_next(&l->walk, &it);
		if (rc <= 0)
			return rc;
		if (!str_starts(it.key, l->a->prefix)) {
			if (str_cmp(it.key, l->a->prefix) < 0)
				continue; /* a directory without a life of its own, on the way */
			return 0;
		}
		rc = take(l, &it);
		/* take_prefix may have moved the walk: then `it` is no longer where it stands. */
		if (rc > 0 && !l->walk.placed)
			rc = refresh(l, &it) < 0 ? -QE_INTERNAL : 1;
		if (rc <= 0 || l->over)
			return MIN(rc, 0);
	}
}

int object_list(struct object_store *s, struct op_ctx *ctx, const struct object_list_args *a, struct object_list *ret,
                uint64_t *seq)
{
	struct lister l = {.store = s, .ctx = ctx, .a = a, .ret = ret};
	int rc;

	memset(ret, 0, sizeof *ret);
	*seq = 0;
	ret->items = arena_alloc(&ctx->arena, MAX(a->max, 1u) * sizeof ret->items[0]);
	first_key(&l);
	rc = l.over ? 0 : lister_open(&l);
	if (rc == 0 && !l.over)
		rc = lister_run(&l);
	lister_close(&l);
	*seq = l.seq;
	return rc;
}
