/* SPDX-License-Identifier: Apache-2.0
 *
 * Index copies are compared with what they should be (STORAGE.md section 6, Integrity). LMDB may answer that a key is not
 * there because of a bad page, so what is read is not the only thing that can be wrong: the sums tell of what is not.
 */
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "meta/heal.h"
#include "meta/index_internal.h"
#include "meta/set_internal.h"

struct compared {
	struct index *ix;
	unsigned slot, alike; /* alike: copies with the same sums, this one counted */
	struct index_sum sum[TABLE_END];
};

static bool sums_alike(const struct compared *a, const struct compared *b)
{
	for (unsigned t = 1; t < TABLE_END; t++)
		if (a->sum[t].rows != b->sum[t].rows || memcmp(a->sum[t].sum, b->sum[t].sum, 16) != 0)
			return false;
	return true;
}

static void strike(struct compared *c, const char *why, struct meta_index_check *ret)
{
	log_error("meta", "index copy is bad, it is made anew slot=%u cause=\"%s\"", c->slot, why);
	(void)!index_damaged(c->ix, why);
	ret->bad++;
}

/* Those that stand where most stand; a copy that lags behind (its drive was away) is compared with its own sums only. */
static void compare(struct compared *c, unsigned n, struct meta_index_check *ret)
{
	unsigned most = 0;

	for (unsigned i = 0; i < n; i++)
		for (unsigned j = 0; j < n; j++)
			c[i].alike += index_position(c[i].ix) == index_position(c[j].ix) && sums_alike(&c[i], &c[j]);
	for (unsigned i = 1; i < n; i++)
		most = c[i].alike > c[most].alike ? i : most;
	for (unsigned i = 0; i < n; i++)
		if (c[i].alike < c[most].alike && index_position(c[i].ix) == index_position(c[most].ix))
			strike(&c[i], "its sums are not those of the others", ret);
}

int meta_index_check(struct meta_set *s, struct meta_index_check *ret)
{
	CLEANUP_FREE struct compared *c = calloc(SUPER_MAX_SLOTS, sizeof *c);
	unsigned n = 0;

	if (!c)
		return -ENOMEM;
	*ret = (struct meta_index_check){0};
	MUTEX_GUARD(&s->checkpoint_lock);
	for (unsigned i = 0; i < s->n && !__atomic_load_n(&s->stopping, __ATOMIC_RELAXED); i++) {
		struct index *ix = s->slot[i].index;
		if (!ix || index_is_bad(ix) || index_is_doubtful(ix))
			continue;
		ret->copies++;
		c[n] = (struct compared){.ix = ix, .slot = i};
		bool whole = index_is_whole(ix);
		if (index_is_doubtful(ix)) /* its drive left meanwhile: nothing was found out */
			continue;
		if (!whole)
			strike(&c[n], "its rows are not what its sums say", ret);
		else if (index_sums(ix, c[n].sum) == 0)
			n++;
	}
	compare(c, n, ret);
	return 0;
}
