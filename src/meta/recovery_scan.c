/* SPDX-License-Identifier: Apache-2.0
 *
 * R3: reads the journals of all drives that count, in step, into a tree of records, and finds the history in it (Q6).
 * Lockstep gives the place of a record on every drive, so each copy is looked at in its place and nowhere else; a
 * successor is told by log, sequence and the chain of crcs, never by searching for a magic.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/log.h"
#include "meta/recovery_internal.h"

/* ---- Files -------------------------------------------------------------------------------------------------------- */
static int add_name(void *arg, const char *name)
{
	struct vec *v = arg;
	uint8_t log[8];

	if (strlen(name) != 20 || strcmp(name + 16, ".log") != 0 || hex_decode((struct str){name, 16}, log, 8) != 8)
		return 0;
	struct found_file *f = vec_push(v, sizeof *f);
	if (!f)
		return -ENOMEM;
	f->log = be64_get(log);
	return 0;
}

static int by_log(const void *a, const void *b)
{
	const struct found_file *x = a, *y = b;

	return x->log < y->log ? -1 : x->log > y->log;
}

/* The header block and the head of the first record: what tells a branch that goes on in the next file. */
static int look_at_file(struct recovery *r, unsigned slot, struct found_file *f)
{
	struct meta_set *s = r->s;
	struct log_head h;
	void *block;

	if (posix_memalign(&block, DRIVE_BLOCK, 2 * DRIVE_BLOCK) != 0)
		return -ENOMEM;
	int rc = drive_pread(f->f, block, 2 * DRIVE_BLOCK, 0, DRIVE_DIRECT);
	if (rc == 0) {
		f->head_ok = log_head_decode(block, &h) == 0 && h.log == f->log && h.slot == slot && h.set == s->p.set &&
			     memcmp(h.deployment, s->deployment, 16) == 0 &&
			     memcmp(h.drive, s->slot[slot].id.drive, 16) == 0;
		if (record_head_decode((uint8_t *)block + DRIVE_BLOCK, &f->first) < 0 || f->first.log != f->log)
			f->first = (struct record_head){0};
	}
	free(block);
	return 0; /* unreadable: as if it held nothing */
}

int scan_add_file(struct recovery *r, unsigned slot, uint64_t log, struct drive_file *f)
{
	struct found_file *at = vec_push(&r->files[slot], sizeof *at);

	if (!at)
		return -ENOMEM;
	*at = (struct found_file){.log = log, .f = drive_file_ref(f)};
	return look_at_file(r, slot, at);
}

static int settle_slot(void *arg, unsigned slot)
{
	struct recovery *r = arg;
	struct drive *d = r->s->slot[slot].d;
	struct vec *v = &r->files[slot];
	char name[40];
	int rc = drive_list(d, "journal", add_name, v);

	if (rc == -ENOENT)
		rc = 0;
	if (rc < 0)
		return rc;
	if (v->n)
		qsort(v->p, v->n, sizeof(struct found_file), by_log);
	for (unsigned i = 0; i < v->n; i++) {
		struct found_file *f = VEC_AT(v, struct found_file, i);
		journal_file_name(f->log, name, sizeof name);
		rc = drive_open(d, name, 0, 0, &f->f);
		if (rc == 0)
			rc = drive_sync(f->f);
		if (rc == 0)
			rc = drive_drop_clean(f->f);
		if (rc == 0 && f->f->size >= 2 * DRIVE_BLOCK)
			rc = look_at_file(r, slot, f);
		if (rc < 0)
			return rc;
	}
	return erasure_slot_settle(r->s->erasure, slot);
}

/* First, on every drive: what is only in the page cache becomes durable, and what a failed flush left clean there is
 * forgotten (TRACES.md H19, H26). */
int scan_files(struct recovery *r)
{
	uint32_t slots = 0;
	int rc = 0;

	for (unsigned i = 0; i < r->s->n; i++)
		if (r->s->slot[i].d && r->s->slot[i].has_super && !r->s->slot[i].io_lost)
			slots |= 1u << i;
	uint32_t failed = slots_parallel(slots, settle_slot, r, &rc);
	for (unsigned i = 0; i < r->s->n; i++) {
		for (unsigned j = 0; j < r->files[i].n; j++)
			r->max_epoch = MAX(r->max_epoch, VEC_AT(&r->files[i], struct found_file, j)->first.epoch);
		if (!(failed & 1u << i))
			continue;
		log_warn("meta", "drive left out: it cannot be flushed path=%s error=\"%s\"", r->s->slot[i].d->path, err_text(rc));
		r->s->slot[i].io_lost = true;
	}
	return 0;
}

