/* SPDX-License-Identifier: Apache-2.0
 *
 * Integers in byte order: le_* for values on disk, be_* for keys (so that memcmp order is numeric order).
 */
#ifndef QUOIN_BASE_BYTES_H
#define QUOIN_BASE_BYTES_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define QUOIN_BYTES(width, type)                                                                                       \
	static inline type le##width##_get(const void *p)                                                                  \
	{                                                                                                                  \
		type v;                                                                                                        \
		memcpy(&v, p, sizeof v);                                                                                       \
		return le##width##toh(v);                                                                                      \
	}                                                                                                                  \
	static inline void le##width##_put(void *p, type v)                                                                \
	{                                                                                                                  \
		v = htole##width(v);                                                                                           \
		memcpy(p, &v, sizeof v);                                                                                       \
	}                                                                                                                  \
	static inline type be##width##_get(const void *p)                                                                  \
	{                                                                                                                  \
		type v;                                                                                                        \
		memcpy(&v, p, sizeof v);                                                                                       \
		return be##width##toh(v);                                                                                      \
	}                                                                                                                  \
	static inline void be##width##_put(void *p, type v)                                                                \
	{                                                                                                                  \
		v = htobe##width(v);                                                                                           \
		memcpy(p, &v, sizeof v);                                                                                       \
	}
QUOIN_BYTES(16, uint16_t)
QUOIN_BYTES(32, uint32_t)
QUOIN_BYTES(64, uint64_t)
#undef QUOIN_BYTES

#endif
