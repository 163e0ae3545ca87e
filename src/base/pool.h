/* SPDX-License-Identifier: Apache-2.0
 *
 * Pools of equal, 4 KiB aligned buffers. Thread safe. A pool keeps up to `keep` free buffers; it never hands out more
 * than `max` at a time (0: no limit).
 */
#ifndef QUOIN_BASE_POOL_H
#define QUOIN_BASE_POOL_H

#include <stddef.h>

#define POOL_ALIGN 4096

struct pool;

struct pool *pool_new(size_t size, size_t keep, size_t max);
void *pool_get(struct pool *p);            /* NULL when max are out or memory is */
void pool_put(struct pool *p, void *buf);  /* accepts NULL */
size_t pool_size(const struct pool *p);
struct pool *pool_free(struct pool *p);    /* all buffers must be back */

#endif
