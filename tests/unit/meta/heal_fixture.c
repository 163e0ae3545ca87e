/* SPDX-License-Identifier: Apache-2.0
 *
 * See heal_fixture.h.
 */
#include "heal_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

uint32_t size_of(uint64_t key)
{
	static const uint32_t sizes[] = {100, 5000, 30000, 200000, 1500000};

	return sizes[key % 5] + (uint32_t)key;
}

void put_key(struct fixture *f, uint64_t key, uint64_t seed)
{
	uint32_t len = size_of(key);

	assert_int_equal(len > 32768 ? put_large(f, META_DURABLE, key, seed, len) : put_blob(f, META_DURABLE, key, seed, len), 0);
}

void put_keys(struct fixture *f, uint64_t from, uint64_t to)
{
	for (uint64_t k = from; k < to; k++)
		put_key(f, k, k);
	assert_int_equal(meta_checkpoint(f->s), 0);
}

void expect_keys(struct fixture *f, uint64_t from, uint64_t to)
{
	for (uint64_t k = from; k < to; k++)
		assert_int_equal(check_blob(f, k, k, size_of(k)), 1);
}

bool patience_go_on(void *arg, uint64_t bytes)
{
	struct patience *p = arg;

	p->bytes += bytes;
	return !p->ends || (p->left && p->left--);
}

int heal_with(struct fixture *f, struct patience *p)
{
	struct meta_healer *h = meta_healer_new(f->s, patience_go_on, p);

	if (!h)
		return -ENOMEM;
	int rc = meta_heal_missing(h);
	meta_healer_free(h);
	return rc;
}

int heal(struct fixture *f)
{
	return heal_with(f, &(struct patience){.ends = false});
}

static void add_scrubbed(void *arg, uint64_t segment, const struct erasure_healed *r)
{
	struct scrubbed *s = arg;

	assert_true(segment > s->last);
	s->last = segment;
	s->segments++;
	s->all.stripes += r->stripes;
	s->all.bytes += r->bytes;
	for (unsigned i = 0; i < ERASURE_MAX_CELLS; i++) {
		s->all.slot[i].bad += r->slot[i].bad;
		s->all.slot[i].healed += r->slot[i].healed;
		s->all.slot[i].failed += r->slot[i].failed;
	}
}

int scrub_with(struct fixture *f, struct patience *p, struct scrubbed *ret)
{
	struct meta_healer *h = meta_healer_new(f->s, patience_go_on, p);

	if (!h)
		return -ENOMEM;
	memset(ret, 0, sizeof *ret);
	int rc = meta_scrub(h, 0, add_scrubbed, ret);
	meta_healer_free(h);
	return rc;
}

struct scrubbed scrub(struct fixture *f)
{
	struct patience p = {.ends = false};
	struct scrubbed s;

	assert_int_equal(scrub_with(f, &p, &s), 1);
	return s;
}

uint64_t sum_bad(const struct scrubbed *s)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < ERASURE_MAX_CELLS; i++)
		n += s->all.slot[i].bad;
	return n;
}

void expect_whole(struct fixture *f)
{
	assert_int_equal(missing_ranges(f), 0);
	struct scrubbed s = scrub(f);
	assert_int_equal(sum_bad(&s), 0);
}

unsigned remove_segments(struct fixture *f, unsigned slot)
{
	char path[400];
	struct dirent *e;
	unsigned n = 0;

	snprintf(path, sizeof path, "%s/d%u/seg", f->root, slot);
	DIR *d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "%s/d%u/seg/%s", f->root, slot, e->d_name);
		assert_int_equal(unlink(path), 0);
		n++;
	}
	closedir(d);
	return n;
}

void rot(struct fixture *f, unsigned slot)
{
	char path[400];
	struct dirent *e;
	uint8_t block[4096];

	snprintf(path, sizeof path, "%s/d%u/seg", f->root, slot);
	DIR *d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "%s/d%u/seg/%s", f->root, slot, e->d_name);
		int fd = open(path, O_RDWR);
		assert_true(fd >= 0);
		for (off_t off = 4096; pread(fd, block, sizeof block, off) == (ssize_t)sizeof block; off += 4096) {
			block[77] ^= 4;
			assert_int_equal(pwrite(fd, block + 77, 1, off + 77), 1);
		}
		close(fd);
	}
	closedir(d);
}

void spoil_index(struct fixture *f, unsigned slot)
{
	char path[128];
	struct stat st;
	uint8_t byte;

	snprintf(path, sizeof path, "%s/d%u/index/data.mdb", f->root, slot);
	int fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	for (off_t off = 2 * 4096 + 4000; off < st.st_size; off += 4096) {
		assert_int_equal(pread(fd, &byte, 1, off), 1);
		byte ^= 0x5a;
		assert_int_equal(pwrite(fd, &byte, 1, off), 1);
	}
	close(fd);
}
