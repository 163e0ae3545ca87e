/* SPDX-License-Identifier: Apache-2.0
 *
 * The sequencer (STORAGE.md section 2): the only thing that orders. It compares the read set of a batch with the memtables
 * and with the batches before it in the group, resolves deltas, and stamps. It does no I/O: what it does not find in the
 * memtables is as the batch saw it, since a batch whose view is older than the memtables is rejected.
 *
 * Rows touched in a group are in a table of row_states. Rows changed by deltas are emitted as absolute rows once per
 * group, by the batch that changed them last. A batch is added whole or not at all: every change of a row_state is noted
 * in `undo` until the batch is accepted.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "meta/envelope.h"
#include "meta/set_internal.h"

#define TABLE_MIN 256

struct row_state {
	uint8_t table;
	bool fresh;              /* made by the batch being added */
	bool deleted;
	bool pending;            /* numbers are to be emitted by `last` */
	bool decoded;            /* base and numbers are valid */
	bool stamp;              /* dir: an entry came or went: mtime and ctime */
	uint64_t hash;
	struct str key;
	struct meta_batch *last; /* of this group that changed it */
	struct meta_batch *put_by;
	uint32_t put_at, put_len;  /* its value in put_by->ops, with envelope */
	struct str base;         /* body that the numbers go into */
	union {
		struct { uint64_t live, children, locked, uploads; } dir;
		struct row_usage usage;
		uint32_t refs;
	};
};
struct undo {
	struct row_state *rs;
	struct row_state saved;
};

/* ---- Rows touched in the group ------------------------------------------------------------------------------------ */
static uint64_t row_hash(unsigned table, struct str key)
{
	return hash_bytes(key.p, key.len) + table * 0x9e3779b97f4a7c15ull;
}

static struct row_state **row_slot(struct group *g, unsigned table, struct str key, uint64_t hash)
{
	size_t i = hash & g->mask;

	while (g->table[i]) {
		struct row_state *rs = g->table[i];
		if (rs->hash == hash && rs->table == table && str_eq(rs->key, key))
			break;
		i = (i + 1) & g->mask;
	}
	return &g->table[i];
}

static struct row_state *row_find(struct group *g, unsigned table, struct str key)
{
	return *row_slot(g, table, key, row_hash(table, key));
}

static void table_grow(struct group *g)
{
	struct row_state **old = g->table;
	size_t n = g->mask + 1;

	g->mask = 2 * n - 1;
	g->table = calloc(2 * n, sizeof *g->table);
	ASSERT(g->table);
	for (size_t i = 0; i < n; i++)
		if (old[i])
			*row_slot(g, old[i]->table, old[i]->key, old[i]->hash) = old[i];
	free(old);
}

/* To be changed by the batch being added. key must live as long as the group (copy: it does not). */
static struct row_state *row_touch(struct group *g, unsigned table, struct str key, bool copy)
{
	if (2 * g->count > g->mask)
		table_grow(g);
	uint64_t hash = row_hash(table, key);
	struct row_state **slot = row_slot(g, table, key, hash);
	struct undo *u = vec_push(&g->undo, sizeof *u);
	ASSERT(u);
	if (!*slot) {
		struct row_state *rs = arena_zalloc(&g->arena, sizeof *rs);
		rs->table = (uint8_t)table;
		rs->hash = hash;
		rs->key = copy ? arena_str(&g->arena, key) : key;
		rs->fresh = true;
		*slot = rs;
		g->count++;
	}
	u->rs = *slot;
	u->saved = **slot;
	return *slot;
}

/* A row_state that a rejected batch made stays in the table, as one that nothing touched (last == NULL). */
static void undo_all(struct group *g)
{
	while (g->undo.n) {
		struct undo *u = VEC_AT(&g->undo, struct undo, --g->undo.n);
		*u->rs = u->saved;
		if (u->saved.fresh)
			*u->rs = (struct row_state){.table = u->saved.table, .hash = u->saved.hash, .key = u->saved.key};
	}
}

static void undo_forget(struct group *g)
{
	for (unsigned i = 0; i < g->undo.n; i++)
		VEC_AT(&g->undo, struct undo, i)->rs->fresh = false;
	g->undo.n = 0;
}

