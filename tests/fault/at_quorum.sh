#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# With as many drives gone as parity allows, a set of 4+2 goes on as before: what is large and what is small is written by
# both faces, checkpoints are made, and it is all there after a kill, and when the drives are back.
# shellcheck disable=SC2317 # called by name
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
requires jq
requires_boto3
requires_fuse

drives_in() {
	[ "$(admin_info '[.set.slots[] | select(.state == "in")] | length')" = "$1" ]
}
has_checkpoints() {
	[ "$(admin_info .journal.checkpoints)" -gt "$1" ]
}
nothing_missing() {
	[ "$(admin_info .set.missing_ranges)" = 0 ]
}

# given
start_quoin 6 --set parity=2 --set memory.memtable=1MiB
make_tree 1

# when two drives are gone
mv "$(drive 2)" "$TEST_DIR/away2"
mv "$(drive 5)" "$TEST_DIR/away5"
expect_within 30 drives_in 4

# then both faces write as before, more than a checkpoint's worth
before=$(admin_info .journal.checkpoints)
make_tree 2
verify_tree --exact
expect_within 30 has_checkpoints "$before"

# and it is there after a kill, by both
kill_quoin
launch_quoin
wait_ready
verify_tree --exact

# and when they are back they are given what they missed, and carry it with two others gone
mv "$TEST_DIR/away2" "$(drive 2)"
mv "$TEST_DIR/away5" "$(drive 5)"
expect_within 60 drives_in 6
expect_within 60 nothing_missing
stop_quoin
mv "$(drive 1)" "$TEST_DIR/away1"
mv "$(drive 4)" "$TEST_DIR/away4"
launch_quoin
wait_ready
verify_tree --exact
stop_quoin
