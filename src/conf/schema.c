/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/schema.h"

#include <inttypes.h>
#include <string.h>

#include "conf/conf.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)
#define MS UINT64_C(1000000)
#define SEC (1000 * MS)
#define HOUR (3600 * SEC)
#define MEMBER(m) offsetof(struct conf, m)

static const char *const log_levels[] = {"error", "warn", "info", "debug", NULL}; /* enum log_level */

const struct conf_key conf_keys[] = {
	{"address", CONFTYPE_ADDRESS, MEMBER(address), 0, 0, ":9000", NULL, 0, "MINIO_ADDRESS",
	 "where S3, the admin API and the health probes are served"},
	{"domain", CONFTYPE_STRING, MEMBER(domain), 0, 253, "", NULL, 0, "MINIO_DOMAIN",
	 "domain below which buckets are host names (virtual-host style); path style always works"},
	{"region", CONFTYPE_STRING, MEMBER(region), 1, 64, "us-east-1", NULL, 0,
	 "QUOIN_REGION_NAME MINIO_REGION_NAME MINIO_REGION",
	 "region that signatures must carry and GetBucketLocation gives"},
	{"root.user", CONFTYPE_STRING, MEMBER(root_user), 3, 128, "minioadmin", NULL, 0,
	 "MINIO_ROOT_USER QUOIN_ACCESS_KEY MINIO_ACCESS_KEY", "access key of the root user"},
	{"root.password", CONFTYPE_STRING, MEMBER(root_password), 8, 128, "minioadmin", NULL, CONFKEY_SECRET,
	 "MINIO_ROOT_PASSWORD QUOIN_SECRET_KEY MINIO_SECRET_KEY", "secret key of the root user"},
	{"drives", CONFTYPE_DRIVES, MEMBER(drives), 1, 16, "", NULL, 0, "QUOIN_VOLUMES MINIO_VOLUMES",
	 "directories of the set, one a drive, with ellipses; arguments of the command line replace them"},
	{"parity", CONFTYPE_PARITY, MEMBER(parity), 0, 8, "auto", NULL, CONFKEY_AUTO,
	 "QUOIN_STORAGE_CLASS_STANDARD MINIO_STORAGE_CLASS_STANDARD",
	 "drives that may be lost, at most half of them; auto: 1 of 2 or 3, 2 of 4 or 5, 3 of 6 or 7, 4 of 8 to 16"},
	{"log.level", CONFTYPE_ENUM, MEMBER(log_level), 0, 0, "info", log_levels, CONFKEY_RELOAD, NULL,
	 "least important messages that are logged"},

	{"mount.path", CONFTYPE_STRING, MEMBER(mount_path), 0, 4095, "", NULL, 0, NULL,
	 "directory where the file system is mounted; empty: no mount"},
	{"mount.uid", CONFTYPE_INT, MEMBER(mount_uid), 0, UINT32_MAX - 1, "auto", NULL, CONFKEY_AUTO, NULL,
	 "owner of what came by S3 without one; auto: the daemon's"},
	{"mount.gid", CONFTYPE_INT, MEMBER(mount_gid), 0, UINT32_MAX - 1, "auto", NULL, CONFKEY_AUTO, NULL,
	 "group of what came by S3 without one; auto: the daemon's"},
	{"mount.file_mode", CONFTYPE_MODE, MEMBER(mount_file_mode), 0, 07777, "0644", NULL, 0, NULL,
	 "permissions of files that came by S3 without them"},
	{"mount.dir_mode", CONFTYPE_MODE, MEMBER(mount_dir_mode), 0, 07777, "0755", NULL, 0, NULL,
	 "permissions of directories that came by S3 without them"},
	{"mount.allow_other", CONFTYPE_BOOL, MEMBER(mount_allow_other), 0, 0, "true", NULL, 0, NULL,
	 "let other users in, under the usual permission checks; without root it needs user_allow_other in /etc/fuse.conf"},
	{"mount.writeback", CONFTYPE_DURATION, MEMBER(mount_writeback_ns), 1 * SEC, 1 * HOUR, "30s", NULL, 0, NULL,
	 "S3 sees what a file being written holds at the latest after this time; at once after fsync or close"},

	{"drive.timeout", CONFTYPE_DURATION, MEMBER(drive_timeout_ns), 100 * MS, 1 * HOUR, "5s", NULL, 0, NULL,
	 "a drive that does not answer for this long is taken out of the set"},
	{"journal.file_size", CONFTYPE_SIZE, MEMBER(journal_file_bytes), 1 * MIB, 1 * GIB, "64MiB", NULL, CONFKEY_POW2,
	 NULL, "size of a journal file; taken when a drive is formatted"},
	{"journal.files", CONFTYPE_INT, MEMBER(journal_files), 4, 1024, "16", NULL, 0, NULL,
	 "journal files per drive; fewer are used on drives where they would be more than 1/32 of the space"},
	{"journal.window", CONFTYPE_DURATION, MEMBER(journal_window_ns), 100 * MS, 60 * SEC, "5s", NULL, 0, NULL,
	 "what a power loss may take of mount changes that were not made durable by fsync"},
	{"segment.size", CONFTYPE_SIZE, MEMBER(segment_bytes), 1 * MIB, 16 * GIB, "auto", NULL,
	 CONFKEY_AUTO | CONFKEY_POW2, NULL,
	 "size of a payload segment; auto: 1 GiB, on small drives 1/64 of the drive but at least 64 MiB"},
	{"segment.spares", CONFTYPE_INT, MEMBER(segment_spares), 0, 32, "4", NULL, 0, NULL,
	 "files of dead segments that a drive with a quarter free keeps for the next ones: no new space is asked for them"},
	{"inline_max", CONFTYPE_SIZE, MEMBER(inline_max_bytes), 0, 1 * MIB, "32KiB", NULL, 0, NULL,
	 "payload up to this size rides in the journal and is packed into segments later"},
	{"memory.memtable", CONFTYPE_SIZE, MEMBER(memory_memtable_bytes), 1 * MIB, 1 * TIB, "512MiB", NULL, 0, NULL,
	 "changes held in memory before a checkpoint starts; never more than 1/8 of the memory"},

	{"scanner.period", CONFTYPE_DURATION, MEMBER(scanner_period_ns), 60 * SEC, 8760 * HOUR, "24h", NULL, 0, NULL,
	 "usage and all other counters are recounted from the rows so often, and differences are told"},
	{"scrub.period", CONFTYPE_DURATION, MEMBER(scrub_period_ns), 60 * SEC, 8760 * HOUR, "720h", NULL, 0, NULL,
	 "every cell on every drive is read and verified so often"},
	{"scrub.bandwidth", CONFTYPE_SIZE, MEMBER(scrub_bandwidth_bytes), 64 * KIB, 1 * TIB, "32MiB", NULL, 0, NULL,
	 "bytes a second that the scrub reads, all drives together"},
	{"compact.bandwidth", CONFTYPE_SIZE, MEMBER(compact_bandwidth_bytes), 64 * KIB, 1 * TIB, "128MiB", NULL, 0, NULL,
	 "bytes a second of objects that move so that the space of deleted ones comes back"},

	{"http.loops", CONFTYPE_INT, MEMBER(http_loops), 1, 64, "auto", NULL, CONFKEY_AUTO, NULL,
	 "event loops that serve S3; auto: 1 up to 4 CPUs, then one for each 4"},
	{"http.max_connections", CONFTYPE_INT, MEMBER(http_max_connections), 16, 1000000, "10000", NULL, 0, NULL,
	 "connections that are open at a time; more are made to wait"},
	{"http.idle_timeout", CONFTYPE_DURATION, MEMBER(http_idle_timeout_ns), 1 * SEC, 24 * HOUR, "60s", NULL, 0, NULL,
	 "a connection on which nothing moves for this long is closed"},
	{"workers", CONFTYPE_INT, MEMBER(workers), 1, 1024, "auto", NULL, CONFKEY_AUTO, NULL,
	 "threads for work that would block or takes long; auto: twice the CPUs, at least 8"},
};
const size_t conf_n_keys = ARRAY_SIZE(conf_keys);

