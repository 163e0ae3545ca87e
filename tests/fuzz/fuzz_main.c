/* SPDX-License-Identifier: Apache-2.0
 *
 * libFuzzer's entry to the target that FUZZ_TARGET names.
 */
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return FUZZ_TARGET(data, size);
}
