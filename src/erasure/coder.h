/* SPDX-License-Identifier: Apache-2.0
 *
 * Reed-Solomon over GF(2^8) by isa-l: K data cells, M parity cells, Cauchy matrix. K + M <= 16, K >= 1, M >= 0.
 * Decode tables are cached per pattern. Thread safe.
 */
#ifndef QUOIN_ERASURE_CODER_H
#define QUOIN_ERASURE_CODER_H

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

#define ERASURE_MAX_CELLS 16

struct erasure_coder;

struct erasure_coder *erasure_coder_new(unsigned k, unsigned m); /* NULL: no memory */
struct erasure_coder *erasure_coder_free(struct erasure_coder *c);
/* cells[0..k) are read, cells[k..k+m) written; each len bytes. */
void erasure_encode(struct erasure_coder *c, size_t len, void *const cells[]);
/* Cells whose bit is set in `have` are read (at least k of them), those in `want` written. -QE_QUORUM_READ: too few. */
int erasure_decode(struct erasure_coder *c, size_t len, void *const cells[], uint32_t have, uint32_t want) WARN_UNUSED;

#endif