struct found_file *scan_file(struct recovery *r, unsigned slot, uint64_t log)
{
	for (unsigned i = 0; i < r->files[slot].n; i++) {
		struct found_file *f = VEC_AT(&r->files[slot], struct found_file, i);
		if (f->log == log)
			return f;
	}
	return NULL;
}

/* ---- One place ---------------------------------------------------------------------------------------------------- */
static bool succeeds(const struct recovery *r, const struct found_record *parent, const struct record_head *h, uint64_t log,
		     uint32_t off)
{
	return h->log == log && h->first_seq == found_last_seq(parent) + 1 && h->prev_crc == parent->head.head_crc &&
	       h->epoch >= parent->head.epoch && off + (uint64_t)h->len <= r->s->journal.file_size;
}

static bool body_ok(const struct record_head *h, const uint8_t *p)
{
	return checksum_crc32c(0, p + RECORD_HEAD_BYTES, h->body_len) == h->body_crc;
}

/* Payload cells are valid by place and crc, whatever else of that drive's copy is bad. */
static void check_cells(struct recovery *r, struct found_record *f, const uint8_t *body)
{
	struct meta_set *s = r->s;
	uint32_t at = record_cell_off(f->head.body_len);

	for (unsigned i = 0; f->head.cell_len && i < s->n; i++) {
		unsigned cell = record_slot_cell(i, f->head.first_seq, s->n);
		const uint8_t *p = window_at(&r->win[i], f->log, f->off, f->head.len);
		if (!(r->counted & 1u << i) || cell >= s->ncell || !p)
			continue;
		if (checksum_crc32c(0, p + at, f->head.cell_len) == record_cell_crc(body, f->head.body_len, s->ncell, cell))
			f->cells_ok |= 1u << i;
	}
}

/* The data cells, decoded from what is in the windows. */
static int keep_payload(struct recovery *r, struct found_record *f)
{
	struct meta_set *s = r->s;
	size_t len = f->head.cell_len;
	CLEANUP_FREE uint8_t *parity = malloc(MAX(s->m, 1u) * len);
	void *cells[ERASURE_MAX_CELLS];
	uint32_t have = 0;

	f->payload = malloc(s->k * len);
	if (!f->payload || !parity)
		return -ENOMEM;
	for (unsigned c = 0; c < s->ncell; c++) {
		unsigned slot = record_cell_slot(c, f->head.first_seq, s->n);
		cells[c] = c < s->k ? f->payload + c * len : parity + (c - s->k) * len;
		if (!(f->cells_ok & 1u << slot))
			continue;
		have |= 1u << c;
		memcpy(cells[c], window_at(&r->win[slot], f->log, f->off, f->head.len) + record_cell_off(f->head.body_len), len);
	}
	uint32_t want = ((1u << s->k) - 1) & ~have;
	return want ? erasure_decode(erasure_set_coder(s->erasure), len, cells, have, want) : 0;
}

/* A distinct record at a place: all copies of it, its cells, what of it is kept. */
static int add_record(struct recovery *r, struct found_record *parent, const struct record_head *h, uint64_t log, uint32_t off,
		      struct found_record **ret)
{
	struct meta_set *s = r->s;
	struct found_record *f = arena_zalloc(&r->arena, sizeof *f);
	struct record_head copy = *h;
	uint8_t raw[RECORD_HEAD_BYTES];
	struct record_body dec;
	const uint8_t *body = NULL;

	*ret = NULL;
	*f = (struct found_record){.parent = parent, .head = *h, .log = log, .off = off};
	record_head_encode(&copy, raw);
	window_fetch(r, r->counted, log, off, h->len);
	for (unsigned i = 0; i < s->n; i++) {
		const uint8_t *p = r->counted & 1u << i ? window_at(&r->win[i], log, off, h->len) : NULL;
		if (!p || memcmp(p, raw, sizeof raw) != 0 || !body_ok(h, p))
			continue;
		f->copies |= 1u << i;
		body = p + RECORD_HEAD_BYTES;
	}
	if (!body || record_body_decode(h, body, s->ncell, &dec) < 0)
		return 0;
	check_cells(r, f, body);
	bool replayed = found_last_seq(f) > r->replay_from || h->type == RECORD_EPOCH;
	if (replayed || h->type == RECORD_ISR) {
		f->body = malloc(MAX(h->body_len, 1u));
		if (!f->body)
			return -ENOMEM;
		memcpy(f->body, body, h->body_len);
	}
	list_add_tail(&r->records, &f->node);
	*ret = f;
	if (!h->cell_len)
		return 0;
	f->unavailable = (unsigned)__builtin_popcount(f->cells_ok) < s->k;
	return replayed && !f->unavailable ? keep_payload(r, f) : 0;
}

