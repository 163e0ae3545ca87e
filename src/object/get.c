/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading objects.
 *
 * A handle is one version, whatever becomes of its name. Small content is copied when the handle is opened, if that needs
 * no waiting: most reads then never look at the rows again. Otherwise the file is held (store_internal.h): a write that
 * replaces it makes it an orphan, and the last handle lets it go. Where it cannot be held, for it is being replaced at this
 * very moment, the handle keeps the view that it was opened on: rows, and bytes that are still in the journal, are there
 * as long as the view is.
 */
#include "object/store_internal.h"

#define OPEN_TRIES 8

struct object_handle {
	struct object_store *store;
	struct arena arena; /* owns everything below */
	struct object_info info;
	struct content list;
	struct str inrow;
	uint8_t *whole;         /* all of the content, or NULL */
	uint64_t held;          /* file id */
	struct meta_view *view; /* instead of a hold; under view_lock */
	struct mutex view_lock; /* LOCK_HANDLE: a view serves one thread at a time */
	uint64_t consulted;
};

static void handle_clear(struct object_handle *h)
{
	arena_reset(&h->arena);
	memset(&h->info, 0, sizeof h->info);
	memset(&h->list, 0, sizeof h->list);
	h->whole = NULL;
}

static int handle_content(struct object_handle *h, struct meta_view *v, const struct row_object *o)
{
	uint32_t small = MAX(meta_inline_max(h->store->set), (uint32_t)CONTENT_INROW_MAX);
	uint8_t *p;
	int rc;

	rc = content_load(v, &h->arena, o, &h->list);
	if (rc < 0)
		return rc;
	h->inrow = arena_str(&h->arena, o->inrow);
	if (o->size > small)
		return 0;
	p = arena_alloc(&h->arena, MAX((size_t)o->size, (size_t)1));
	rc = content_read(v, &h->list, h->inrow, 0, (size_t)o->size, p, DRIVE_NOWAIT);
	if (rc == 0)
		h->whole = p;
	return rc == -EAGAIN ? 0 : rc;
}

static int version_check(struct str version, int rc)
{
	if (rc < 0 || version.len == 0)
		return rc < 0 ? rc : rc == 0 ? -QE_NO_SUCH_KEY : 0;
	return rc == 1 && str_eqc(version, "null") ? 0 : -QE_NO_SUCH_VERSION;
}

/* Of the object that the path ended at. */
static int handle_load(struct object_handle *h, struct path *p)
{
	struct path_slot *s = &p->slot;
	struct file_state f = {0};
	struct path_node n;
	int rc;

	if (s->is_dir) {
		rc = path_load_dir(p, s, &n);
		if (rc < 0)
			return rc;
		f.obj = n.dir.marker ? n.dir.obj : (struct row_object){0};
	} else {
		rc = file_load(p->view, &s->entry, &f);
		if (rc < 0)
			return rc;
	}
	info_to_arena(&h->info, &h->arena);
	return handle_content(h, p->view, &f.obj);
}

static int handle_try(struct object_handle *h, struct meta_view *v, struct op_ctx *ctx, struct str bucket,
                      struct str key, struct str version)
{
	struct path p;
	int rc;

	handle_clear(h);
	rc = path_bucket_reading(&p, h->store, v, &h->arena, bucket);
	if (rc == 0)
		rc = path_key(&p, key);
	if (rc == 0)
		rc = version_check(version, info_from_path(&p, &h->info));
	if (rc < 0)
		return rc;
	h->info.key = key;
	return handle_load(h, &p);
}

static void handle_let_go(struct object_handle *h)
{
	if (h->held)
		store_unhold_reader(h->store, h->held);
	h->held = 0;
}

/* True: the content stays readable. */
static bool handle_safe(struct object_handle *h, struct meta_view *v)
{
	if (h->whole || h->list.n == 0)
		return true;
	if (h->held == h->info.file_id)
		return true; /* held before this view was opened */
	handle_let_go(h);
	/* Its end cannot be waited for here: this thread may be the one that leads it. */
	if (!store_hold_try(h->store, h->info.file_id))
		return false;
	h->held = h->info.file_id;
	return meta_applied_seq(h->store->set) == meta_view_seq(v);
}

static int handle_open(struct object_handle *h, struct op_ctx *ctx, struct str bucket, struct str key,
                       struct str version)
{
	/* Twice is enough, unless the key is being replaced. */
	for (unsigned tries = 0;; tries++) {
		struct meta_view *v;
		bool safe = false;
		int rc = meta_view_open(h->store->set, &v);

		if (rc < 0)
			return rc;
		rc = handle_try(h, v, ctx, bucket, key, version);
		if (rc == 0)
			safe = handle_safe(h, v);
		h->consulted = meta_view_consulted(v);
		if (rc == 0 && !safe && tries == OPEN_TRIES) {
			handle_let_go(h);
			h->view = v;
			return 0;
		}
		meta_view_close(v);
		if ((rc < 0 && (rc != -QE_CONFLICT || tries == OPEN_TRIES)) || safe)
			return rc;
	}
}

int object_open(struct object_store *s, struct op_ctx *ctx, struct str bucket, struct str key, struct str version,
                struct object_handle **ret, uint64_t *seq)
{
	struct object_handle *h = calloc(1, sizeof *h);
	int rc;

	if (!h)
		return -ENOMEM;
	h->store = s;
	mutex_init(&h->view_lock, LOCK_HANDLE);
	rc = handle_open(h, ctx, bucket, key, version);
	*seq = h->consulted;
	if (rc < 0) {
		object_close(h);
		return rc;
	}
	*ret = h;
	return 0;
}

const struct object_info *object_handle_info(const struct object_handle *h)
{
	return &h->info;
}

int object_read(struct object_handle *h, uint64_t off, size_t len, void *dst, unsigned flags)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	int rc;

	if (off > h->info.size || len > h->info.size - off)
		return -QE_INVALID_RANGE;
	if (h->whole) {
		memcpy(dst, h->whole + off, len);
		return 0;
	}
	if (h->view) {
		MUTEX_GUARD(&h->view_lock);
		return content_read(h->view, &h->list, h->inrow, off, len, dst, flags);
	}
	rc = meta_view_open(h->store->set, &v);
	return rc < 0 ? rc : content_read(v, &h->list, h->inrow, off, len, dst, flags);
}

void object_close(struct object_handle *h)
{
	if (!h)
		return;
	handle_let_go(h);
	meta_view_close(h->view);
	mutex_destroy(&h->view_lock);
	arena_free(&h->arena);
	free(h);
}

/* For copies of a range and the like: what the handle read. */
const struct content *object_handle_content(const struct object_handle *h)
{
	return &h->list;
}