/* ---- The read set ------------------------------------------------------------------------------------------------- */
static int check_expects(struct group *g, const struct meta_batch *b)
{
	struct memtable_row row;

	for (unsigned i = 0; i < b->expects.n; i++) {
		const struct batch_expect *e = VEC_AT(&b->expects, struct batch_expect, i);
		struct str key = {b->bytes.data + e->key_off, e->klen};
		const struct row_state *rs = row_find(g, e->table, key);
		if (rs && rs->last)
			return -QE_CONFLICT;
		if (!publish_newest(&g->s->pub, e->table, key, &row))
			continue; /* as the view saw it */
		if (!e->present && row.deleted)
			continue; /* absent then, absent now */
		if (row.deleted || !e->present || row.seq != e->seq)
			return -QE_CONFLICT;
	}
	return 0;
}

static int check_view(struct group *g, const struct meta_batch *b)
{
	if (b->expects.n + b->seen.n == 0)
		return 0;
	if (!b->has_view)
		return -EINVAL;
	return b->view_seq < publish_oldest_seq(&g->s->pub) || meta_seq_lost(g->s, b->view_seq) ? -QE_CONFLICT : 0;
}

/* ---- Puts and deletes --------------------------------------------------------------------------------------------- */
static bool counted(unsigned table)
{
	return table == TABLE_DIR || table == TABLE_USAGE || table == TABLE_BLOB;
}

/* A blind put over counters that another batch of the group changed would take those changes back. */
static int note_op(struct group *g, struct meta_batch *b, const struct record_op *op)
{
	struct row_state *rs = row_touch(g, op->table, op->key, true);

	if (counted(op->table) && rs->last && rs->last != b)
		return -QE_CONFLICT;
	rs->last = b;
	rs->deleted = op->del;
	rs->pending = rs->decoded = rs->stamp = false;
	rs->put_by = op->del ? NULL : b;
	rs->put_at = (uint32_t)(op->value.p - b->ops.data);
	rs->put_len = (uint32_t)op->value.len;
	return 0;
}

static int note_ops(struct group *g, struct meta_batch *b)
{
	struct str rest = buf_str(&b->ops);
	struct record_op op;
	int rc;

	while ((rc = record_op_next(&rest, &op)) > 0) {
		rc = note_op(g, b, &op);
		if (rc < 0)
			return rc;
	}
	return rc;
}

static void emit_del(struct group *g, struct meta_batch *b, unsigned table, struct str key)
{
	struct row_state *rs = row_touch(g, table, key, true);

	rs->last = b;
	rs->deleted = true;
	rs->pending = rs->decoded = false;
	rs->put_by = NULL;
	batch_op(b, table, key, true, (struct str){NULL, 0});
}

static void put_inlines(struct group *g, struct meta_batch *b, uint64_t seq)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	struct meta_key k;

	for (unsigned i = 0; i < b->inlines.n; i++) {
		const struct batch_inline *in = VEC_AT(&b->inlines, struct batch_inline, i);
		uint32_t n = DIV_ROUND_UP(in->len, 4096);
		uint8_t crcs[4 * ARRAY_SIZE(in->crc)];
		for (uint32_t j = 0; j < n; j++)
			le32_put(crcs + 4 * j, in->crc[j]);
		struct row_blob r = {
			.place = BLOB_JOURNAL,
			.block_log2 = 12,
			.set = g->s->p.set,
			.refs = in->refs,
			.plain_len = in->len,
			.stored_len = in->len,
			.seq = seq,
			.payload_off = (uint32_t)(g->payload + in->off),
			.ncrc = n,
			.ncrc_total = n,
			.crcs = crcs,
		};
		buf_reset(&body);
		row_blob_encode(&body, &r);
		key_u64(&k, in->blob);
		batch_op(b, TABLE_BLOB, key_of(&k), false, buf_str(&body));
	}
}

