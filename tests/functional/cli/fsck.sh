#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
#
# fsck of a set that no daemon serves: clean when it is; each kind of damage is one line that names the drive, what it means
# and what to do; its exit status tells what the daemon repairs by itself from what needs an operator. It writes nothing.
# shellcheck disable=SC2317 # called by name
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires jq
requires_boto3
requires_fuse

# Names, sizes, and the times of the last change, which every write moves.
state_of_drives() {
	(cd "$TEST_DIR" && find drive? -printf '%p %y %s %T@ %C@\n' | sort)
}
sums_of_drives() {
	(cd "$TEST_DIR" && find drive? -type f -exec md5sum {} + | sort -k 2)
}
# fsck STATUS [ARGUMENT...]: its exit status; the output is in $TEST_DIR/fsck
fsck() {
	local want=$1 rc=0 before
	shift
	before=$(state_of_drives)
	"$QUOIN" fsck "$@" "${QUOIN_DRIVES[@]}" >"$TEST_DIR/fsck" 2>"$TEST_DIR/fsck.err" || rc=$?
	if [ "$rc" != "$want" ]; then
		cat "$TEST_DIR/fsck" "$TEST_DIR/fsck.err" >&2
		fail "fsck gave $rc, not $want"
	fi
	assert_eq "$(state_of_drives)" "$before" "the drives before and after fsck"
}
# finds REGEX: one line of it, with the drive in it
finds() {
	grep -qE "$1" "$TEST_DIR/fsck" || fail "not found: $1 in $(cat "$TEST_DIR/fsck" "$TEST_DIR/fsck.err")"
}
give_back() {
	local d
	for d in 1 2 3 4; do
		rm -rf "$(drive "$d")"
		cp -a --sparse=always "$TEST_DIR/good/drive$d" "$(drive "$d")"
	done
}
spoil() {
	head -c "$3" /dev/urandom | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# given data by both faces, in segments, in the journal, of every size
start_quoin
make_tree 1
restart_quoin
make_tree 2

# when the daemon runs, then nothing is checked
rc=0
"$QUOIN" fsck "${QUOIN_DRIVES[@]}" >"$TEST_DIR/fsck" 2>&1 || rc=$?
assert_eq "$rc" 3 "exit status beside a daemon"
finds 'in use by a running quoin; stop it first'

# when it was killed, then what is there is good, and what recovery has to do is told as such at most
kill_quoin
rc=0
"$QUOIN" fsck "${QUOIN_DRIVES[@]}" >"$TEST_DIR/fsck" 2>"$TEST_DIR/fsck.err" || rc=$?
[ "$rc" -le 1 ] || fail "after kill -9: $(cat "$TEST_DIR/fsck" "$TEST_DIR/fsck.err")"

# and when records of one drive's journal are bad, then the others have them
mkdir "$TEST_DIR/good"
for d in 1 2 3 4; do
	cp -a --sparse=always "$(drive "$d")" "$TEST_DIR/good/"
done
for f in "$(drive 2)"/journal/*.log; do
	dd if=/dev/urandom of="$f" bs=4096 seek=1 count=1000 conv=notrunc status=none
done
fsck 1
finds "repaired at start: $(drive 2): [0-9]+ records of its journal are absent or damaged"
give_back

# when it was stopped, then it is clean
launch_quoin
wait_ready
random_file "$TEST_DIR/body" 3000000
s3curl "/known/to%20be%20flipped" -T "$TEST_DIR/body"
place=$("$QUOIN" admin inspect --json known "to be flipped" | jq -r '.extents[0].blob as $b | $b.cells[] | select(.cell == 2) |
	"\(.drive) \($b.file) \($b.offset)"')
stop_quoin
rm -rf "$TEST_DIR/good"
mkdir "$TEST_DIR/good"
for d in 1 2 3 4; do
	cp -a --sparse=always "$(drive "$d")" "$TEST_DIR/good/"
done
sums=$(sums_of_drives)
fsck 0
assert_eq "$(sums_of_drives)" "$sums" "bytes before and after fsck"
finds '^0 findings; looked at 4 drives'
fsck 0 --json
assert_eq "$(jq -c '[.status, .looked_at.drives, (.findings | length)]' "$TEST_DIR/fsck")" '[0,4,0]'
[ "$(jq .looked_at.blobs "$TEST_DIR/fsck")" -gt 10 ] || fail "no blobs were looked at"

# what the daemon repairs by itself
spoil "$(drive 1)/super" 100 50
fsck 1
finds "repaired at start: $(drive 1): a slot of its superblock is bad"
give_back
dd if=/dev/urandom of="$(drive 3)/index/data.mdb" bs=4096 seek=2 count=30 conv=notrunc status=none
fsck 1
finds "repaired at start: $(drive 3): its copy of the index"
give_back
segment=$(find "$(drive 4)/seg" -name '*.seg' -printf '%f\n' | sort | head -n 1)
rm "$(drive 4)/seg/$segment"
fsck 1
finds "repaired at start: $(drive 4): 1 segment files are absent"
give_back
cp "$(drive 4)/seg/$segment" "$(drive 4)/seg/00000100000000ff.seg"
fsck 1
finds "repaired at start: $(drive 4): 1 segment files are named by no row"
give_back

read -r dir file offset <<<"$place"
truncate -s $((offset + 4096)) "$dir/$file"
fsck 1
finds "repaired at start: $dir: 1 segment files end before their payload does"
give_back
spoil "$(drive 2)/identity" 10 20
fsck 1
finds "repaired at start: $(drive 2): its identity is damaged"
give_back

# what only a reading of all payload finds
read -r dir file offset <<<"$place"
spoil "$dir/$file" $((offset + 77)) 5
fsck 0
fsck 1 --deep
finds "repaired at start: $dir: 1 cells of segment [0-9a-f]{16} are bad from byte $offset on"
finds '^    of known/to%20be%20flipped$'
finds 'read [0-9]{7,} bytes of payload$'
fsck 1 --deep --json
assert_eq "$(jq -r '.findings[0] | "\(.drive) seg/\(.place.segment).seg \(.place.offset) \(.place.cells) \(.place.owners[0])"' \
	"$TEST_DIR/fsck")" "$dir $file $offset 1 known/to%20be%20flipped"
script -qec "'$QUOIN' fsck --deep ${QUOIN_DRIVES[*]}" /dev/null >"$TEST_DIR/fsck" </dev/null || true
finds '\[#{24}\] 100 %'
others=()
for d in "${QUOIN_DRIVES[@]}"; do
	[ "$d" = "$dir" ] || others+=("$d")
done
for d in "${others[@]:0:2}"; do
	spoil "$d/$file" $((offset + 77)) 5
done
fsck 2 --deep
finds "DAMAGE: $dir: 1 cells .* what they held cannot be read"
finds "all drives are here: restore the objects from a copy, or delete them"
give_back

# what needs an operator
for d in 1 2 3; do
	rm "$(drive $d)/seg/$segment"
done
fsck 2
finds 'DAMAGE: the set: segment [0-9a-f]+: 3 of its 4 cells are not here'
give_back
spoil "$(drive 2)/super" 0 8192
fsck 2 --json
assert_eq "$(jq -r '.findings[0] | "\(.grade) \(.drive)"' "$TEST_DIR/fsck")" "damage $(drive 2)"
give_back
spoil "$(drive 2)/identity" 10 20
spoil "$(drive 2)/super" 0 8192
fsck 2
finds "DAMAGE: $(drive 2): it is no quoin drive, or its identity and superblock are damaged"
give_back
mv "$(drive 3)" "$TEST_DIR/away"
fsck 2
finds "DAMAGE: $(drive 3): it cannot be opened"
finds 'DAMAGE: the set: the drive of slot 2 is not here'
mkdir "$(drive 3)"
fsck 1
finds "repaired at start: $(drive 3): the drive is empty"
mv "$(drive 4)" "$TEST_DIR/away4"
mkdir "$(drive 4)"
fsck 2
finds "DAMAGE: $(drive 3): the drive is empty, and 2 with data are here \(it cannot become a replacement"
rmdir "$(drive 3)" "$(drive 4)"
mv "$TEST_DIR/away4" "$(drive 4)"
mv "$TEST_DIR/away" "$(drive 3)"
for d in 1 2 3; do
	spoil "$(drive $d)/super" 0 8192
done
fsck 2
finds 'DAMAGE: the set: .*bring more of its drives'
give_back

# and after all of it the set starts, and has everything
launch_quoin
wait_ready
verify_tree
stop_quoin
fsck 0

# when it is asked wrongly
rc=0
"$QUOIN" fsck >"$TEST_DIR/fsck" 2>&1 || rc=$?
assert_eq "$rc" 3 "exit status without drives"
rc=0
"$QUOIN" fsck "$TEST_DIR/nowhere" >"$TEST_DIR/fsck" 2>&1 || rc=$?
assert_eq "$rc" 3 "exit status when no drive can be opened"
finds 'none of the drives can be opened'