const struct conf_key *conf_key_find(struct str name)
{
	for (size_t i = 0; i < conf_n_keys; i++)
		if (str_eqc(name, conf_keys[i].name))
			return &conf_keys[i];
	return NULL;
}

bool conf_key_is_section(struct str name)
{
	for (size_t i = 0; i < conf_n_keys; i++)
		if (str_starts(str_of(conf_keys[i].name), name) && conf_keys[i].name[name.len] == '.')
			return true;
	return false;
}

/* Levenshtein distance of names up to 63 bytes. */
static unsigned distance(struct str a, struct str b)
{
	unsigned row[64];

	for (size_t j = 0; j <= b.len; j++)
		row[j] = (unsigned)j;
	for (size_t i = 0; i < a.len; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i + 1;
		for (size_t j = 0; j < b.len; j++) {
			unsigned replaced = diagonal + (a.p[i] != b.p[j]);

			diagonal = row[j + 1];
			row[j + 1] = MIN(replaced, MIN(row[j], diagonal) + 1);
		}
	}
	return row[b.len];
}

static struct str last_word(struct str s)
{
	for (size_t i = s.len; i-- > 0;)
		if (s.p[i] == '.')
			return str_sub(s, i + 1, s.len - i - 1);
	return s;
}

const struct conf_key *conf_key_nearest(struct str name)
{
	const struct conf_key *best = NULL;
	unsigned best_distance = UINT32_MAX;

	if (name.len == 0 || name.len > 63)
		return NULL;
	for (size_t i = 0; i < conf_n_keys; i++) {
		struct str key = str_of(conf_keys[i].name);
		unsigned d = distance(name, key);

		if (d > 3 && str_eq(last_word(name), last_word(key))) /* the right word in the wrong section */
			d = 3;
		if (d < best_distance) {
			best = &conf_keys[i];
			best_distance = d;
		}
	}
	return best_distance <= MIN(3, MAX(name.len / 2, 1)) ? best : NULL;
}

void conf_key_env(const struct conf_key *k, char *buf, size_t size)
{
	size_t n = (size_t)snprintf(buf, size, "QUOIN_%s", k->name);

	for (size_t i = 0; i < n && i < size - 1; i++) {
		if (buf[i] == '.')
			buf[i] = '_';
		else if (buf[i] >= 'a' && buf[i] <= 'z')
			buf[i] = (char)(buf[i] - 'a' + 'A');
	}
}
