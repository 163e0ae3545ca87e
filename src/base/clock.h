/* SPDX-License-Identifier: Apache-2.0
 *
 * Clocks. wall_ns: nanoseconds since 1970 (UTC); mono_ns: CLOCK_MONOTONIC. Text forms are UTC.
 */
#ifndef QUOIN_BASE_CLOCK_H
#define QUOIN_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define NS_PER_S 1000000000ULL
#define NS_PER_MS 1000000ULL

uint64_t clock_wall_ns(void);
uint64_t clock_mono_ns(void);
void clock_sleep_ns(uint64_t ns);

#define CLOCK_ISO_LEN 24  /* 2026-01-02T03:04:05.678Z */
#define CLOCK_HTTP_LEN 29 /* Fri, 02 Jan 2026 03:04:05 GMT */
/* ret: at least LEN + 1 bytes; NUL-terminated. */
void clock_format_iso(uint64_t wall_ns, char *ret);
void clock_format_http(uint64_t wall_ns, char *ret);
/* RFC 7231 dates (the three forms); 0 or -EINVAL. */
int clock_parse_http(struct str s, uint64_t *ret_wall_ns);
/* 20260102T030405Z and 2026-01-02T03:04:05[.frac]Z; 0 or -EINVAL. */
int clock_parse_iso(struct str s, uint64_t *ret_wall_ns);

#endif
