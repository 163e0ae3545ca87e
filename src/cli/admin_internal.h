/* SPDX-License-Identifier: Apache-2.0
 *
 * What the admin commands share: asking the server, and printing what it answers. Paths are below /quoin/admin/v1. int: an
 * exit status; what failed was said on stderr.
 */
#ifndef QUOIN_CLI_ADMIN_INTERNAL_H
#define QUOIN_CLI_ADMIN_INTERNAL_H

#include <jansson.h>

#include "cli/admin_client_internal.h"
#include "cli/cmds_internal.h"

int admin_ask(const struct cli_args *args, const char *method, const char *path, const struct admin_param *params,
              size_t n_params, struct buf *ret) WARN_UNUSED;
json_t *admin_parse(const struct buf *body); /* NULL: it is no JSON */
int admin_print_json(const struct buf *body) WARN_UNUSED;
/* Asks and prints: JSON when that is wanted, else text. */
int admin_show(const struct cli_args *args, const char *method, const char *path, const struct admin_param *params,
               size_t n_params) WARN_UNUSED;
/* A list of which people see some columns, and --json all members. */
int admin_show_columns(const struct cli_args *args, const char *path, const char *const *columns, size_t n) WARN_UNUSED;

#endif
