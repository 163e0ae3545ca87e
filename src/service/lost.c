/* SPDX-License-Identifier: Apache-2.0 */
#include "service/lost.h"

#include "base/buf.h"
#include "base/log.h"

static bool all_in(struct meta_set *s)
{
	struct meta_stats st;
	unsigned in = 0;

	meta_stats(s, &st);
	for (unsigned i = 0; i < st.n; i++)
		in += st.state[i] == ISR_IN;
	return in == st.n;
}

void lost_tell(struct meta_set *s, const char *area, const struct meta_lost_list *list, const struct meta_lost_blobs *lost)
{
	const char *cure = all_in(s) ? "restore it from a copy, or delete it" : "bring back the drives that are out";

	for (unsigned i = 0; i < lost->n; i++) {
		const struct meta_lost_blob *b = &lost->at[i];
		CLEANUP_BUF struct buf names = BUF_INIT;
		for (const char *c = b->names; *c; c++)
			buf_add_char(&names, *c == '\n' ? ' ' : *c);
		log_error(area, "cannot be read object=\"%s\" segment=%016llx offset=%llu bytes=%llu cure=\"%s\"",
			  buf_cstr(&names), (unsigned long long)b->segment, (unsigned long long)b->offset,
			  (unsigned long long)b->bytes, cure);
	}
	if (list->stripes)
		log_error(area, "stripes have too few good cells stripes=%llu objects_told=%u more=%llu",
			  (unsigned long long)list->stripes, lost->n, (unsigned long long)lost->more);
}