/* ---- Rows with counters ------------------------------------------------------------------------------------------- */
static int decode_numbers(struct row_state *rs)
{
	struct row_dir d;
	struct row_blob b;
	int rc;

	switch (rs->table) {
	case TABLE_DIR:
		rc = row_dir_decode(rs->base, &d);
		if (rc == 0) {
			rs->dir.live = d.live;
			rs->dir.children = d.children;
			rs->dir.locked = d.locked;
			rs->dir.uploads = d.uploads;
		}
		return rc;
	case TABLE_BLOB:
		rc = row_blob_decode(rs->base, &b);
		if (rc == 0)
			rs->refs = b.refs;
		return rc;
	default:
		if (rs->base.len == 0) {
			rs->usage = (struct row_usage){0};
			return 0;
		}
		return row_usage_decode(rs->base, &rs->usage);
	}
}

static const struct batch_seen *find_seen(const struct meta_batch *b, unsigned table, uint64_t id)
{
	for (unsigned i = 0; i < b->seen.n; i++) {
		const struct batch_seen *s = VEC_AT(&b->seen, struct batch_seen, i);
		if (s->table == table && s->id == id)
			return s;
	}
	return NULL;
}

/* The newest body of a row that no batch of the group has touched. 1, 0 there is none, -QE_CONFLICT not given. */
static int base_of(struct group *g, const struct meta_batch *b, struct row_state *rs, uint64_t id)
{
	struct memtable_row row;

	if (publish_newest(&g->s->pub, rs->table, rs->key, &row)) {
		if (row.deleted)
			return 0;
		rs->base = str_sub(row.row, ENVELOPE_BYTES, row.row.len - ENVELOPE_BYTES);
		return 1;
	}
	const struct batch_seen *s = find_seen(b, rs->table, id);
	if (!s)
		return -QE_CONFLICT;
	if (s->present)
		rs->base = (struct str){b->bytes.data + s->off, s->len};
	return s->present;
}

/* The row as it is after all before, to be changed by b. *ret: NULL when there is none. */
static int numbers_of(struct group *g, struct meta_batch *b, unsigned table, uint64_t id, struct row_state **ret)
{
	struct meta_key k;
	int rc = 1;

	key_u64(&k, id);
	struct row_state *rs = row_touch(g, table, key_of(&k), true);
	*ret = rs;
	if (rs->decoded)
		return 0;
	if (rs->last && rs->deleted)
		rc = 0;
	else if (rs->last) /* the value may move while the batch grows */
		rs->base = arena_str(&g->arena, str_sub(buf_str(&rs->put_by->ops), rs->put_at + ENVELOPE_BYTES,
							rs->put_len - ENVELOPE_BYTES));
	else
		rc = base_of(g, b, rs, id);
	if (rc < 0)
		return rc;
	if (rc == 0 && table != TABLE_USAGE) {
		*ret = NULL;
		return 0;
	}
	if (rc == 0)
		rs->base = (struct str){NULL, 0};
	rc = decode_numbers(rs);
	rs->decoded = rc == 0;
	return rc;
}

static void changed(struct row_state *rs, struct meta_batch *b)
{
	rs->last = b;
	rs->deleted = false;
	rs->pending = true;
}

static bool add_signed(uint64_t *to, int64_t delta)
{
	if (delta < 0 && *to < (uint64_t)-delta)
		return false;
	*to += (uint64_t)delta;
	return true;
}

static int apply_usage(struct group *g, struct meta_batch *b, const struct batch_usage *u)
{
	struct row_state *rs;
	int rc = numbers_of(g, b, TABLE_USAGE, u->bucket, &rs);

	if (rc < 0)
		return rc;
	uint64_t *to[] = {&rs->usage.objects, &rs->usage.versions, &rs->usage.markers,
			  &rs->usage.bytes, &rs->usage.stored, &rs->usage.uploads};
	const uint64_t by[] = {u->delta.objects, u->delta.versions, u->delta.markers,
			       u->delta.bytes, u->delta.stored, u->delta.uploads};
	for (unsigned i = 0; i < ARRAY_SIZE(to); i++)
		if (!add_signed(to[i], (int64_t)by[i]))
			return -QE_CORRUPT;
	changed(rs, b);
	return 0;
}

