/* SPDX-License-Identifier: Apache-2.0
 *
 * How work of the server that goes on is shown: a bar that is drawn over itself on a terminal, a line now and then
 * elsewhere.
 */
#ifndef QUOIN_CLI_PROGRESS_H
#define QUOIN_CLI_PROGRESS_H

#include <stdbool.h>

#include <jansson.h>

#include "base/buf.h"

/* The member `progress` of an answer: "[#####-----]  50 %  1.0 GiB of 2.0 GiB, 100 MiB/s, 10 s left: TEXT". One
 * that has come to an end without success is not told to be at 100 %. */
void progress_line(const json_t *progress, bool bar, struct buf *ret);

struct progress_shown {
	bool terminal;  /* of stdout */
	unsigned width; /* of what is on the line now */
	int percent;    /* last told; -1: nothing yet */
	bool waits;     /* it was told to wait for something */
};

/* Draws it anew, or says a line when a tenth has gone by, when it begins to wait for something, and at the end. */
void progress_show(struct progress_shown *p, const json_t *progress, bool finished);

#endif
