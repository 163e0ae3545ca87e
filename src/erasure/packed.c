/* SPDX-License-Identifier: Apache-2.0
 *
 * Packed stripes: one full stripe of 64 KiB cells, written like a blob of one stripe, with one checksum per cell.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "erasure/erasure_internal.h"

/* Of a copy: the cell of a drive that hangs is written from it when the caller has long gone on. */
static int packed_push(struct erasure_writer *w, const void *data, uint32_t len)
{
	void *copy = aligned_alloc(DRIVE_BLOCK, len);

	if (!copy)
		return -ENOMEM;
	memcpy(copy, data, len);
	int rc = erasure_writer_push(w, copy, len, free, copy);
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
