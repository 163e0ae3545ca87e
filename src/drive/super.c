/* SPDX-License-Identifier: Apache-2.0
 *
 * The superblock: codec of a slot (layout in super.h), and the order in which the two slots are read and written.
 */
#include "drive/super.h"

#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/err.h"
#include "drive/drive_internal.h"

#define SUPER_MAGIC 0x31425351U /* "QSB1" */
#define FLAG_MEMBER 1U
#define CRC_OFF (DRIVE_BLOCK - 4)

/* ---- Codec ------------------------------------------------------------------------------------------------------ */

/* bad is sticky: what is read behind the end is zero, checked once. A writer's block is always large enough. */
struct cursor {
	uint8_t *p;
	const uint8_t *end;
	bool bad;
};

static void put_bytes(struct cursor *c, const void *p, size_t n)
{
	ASSERT(n <= (size_t)(c->end - c->p));
	memcpy(c->p, p, n);
	c->p += n;
}

static void get_bytes(struct cursor *c, void *ret, size_t n)
{
	if (c->bad || n > (size_t)(c->end - c->p)) {
		c->bad = true;
		memset(ret, 0, n);
		return;
	}
	memcpy(ret, c->p, n);
	c->p += n;
}

#define CURSOR_INT(name, type, to_disk, from_disk)                                                                     \
	static void put_##name(struct cursor *c, type v)                                                               \
	{                                                                                                              \
		v = to_disk(v);                                                                                        \
		put_bytes(c, &v, sizeof v);                                                                            \
	}                                                                                                              \
	static type get_##name(struct cursor *c)                                                                       \
	{                                                                                                              \
		type v;                                                                                                \
		get_bytes(c, &v, sizeof v);                                                                            \
		return from_disk(v);                                                                                   \
	}
CURSOR_INT(u8, uint8_t, , )
CURSOR_INT(u16, uint16_t, htole16, le16toh)
CURSOR_INT(u32, uint32_t, htole32, le32toh)
CURSOR_INT(u64, uint64_t, htole64, le64toh)
#undef CURSOR_INT

static void put_isr(struct cursor *c, const struct isr_body *isr, bool with_reason)
{
	size_t len = with_reason ? strnlen(isr->reason, ISR_REASON_MAX) : 0;

	ASSERT(isr->n <= SUPER_MAX_SLOTS);
	put_u8(c, isr->n);
	put_u8(c, isr->k);
	put_u8(c, isr->m);
	put_u8(c, isr->w);
	for (unsigned i = 0; i < isr->n; i++) {
		put_u8(c, isr->slot[i].state);
		put_u8(c, isr->slot[i].index);
		put_u16(c, 0);
		put_bytes(c, isr->slot[i].drive, 16);
	}
	put_u16(c, (uint16_t)len);
	put_bytes(c, isr->reason, len);
}

static void get_isr(struct cursor *c, struct isr_body *ret)
{
	memset(ret, 0, sizeof *ret);
	ret->n = get_u8(c);
	ret->k = get_u8(c);
	ret->m = get_u8(c);
	ret->w = get_u8(c);
	if (ret->n > SUPER_MAX_SLOTS) {
		c->bad = true;
		ret->n = 0;
	}
	for (unsigned i = 0; i < ret->n; i++) {
		ret->slot[i].state = get_u8(c);
		ret->slot[i].index = get_u8(c);
		if (get_u16(c) != 0 || ret->slot[i].state > ISR_IN || ret->slot[i].index > ISR_INDEX_GOOD)
			c->bad = true;
		get_bytes(c, ret->slot[i].drive, 16);
	}
	size_t len = get_u16(c);
	if (len > ISR_REASON_MAX)
		c->bad = true;
	else
		get_bytes(c, ret->reason, len);
}

void isr_body_encode(struct buf *b, const struct isr_body *isr, bool with_reason)
{
	uint8_t *p = buf_reserve(b, ISR_BODY_MAX);

	if (!p)
		return;
	struct cursor c = {p, p + ISR_BODY_MAX, false};
	put_isr(&c, isr, with_reason);
	buf_commit(b, (size_t)(c.p - p));
}

int isr_body_decode(const void *p, size_t len, struct isr_body *ret)
{
	uint8_t *start = (uint8_t *)(uintptr_t)p;
	struct cursor c = {start, start + len, false};
	struct isr_body isr;

	get_isr(&c, &isr);
	if (c.bad)
		return -QE_CORRUPT;
	*ret = isr;
	return (int)(c.p - start);
}

