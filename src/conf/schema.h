/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of configuration keys: conf_keys[] in schema.c is the only place that names them. The file format, the
 * environment, --set, the reload and quoin.yaml(5)'s check all read this table.
 */
#ifndef QUOIN_CONF_SCHEMA_H
#define QUOIN_CONF_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/macros.h"
#include "base/str.h"

struct conf;

enum conf_type {
	CONFTYPE_STRING,   /* char *; min and max bound its length */
	CONFTYPE_ADDRESS,  /* char *; HOST:PORT */
	CONFTYPE_INT,      /* uint64_t */
	CONFTYPE_SIZE,     /* uint64_t, bytes */
	CONFTYPE_DURATION, /* uint64_t, nanoseconds */
	CONFTYPE_BOOL,     /* bool */
	CONFTYPE_ENUM,     /* uint64_t, position among the choices */
	CONFTYPE_MODE,     /* uint64_t, octal permission bits */
	CONFTYPE_PARITY,   /* uint64_t, N or EC:N */
	CONFTYPE_DRIVES,   /* struct conf_list, ellipses expanded */
	CONFTYPE_COUNT,
};

enum {
	CONFKEY_RELOAD = 1, /* SIGHUP applies a change */
	CONFKEY_SECRET = 2, /* never shown */
	CONFKEY_AUTO = 4,   /* the word "auto" is allowed and means CONF_AUTO */
	CONFKEY_POW2 = 8,   /* a power of two */
};

struct conf_key {
	const char *name;
	enum conf_type type;
	size_t offset;              /* of the member of struct conf */
	uint64_t min, max;          /* of the value; 0, 0: no bounds */
	const char *def;            /* default, as one would write it in the file */
	const char *const *choices; /* CONFTYPE_ENUM: NULL-terminated */
	unsigned flags;             /* CONFKEY_* */
	const char *env;            /* names beside QUOIN_<KEY>, separated by blanks; NULL: none */
	const char *help;
};

extern const struct conf_key conf_keys[];
extern const size_t conf_n_keys;

const struct conf_key *conf_key_find(struct str name);              /* NULL: no such key */
bool conf_key_is_section(struct str name);                         /* some key starts with "name." */
const struct conf_key *conf_key_nearest(struct str name);           /* for "did you mean"; NULL: none is near */
const char *conf_type_name(enum conf_type type);
/* "QUOIN_DRIVE_TIMEOUT" for drive.timeout. */
void conf_key_env(const struct conf_key *k, char *buf, size_t size);

/* Parses text into the key's member of c, freeing what was there. 0; -EINVAL with a sentence in why; -ENOMEM. */
int conf_key_set(const struct conf_key *k, struct conf *c, struct str text, char *why, size_t why_size) WARN_UNUSED;
/* CONFTYPE_DRIVES only: one item more. */
int conf_key_add(const struct conf_key *k, struct conf *c, struct str text, char *why, size_t why_size) WARN_UNUSED;
void conf_key_clear(const struct conf_key *k, struct conf *c);
bool conf_key_equal(const struct conf_key *k, const struct conf *a, const struct conf *b);
int conf_key_copy(const struct conf_key *k, struct conf *dst, const struct conf *src) WARN_UNUSED;

/* One line a key: name, type, range, default, flags, environment, help, separated by tabs. */
void conf_schema_dump(FILE *f);

#endif
