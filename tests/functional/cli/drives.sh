#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
#
# What an operator does about drives, while both faces serve: takes one out and in again, replaces one by an empty directory,
# heals, scrubs, and sees how far it is, on a terminal, in a pipe, and as JSON.
# shellcheck disable=SC2317 # called by name
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires jq script
requires_boto3
requires_fuse

admin() {
	"$QUOIN" admin "$@"
}
# of DRIVE MEMBER
of() {
	admin drive list --json | jq -r --arg path "$(drive "$1")" --arg member "$2" '.[] | select(.path == $path) | .[$member]'
}
is() {
	[ "$(of "$1" state)" = "$2" ]
}
whole() {
	is "$1" in && [ "$(of "$1" missing_ranges)" = 0 ]
}

# given data by both faces
start_quoin 4 --set scrub.bandwidth=1GiB
make_tree 1
assert_eq "$(admin drive list --json | jq -c 'map(.state) | unique')" '["in"]'
assert_match "$(admin drive list)" 'slot +path +state +healing'

# when a drive is taken out and what is written meanwhile, then all goes on; in again, it has everything
admin drive offline "$(drive 2)"
assert_eq "$(of 2 state)" offline
make_tree 2
verify_tree
[ "$(admin_info .set.in_sync)" = 3 ] || fail "it is still in"
# (what is not healed is said)
rc=0
admin heal >"$TEST_DIR/heal" || rc=$?
assert_eq "$rc" 1 "heal with a drive away"
assert_match "$(tail -n 1 "$TEST_DIR/heal")" "^ *[0-9]+ %.*not in the set, so not healed: slots $(of 2 slot)\$"
admin drive online "$(drive 2)"
expect_within 60 is 2 in
admin heal >"$TEST_DIR/heal"
assert_match "$(tail -n 1 "$TEST_DIR/heal")" '^100 % .*drives healed, [0-9]+ damaged pieces repaired, 0 failed$'
whole 2 || fail "after heal: $(admin drive list)"
assert_eq "$(admin heal status --json | jq -r '.progress.unit, .missing_ranges' | xargs)" "bytes 0"

# when so many are out that the set could not write, then it is refused and said
slot=$(of 1 slot)
admin drive offline "$slot"
rc=0
out=$(admin drive offline "$(drive 3)" 2>&1) || rc=$?
assert_eq "$rc" 1
assert_match "$out" 'too few are in sync'
is 3 in || fail "it was taken out all the same"
admin drive online "$slot"
expect_within 60 is 1 in
rc=0
out=$(admin drive offline /nowhere 2>&1) || rc=$?
assert_match "$out" 'no drive "/nowhere"'

# when what shall replace a drive cannot, then it is refused with the cause, and the drive stays
refused() {
	local rc=0 out
	out=$(admin drive replace "$1" ${2:+"$2"} 2>&1) || rc=$?
	assert_eq "$rc" 1
	assert_match "$out" "answered 400 .*$3"
	assert_eq "$(of 3 state)" in
}
refused "$(drive 3)" /nowhere 'there is no directory /nowhere'
refused "$(drive 3)" "$(drive 4)" 'is the path of slot'
refused "$(drive 3)" here 'absolute'
refused "$(drive 3)" "$TEST_DIR" 'is not empty'
refused "$(drive 3)" '' 'and not empty: set it offline'

# when a drive is lost, and an empty directory takes its place, then it is filled
admin drive offline "$(drive 4)"
find "$(drive 4)" -mindepth 1 -delete
assert_match "$(admin drive list)" 'slot +path +state +healing'
admin drive replace "$(drive 4)"
expect_within 60 is 4 in
make_tree 3
admin heal >"$TEST_DIR/heal"
expect_within 120 whole 4
verify_tree