static void put_head(struct cursor *c, const struct super *s)
{
	put_u32(c, SUPER_MAGIC);
	put_u32(c, SUPER_FORMAT);
	put_u64(c, s->generation);
	put_bytes(c, s->deployment, 16);
	put_bytes(c, s->drive, 16);
	const uint16_t place[] = {s->pool, s->set, s->slot, s->n, s->k, s->m, s->w, s->log2_file};
	for (unsigned i = 0; i < ARRAY_SIZE(place); i++)
		put_u16(c, place[i]);
	put_u8(c, s->index_state);
	put_u64(c, s->index_position);
	put_u64(c, s->must_understand);
	put_u64(c, s->may_ignore);
	put_u32(c, s->member ? FLAG_MEMBER : 0);
}

void super_encode(const struct super *s, void *block)
{
	struct cursor c = {block, (uint8_t *)block + CRC_OFF, false};

	ASSERT(s->epochs <= SUPER_MAX_EPOCHS);
	memset(block, 0, DRIVE_BLOCK);
	put_head(&c, s);
	put_u64(&c, s->promised);
	put_u64(&c, s->start.log);
	put_u32(&c, s->start.off);
	put_u64(&c, s->start.first_seq);
	put_u32(&c, s->start.prev_crc);
	put_u64(&c, s->isr_epoch);
	put_u64(&c, s->isr_seq);
	put_isr(&c, &s->isr, false);
	put_u64(&c, s->durable_seq);
	put_u16(&c, (uint16_t)s->epochs);
	for (unsigned i = 0; i < s->epochs; i++) {
		put_u64(&c, s->epoch[i].epoch);
		put_u64(&c, s->epoch[i].first_seq);
		put_u32(&c, s->epoch[i].prev_crc);
	}
	le32_put((uint8_t *)block + CRC_OFF, checksum_crc32c(0, block, CRC_OFF));
}

/* Behind magic and format. */
static void get_head(struct cursor *c, struct super *s)
{
	s->generation = get_u64(c);
	get_bytes(c, s->deployment, 16);
	get_bytes(c, s->drive, 16);
	uint16_t *const place[] = {&s->pool, &s->set, &s->slot, &s->n, &s->k, &s->m, &s->w, &s->log2_file};
	for (unsigned i = 0; i < ARRAY_SIZE(place); i++)
		*place[i] = get_u16(c);
	s->index_state = get_u8(c);
	s->index_position = get_u64(c);
	s->must_understand = get_u64(c);
	s->may_ignore = get_u64(c);
	s->member = get_u32(c) & FLAG_MEMBER;
}

static void get_rest(struct cursor *c, struct super *s)
{
	s->promised = get_u64(c);
	s->start.log = get_u64(c);
	s->start.off = get_u32(c);
	s->start.first_seq = get_u64(c);
	s->start.prev_crc = get_u32(c);
	s->isr_epoch = get_u64(c);
	s->isr_seq = get_u64(c);
	get_isr(c, &s->isr);
	s->durable_seq = get_u64(c);
	s->epochs = get_u16(c);
	if (s->epochs > SUPER_MAX_EPOCHS) {
		c->bad = true;
		s->epochs = 0;
	}
	for (unsigned i = 0; i < s->epochs; i++) {
		s->epoch[i].epoch = get_u64(c);
		s->epoch[i].first_seq = get_u64(c);
		s->epoch[i].prev_crc = get_u32(c);
	}
}

int super_decode(const void *block, struct super *ret)
{
	uint8_t *p = (uint8_t *)(uintptr_t)block;
	struct cursor c = {p, p + CRC_OFF, false};
	struct super s = {0};

	if (get_u32(&c) != SUPER_MAGIC || le32_get(p + CRC_OFF) != checksum_crc32c(0, p, CRC_OFF))
		return -QE_CORRUPT;
	if (get_u32(&c) != SUPER_FORMAT)
		return -QE_DRIVE_FORMAT;
	get_head(&c, &s);
	if (s.must_understand)
		return -QE_DRIVE_FORMAT;
	get_rest(&c, &s);
	if (c.bad || s.index_state > ISR_INDEX_BAD)
		return -QE_CORRUPT;
	*ret = s;
	return 0;
}

/* ---- Slots ------------------------------------------------------------------------------------------------------ */

struct slots {
	uint8_t *block[2];
	int rc[2];                 /* of reading and decoding */
	uint64_t generation[2];    /* 0 where rc < 0 */
};

static void slots_done(struct slots *s)
{
	free(s->block[0]);
	free(s->block[1]);
}

