/* SPDX-License-Identifier: Apache-2.0
 *
 * What cannot be read, told by name: for who repairs (heal.c, scrub.c).
 */
#ifndef QUOIN_SERVICE_LOST_H
#define QUOIN_SERVICE_LOST_H

#include "meta/heal.h"

/* Into the log, as errors of that area: a line for each blob, with its names and the cure, and one that counts. */
void lost_tell(struct meta_set *s, const char *area, const struct meta_lost_list *list, const struct meta_lost_blobs *lost);

#endif
