/* SPDX-License-Identifier: Apache-2.0
 *
 * Index copies against their own sums and each other, counters against rows, places of blobs against segments, segments
 * against their files. Memory: some 130 bytes for each blob.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/codec.h"
#include "base/err.h"
#include "meta/fsck_internal.h"
#include "meta/set_internal.h"

/* ---- Index copies ------------------------------------------------------------------------------------------------- */
static void tell_copy(struct fsck *f, unsigned slot, bool others)
{
	fsck_tell(f, others ? FSCK_REPAIRED : FSCK_DAMAGE, f->s->slot[slot].d,
		  others ? "other copies are good" : "names and places may be lost",
		  others ? "nothing: it is made anew while the daemon runs" : "bring the drives with other copies",
		  "its copy of the index is absent, outdated or damaged");
}

static bool same_sums(struct index *a, struct index *b)
{
	struct index_sum x[TABLE_END] = {{0}}, y[TABLE_END] = {{0}};

	if (index_sums(a, x) < 0 || index_sums(b, y) < 0)
		return true; /* told already */
	for (unsigned t = 1; t < TABLE_END; t++)
		if (x[t].rows != y[t].rows || memcmp(x[t].sum, y[t].sum, 16) != 0)
			return false;
	return true;
}

static void compare_copies(struct fsck *f, uint32_t good)
{
	for (unsigned i = 0; i < f->s->n; i++)
		for (unsigned j = i + 1; j < f->s->n; j++) {
			struct index *a = f->s->slot[i].index, *b = f->s->slot[j].index;
			if (!(good & 1u << i) || !(good & 1u << j) || index_position(a) != index_position(b) || same_sums(a, b))
				continue;
			fsck_tell(f, FSCK_DAMAGE, f->s->slot[j].d, "one of the two lost changes",
				  "keep the drives as they are and report it", "its copy of the index differs from that of %s",
				  f->s->slot[i].d->path);
		}
}

static void check_copies(struct fsck *f)
{
	uint32_t good = 0;

	for (unsigned i = 0; i < f->s->n; i++)
		if ((f->index_read & 1u << i) && index_is_whole(f->s->slot[i].index))
			good |= 1u << i;
	for (unsigned i = 0; i < f->s->n; i++)
		if ((f->counted & index_homes(f->s) & ~good) & 1u << i)
			tell_copy(f, i, good != 0);
	compare_copies(f, good);
}

/* ---- Counters ----------------------------------------------------------------------------------------------------- */
static bool count_rows(void *arg, uint64_t rows)
{
	((struct fsck *)arg)->counts.rows = rows;
	return true;
}

static int check_counters(struct fsck *f)
{
	CLEANUP_BUF struct buf lines = BUF_INIT;
	int n = meta_recount(f->s, count_rows, f, &lines);

	if (n < 0 || buf_err(&lines))
		return n < 0 ? n : buf_err(&lines);
	for (struct str rest = buf_str(&lines), line; rest.len > 0 && str_split(&rest, '\n', &line);)
		if (line.len)
			fsck_tell(f, FSCK_DAMAGE, NULL, "a counter is not what the rows say: a bug, or rows were lost",
				  "keep the drives as they are and report it", "%.*s", STR_FMT(line));
	return 0;
}

/* ---- Places of blobs ---------------------------------------------------------------------------------------------- */
static void tell_blob(struct fsck *f, uint64_t blob, const char *what)
{
	fsck_tell(f, FSCK_DAMAGE, NULL, "what lies there cannot be trusted; reads verify it and fail",
		  "keep the drives as they are and report it", "blob %llu: %s", (unsigned long long)blob, what);
}

