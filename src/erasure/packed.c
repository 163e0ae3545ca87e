/* SPDX-License-Identifier: Apache-2.0
 *
 * Packed stripes: one full stripe of 64 KiB cells, written like a blob of one stripe, with one checksum per cell.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "erasure/erasure_internal.h"

static int packed_push(struct erasure_writer *w, const void *data, uint32_t len)
{
	CLEANUP_FREE void *copy = NULL;

	if (((uintptr_t)data & (DRIVE_BLOCK - 1)) != 0) {
		copy = aligned_alloc(DRIVE_BLOCK, len);
		if (!copy)
			return -ENOMEM;
		data = memcpy(copy, data, len);
	}
	int rc = erasure_writer_push(w, (void *)data, len, NULL, NULL); /* full: nothing is padded in place */
	if (rc < 0)
		return rc;
	return writer_settle(w);
}

int erasure_packed_write(struct erasure_set *s, const void *data, struct erasure_blob *ret)
{
	uint32_t len = erasure_stripe_bytes(s, SEGMENT_PACKED);
	struct erasure_writer *w;

	int rc = writer_open(s, SEGMENT_PACKED, len, &w);
	if (rc < 0)
		return rc;
	rc = packed_push(w, data, len);
	if (rc < 0) {
		erasure_writer_abort(w);
		return rc;
	}
	return erasure_writer_finish(w, ret);
}
