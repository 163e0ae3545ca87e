/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "daemon/daemon.h"
#include "daemon/fsck.h"

int main(int argc, char **argv)
{
	static const struct cli_programs programs = {.server = daemon_run, .fsck = fsck_run};

	return cli_main(argc, argv, &programs);
}
