/* SPDX-License-Identifier: Apache-2.0
 *
 * A growing byte buffer with a sticky error: build freely, check buf_err() once at the end.
 */
#ifndef QUOIN_BASE_BUF_H
#define QUOIN_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "base/str.h"

struct buf {
	char *data;   /* NULL or malloc'd; not NUL-terminated unless buf_cstr was called */
	size_t len;
	size_t cap;
	int err;      /* 0 or -ENOMEM; once set, nothing more is added */
};

#define BUF_INIT {0}

void buf_free(struct buf *b);          /* frees and zeroes */
void buf_reset(struct buf *b);         /* len = 0, keeps memory and clears err */
/* Room for n more bytes; NULL on no memory. buf_commit then adds what was used. */
void *buf_reserve(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);
void buf_add(struct buf *b, const void *p, size_t n);
void buf_add_str(struct buf *b, struct str s);
void buf_add_c(struct buf *b, const char *s);
void buf_add_char(struct buf *b, char c);
void buf_add_zero(struct buf *b, size_t n);
void buf_add_u64(struct buf *b, uint64_t v);           /* decimal text */
void buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_vaddf(struct buf *b, const char *fmt, va_list ap);
void buf_put_le16(struct buf *b, uint16_t v);
void buf_put_le32(struct buf *b, uint32_t v);
void buf_put_le64(struct buf *b, uint64_t v);
void buf_put_be64(struct buf *b, uint64_t v);
void buf_pad(struct buf *b, size_t align);             /* zeros up to a multiple of align */
const char *buf_cstr(struct buf *b);                   /* NUL-terminates; "" on error */
char *buf_take(struct buf *b, size_t *ret_len);        /* caller owns; NUL-terminated; NULL on error */
static inline int buf_err(const struct buf *b)
{
	return b->err;
}
/* NULL, 0 after an error: a part is never taken for the whole. */
static inline struct str buf_str(const struct buf *b)
{
	return b->err ? (struct str){NULL, 0} : (struct str){b->data, b->len};
}
static inline void buf_freep(struct buf *b)
{
	buf_free(b);
}
#define CLEANUP_BUF CLEANUP(buf_freep)

#endif
