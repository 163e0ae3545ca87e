/* SPDX-License-Identifier: Apache-2.0
 *
 * The file, read into a struct conf.
 */
#ifndef QUOIN_CONF_LOAD_INTERNAL_H
#define QUOIN_CONF_LOAD_INTERNAL_H

#include <stddef.h>

#include "base/str.h"
#include "conf/conf.h"

#define CONF_FILE_MAX (1024 * 1024)

/* Sets what the file at path says. 0; -QE_CONFIG with *ret_err filled; -ENOMEM. */
int conf_yaml_read_file(const char *path, struct conf *c, struct conf_error *ret_err) WARN_UNUSED;
/* The same from memory; path is for messages. */
int conf_yaml_read(const char *path, struct str text, struct conf *c, struct conf_error *ret_err) WARN_UNUSED;

#endif