/* All distinct valid successors of parent at one place. */
static int look_at_place(struct recovery *r, struct found_record *parent, uint64_t log, uint32_t off, struct vec *todo)
{
	uint32_t seen[SUPER_MAX_SLOTS], nseen = 0;

	if ((uint64_t)off + DRIVE_BLOCK > r->s->journal.file_size)
		return 0;
	window_fetch(r, r->counted, log, off, DRIVE_BLOCK);
	for (unsigned i = 0; i < r->s->n; i++) {
		const uint8_t *p = r->counted & 1u << i ? window_at(&r->win[i], log, off, DRIVE_BLOCK) : NULL;
		struct found_record *f;
		struct record_head h;
		if (!p || record_head_decode(p, &h) < 0)
			continue;
		r->max_epoch = MAX(r->max_epoch, h.epoch);
		bool again = !succeeds(r, parent, &h, log, off);
		for (unsigned j = 0; j < nseen; j++)
			again |= seen[j] == h.head_crc;
		if (again)
			continue;
		seen[nseen++] = h.head_crc;
		int rc = add_record(r, parent, &h, log, off, &f);
		if (rc < 0)
			return rc;
		struct found_record **at = f ? vec_push(todo, sizeof *at) : NULL;
		if (at)
			*at = f;
	}
	return 0;
}

/* Does any drive have a record at the front of the next file that follows this one? */
static bool goes_on_in_next(struct recovery *r, const struct found_record *f)
{
	for (unsigned i = 0; i < r->s->n; i++) {
		struct found_file *next = r->counted & 1u << i ? scan_file(r, i, f->log + 1) : NULL;
		if (next && next->first.len && succeeds(r, f, &next->first, f->log + 1, LOG_HEAD_BYTES))
			return true;
	}
	return false;
}

/* ---- The tree and the history ------------------------------------------------------------------------------------- */
/* The newest epoch whose EPOCH lies before the start. Several may carry the start's own sequence: then the one that
 * follows the record before the start, and what is newer, lie behind it. */
static uint64_t epoch_at(const struct super *p, const struct super_start *st)
{
	uint64_t epoch = 0;

	for (unsigned j = p->epochs; j-- > 0;) {
		const struct super_epoch *e = &p->epoch[j];
		if (e->first_seq > st->first_seq || (e->first_seq == st->first_seq && e->prev_crc == st->prev_crc))
			break;
		epoch = e->epoch;
	}
	return epoch;
}

/* The newest start of a superblock that counts, and the epoch that was in force there. */
static void find_start(struct recovery *r)
{
	struct meta_set *s = r->s;
	struct super_start *st = &r->start;

	*st = (struct super_start){0};
	r->root_epoch = 0;
	for (unsigned i = 0; i < s->n; i++) {
		const struct super_start *o = &s->slot[i].super.start;
		if ((r->counted & 1u << i) && (o->log > st->log || (o->log == st->log && o->off > st->off)))
			*st = *o;
	}
	for (unsigned i = 0; i < s->n; i++)
		if (r->counted & 1u << i)
			r->root_epoch = MAX(r->root_epoch, epoch_at(&s->slot[i].super, st));
}

static struct found_record *make_root(struct recovery *r)
{
	struct found_record *f = arena_zalloc(&r->arena, sizeof *f);

	/* A record of one sequence that ends where the journal starts. */
	f->head = (struct record_head){
		.type = RECORD_PAD,
		.first_seq = r->start.first_seq - 1,
		.head_crc = r->start.prev_crc,
		.epoch = r->root_epoch,
	};
	f->log = r->start.log;
	f->off = r->start.off;
	f->history = true;
	f->copies = r->counted;
	return f;
}

