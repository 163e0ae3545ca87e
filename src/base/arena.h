/* SPDX-License-Identifier: Apache-2.0
 *
 * Request memory: allocated piece by piece, freed all at once. Not thread safe.
 */
#ifndef QUOIN_BASE_ARENA_H
#define QUOIN_BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "base/macros.h"
#include "base/str.h"

struct arena_block;
struct arena {
	struct arena_block *head;
	char *next;
	size_t left;
};

#define ARENA_INIT {0}

/* 16-byte aligned; aborts when memory is out (requests are small and bounded). */
void *arena_alloc(struct arena *a, size_t n);
void *arena_zalloc(struct arena *a, size_t n);
void *arena_dup(struct arena *a, const void *p, size_t n);
struct str arena_str(struct arena *a, struct str s);       /* copy, NUL-terminated behind */
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
void arena_reset(struct arena *a);                         /* keeps one block */
void arena_free(struct arena *a);

#endif