/* ---- Blobs that lose their last reference ------------------------------------------------------------------------- */
static void put_reclaim(struct group *g, struct meta_batch *b, uint64_t seq, const struct row_blob *r)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	struct meta_key k;

	key_reclaim(&k, seq, r->segment, r->offset_4k);
	row_reclaim_encode(&body, &(struct row_reclaim){.len = r->stored_len});
	batch_op(b, TABLE_RECLAIM, key_of(&k), false, buf_str(&body));
}

static int drop_blob(struct group *g, struct meta_batch *b, struct row_state *rs, uint64_t id, uint64_t seq)
{
	struct row_blob r;
	struct meta_key k;
	int rc = row_blob_decode(rs->base, &r);

	if (rc < 0)
		return rc;
	key_u64(&k, id);
	emit_del(g, b, TABLE_BLOB, key_of(&k));
	for (uint32_t n = 0; r.ncrc < r.ncrc_total && n * ROW_BSUM_RUN < r.ncrc_total; n++) {
		key_bsum(&k, id, 1, n);
		emit_del(g, b, TABLE_BSUM, key_of(&k));
	}
	if (r.place == BLOB_JOURNAL)
		return 0;
	/* Packed segments are reclaimed whole, by their live bytes. */
	if (r.place == BLOB_LARGE)
		put_reclaim(g, b, seq, &r);
	batch_segment(b, &(struct segment_info){.id = r.segment}, -(int64_t)r.stored_len, 0);
	return 0;
}

static int apply_ref(struct group *g, struct meta_batch *b, const struct batch_ref *ref, uint64_t seq)
{
	struct row_state *rs;
	int rc = numbers_of(g, b, TABLE_BLOB, ref->blob, &rs);

	if (rc < 0)
		return rc;
	if (!rs)
		return -QE_CONFLICT;
	int64_t refs = (int64_t)rs->refs + ref->delta;
	if (refs < 0 || refs > UINT32_MAX)
		return -QE_CORRUPT;
	rs->refs = (uint32_t)refs;
	changed(rs, b);
	return refs == 0 ? drop_blob(g, b, rs, ref->blob, seq) : 0;
}

/* ---- Directories -------------------------------------------------------------------------------------------------- */
struct dir_visit {
	uint64_t id;
	struct row_state *rs;
};

static bool shown(const struct row_state *rs, uint32_t flags)
{
	return (flags & DIR_EXPLICIT) || rs->dir.live > 0;
}

/* Adds to a directory and carries what becomes of it upwards. Visited ones are noted, deepest first. */
static int apply_dir(struct group *g, struct meta_batch *b, struct batch_dir d, struct vec *visited)
{
	bool direct = true;

	for (;;) {
		struct row_state *rs;
		int rc = numbers_of(g, b, TABLE_DIR, d.dir, &rs);
		if (rc < 0)
			return rc;
		if (!rs)
			return -QE_CONFLICT;
		uint64_t parent = le64_get(rs->base.p + ROW_DIR_PARENT_OFF);
		uint32_t flags = le32_get(rs->base.p + ROW_DIR_FLAGS_OFF);
		int before[] = {shown(rs, flags), rs->dir.locked > 0, rs->dir.uploads > 0};
		if (!add_signed(&rs->dir.live, d.live) || !add_signed(&rs->dir.children, d.children) ||
		    !add_signed(&rs->dir.locked, d.locked) || !add_signed(&rs->dir.uploads, d.uploads)) {
			log_debug("meta", "counters of directory %llx fall below zero", (unsigned long long)d.dir);
			return -QE_CORRUPT;
		}
		changed(rs, b);
		rs->stamp |= direct && (d.live || d.children);
		struct dir_visit *v = vec_push(visited, sizeof *v);
		if (!v)
			return -ENOMEM;
		*v = (struct dir_visit){d.dir, rs};
		direct = false;
		d = (struct batch_dir){
			.dir = parent,
			.live = shown(rs, flags) - before[0],
			.locked = (rs->dir.locked > 0) - before[1],
			.uploads = (rs->dir.uploads > 0) - before[2],
		};
		if (!parent || (!d.live && !d.locked && !d.uploads))
			return 0;
	}
}

