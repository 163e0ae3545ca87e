/* SPDX-License-Identifier: Apache-2.0
 *
 * The configuration: one struct of typed values, filled from four sources. A flag wins over the environment, the
 * environment over the file, the file over the default. The keys are the rows of conf/schema.c and nothing else.
 *
 * Story: cli parses `quoin server` into struct conf_sources -> conf_load() gives a struct conf or a struct conf_error
 * that names file, line, cause and cure -> the daemon fills each layer's params from it; layers never see this header.
 * On SIGHUP the daemon calls conf_reload() and applies what changed.
 *
 * A struct conf is never changed after it was loaded, so threads may read it without a lock.
 */
#ifndef QUOIN_CONF_CONF_H
#define QUOIN_CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "base/macros.h"

/* The value of "auto" in number keys: the daemon chooses. */
#define CONF_AUTO UINT64_MAX

struct conf_list {
	char **v; /* n strings, owned */
	size_t n;
};

/* Strings are never NULL; "" when the key has no value. */
struct conf {
	char *address;                /* HOST:PORT, see conf/address.h */
	char *domain;
	char *region;
	char *root_user;
	char *root_password;          /* secret: never logged */
	struct conf_list drives;      /* ellipses expanded, at most 16 */
	uint64_t parity;              /* drives that may be lost; CONF_AUTO: by the number of drives */
	uint64_t log_level;           /* enum log_level */

	char *mount_path;             /* "": no mount */
	uint64_t mount_uid;           /* owner of what came by S3; CONF_AUTO: the daemon's own */
	uint64_t mount_gid;
	uint64_t mount_file_mode;     /* 0644 */
	uint64_t mount_dir_mode;      /* 0755 */
	bool mount_allow_other;
	uint64_t mount_writeback_ns;  /* S3 sees a mount writer's changes at the latest after this time */

	uint64_t drive_timeout_ns;
	uint64_t journal_file_bytes;  /* a power of two */
	uint64_t journal_files;
	uint64_t journal_window_ns;   /* what a power loss may take of `ordered` changes */
	uint64_t segment_bytes;       /* a power of two; CONF_AUTO: by the size of the drive */
	uint64_t segment_spares;
	uint64_t inline_max_bytes;
	uint64_t memory_memtable_bytes;

	uint64_t scanner_period_ns;
	uint64_t scrub_period_ns;
	uint64_t scrub_bandwidth_bytes;
	uint64_t compact_bandwidth_bytes;

	uint64_t http_loops;          /* CONF_AUTO: by the number of CPUs */
	uint64_t http_max_connections;
	uint64_t http_idle_timeout_ns;
	uint64_t workers;             /* CONF_AUTO: by the number of CPUs */

	/* About this struct, not keys. */
	struct conf_list warnings;    /* sentences for the log */
	bool default_credentials;     /* root.user and root.password are the well-known ones */
	struct conf_sources *sources; /* for conf_reload */
};

/* One value from the command line. */
struct conf_flag {
	const char *key;   /* of the schema */
	const char *value;
	const char *where; /* how the user wrote it, for messages: "--address" */
};

struct conf_sources {
	const char *file;  /* NULL: none */
	const struct conf_flag *flags;
	size_t n_flags;
	const char *const *drives; /* the DRIVE arguments, ellipses allowed; n_drives 0: not given */
	size_t n_drives;
};

struct conf_error {
	char text[1024]; /* "FILE:LINE: KEY: cause; cure", one line */
};

/* 0, or -QE_CONFIG with *ret_err filled, or -ENOMEM. The strings of src are copied. The environment is read here. */
int conf_load(const struct conf_sources *src, struct conf **ret, struct conf_error *ret_err) WARN_UNUSED;

/* What conf_load leaves open because only a server needs it: at least one drive, parity that fits, and so on. */
int conf_check_server(const struct conf *c, struct conf_error *ret_err) WARN_UNUSED;

struct conf_changes {
	const char **applied; /* keys that are reloadable and differ; *ret_new has the new value */
	size_t n_applied;
	const char **restart; /* keys that differ but need a restart; *ret_new keeps the old value */
	size_t n_restart;
};

/* Reads the same sources again. On any error the old configuration stays in force and *ret_new is untouched. */
int conf_reload(const struct conf *cur, struct conf **ret_new, struct conf_changes *ret_changes,
                struct conf_error *ret_err) WARN_UNUSED;
bool conf_changed(const struct conf_changes *ch, const char *key); /* is key among the applied */
void conf_changes_free(struct conf_changes *ch);

void conf_free(struct conf *c); /* NULL is fine; wipes secrets */
static inline void conf_freep(struct conf **c)
{
	conf_free(*c);
}

/* Parity in force: c->parity, or the default for n drives (1: 0; 2, 3: 1; 4, 5: 2; 6, 7: 3; 8 to 16: 4). */
unsigned conf_default_parity(size_t n_drives);
unsigned conf_parity(const struct conf *c);

#endif
