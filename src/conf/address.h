/* SPDX-License-Identifier: Apache-2.0
 *
 * Listening addresses: "HOST:PORT", ":PORT" (every interface), "[V6]:PORT".
 */
#ifndef QUOIN_CONF_ADDRESS_H
#define QUOIN_CONF_ADDRESS_H

#include <stdint.h>

#include "base/macros.h"
#include "base/str.h"

struct conf_address {
	char host[256]; /* "" for every interface; a V6 address without its brackets */
	uint16_t port;
};

/* 0 or -EINVAL. */
int conf_address_parse(struct str text, struct conf_address *ret) WARN_UNUSED;

#endif