static int grow_tree(struct recovery *r)
{
	struct vec todo = {0};
	struct found_record **at = vec_push(&todo, sizeof *at);
	int rc = at ? 0 : -ENOMEM;

	if (at)
		*at = r->root;
	while (rc == 0 && todo.n) {
		struct found_record *f = *VEC_AT(&todo, struct found_record *, --todo.n);
		if (goes_on_in_next(r, f))
			rc = look_at_place(r, f, f->log + 1, LOG_HEAD_BYTES, &todo);
		if (rc == 0)
			rc = look_at_place(r, f, f->log, f->off + f->head.len, &todo);
	}
	vec_free(&todo);
	return rc;
}

/* The head is the EPOCH of the highest epoch in the tree; behind it only records of its own epoch. */
static void find_history(struct recovery *r)
{
	uint64_t epoch = r->root_epoch;

	r->head = r->root;
	LIST_FOREACH(it, &r->records) {
		struct found_record *f = LIST_ENTRY(it, struct found_record, node);
		if (f->head.type == RECORD_EPOCH && f->head.epoch > epoch) {
			epoch = f->head.epoch;
			r->head = f;
		}
	}
	for (struct found_record *f = r->head; f != r->root; f = f->parent) {
		f->history = true;
		f->parent->next = f;
	}
	r->tail = r->head;
	/* Parents are in the list before their children. */
	LIST_FOREACH(it, &r->records) {
		struct found_record *f = LIST_ENTRY(it, struct found_record, node);
		if (f->history || f->parent != r->tail || f->head.epoch != epoch || f->head.type == RECORD_EPOCH)
			continue;
		f->history = true;
		r->tail->next = f;
		r->tail = f;
	}
}

int scan_journals(struct recovery *r)
{
	list_init(&r->records);
	find_start(r);
	r->root = make_root(r);
	windows_ahead(r, true);
	int rc = grow_tree(r);
	windows_ahead(r, false);
	if (rc == 0)
		find_history(r);
	return rc;
}

static void free_records(struct recovery *r)
{
	LIST_FOREACH(it, &r->records) {
		struct found_record *f = LIST_ENTRY(it, struct found_record, node);
		free(f->body);
		free(f->payload);
	}
	list_init(&r->records);
}

void scan_forget(struct recovery *r)
{
	free_records(r);
	arena_reset(&r->arena);
	windows_forget(r);
}

void scan_done(struct recovery *r)
{
	if (r->records.next)
		free_records(r);
	for (unsigned i = 0; i < SUPER_MAX_SLOTS; i++) {
		for (unsigned j = 0; j < r->files[i].n; j++)
			drive_file_unref(VEC_AT(&r->files[i], struct found_file, j)->f);
		vec_free(&r->files[i]);
	}
	windows_free(r);
	vec_free(&r->missing);
	arena_free(&r->arena);
}

/* ---- Records again ------------------------------------------------------------------------------------------------ */
const uint8_t *record_body_of(struct recovery *r, struct found_record *f)
{
	for (unsigned i = 0; !f->body && i < r->s->n; i++) {
		if (!(f->copies & r->counted & 1u << i))
			continue;
		const uint8_t *p = scan_bytes(r, i, f->log, f->off, f->head.len);
		if (!p || !body_ok(&f->head, p))
			continue;
		f->body = malloc(MAX(f->head.body_len, 1u));
		if (f->body)
			memcpy(f->body, p + RECORD_HEAD_BYTES, f->head.body_len);
	}
	return f->body;
}

bool record_cells_of(struct recovery *r, const struct found_record *f, uint8_t *const cells[])
{
	struct meta_set *s = r->s;
	size_t len = f->head.cell_len;
	uint32_t have = 0;

	for (unsigned c = 0; c < s->ncell; c++) {
		unsigned slot = record_cell_slot(c, f->head.first_seq, s->n);
		if (!(f->cells_ok & 1u << slot))
			continue;
		const uint8_t *p = scan_bytes(r, slot, f->log, f->off, f->head.len);
		if (!p)
			continue;
		memcpy(cells[c], p + record_cell_off(f->head.body_len), len);
		have |= 1u << c;
	}
	if ((unsigned)__builtin_popcount(have) < s->k)
		return false;
	uint32_t want = ((1u << s->ncell) - 1) & ~have;
	return !want || erasure_decode(erasure_set_coder(s->erasure), len, (void *const *)cells, have, want) == 0;
}
