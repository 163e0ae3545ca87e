/* SPDX-License-Identifier: Apache-2.0
 *
 * A fuzz target: one function on bytes of any kind. With --enable-fuzzing each is a libFuzzer program of its own; in
 * make check all of them run over their seeds (tests/fuzz/seeds/NAME) and over mutations of these.
 */
#ifndef QUOIN_TESTS_FUZZ_FUZZ_H
#define QUOIN_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

typedef int fuzz_fn(const uint8_t *data, size_t size);
fuzz_fn fuzz_chunked, fuzz_sigv4, fuzz_xml, fuzz_uri;

#endif
