#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What cannot be healed is said, by a heal of everything and by one of a bucket, with an exit status that is no success; the
# counts add up.
# shellcheck disable=SC2317 # called by name
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
requires jq

# given an object that was written while one drive of four was away
export QUOIN_NO_MOUNT=1
start_quoin
s3curl /lost -X PUT
"$QUOIN" admin drive offline "$(drive 2)"
random_file "$TEST_DIR/body" 3000000
s3curl /lost/key -T "$TEST_DIR/body"

# when two of its three cells are bad as well, and the drive comes back
"$QUOIN" admin inspect --json lost key | jq -r '.extents[0].blob as $b | $b.cells[] | select(.drive) |
	"\(.drive) \($b.file) \($b.offset)"' | grep -v "^$(drive 2) " | head -n 2 >"$TEST_DIR/cells"
[ "$(wc -l <"$TEST_DIR/cells")" = 2 ] || fail "cells: $(cat "$TEST_DIR/cells")"
while read -r dir file offset; do
	head -c 65536 /dev/urandom | dd of="$dir/$file" bs=4096 seek=$((offset / 4096)) conv=notrunc status=none
done <"$TEST_DIR/cells"
"$QUOIN" admin drive online "$(drive 2)"
is_in() {
	[ "$(admin_info '.set.in_sync')" = 4 ]
}
expect_within 60 is_in

# then a heal says that not all was healed
rc=0
"$QUOIN" admin heal >"$TEST_DIR/heal" || rc=$?
assert_eq "$rc" 1 "$(cat "$TEST_DIR/heal")"
assert_match "$(tail -n 1 "$TEST_DIR/heal")" '[1-9][0-9]* ranges stay missing on drives in the set'
grep -q 'cells stay missing' "$QUOIN_LOG" || fail "the log does not tell why"

# and one that reads everything in the bucket counts what is bad once, as repaired or as failed
rc=0
"$QUOIN" admin heal --deep lost >"$TEST_DIR/heal" || rc=$?
assert_eq "$rc" 1 "$(cat "$TEST_DIR/heal")"
assert_match "$(tail -n 1 "$TEST_DIR/heal")" ': [1-9][0-9]* bad pieces, [0-9]+ repaired, [1-9][0-9]* failed'
assert_match "$(tail -n 1 "$TEST_DIR/heal")" '; 1 pieces cannot be read'
assert_eq "$("$QUOIN" admin heal status --json | jq '.request | .bad - .repaired - .failed - .lost_files')" 0

# and names what cannot be read, in its status and in the log
assert_eq "$("$QUOIN" admin heal status --json | jq -c '[.request.unreadable[].objects[]]')" '["lost/key"]'
grep -q 'error heal cannot be read object="lost/key"' "$QUOIN_LOG" || fail "the log does not name the object"

# and the next one, of a bucket that is whole, names nothing
s3curl /whole -X PUT
s3curl /whole/key -d whole
"$QUOIN" admin heal --deep whole >"$TEST_DIR/heal"
assert_eq "$("$QUOIN" admin heal status --json | jq -c .request.unreadable)" '[]'

# and a scrub without one of the drives is no success
"$QUOIN" admin drive offline "$(drive 4)"
rc=0
"$QUOIN" admin scrub start >"$TEST_DIR/scrub" || rc=$?
assert_eq "$rc" 1 "$(cat "$TEST_DIR/scrub")"
assert_match "$(tail -n 1 "$TEST_DIR/scrub")" '; not in the set, so not verified: slots [0-3]$'
stop_quoin
