/* SPDX-License-Identifier: Apache-2.0
 *
 * Reed-Solomon by isa-l. The encode matrix is the identity over a Cauchy block, so that any K rows of it are
 * independent; with K = 1 the block is ones, and the parity cells are plain copies.
 *
 * A decode needs the inverse of the K rows that are at hand. It is the same for every stripe that lost the same cells,
 * so its tables are kept by (rows used, rows wanted) in a small ring.
 */
#include "erasure/coder.h"

#include <isa-l/erasure_code.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/lock.h"

#define CACHE_TABLES 64
#define TABLE_BYTES 32 /* of isa-l, per coefficient */

struct decode_table {
	uint32_t have, want;
	int refs; /* the ring's and the users'; under lock */
	uint8_t tables[];
};

struct erasure_coder {
	unsigned k, m;
	uint8_t matrix[ERASURE_MAX_CELLS * ERASURE_MAX_CELLS];
	uint8_t tables[TABLE_BYTES * ERASURE_MAX_CELLS * ERASURE_MAX_CELLS];
	struct mutex lock;
	struct decode_table *cache[CACHE_TABLES];
	unsigned next; /* the ring's oldest entry */
};

struct erasure_coder *erasure_coder_new(unsigned k, unsigned m)
{
	ASSERT(k >= 1 && k + m <= ERASURE_MAX_CELLS);
	struct erasure_coder *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->k = k;
	c->m = m;
	gf_gen_cauchy1_matrix(c->matrix, (int)(k + m), (int)k);
	if (k == 1)
		memset(c->matrix, 1, 1 + m);
	if (m)
		ec_init_tables((int)k, (int)m, c->matrix + k * k, c->tables);
	mutex_init(&c->lock, LOCK_POOL);
	return c;
}

struct erasure_coder *erasure_coder_free(struct erasure_coder *c)
{
	if (!c)
		return NULL;
	for (unsigned i = 0; i < CACHE_TABLES; i++)
		free(c->cache[i]);
	mutex_destroy(&c->lock);
	free(c);
	return NULL;
}

void erasure_encode(struct erasure_coder *c, size_t len, void *const cells[])
{
	if (c->m == 0)
		return;
	if (c->k == 1) {
		for (unsigned i = 1; i <= c->m; i++)
			memcpy(cells[i], cells[0], len);
		return;
	}
	ec_encode_data((int)len, (int)c->k, (int)c->m, c->tables, (unsigned char **)cells, (unsigned char **)cells + c->k);
}

/* One row of the product (encode row of `cell`) * inverse: how that cell follows from the rows at hand. */
static void decode_row(const struct erasure_coder *c, const uint8_t *inverse, unsigned cell, uint8_t *ret)
{
	for (unsigned col = 0; col < c->k; col++) {
		uint8_t sum = 0;
		for (unsigned j = 0; j < c->k; j++)
			sum ^= gf_mul(c->matrix[cell * c->k + j], inverse[j * c->k + col]);
		ret[col] = sum;
	}
}

static struct decode_table *table_new(const struct erasure_coder *c, uint32_t have, uint32_t want)
{
	uint8_t rows[ERASURE_MAX_CELLS * ERASURE_MAX_CELLS], inverse[ERASURE_MAX_CELLS * ERASURE_MAX_CELLS];
	unsigned n = 0, nwant = (unsigned)__builtin_popcount(want);

	for (uint32_t b = have; b; b &= b - 1)
		memcpy(rows + n++ * c->k, c->matrix + (unsigned)__builtin_ctz(b) * c->k, c->k);
	/* Any K rows of a Cauchy matrix under an identity are independent. */
	int singular = gf_invert_matrix(rows, inverse, (int)c->k);
	ASSERT(n == c->k && singular == 0);
	n = 0;
	for (uint32_t b = want; b; b &= b - 1)
		decode_row(c, inverse, (unsigned)__builtin_ctz(b), rows + n++ * c->k);
	struct decode_table *t = malloc(sizeof *t + (size_t)TABLE_BYTES * c->k * nwant);
	if (!t)
		return NULL;
	*t = (struct decode_table){.have = have, .want = want, .refs = 1};
	ec_init_tables((int)c->k, (int)nwant, rows, t->tables);
	return t;
}

static struct decode_table *table_find(struct erasure_coder *c, uint32_t have, uint32_t want)
{
	for (unsigned i = 0; i < CACHE_TABLES && c->cache[i]; i++)
		if (c->cache[i]->have == have && c->cache[i]->want == want) {
			c->cache[i]->refs++;
			return c->cache[i];
		}
	return NULL;
}

static void table_put(struct erasure_coder *c, struct decode_table *t)
{
	mutex_lock(&c->lock);
	bool last = --t->refs == 0;
	mutex_unlock(&c->lock);
	if (last)
		free(t);
}

static struct decode_table *table_get(struct erasure_coder *c, uint32_t have, uint32_t want)
{
	mutex_lock(&c->lock);
	struct decode_table *t = table_find(c, have, want);
	mutex_unlock(&c->lock);
	if (t)
		return t;
	t = table_new(c, have, want);
	if (!t)
		return NULL;
	/* Two threads may make the same table: the second one in the ring is never found and leaves with its turn. */
	mutex_lock(&c->lock);
	struct decode_table *old = c->cache[c->next];
	c->cache[c->next] = t;
	c->next = (c->next + 1) % CACHE_TABLES;
	t->refs++;
	if (old && --old->refs > 0)
		old = NULL;
	mutex_unlock(&c->lock);
	free(old);
	return t;
}

int erasure_decode(struct erasure_coder *c, size_t len, void *const cells[], uint32_t have, uint32_t want)
{
	unsigned char *in[ERASURE_MAX_CELLS], *out[ERASURE_MAX_CELLS];
	unsigned nin = 0, nout = 0;
	uint32_t used = 0;

	for (uint32_t b = have; b && nin < c->k; b &= b - 1) {
		used |= b & -b;
		in[nin++] = cells[__builtin_ctz(b)];
	}
	if (nin < c->k)
		return -QE_QUORUM_READ;
	want &= ~used;
	for (uint32_t b = want; b; b &= b - 1)
		out[nout++] = cells[__builtin_ctz(b)];
	if (nout == 0)
		return 0;
	if (c->k == 1) {
		for (unsigned i = 0; i < nout; i++)
			memcpy(out[i], in[0], len);
		return 0;
	}
	struct decode_table *t = table_get(c, used, want);
	if (!t)
		return -ENOMEM;
	ec_encode_data((int)len, (int)c->k, (int)nout, t->tables, in, out);
	table_put(c, t);
	return 0;
}
