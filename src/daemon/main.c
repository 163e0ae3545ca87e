/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "daemon/daemon.h"

int main(int argc, char **argv)
{
	return cli_main(argc, argv, daemon_run);
}
