/* SPDX-License-Identifier: Apache-2.0
 *
 * CRCs. crc32c is Castagnoli (RFC 3720, "123456789" -> e3069283), crc32 is IEEE 802.3 (cbf43926), crc64nvme is the
 * NVMe one (ae8b14860a799888), all reflected with inverted start and end. Values are plain: pass 0 to start, pass the
 * result of the bytes before to go on. The *_combine functions give the value of A|B from those of A and B, *_zeros that
 * of len zero bytes; both take some 0.1 us for each bit that is set in the length.
 */
#ifndef QUOIN_BASE_CHECKSUM_H
#define QUOIN_BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

uint32_t checksum_crc32c(uint32_t crc, const void *p, size_t len);
uint32_t checksum_crc32(uint32_t crc, const void *p, size_t len);
uint64_t checksum_crc64nvme(uint64_t crc, const void *p, size_t len);
uint32_t checksum_crc32c_combine(uint32_t a, uint32_t b, uint64_t len_b);
uint32_t checksum_crc32_combine(uint32_t a, uint32_t b, uint64_t len_b);
uint64_t checksum_crc64nvme_combine(uint64_t a, uint64_t b, uint64_t len_b);
uint32_t checksum_crc32c_zeros(uint64_t len);
uint64_t checksum_crc64nvme_zeros(uint64_t len);

#endif
