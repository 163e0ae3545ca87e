#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# let_go where the control file system of FUSE is not at its place: the guard forces an unmount instead.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
requires_fuse
requires unshare
[ "$(id -u)" = 0 ] || skip "needs root for a mount namespace"

mkdir "$TEST_DIR/control"
export QUOIN_TEST_CONTROL=$TEST_DIR/control TEST_DIR TEST_NAME
# shellcheck disable=SC2016 # for the shell in there
exec unshare -m bash -euc '
	while umount -l /sys/fs/fuse/connections 2>/dev/null; do :; done
	mount -t fusectl none "$QUOIN_TEST_CONTROL"
	exec bash "$1"' - "$(dirname "$0")/let_go.sh"
