#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A drive of another deployment, in another place, twice, of a newer format, or with somebody's files: refused with its
# reason, and not written.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
requires jq
requires_boto3

# given: two deployments
export QUOIN_NO_MOUNT=1
start_quoin
s3curl /known -X PUT
s3curl /known/key -T "$0"
stop_quoin
mkdir "$TEST_DIR/other"
mv "$TEST_DIR"/drive? "$TEST_DIR/other/"
start_quoin
s3curl /mine -X PUT
s3curl /mine/key -T "$0"
stop_quoin

sums() {
	(cd "$TEST_DIR" && find other drive? -type f -exec md5sum {} + | sort -k2)
}
before=$(sums)

# refused REGEX DRIVE...: it ends with a reason, or serves without that drive; either way nothing of the drive is written
refused() {
	local regex=$1 rc=0
	shift
	: >"$QUOIN_LOG"
	QUOIN_ARGS=(--address "127.0.0.1:$QUOIN_PORT" "$@")
	launch_quoin
	done_() {
		! kill -0 "$QUOIN_PID" 2>/dev/null || ready
	}
	expect_within 30 done_
	if kill -0 "$QUOIN_PID" 2>/dev/null; then
		stop_quoin
	else
		wait "$QUOIN_PID" || rc=$?
		QUOIN_PID=
		[ "$rc" -ge 1 ] && [ "$rc" -lt 128 ] || fail "exit status $rc"
	fi
	assert_match "$(cat "$QUOIN_LOG")" "$regex"
}
o=$TEST_DIR/other d=$TEST_DIR

# when a foreign drive takes one place, then it stays as it is
refused 'another deployment|foreign' "$d/drive1" "$d/drive2" "$o/drive3" "$d/drive4"
assert_eq "$(sums | grep ' other/')" "$(grep ' other/' <<<"$before")" "the foreign drives"

# when two are swapped, then each is known by its identity
refused 'ready|slot|position|place' "$d/drive2" "$d/drive1" "$d/drive3" "$d/drive4"

# when one is given twice, or they are foreign to each other
mid=$(sums)
refused 'use|twice|same' "$d/drive1" "$d/drive1" "$d/drive3" "$d/drive4"
refused 'another deployment|foreign' "$o/drive1" "$o/drive2" "$d/drive3" "$d/drive4"
assert_eq "$(sums | grep -E ' (drive|other/drive)[34]/')" "$(grep -E ' (drive|other/drive)[34]/' <<<"$mid")" "the drives that do not belong"

# when the set is given smaller or larger than it is
refused 'drives|set' "$d/drive1" "$d/drive2" "$d/drive3"
mkdir "$d/empty"
refused 'drives|set' "$d/drive1" "$d/drive2" "$d/drive3" "$d/drive4" "$d/empty"
assert_eq "$(ls -A "$d/empty")" "" "an empty directory that is not of the set"

# when a directory has somebody's files
mkdir "$d/home"
echo precious >"$d/home/thesis.txt"
refused 'foreign|not empty|content|format' "$d/home"
assert_eq "$(cd "$d/home" && find . -type f)" ./thesis.txt

# then the set itself is still whole
QUOIN_ARGS=(--address "127.0.0.1:$QUOIN_PORT" "${QUOIN_DRIVES[@]}")
launch_quoin
wait_ready
s3curl /mine/key | cmp - "$0"
stop_quoin
