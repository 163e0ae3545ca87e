/* SPDX-License-Identifier: Apache-2.0
 *
 * Damage of what a drive holds of a segment, for tests that have a set.
 */
#ifndef QUOIN_TESTS_UNIT_META_ROT_H
#define QUOIN_TESTS_UNIT_META_ROT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "lib/testdir.h"
#include "meta/meta.h"

#define ROT_NAME_MAX 64

/* The n-th segment (0 is the oldest) of the class as the slot's directory below the tests' root calls it. */
static inline uint64_t rot_segment(struct meta_set *s, enum segment_class cls, unsigned n, unsigned slot, char *ret)
{
	CLEANUP_VIEW struct meta_view *v = NULL;
	struct segment_info info = {0};
	struct meta_iter *it;
	struct meta_row row;
	int rc;

	assert_int_equal(meta_view_open(s, &v), 0);
	assert_int_equal(meta_iter_open(v, TABLE_SEGMENT, &it), 0);
	for (rc = meta_iter_seek(it, "", 0, &row); rc > 0; rc = meta_iter_next(it, &row)) {
		assert_int_equal(row_segment_decode(row.body, &info), 0);
		if (info.cls == cls && n-- == 0)
			break;
	}
	assert_int_equal(rc, 1);
	meta_iter_close(it);
	snprintf(ret, ROT_NAME_MAX, "d%u/seg/%016llx.seg", slot, (unsigned long long)info.id);
	return info.id;
}

/* A byte of the slot's first cell of the oldest segment of large blobs. */
static inline void rot_first_cell(struct meta_set *s, const char *root, unsigned slot)
{
	char name[ROT_NAME_MAX];

	rot_segment(s, SEGMENT_LARGE, 0, slot, name);
	testdir_corrupt(root, name, 4096, 1);
}

#endif
