#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
#
# Two of four drives are lost for good, and empty directories stand in their places: everything reads by both faces, nothing
# is written, until the operator replaces both. Then the set writes, fills the new drives, and these alone carry it.
# shellcheck disable=SC2317 # called by name
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
requires jq
requires_boto3
requires_fuse

writes() {
	[ "$(s3status /known/probe -T "$TEST_DIR/manifest")" = 200 ]
}
slot_of() {
	"$QUOIN" admin drive list --json | jq -r --arg path "$(drive "$1")" '.[] | select(.path == $path) | .slot'
}
whole() {
	[ "$(admin_info '.set.in_sync, .set.missing_ranges, ([.set.slots[] | select(.index == "good")] | length)' | xargs)" = "4 0 4" ]
}

# given
start_quoin 4
make_tree 1
stop_quoin
rm -r "$(drive 1)" "$(drive 3)"
mkdir "$(drive 1)" "$(drive 3)"

# when half is gone, then it reads, and does not write
launch_quoin
wait_ready
verify_tree
assert_eq "$(s3status /known/probe -T "$TEST_DIR/manifest")" 503

# when one is replaced, then it says so, and that is not enough
rc=0
out=$("$QUOIN" admin drive replace "$(slot_of 2)" 2>&1) || rc=$?
assert_eq "$rc" 1 "a drive that is there is given up"
out=$("$QUOIN" admin drive replace "$(slot_of 1)")
assert_match "$out" 'must never be put back'
assert_eq "$(s3status /known/probe -T "$TEST_DIR/manifest")" 503

# when the other one is, too, then it writes by both faces, and is made whole
"$QUOIN" admin drive replace "$(slot_of 3)"
expect_within 60 writes
make_tree 2
verify_tree
expect_within 120 whole
stop_quoin

# and the new ones alone have everything
mv "$(drive 2)" "$TEST_DIR/away2"
mv "$(drive 4)" "$TEST_DIR/away4"
launch_quoin
wait_ready
verify_tree
stop_quoin