static bool dir_ended(const struct row_state *rs)
{
	return !rs->deleted && !(le32_get(rs->base.p + ROW_DIR_FLAGS_OFF) & DIR_EXPLICIT) &&
	       le64_get(rs->base.p + ROW_DIR_PARENT_OFF) && !rs->dir.live && !rs->dir.children && !rs->dir.locked &&
	       !rs->dir.uploads;
}

/* An implicit directory with nothing left goes, with its entry. One whose name continues in another row (>= 400 bytes)
 * stays, unseen: the row of its last piece is not known here. */
static int remove_dir(struct group *g, struct meta_batch *b, const struct dir_visit *v, struct vec *visited)
{
	struct row_dir d;
	struct meta_key k;
	int rc = row_dir_decode(v->rs->base, &d);

	if (rc < 0)
		return rc;
	if (d.name.len >= META_NAME_PIECE)
		return 0;
	char *name = arena_printf(&g->arena, "%.*s/", STR_FMT(d.name));
	key_u64(&k, v->id);
	emit_del(g, b, TABLE_DIR, key_of(&k));
	key_u64_str(&k, d.parent, (struct str){name, d.name.len + 1});
	emit_del(g, b, TABLE_ENTRY, key_of(&k));
	return apply_dir(g, b, (struct batch_dir){.dir = d.parent, .children = -1}, visited);
}

static int apply_dirs(struct group *g, struct meta_batch *b)
{
	struct vec visited = {0};
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < b->dirs.n; i++)
		rc = apply_dir(g, b, *VEC_AT(&b->dirs, struct batch_dir, i), &visited);
	/* The list grows while ancestors follow. */
	for (unsigned i = 0; rc == 0 && i < visited.n; i++) {
		struct dir_visit v = *VEC_AT(&visited, struct dir_visit, i);
		if (dir_ended(v.rs))
			rc = remove_dir(g, b, &v, &visited);
	}
	vec_free(&visited);
	return rc;
}

/* ---- Segments ----------------------------------------------------------------------------------------------------- */
static struct segment_known *segment_find(struct meta_set *s, uint64_t id)
{
	for (struct hash_node *n = hash_first(&s->segments, hash_u64(id)); n; n = hash_next(n)) {
		struct segment_known *ss = CONTAINER_OF(n, struct segment_known, node);
		if (ss->info.id == id)
			return ss;
	}
	return NULL;
}

struct segment_known *segment_note(struct meta_set *s, const struct segment_info *info, bool known)
{
	struct segment_known *ss = segment_find(s, info->id);

	if (!ss) {
		ss = calloc(1, sizeof *ss);
		ASSERT(ss); /* its live bytes would be lost */
		ss->info = *info;
		ss->info.live_bytes = known ? info->live_bytes : 0;
		hash_insert(&s->segments, hash_u64(info->id), &ss->node);
	} else if (known) {
		ss->info = *info;
	} else if (info->n && info->state > ss->info.state) {
		ss->info.state = info->state;
		ss->info.sealed_4k = info->sealed_4k;
	}
	ss->known |= known;
	return ss;
}

int segment_row_state(struct meta_set *s, uint64_t id)
{
	const struct segment_known *ss = segment_find(s, id);

	return ss ? ss->info.state : -ENOENT;
}

void segment_forget(struct meta_set *s, uint64_t id)
{
	struct segment_known *ss = segment_find(s, id);

	if (!ss)
		return;
	hash_remove(&s->segments, &ss->node);
	free(ss);
}

/* A segment that is to be dead has nothing alive in it. */
static int check_segments(struct group *g, const struct meta_batch *b)
{
	for (unsigned i = 0; i < b->segments.n; i++) {
		const struct batch_segment *bs = VEC_AT(&b->segments, struct batch_segment, i);
		const struct segment_known *ss = segment_find(g->s, bs->info.id);
		if (bs->info.state == SEGMENT_DEAD && (!ss || ss->info.live_bytes))
			return -QE_CONFLICT;
	}
	return 0;
}

