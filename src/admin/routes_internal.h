/* SPDX-License-Identifier: Apache-2.0
 *
 * What the calls share, and the functions behind the table of routes.c.
 */
#ifndef QUOIN_ADMIN_ROUTES_INTERNAL_H
#define QUOIN_ADMIN_ROUTES_INTERNAL_H

#include <jansson.h>

#include "admin/admin.h"

typedef int admin_call_fn(const struct admin_params *a, struct op_ctx *ctx, const struct admin_request *r, struct buf *ret);

/* The parameter, or "". */
struct str admin_param(const struct admin_request *r, const char *name);

/* info.c: version, uptime, set (geometry, quorum, drives), journal, background, buckets */
admin_call_fn admin_info;
/* inspect.c: the object's attributes and, for each extent, its blob and on which drive, file and offset each cell lies */
admin_call_fn admin_inspect;
/* drives.c */
admin_call_fn admin_drives_list, admin_drives_offline, admin_drives_online, admin_drives_replace;
/* heal.c */
admin_call_fn admin_heal_status, admin_heal_request, admin_heal_start, admin_scrub_report, admin_scrub_start;
json_t *admin_heal_info_json(const struct heal_drive *h, unsigned slot, const char *path); /* of one drive */
/* services.c */
admin_call_fn admin_services_list, admin_services_run, admin_services_pause, admin_services_resume;
json_t *admin_services_json(const struct admin_params *a); /* the table of services */
json_t *admin_scanner_json(const struct admin_params *a);  /* the newest recount */

#endif
