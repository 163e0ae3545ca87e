/* SPDX-License-Identifier: Apache-2.0
 *
 * Pages of an index copy that are not in memory.
 *
 * To ask the kernel for each page costs a call; it is asked once a second for each that is used. A page that is used does not
 * leave the memory so soon, but where somebody empties the page cache.
 */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "drive/drive.h"
#include "meta/index_internal.h"

#define PAGE_MAX 65536 /* of LMDB */
#define SYSTEM_PAGE_MIN 4096
#define SEEN_NS NS_PER_S

bool page_in_memory(const uint8_t *page, size_t size)
{
	unsigned char vec[PAGE_MAX / SYSTEM_PAGE_MIN];

	size_t n = DIV_ROUND_UP(size, (size_t)sysconf(_SC_PAGESIZE));

	if (mincore((void *)page, size, vec) < 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!(vec[i] & 1))
			return false;
	return true;
}

/* What is read goes to the page cache, which is what the map shows. */
static int read_in(const struct pages *px, uint64_t pgno)
{
	uint8_t bytes[SYSTEM_PAGE_MIN];
	int rc = 0;

	for (size_t at = 0; at < px->size && rc == 0; at += sizeof bytes)
		rc = drive_pread(px->file, bytes, sizeof bytes, pgno * px->size + at, 0);
	if (rc == 0 || rc == -ENOMEM)
		return rc;
	/* Out of the set: this copy does not answer, and nothing is said of what it holds. */
	return drive_is_out(px->file->drive) ? -QE_DRIVE_TIMEOUT : -QE_CORRUPT;
}

int page_bring(const struct pages *px, uint64_t pgno)
{
	uint64_t bit = 1ULL << pgno % 64;

	if (!px->file || atomic_load_explicit(&px->seen[pgno / 64], memory_order_relaxed) & bit)
		return 0;
	if (!px->in_memory(px->map + pgno * px->size, px->size)) {
		int rc = read_in(px, pgno);
		if (rc < 0)
			return rc;
	}
	atomic_fetch_or_explicit(&px->seen[pgno / 64], bit, memory_order_relaxed);
	return 0;
}

void pages_cool(struct pages *px)
{
	uint64_t now = clock_mono_ns(), since = atomic_load_explicit(&px->seen_ns, memory_order_relaxed);

	if (now - since >= SEEN_NS && atomic_compare_exchange_strong(&px->seen_ns, &since, now))
		ASSERT(madvise((void *)px->seen, px->bits_len, MADV_DONTNEED) == 0);
}