/* A slot that cannot be read is a bad slot: a rewrite often heals the sector. 0, -ENOMEM, -QE_DRIVE_FORMAT. */
static int slots_read(struct drive_file *f, struct slots *s)
{
	struct super sb;

	for (int i = 0; i < 2; i++) {
		s->block[i] = malloc(DRIVE_BLOCK);
		if (!s->block[i])
			return -ENOMEM;
		s->rc[i] = drive_pread(f, s->block[i], DRIVE_BLOCK, (uint64_t)i * DRIVE_BLOCK, 0);
		if (s->rc[i] == 0)
			s->rc[i] = super_decode(s->block[i], &sb);
		s->generation[i] = s->rc[i] == 0 ? sb.generation : 0;
		/* One slot of a newer version is enough: that version has been here. */
		if (s->rc[i] == -QE_DRIVE_FORMAT)
			return -QE_DRIVE_FORMAT;
	}
	return 0;
}

static int slot_write(struct drive_file *f, int i, const void *block)
{
	return drive_pwrite(f, block, DRIVE_BLOCK, (uint64_t)i * DRIVE_BLOCK, DRIVE_DSYNC);
}

static int read_slots(struct drive_file *f, bool read_only, struct super *ret)
{
	CLEANUP(slots_done) struct slots s = {0};
	int rc = slots_read(f, &s);

	if (rc < 0)
		return rc;
	if (s.rc[0] < 0 && s.rc[1] < 0)
		return drive_is_out(f->drive) ? -EIO : -QE_CORRUPT;
	int best = s.rc[0] < 0 || (s.rc[1] == 0 && s.generation[1] > s.generation[0]);
	/* Else a bad newer slot could take back what this start has acted upon. */
	if (!read_only && (s.rc[!best] < 0 || memcmp(s.block[0], s.block[1], DRIVE_BLOCK) != 0))
		rc = slot_write(f, !best, s.block[best]);
	return rc < 0 ? rc : super_decode(s.block[best], ret);
}

int super_read(struct drive *d, bool read_only, struct super *ret)
{
	struct drive_file *f;
	int rc = drive_open(d, SUPER_NAME, 0, 0, &f);

	if (rc < 0)
		return rc == -ENOENT ? -QE_CORRUPT : rc;
	rc = read_slots(f, read_only, ret);
	drive_file_unref(f);
	return rc;
}

static int check_slots(struct drive_file *f, bool *ret_differ)
{
	CLEANUP(slots_done) struct slots s = {0};
	int rc = slots_read(f, &s);

	if (rc < 0)
		return rc;
	unsigned bad = (s.rc[0] < 0) + (s.rc[1] < 0);
	if (bad == 2)
		return -QE_CORRUPT;
	*ret_differ = bad == 0 && memcmp(s.block[0], s.block[1], DRIVE_BLOCK) != 0;
	return (int)bad;
}

int super_check(struct drive *d, bool *ret_differ)
{
	struct drive_file *f;
	int rc = drive_open(d, SUPER_NAME, 0, 0, &f);

	if (rc < 0)
		return rc == -ENOENT ? -QE_CORRUPT : rc;
	rc = check_slots(f, ret_differ);
	drive_file_unref(f);
	return rc;
}

static int write_slots(struct drive_file *f, struct super *sb)
{
	CLEANUP(slots_done) struct slots s = {0};
	CLEANUP_FREE uint8_t *block = malloc(DRIVE_BLOCK);
	int rc = block ? slots_read(f, &s) : -ENOMEM;

	if (rc < 0)
		return rc;
	sb->generation = 1 + MAX(sb->generation, MAX(s.generation[0], s.generation[1]));
	super_encode(sb, block);
	/* A bad slot has generation 0 and so goes first. */
	int first = s.generation[1] < s.generation[0];
	rc = slot_write(f, first, block);
	return rc < 0 ? rc : slot_write(f, !first, block);
}

int super_write(struct drive *d, struct super *s)
{
	struct drive_file *f;
	int rc = drive_open(d, SUPER_NAME, 0, 0, &f);

	if (rc < 0)
		return rc;
	rc = write_slots(f, s);
	drive_file_unref(f);
	return rc;
}

static int make_super_file(struct drive *d, struct drive_file **ret)
{
	int rc = drive_open(d, IDENTITY_NAME, 0, 0, ret);

	if (rc == 0)
		drive_file_unref(*ret);
	if (rc != -ENOENT)
		return rc == 0 ? -EEXIST : rc;
	for (unsigned i = 0; i < ARRAY_SIZE(drive_dirs); i++) {
		rc = drive_mkdir(d, drive_dirs[i]);
		if (rc < 0)
			return rc;
	}
	/* Of a format that was cut short. */
	rc = drive_unlink(d, SUPER_NAME);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	return drive_open(d, SUPER_NAME, DRIVE_CREATE | DRIVE_PREWRITE, SUPER_FILE_SIZE, ret);
}

int super_format(struct drive *d, struct super *s)
{
	struct drive_file *f;
	int rc = make_super_file(d, &f);

	if (rc < 0)
		return rc;
	rc = write_slots(f, s);
	drive_file_unref(f);
	return rc;
}