/* A segment born while a slot is not `in` lacks that slot's cells from its start (STORAGE.md, Degraded write), so does one
 * that was made while the slot had no drive, though its first blob comes when it is `in` again. A joining slot that has
 * all of it gets a row until it is `in`. */
static void put_born_missing(struct group *g, struct meta_batch *b, uint64_t segment)
{
	struct meta_set *s = g->s;
	uint32_t has = erasure_segment_slots(s->erasure, segment);

	for (unsigned i = 0; i < s->n; i++)
		if (!(s->in_mask & has & 1u << i))
			batch_missing(b, i, segment, 0, MISSING_BORN);
	if (!(s->join_mask & has))
		return;
	uint64_t *born = vec_push(&s->join_born, sizeof *born);
	if (born) /* else the row stays, to be healed */
		*born = segment;
}

void batch_missing(struct meta_batch *b, unsigned slot, uint64_t segment, uint32_t from_4k, uint8_t reason)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	struct meta_key k;

	key_missing(&k, (uint8_t)slot, segment, from_4k);
	row_missing_encode(&body, &(struct row_missing){.to_4k = UINT32_MAX, .reason = reason});
	batch_op(b, TABLE_MISSING, key_of(&k), false, buf_str(&body));
	b->missing = true;
}

static void take_segments(struct group *g, struct meta_batch *b)
{
	for (unsigned i = 0; i < b->segments.n; i++) {
		const struct batch_segment *bs = VEC_AT(&b->segments, struct batch_segment, i);
		struct segment_known *ss = segment_note(g->s, &bs->info, false);
		if (!add_signed(&ss->info.live_bytes, bs->live))
			ss->info.live_bytes = 0;
		/* Of an open segment the row tells how far it is used: a start seals it there (R7). */
		if (ss->info.state == SEGMENT_OPEN)
			ss->info.sealed_4k = MAX(ss->info.sealed_4k, bs->end_4k);
		if (bs->info.n == 0) /* a change, not the whole */
			ss->info.punched_4k += bs->info.punched_4k;
		if (!ss->known)
			put_born_missing(g, b, ss->info.id);
		ss->known = true;
		if (!ss->carrier) {
			struct segment_known **at = vec_push(&g->touched, sizeof *at);
			ASSERT(at);
			*at = ss;
		}
		ss->carrier = b;
	}
}

/* A blob may be on its way while a drive leaves, comes back and is healed, which made whole what had rows then. What of it
 * is not there for sure is named by its own batch, also where an older row names it: that one may be on its way out. */
static void put_lacking(struct group *g, struct meta_batch *b)
{
	struct meta_set *s = g->s;

	for (unsigned i = 0; i < b->blobs.n; i++) {
		const struct erasure_blob *eb = VEC_AT(&b->blobs, struct erasure_blob, i);
		uint32_t named = 0;
		for (unsigned j = 0; j < eb->nstripes; j++) {
			uint32_t lacks = erasure_stripe_lacks(s->erasure, &eb->stripes[j]) & s->in_mask & ~named;
			for (uint32_t m = lacks; m; m &= m - 1)
				batch_missing(b, (unsigned)__builtin_ctz(m), eb->segment, eb->stripes[j].offset_4k, MISSING_ON_ITS_WAY);
			named |= lacks;
		}
	}
}

/* ---- The group ---------------------------------------------------------------------------------------------------- */
void group_init(struct group *g, struct meta_set *s)
{
	*g = (struct group){.s = s, .mask = TABLE_MIN - 1};
	g->table = calloc(TABLE_MIN, sizeof *g->table);
	ASSERT(g->table);
	list_init(&g->accepted);
}

void group_done(struct group *g)
{
	free(g->table);
	arena_free(&g->arena);
	vec_free(&g->undo);
	vec_free(&g->touched);
}

void group_begin(struct group *g, uint64_t first_seq)
{
	ASSERT(list_empty(&g->accepted));
	memset(g->table, 0, (g->mask + 1) * sizeof *g->table);
	arena_reset(&g->arena);
	g->count = g->n = 0;
	g->first_seq = first_seq;
	g->body = g->payload = 0;
	g->undo.n = g->touched.n = 0;
}

