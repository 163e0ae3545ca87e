#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Asking a server that is not there fails with its address and a cause.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"

take_port
rc=0
out=$("$QUOIN" admin info 2>&1) || rc=$?
assert_eq "$rc" 1
assert_match "$out" "127.0.0.1:$QUOIN_PORT.*is the server running"
