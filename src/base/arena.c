/* SPDX-License-Identifier: Apache-2.0
 *
 * Request memory in a chain of blocks. The head block is the one being filled; a large piece gets a block of its own
 * behind the head, so that the room left in the head is not lost.
 */
#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_ALIGN 16
#define BLOCK_SIZE 8000 /* with malloc's own header below two pages */
#define LARGE (BLOCK_SIZE / 4)

struct arena_block {
	struct arena_block *below;
	size_t size; /* of data */
	alignas(ARENA_ALIGN) char data[];
};

static struct arena_block *block_new(size_t size)
{
	struct arena_block *b;

	ASSERT(size <= PTRDIFF_MAX - sizeof *b);
	b = malloc(sizeof *b + size);
	ASSERT(b != NULL);
	b->below = NULL;
	b->size = size;
	return b;
}

static void *alloc_large(struct arena *a, size_t n)
{
	struct arena_block *b = block_new(n);

	if (a->head) {
		b->below = a->head->below;
		a->head->below = b;
	} else {
		a->head = b;
		a->next = b->data + n;
		a->left = 0;
	}
	return b->data;
}

void *arena_alloc(struct arena *a, size_t n)
{
	void *p;

	ASSERT(n <= PTRDIFF_MAX);
	n = ALIGN_UP(MAX(n, 1), ARENA_ALIGN);
	if (n > a->left) {
		struct arena_block *b;

		if (n > LARGE)
			return alloc_large(a, n);
		b = block_new(BLOCK_SIZE);
		b->below = a->head;
		a->head = b;
		a->next = b->data;
		a->left = b->size;
	}
	p = a->next;
	a->next += n;
	a->left -= n;
	return p;
}

void *arena_zalloc(struct arena *a, size_t n)
{
	return memset(arena_alloc(a, n), 0, n);
}

void *arena_dup(struct arena *a, const void *p, size_t n)
{
	void *copy = arena_alloc(a, n);

	if (n)
		memcpy(copy, p, n);
	return copy;
}

struct str arena_str(struct arena *a, struct str s)
{
	char *copy = arena_alloc(a, s.len + 1);

	if (s.len)
		memcpy(copy, s.p, s.len);
	copy[s.len] = '\0';
	return (struct str){copy, s.len};
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *text;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	ASSERT(n >= 0);
	text = arena_alloc(a, (size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(text, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return text;
}

void arena_reset(struct arena *a)
{
	struct arena_block *keep = NULL, *below;

	for (struct arena_block *b = a->head; b; b = below) {
		below = b->below;
		if (!keep && b->size == BLOCK_SIZE)
			keep = b;
		else
			free(b);
	}
	*a = (struct arena)ARENA_INIT;
	if (keep) {
		keep->below = NULL;
		a->head = keep;
		a->next = keep->data;
		a->left = keep->size;
	}
}

void arena_free(struct arena *a)
{
	struct arena_block *below;

	for (struct arena_block *b = a->head; b; b = below) {
		below = b->below;
		free(b);
	}
	*a = (struct arena)ARENA_INIT;
}