/* Slots whose cell counts: a drive that left and came back has lost what lies under its `missing` row. */
static uint32_t stripe_slots(struct meta_set *s, const struct erasure_stripe *st)
{
	uint32_t missing = erasure_missing_mask(s->erasure, st->segment, st->offset_4k, st->offset_4k + st->cell_4k);

	return st->slot_mask & (s->in_mask | s->join_mask) & ~missing & ~erasure_stripe_lacks(s->erasure, st);
}

/* Every stripe must still have K cells on drives that count. */
static int check_stripes(struct group *g, struct meta_batch *b)
{
	struct meta_set *s = g->s;

	for (unsigned i = 0; i < b->blobs.n; i++) {
		const struct erasure_blob *eb = VEC_AT(&b->blobs, struct erasure_blob, i);
		struct segment_info info;
		/* On its way while the set was below W: what of its cells survived nobody looked at. */
		if (!meta_epoch_taken(s, eb->info.epoch))
			return -QE_QUORUM_WRITE;
		/* Its segment was reclaimed while it was on its way. */
		if (!erasure_segment_get(s->erasure, eb->segment, &info) || info.state == SEGMENT_DEAD)
			return -QE_BUSY;
		for (unsigned j = 0; j < eb->nstripes; j++) {
			if ((unsigned)__builtin_popcount(stripe_slots(s, &eb->stripes[j]) & s->in_mask) < s->k)
				return -QE_QUORUM_WRITE;
			b->unflushed |= erasure_stripe_unflushed(s->erasure, &eb->stripes[j]);
		}
	}
	return 0;
}

static int resolve(struct group *g, struct meta_batch *b, uint64_t seq)
{
	int rc = note_ops(g, b);

	for (unsigned i = 0; rc == 0 && i < b->refs.n; i++)
		rc = apply_ref(g, b, VEC_AT(&b->refs, struct batch_ref, i), seq);
	for (unsigned i = 0; rc == 0 && i < b->usages.n; i++)
		rc = apply_usage(g, b, VEC_AT(&b->usages, struct batch_usage, i));
	if (rc == 0)
		rc = apply_dirs(g, b);
	return rc ? rc : meta_batch_err(b);
}

int group_add(struct group *g, struct meta_batch *b)
{
	uint64_t seq = g->first_seq + g->n;
	size_t ops_len = b->ops.len;
	unsigned nops = b->nops, nsegments = b->segments.n;
	int rc = meta_batch_err(b);

	if (rc == 0)
		rc = check_view(g, b);
	if (rc == 0)
		rc = check_expects(g, b);
	if (rc == 0)
		rc = check_stripes(g, b);
	if (rc == 0)
		rc = check_segments(g, b);
	if (rc == 0 && b->chunks.n && !batch_payload_join(b))
		rc = -ENOMEM;
	if (rc == 0) {
		put_inlines(g, b, seq);
		rc = resolve(g, b, seq);
	}
	if (rc < 0) {
		undo_all(g);
		b->ops.len = ops_len;
		b->nops = nops;
		b->segments.n = nsegments;
		return rc;
	}
	undo_forget(g);
	take_segments(g, b);
	put_lacking(g, b);
	b->seq = seq;
	b->time = g->s->last_wall_ns = MAX(clock_wall_ns(), g->s->last_wall_ns + 1);
	b->inline_off = g->payload;
	g->body += batch_estimate(b);
	g->payload += batch_payload_len(b);
	g->n++;
	list_add_tail(&g->accepted, &b->node);
	return 0;
}

