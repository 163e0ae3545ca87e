#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The command line explains itself, and says what is wrong with exit status 2.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"

assert_match "$("$QUOIN" version)" '^quoin [0-9]+\.[0-9]+\.[0-9]+$'
assert_eq "$("$QUOIN" --version)" "$("$QUOIN" version)"
assert_match "$("$QUOIN" help)" 'admin inspect'
assert_match "$("$QUOIN" help server)" 'DRIVE'
assert_match "$("$QUOIN" server --help)" '--mount DIR'

expect_usage() {
	local text=$1 rc=0 out
	shift
	out=$("$QUOIN" "$@" 2>&1) || rc=$?
	assert_eq "$rc" 2 "exit status of quoin $*"
	assert_match "$out" "$text"
}
expect_usage 'usage:'
expect_usage 'no such command' nonsense
expect_usage 'nonsense' server --nonsense
expect_usage 'takes BUCKET KEY' admin inspect onlyabucket
expect_usage 'KEY=VALUE' server --set nonsense
expect_usage 'give their directories' server