static const struct segment_info *segment_of(const struct places *p, uint64_t id)
{
	unsigned lo = 0, hi = p->segments.n;

	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;
		const struct segment_info *s = VEC_AT(&p->segments, struct segment_info, mid);

		if (s->id == id)
			return s;
		if (s->id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static uint32_t large_len_4k(const struct row_blob *b, const struct segment_info *s)
{
	uint64_t stripe = (uint64_t)s->k * s->cell_4k * DRIVE_BLOCK, rest = b->stored_len % stripe;

	return (uint32_t)(b->stored_len / stripe * s->cell_4k + DIV_ROUND_UP(DIV_ROUND_UP(rest, (uint64_t)s->k), DRIVE_BLOCK));
}

/* NULL and the span; or what is wrong with the place. */
static const char *place_of(const struct places *p, const struct row_blob *b, struct span *ret)
{
	const struct segment_info *s = segment_of(p, b->segment);
	uint32_t len_4k;

	if (!s)
		return "its segment has no row";
	if (s->state == SEGMENT_DEAD)
		return "its segment is dead";
	if ((b->place == BLOB_PACKED) != (s->cls == SEGMENT_PACKED))
		return "its segment is of another class";
	ret->segment = s->id;
	ret->from = PLACE(b->offset_4k);
	len_4k = b->place == BLOB_PACKED ? s->cell_4k : large_len_4k(b, s);
	ret->to = PLACE((uint64_t)b->offset_4k + len_4k);
	if (b->offset_4k == 0 || (uint64_t)b->offset_4k + len_4k > (s->state == SEGMENT_SEALED ? s->sealed_4k : s->size_4k))
		return "it lies outside of its segment";
	if (b->place != BLOB_PACKED)
		return NULL;
	if (b->cell >= s->k || b->byte + b->stored_len > ERASURE_PACKED_CELL)
		return "it lies outside of its cell";
	ret->from += (uint64_t)b->cell * ERASURE_PACKED_CELL + b->byte;
	ret->to = ret->from + b->stored_len;
	return NULL;
}

static int load_segments_sorted(struct places *p, struct meta_view *v)
{
	struct meta_iter *it;
	struct meta_row row;
	int rc = meta_iter_open(v, TABLE_SEGMENT, &it);

	if (rc < 0)
		return rc;
	for (rc = meta_iter_seek(it, "", 0, &row); rc > 0; rc = meta_iter_next(it, &row)) {
		struct segment_info *s = vec_push(&p->segments, sizeof *s);

		if (!s)
			rc = -ENOMEM;
		else if (row_segment_decode(row.body, s) < 0)
			p->segments.n--; /* the recount has told it */
		if (rc < 0)
			break;
	}
	meta_iter_close(it);
	p->f->counts.segments = p->segments.n;
	return rc;
}

static int load_blobs(struct places *p, struct meta_view *v)
{
	struct meta_iter *it;
	struct meta_row row;
	struct row_blob b;
	int rc = meta_iter_open(v, TABLE_BLOB, &it);

	if (rc < 0)
		return rc;
	for (rc = meta_iter_seek(it, "", 0, &row); rc > 0; rc = meta_iter_next(it, &row)) {
		struct span span = {.blob = row.key.len == 8 ? be64_get(row.key.p) : 0}, *at;

		p->f->counts.blobs++;
		if (row_blob_decode(row.body, &b) < 0 || b.place == BLOB_JOURNAL)
			continue;
		const char *wrong = place_of(p, &b, &span);
		if (wrong) {
			tell_blob(p->f, span.blob, wrong);
			continue;
		}
		at = vec_push(&p->spans, sizeof *at);
		if (!at) {
			rc = -ENOMEM;
			break;
		}
		*at = span;
	}
	meta_iter_close(it);
	return rc;
}

static int by_place(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	if (x->segment != y->segment)
		return x->segment < y->segment ? -1 : 1;
	return x->from < y->from ? -1 : x->from > y->from;
}

static void check_overlaps(struct places *p)
{
	if (p->spans.n)
		qsort(p->spans.p, p->spans.n, sizeof(struct span), by_place);
	for (unsigned i = 1; i < p->spans.n; i++) {
		const struct span *a = VEC_AT(&p->spans, struct span, i - 1), *b = VEC_AT(&p->spans, struct span, i);

		if (a->segment == b->segment && b->from < a->to)
			tell_blob(p->f, b->blob, "another blob lies at its place");
	}
}

/* ---- Files of segments -------------------------------------------------------------------------------------------- */
struct file_counts {
	unsigned bad[SUPER_MAX_SLOTS], cut[SUPER_MAX_SLOTS];
};

/* Where the last cells with payload end. Segments come in the order of the spans: *at goes on behind it. */
static uint32_t live_end(const struct places *p, const struct segment_info *s, unsigned *at)
{
	uint64_t end = 0;

	for (; *at < p->spans.n; ++*at) {
		const struct span *b = VEC_AT(&p->spans, struct span, *at);
		if (b->segment > s->id)
			break;
		if (b->segment == s->id)
			end = MAX(end, s->cls == SEGMENT_PACKED ? b->from / PLACE(1) + s->cell_4k : b->to / PLACE(1));
	}
	return (uint32_t)end;
}

static void check_segment_files(struct places *p, const struct segment_info *s, uint32_t end_4k, struct file_counts *c)
{
	struct fsck *f = p->f;
	uint32_t lost = 0;

	for (unsigned i = 0; i < f->s->n; i++) {
		if (!f->s->slot[i].d) {
			lost |= 1u << i;
			continue;
		}
		int rc = erasure_file_check(f->s->erasure, s->id, i, end_4k);
		if (rc != ERASURE_FILE_GOOD)
			lost |= 1u << i;
		c->bad[i] += rc < 0;
		c->cut[i] += rc == ERASURE_FILE_CUT;
	}
	if ((unsigned)__builtin_popcount(lost) > s->m)
		fsck_tell(f, FSCK_DAMAGE, NULL, "payload in it cannot be read", "bring more of the set's drives",
			  "segment %016llx: %d of its %u cells are not here", (unsigned long long)s->id, __builtin_popcount(lost),
			  (unsigned)(s->k + s->m));
}

struct listing {
	const struct places *p;
	unsigned surplus;
};

static int look_at_name(void *arg, const char *name)
{
	struct listing *l = arg;
	uint8_t raw[8];

	if (strlen(name) == 20 && strcmp(name + 16, ".seg") == 0 && hex_decode((struct str){name, 16}, raw, 8) == 8 &&
	    !segment_of(l->p, be64_get(raw)))
		l->surplus++;
	return 0;
}

static void tell_files(struct fsck *f, const struct drive *d, unsigned bad, unsigned cut, unsigned surplus, unsigned missing)
{
	if (cut)
		fsck_tell(f, FSCK_REPAIRED, d, "the cells behind their end are read from the other drives", "nothing: scrub makes them anew",
			  "%u segment files end before their payload does", cut);
	if (bad)
		fsck_tell(f, FSCK_REPAIRED, d, "their cells are read from the other drives", "nothing: scrub makes them anew",
			  "%u segment files are absent or have a bad header", bad);
	if (surplus)
		fsck_tell(f, FSCK_REPAIRED, d, "they only take space: their payload was deleted, or never committed",
			  "nothing: the daemon removes them", "%u segment files are named by no row", surplus);
	if (missing)
		fsck_tell(f, FSCK_REPAIRED, d, "it was away when they were written; they are read from the other drives",
			  "nothing: they are healed while the daemon runs", "%u ranges of payload are not on it yet", missing);
}

static void check_files(struct places *p)
{
	struct meta_set *s = p->f->s;
	struct file_counts c = {{0}, {0}};
	unsigned at = 0;

	for (unsigned i = 0; i < p->segments.n; i++) {
		const struct segment_info *seg = VEC_AT(&p->segments, struct segment_info, i);
		if (seg->state != SEGMENT_DEAD && seg->live_bytes)
			check_segment_files(p, seg, live_end(p, seg, &at), &c);
	}
	for (unsigned i = 0; i < s->n; i++) {
		struct listing l = {.p = p};
		if (!s->slot[i].d)
			continue;
		(void)!drive_list(s->slot[i].d, "seg", look_at_name, &l);
		tell_files(p->f, s->slot[i].d, c.bad[i], c.cut[i], l.surplus, erasure_missing_count(s->erasure, i));
	}
}

static int load_places(struct places *p)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	int rc = meta_view_open(p->f->s, &v);

	if (rc == 0)
		rc = load_segments_sorted(p, v);
	return rc == 0 ? load_blobs(p, v) : rc;
}

static int check_places(struct fsck *f)
{
	struct places p = {.f = f};
	int rc = load_places(&p);

	if (rc == 0) {
		check_overlaps(&p);
		check_files(&p);
		rc = f->p->deep ? fsck_cells(&p) : 0;
	}
	vec_free(&p.spans);
	vec_free(&p.segments);
	return rc;
}

int fsck_rows(struct fsck *f)
{
	check_copies(f);
	int rc = check_counters(f);

	return rc < 0 ? rc : check_places(f);
}
