/* SPDX-License-Identifier: Apache-2.0
 *
 * Text codecs: hex, base64, percent encoding, and random bytes and ids.
 */
#ifndef QUOIN_BASE_CODEC_H
#define QUOIN_BASE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

void hex_encode(const void *p, size_t len, char *ret);            /* 2 * len + 1 bytes, lower case, NUL */
int hex_decode(struct str s, void *ret, size_t cap);              /* bytes written or -EINVAL */
size_t base64_encode(const void *p, size_t len, char *ret);       /* 4 * ceil(len / 3) + 1 bytes, NUL */
int base64_decode(struct str s, void *ret, size_t cap);           /* bytes written or -EINVAL */
/* RFC 3986: all but A-Z a-z 0-9 - . _ ~ (and / when keep_slash) become %XX. */
void percent_encode(struct buf *b, struct str s, bool keep_slash);
/* %XX to bytes, '+' to blank when plus; -EINVAL on a bad escape. */
int percent_decode(struct buf *b, struct str s, bool plus);
void random_bytes(void *p, size_t len);                           /* getrandom; aborts if it fails */
uint64_t random_u64(void);
#define UUID_TEXT_LEN 36
void uuid_format(const uint8_t id[16], char *ret);                /* UUID_TEXT_LEN + 1 bytes */
int uuid_parse(struct str s, uint8_t ret[16]);                    /* 0 or -EINVAL */
void uuid_random(uint8_t ret[16]);                                /* version 4 */

#endif
