/* SPDX-License-Identifier: Apache-2.0
 *
 * The log: one line per event, "TIME level area message key=value ...", to stderr. When stderr is a journal stream
 * (JOURNAL_STREAM), lines start with the syslog level "<3>" and carry no time. Fronts and services log; layers below
 * return errors (only LOG_DEBUG there). Nothing secret is logged.
 */
#ifndef QUOIN_BASE_LOG_H
#define QUOIN_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"

enum log_level { LOG_L_ERROR, LOG_L_WARN, LOG_L_INFO, LOG_L_DEBUG };

void log_set_level(enum log_level level);
int log_level_parse(const char *name, enum log_level *ret); /* error warn info debug; 0 or -EINVAL */
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *area, const char *fmt, ...) PRINTF_LIKE(3, 4);

#define log_error(area, ...) log_write(LOG_L_ERROR, area, __VA_ARGS__)
#define log_warn(area, ...) log_write(LOG_L_WARN, area, __VA_ARGS__)
#define log_info(area, ...) log_write(LOG_L_INFO, area, __VA_ARGS__)
#define log_debug(area, ...)                                                                                           \
	do {                                                                                                               \
		if (log_enabled(LOG_L_DEBUG))                                                                                  \
			log_write(LOG_L_DEBUG, area, __VA_ARGS__);                                                                 \
	} while (0)

#endif
