/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests to a running daemon's admin API, signed with the root credentials of the configuration.
 */
#ifndef QUOIN_CLI_ADMIN_CLIENT_INTERNAL_H
#define QUOIN_CLI_ADMIN_CLIENT_INTERNAL_H

#include <stddef.h>

#include "base/buf.h"
#include "base/macros.h"
#include "conf/conf.h"

struct admin_client {
	char *endpoint; /* "http://127.0.0.1:9000" */
	const char *user, *password, *region;
};

struct admin_param {
	const char *name, *value;
};

/* endpoint NULL: $QUOIN_ENDPOINT, else the configured address on this machine. conf must outlive the client. */
int admin_client_init(struct admin_client *a, const struct conf *c, const char *endpoint) WARN_UNUSED;
void admin_client_free(struct admin_client *a);

/* method path with params, which must be in the order of their names; those without a value are left out. 0 and the
 * body; or -EIO after saying on stderr what failed; or -ENOMEM. */
int admin_client_call(struct admin_client *a, const char *method, const char *path, const struct admin_param *params,
                      size_t n_params, struct buf *ret) WARN_UNUSED;

#endif
