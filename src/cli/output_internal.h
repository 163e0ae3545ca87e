/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON answers as text for people: an object is "key: value" lines, an array of objects a table. The daemon decides
 * what there is to show; members named *_bytes are shown as sizes.
 */
#ifndef QUOIN_CLI_OUTPUT_INTERNAL_H
#define QUOIN_CLI_OUTPUT_INTERNAL_H

#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/macros.h"

void output_text(const json_t *j, struct buf *ret);
/* The same rows with these members only, for a narrow table; null where a row has none. The caller's. */
json_t *output_pick(const json_t *rows, const char *const *keys, size_t n);
/* "1.5 GiB" */
void output_size(uint64_t bytes, struct buf *ret);
/* "0.25 s", "5m 07s", "3h 00m", "1d 02h" */
void output_seconds(double s, struct buf *ret);

#endif
