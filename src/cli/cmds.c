/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cmds_internal.h"

#define OPT_CONFIG {"config", 'c', "FILE", NULL, "read the configuration FILE, see quoin.yaml(5)"}
#define OPT_SET {"set", 0, "KEY=VALUE", NULL, "set a configuration key; may be given several times"}
#define OPT_ENDPOINT {"endpoint", 0, "URL", NULL, "the server's address; default: from the configuration"}
#define OPT_JSON {"json", 0, NULL, NULL, "print the answer as JSON"}
#define ADMIN_OPTIONS OPT_CONFIG, OPT_ENDPOINT, OPT_JSON, OPT_SET

const struct cli_command cli_commands[] = {
	{"server", "DRIVE...", 0, 16, false, cli_server,
	 "run quoin in the foreground on one to sixteen drive directories, for example /mnt/drive{1...4}",
	 {OPT_CONFIG,
	  {"address", 0, "HOST:PORT", "address", "serve S3 there; default :9000"},
	  {"mount", 0, "DIR", "mount.path", "mount the file system at DIR"},
	  OPT_SET}},
	{"fsck", "DRIVE...", 0, 16, false, cli_fsck,
	 "check a set that no server runs on, without writing to its drives",
	 {OPT_CONFIG, {"json", 0, NULL, NULL, "print what was found as JSON"}, OPT_SET}},
	{"admin info", "", 0, 0, false, cli_admin_info,
	 "show drives and their states, the journal, what runs in the background, and usage",
	 {ADMIN_OPTIONS}},
	{"admin inspect", "BUCKET KEY", 2, 2, false, cli_admin_inspect,
	 "show where an object is: its versions, extents, blobs, and cells on the drives",
	 {ADMIN_OPTIONS}},
	{"admin service list", "", 0, 0, false, cli_admin_service_list,
	 "show what runs in the background: when, how far, what came of it",
	 {ADMIN_OPTIONS}},
	{"admin service run", "NAME", 1, 1, false, cli_admin_service_run,
	 "run a service now instead of at its time",
	 {ADMIN_OPTIONS}},
	{"admin service pause", "NAME", 1, 1, false, cli_admin_service_pause,
	 "end the run of a service and start none, until it is resumed or the server starts again",
	 {ADMIN_OPTIONS}},
	{"admin service resume", "NAME", 1, 1, false, cli_admin_service_resume,
	 "let a paused service run again; what was cut off begins anew",
	 {ADMIN_OPTIONS}},
	{"version", "", 0, 0, false, cli_version, "print the version", {{0}}},
	{"help", "[COMMAND]", 0, CLI_MAX_WORDS, false, cli_help, "explain a command, or list all", {{0}}},
	{"dump-commands", "", 0, 0, true, cli_dump_commands, "print this table for the check of the manual pages", {{0}}},
	{"dump-schema", "", 0, 0, true, cli_dump_schema, "print the configuration keys, one a line", {{0}}},
};
const size_t cli_n_commands = ARRAY_SIZE(cli_commands);