# when cells rot, then a deep heal finds and repairs them, and reports it
segment=$(find "$(drive 3)/seg" -name '*.seg' -size +8k -printf '%s %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2)
dd if=/dev/urandom of="$segment" bs=4096 seek=1 count=200 conv=notrunc status=none
script -qec "'$QUOIN' admin heal --deep" /dev/null >"$TEST_DIR/bar"
grep -q $'\r\\[#*-*\\]' "$TEST_DIR/bar" || fail "no bar on a terminal: $(cat -v "$TEST_DIR/bar")"
grep -q '\[########################\] 100 %' "$TEST_DIR/bar" || fail "the bar did not reach its end"
[ "$(admin scrub report --json | jq '[.drives[].bad] | add')" -gt 0 ] || fail "nothing was found"
assert_eq "$(admin scrub report --json | jq -c '[.state, (.drives | map(.failed) | add)]')" '["ended",0]'
assert_eq "$(admin scrub report --json | jq '[.drives[] | .bad - .repaired] | add')" 0
assert_match "$(admin scrub status)" '^ended: 100 %|^ended: '
cycle=$(admin scrub report --json | jq .cycle)
admin scrub start --json | jq -e ".follow == \"scrub\" and .after == $cycle" >/dev/null || fail "scrub start --json"
again() {
	[ "$(admin scrub report --json | jq '[.cycle, .ended != null]' -c)" = "[$((cycle + 1)),true]" ]
}
expect_within 60 again
assert_eq "$(admin scrub report --json | jq '[.drives[].bad] | add')" 0 "bad cells after the repair"

# when it rots again, then healing what lies there by name repairs it too
dd if=/dev/urandom of="$segment" bs=4096 seek=1 count=200 conv=notrunc status=none
admin heal --deep known >"$TEST_DIR/heal"
assert_match "$(tail -n 1 "$TEST_DIR/heal")" '^100 % .* objects: [0-9]+ bad pieces, [0-9]+ repaired, 0 failed'
[ "$(admin heal status --json | jq .request.repaired)" -gt 0 ] || fail "nothing was repaired: $(admin heal status --json)"
rc=0
out=$(admin heal nobucket/x 2>&1) || rc=$?
assert_eq "$rc" 1
assert_match "$out" 'NoSuchBucket'

# when nothing lies there, or no bucket is named, then it says so
rc=0
out=$(admin heal known/no-such-thing) || rc=$?
assert_eq "$rc" 1
assert_match "$out" 'no object lies below this prefix'
for bad in / /known ''; do
	rc=0
	out=$(admin heal "$bad" 2>&1) || rc=$?
	assert_eq "$rc" 2
	assert_match "$out" 'names no bucket'
done

# when it cannot begin, then it says for what it waits
admin service pause heal
admin heal known >"$TEST_DIR/heal" &
healer=$!
expect_within 20 grep -q 'it waits: the service is paused' "$TEST_DIR/heal"
admin service resume heal
wait "$healer"

# then it is in the log whose hand it was
grep -q 'admin:Drives call=drives/replace drive="' "$QUOIN_LOG" || fail "the log does not tell of the calls"
verify_tree

# when the set is read-only, then nothing is begun that could not end
admin drive offline "$(drive 2)"
mv "$(drive 3)" "$(drive 3).away"
read_only() {
	[ "$(admin_info .set.writable)" = "$1" ]
}
expect_within 60 read_only false
for call in heal 'heal --deep known' 'scrub start'; do
	rc=0
	# shellcheck disable=SC2086 # words
	out=$(admin $call 2>&1) || rc=$?
	assert_eq "$rc" 1 "$call"
	assert_match "$out" 'nothing can be repaired while the set is read-only'
done
mv "$(drive 3).away" "$(drive 3)"
expect_within 60 read_only true
admin drive online "$(drive 2)"
expect_within 60 is 2 in

# then the set is whole
verify_tree
stop_quoin
"$QUOIN" fsck "${QUOIN_DRIVES[@]}" >"$TEST_DIR/fsck" || fail "fsck: $(cat "$TEST_DIR/fsck")"