/* ---- The record's body -------------------------------------------------------------------------------------------- */
static struct str numbers_body(struct group *g, const struct row_state *rs)
{
	if (rs->table == TABLE_USAGE) {
		struct buf b = BUF_INIT;
		row_usage_encode(&b, &rs->usage);
		ASSERT(!buf_err(&b));
		struct str out = arena_str(&g->arena, buf_str(&b));
		buf_free(&b);
		return out;
	}
	struct str out = arena_str(&g->arena, rs->base);
	uint8_t *p = (uint8_t *)(uintptr_t)out.p;
	if (rs->table == TABLE_BLOB) {
		le32_put(p + ROW_BLOB_REFS_OFF, rs->refs);
		return out;
	}
	le64_put(p + ROW_DIR_LIVE_OFF, rs->dir.live);
	le64_put(p + ROW_DIR_CHILDREN_OFF, rs->dir.children);
	le64_put(p + ROW_DIR_LOCKED_OFF, rs->dir.locked);
	le64_put(p + ROW_DIR_UPLOADS_OFF, rs->dir.uploads);
	if (rs->stamp) {
		le64_put(p + ROW_DIR_MTIME_OFF, rs->last->time);
		le64_put(p + ROW_DIR_CTIME_OFF, rs->last->time);
	}
	return out;
}

static void emit_numbers(struct group *g)
{
	for (size_t i = 0; i <= g->mask; i++) {
		struct row_state *rs = g->table[i];
		if (!rs || !rs->pending)
			continue;
		struct str body = numbers_body(g, rs);
		struct meta_batch *b = rs->last;
		/* A row that the same batch put is changed where it is. */
		if (rs->put_by == b && rs->put_len == body.len + ENVELOPE_BYTES)
			memcpy(b->ops.data + rs->put_at + ENVELOPE_BYTES, body.p, body.len);
		else
			batch_op(b, rs->table, rs->key, false, body);
	}
}

static void emit_segments(struct group *g)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	struct meta_key k;

	for (unsigned i = 0; i < g->touched.n; i++) {
		struct segment_known *ss = *VEC_AT(&g->touched, struct segment_known *, i);
		buf_reset(&body);
		row_segment_encode(&body, &ss->info);
		key_u64(&k, ss->info.id);
		batch_op(ss->carrier, TABLE_SEGMENT, key_of(&k), false, buf_str(&body));
		ss->carrier = NULL;
	}
}

void batch_seal(struct meta_batch *b)
{
	struct str rest = buf_str(&b->ops);
	struct record_op op;

	for (unsigned i = 0; i < b->stamps.n; i++) {
		char *p = b->ops.data + *VEC_AT(&b->stamps, uint32_t, i);
		le64_put(p, MAX(le64_get(p), b->time));
	}
	while (record_op_next(&rest, &op) > 0)
		if (!op.del)
			envelope_seal(op.table, op.key, b->seq, (void *)(uintptr_t)op.value.p, op.value.len);
}

static unsigned put_stripes(struct meta_set *s, struct buf *body, const struct meta_batch *b)
{
	unsigned n = 0;

	for (unsigned i = 0; i < b->blobs.n; i++) {
		const struct erasure_blob *eb = VEC_AT(&b->blobs, struct erasure_blob, i);
		for (unsigned j = 0; j < eb->nstripes; j++) {
			if (!b->unflushed || !erasure_stripe_unflushed(s->erasure, &eb->stripes[j]))
				continue;
			record_stripe_put(body, &eb->stripes[j], (uint16_t)stripe_slots(s, &eb->stripes[j]));
			n++;
		}
	}
	return n;
}

void batch_encode(struct meta_set *s, struct buf *body, const struct meta_batch *b)
{
	size_t at = record_batch_begin(body);
	unsigned ncells = put_stripes(s, body, b);

	buf_add_str(body, buf_str(&b->ops));
	record_batch_end(body, at, &(struct record_batch){
		.promise = b->promise,
		.origin = b->origin,
		.nops = (uint16_t)b->nops,
		.ncells = (uint16_t)ncells,
		.inline_len = (uint32_t)batch_payload_len(b),
		.seq = b->seq,
		.inline_off = b->inline_off,
	});
}

void group_finish(struct group *g, struct buf *body)
{
	emit_numbers(g);
	emit_segments(g);
	LIST_FOREACH(it, &g->accepted) {
		struct meta_batch *b = LIST_ENTRY(it, struct meta_batch, node);
		ASSERT(!meta_batch_err(b)); /* accepted, perhaps with changes of others: too late to refuse it alone */
		batch_seal(b);
		batch_encode(g->s, body, b);
	}
}
