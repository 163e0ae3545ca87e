/* SPDX-License-Identifier: Apache-2.0
 *
 * The admin API over HTTP: routes that the S3 front authorizes (root credentials) and hands on.
 */
#ifndef QUOIN_DAEMON_ROUTES_H
#define QUOIN_DAEMON_ROUTES_H

#include "net/http_server.h"

struct admin_params;

/* A static table over *a, which must stay until the front has stopped. */
const struct http_route *daemon_routes(struct admin_params *a, unsigned *ret_n);

#endif
