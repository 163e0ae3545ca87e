#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
#
# A drive of four is taken away under load, and comes back to the running daemon: it is in sync again without a restart, and
# carries the set when others go. The same with an empty directory in its place, and with one that an operator sets offline.
# shellcheck disable=SC2317 # called by name
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
requires jq
requires_boto3
requires_fuse

state_of() {
	admin_info ".set.slots[] | select(.slot == $1) | .state"
}
state_is() {
	[ "$(state_of "$1")" = "$2" ]
}
slot_of() {
	admin_info ".set.slots[] | select(.path == \"$(drive "$1")\") | .slot"
}
taken_away() {
	mv "$(drive "$1")" "$TEST_DIR/away$1"
}
brought_back() {
	mv "$TEST_DIR/away$1" "$(drive "$1")"
}
logged() { # what is so may be seen before it is logged
	expect_within 10 grep -F "$1" "$QUOIN_LOG"
}

start_quoin
make_tree 1
slot=$(slot_of 2)

# given load, when a drive is gone, then it leaves by itself, and all goes on
start_load
taken_away 2
expect_within 30 state_is "$slot" out
logged "drive out slot=$slot path=$(drive 2) reason=\"its directory is gone\""
assert_eq "$(grep -c "drive out slot=$slot" "$QUOIN_LOG")" 1 "lines that say so"
make_tree 2
verify_tree

# when it is back, then it is in sync without a restart
brought_back 2
expect_within 60 state_is "$slot" in
logged "drive in slot=$slot path=$(drive 2)"
stop_load
verify_tree
make_tree 3
verify_tree

# given load, when an empty directory stands in its place, then it takes the slot
start_load
taken_away 2
expect_within 30 state_is "$slot" out
mkdir "$(drive 2)"
expect_within 60 state_is "$slot" in
stop_load
verify_tree
make_tree 4
[ -s "$(drive 2)/identity" ] || fail "the empty directory was not formatted"

# when the old one is put back where the new one was, then it does not speak for the slot: it joins with nothing of its own
rm -r "$(drive 2)"
expect_within 30 state_is "$slot" out
brought_back 2
expect_within 60 state_is "$slot" in
verify_tree

# when somebody's directory stands there, then it is refused and not touched
taken_away 2
expect_within 30 state_is "$slot" out
mkdir "$(drive 2)"
echo thesis >"$(drive 2)/thesis.tex"
refused() {
	grep -q "drive out slot=$slot .*quoin drive" "$QUOIN_LOG"
}
expect_within 30 refused
assert_eq "$(ls "$(drive 2)")" thesis.tex
rm -r "$(drive 2)"
brought_back 2
expect_within 90 state_is "$slot" in

# when all is healed that it missed, then it carries the set with one other: everything is read, by both faces
healed() {
	[ "$(admin_info .set.missing_ranges)" = 0 ]
}
expect_within 120 healed
kill_quoin
taken_away 3
taken_away 4
launch_quoin
wait_ready
verify_tree
stop_quoin
