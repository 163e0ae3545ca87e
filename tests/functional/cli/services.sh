#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What runs in the background is shown, run, paused and resumed by commands; the scanner finds the counters of a set that
# both faces have worked on to be right.
# shellcheck disable=SC2317 # called by name
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires jq
requires_boto3
requires_fuse

service() {
	"$QUOIN" admin service "$@"
}
# state NAME MEMBER
state() {
	service list --json | jq -r --arg name "$1" --arg member "$2" '.[] | select(.name == $name) | .[$member]'
}

# given data by both faces
start_quoin
make_tree 1
assert_eq "$(admin_info '.scanner.cycle, .scanner.last_cycle' | xargs)" "0 null" "scans before the first"

# when the scanner is told to run
service run usage
scanned() {
	[ "$(admin_info .scanner.cycle)" -ge "$1" ]
}
expect_within 60 scanned 1

# then all counters are right, and it says so
assert_eq "$(admin_info '.scanner.differences')" 0
[ "$(admin_info '.scanner.rows')" -gt 10 ] || fail "it looked at nothing"
assert_match "$(state usage note)" 'rows, 0 differences'
assert_match "$(state usage ended)" '^20[0-9-]+T'
assert_match "$(service list)" 'name +state +cycle'
assert_match "$("$QUOIN" admin info)" 'scanner:'
grep -q 'admin:Services call=services/run name="usage" result="done"' "$QUOIN_LOG" || fail "the log does not tell of the call"

# when it is paused, then it does not run; when it is resumed, it does what it was asked for
service pause usage
assert_eq "$(state usage state)" paused
service run usage
assert_eq "$(state usage cycle)" 1
service resume usage
expect_within 60 scanned 2

# then the drives are watched, and what the set does by itself is told
assert_eq "$(admin_info '[.set.slots[].slow] | any')" false
watched() {
	[ "$(admin_info '[.set.slots[] | select(.write_ms > 0)] | length')" = 4 ] && [ "$(state monitor cycle)" -ge 2 ]
}
write_and_look() {
	s3curl /known/probe -T "$0" -o /dev/null && watched
}
expect_within 30 write_and_look
assert_eq "$(state checkpoint threads)" null "threads of a row that is only watched"

# and what cannot be done is said
rc=0
out=$(service run nothing 2>&1) || rc=$?
assert_eq "$rc" 1
assert_match "$out" 'no service "nothing"'
rc=0
out=$(service run checkpoint 2>&1) || rc=$?
assert_eq "$rc" 1
assert_match "$out" 'answered 400 .*checkpoint works by itself'
rc=0
out=$(service pause reclaim 2>&1) || rc=$?
assert_match "$out" 'reclaim works by itself'
assert_eq "$(s3curl '/quoin/admin/v1/services/run?name=usage' | jq -r .code)" MethodNotAllowed
stop_quoin
