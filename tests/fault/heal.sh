#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
#
# What a drive lost is put back, byte for byte, by what notices it first: a read by either face, the scrub, or the drive's
# return. Afterwards the other drives that parity allows may go.
# shellcheck disable=SC2317 # called by name
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
requires jq
requires_fuse

drives="1 2 3 4"
keep_copies() {
	local d
	rm -rf "$TEST_DIR/good"
	mkdir "$TEST_DIR/good"
	for d in $drives; do
		mkdir "$TEST_DIR/good/drive$d"
		cp -a --sparse=always "$(drive "$d")/seg" "$TEST_DIR/good/drive$d/"
	done
}
# DRIVE FILE: a segment file holds what it did; room behind the last cell, all zeros, may be lacking.
same_file() {
	local good=$TEST_DIR/good/drive$1/$2 now size
	now=$(drive "$1")/$2
	size=$(stat -c %s "$now" 2>/dev/null) || return 1
	cmp -s -n "$size" "$good" "$now" || return 1
	[ "$(tail -c "+$((size + 1))" "$good" | tr -d '\0' | head -c 1 | wc -c)" = 0 ]
}
same_segments() {
	local f
	for f in $(cd "$TEST_DIR/good/drive$1" && find seg -name '*.seg'); do
		same_file "$1" "$f" || return 1
	done
}
all_same() {
	local d
	for d in $drives; do
		same_segments "$d" || return 1
	done
}
# Where the blob of an object lies: FILE OFFSET of the cell that a read takes its first bytes from, on which drive
place_of() {
	"$QUOIN" admin inspect --json heal "$1" | jq -r '.extents[0].blob as $b |
		($b.cells[] | if has("holds_blob") then select(.holds_blob) else select(.cell == 0) end) as $c |
		"\($c.drive) \($b.file) \($b.offset + ($b.offset_in_cell // 0) + 10)"'
}
flip() {
	local byte
	byte=$(dd if="$1" bs=1 skip="$2" count=1 status=none | od -An -tu1)
	# shellcheck disable=SC2059 # the format is the byte
	printf "\\x$(printf %02x $((byte ^ 8)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
read_all() {
	local f
	for f in "$TEST_DIR"/data/*; do
		s3curl "/heal/${f##*/}" -o "$TEST_DIR/back"
		cmp "$f" "$TEST_DIR/back"
		cmp "$f" "$(mnt)/heal/${f##*/}"
	done
}

# given objects of each kind, half of them by each face
export QUOIN_SCRUB_BANDWIDTH=1GiB
start_quoin
s3curl /heal -X PUT
mkdir "$TEST_DIR/data"
for i in $(seq 20); do
	random_file "$TEST_DIR/data/small$i" $((1000 + i * 900)) "s$i"
	random_file "$TEST_DIR/data/large$i" $((100000 + i * 150000)) "l$i"
done
for i in $(seq 10); do
	for kind in small large; do
		s3curl "/heal/$kind$i" -T "$TEST_DIR/data/$kind$i"
		cp "$TEST_DIR/data/$kind$((i + 10))" "$(mnt)/heal/"
	done
done
restart_quoin
declare -A places
for i in small1 small11 large1 large11; do
	places[$i]=$(place_of $i)
done
stop_quoin
keep_copies

# when a byte of it rots, then one read by either face gives the right bytes, and the drive gets its own back
for i in small1 small11 large1 large11; do
	read -r dir file offset <<<"${places[$i]}"
	flip "$dir/$file" "$offset"
	if all_same; then
		fail "nothing was damaged"
	fi
	launch_quoin
	wait_ready
	if [[ $i == *11 ]]; then
		cmp "$TEST_DIR/data/$i" "$(mnt)/heal/$i"
	else
		s3curl "/heal/$i" -o "$TEST_DIR/back"
		cmp "$TEST_DIR/data/$i" "$TEST_DIR/back"
	fi
	expect_within 30 all_same
	stop_quoin
done

# when a file is cut short, and another is gone, then reads of what was in them bring that back
read -r dir file offset <<<"${places[large11]}"
truncate -s 4096 "$dir/$file"
launch_quoin
wait_ready
read_all
cell_back() {
	cmp -s -i $((offset / 4096 * 4096)) -n 4096 "$dir/$file" "$TEST_DIR/good/${dir##*/}/$file"
}
expect_within 30 cell_back
# and that is damage of the file, not an error of the drive, which nobody needs to replace
assert_eq "$(admin_info '[.set.slots[].errors] | add')" 0 "errors of the drives"
stop_quoin

# when a whole file is gone, then one read of an object in it brings all of it back
read -r dir file offset <<<"${places[large1]}"
rm "$dir/$file"
launch_quoin
wait_ready
s3curl /heal/large1 -o "$TEST_DIR/back"
cmp "$TEST_DIR/data/large1" "$TEST_DIR/back"
file_back() {
	same_file "${dir##*/drive}" "$file"
}
expect_within 30 file_back
stop_quoin

# and the scrub, when it is due, finds all the rest: parity, and what nobody reads
rm -f "$(drive 2)"/seg/*.seg
export QUOIN_SCRUB_PERIOD=60s
: >"$QUOIN_LOG"
launch_quoin
wait_ready
expect_within 120 all_same
expect_within 60 grep -q 'scrub.*done' "$QUOIN_LOG"
stop_quoin
export QUOIN_SCRUB_PERIOD=720h

# when a drive was away while its peers were written to, then it is filled after its return, and one line tells so
mv "$(drive 3)" "$TEST_DIR/away3"
launch_quoin
wait_ready
for i in $(seq 5); do
	random_file "$TEST_DIR/data/more$i" $((i * 300000)) "m$i"
	s3curl "/heal/more$i" -T "$TEST_DIR/data/more$i"
	cp "$TEST_DIR/data/more$i" "$(mnt)/heal/again$i"
	cp "$TEST_DIR/data/more$i" "$TEST_DIR/data/again$i"
done
stop_quoin
mv "$TEST_DIR/away3" "$(drive 3)"
: >"$QUOIN_LOG"
launch_quoin
wait_ready
nothing_missing() {
	[ "$(admin_info .set.missing_ranges)" = 0 ]
}
expect_within 60 nothing_missing
expect_within 10 grep -q 'drive healed slot=2 .* failed_segments=0' "$QUOIN_LOG"
assert_eq "$(grep -c 'drive healed' "$QUOIN_LOG")" 1 "lines that tell of the heal"
read_all
stop_quoin

# then any two others may go, the healed drives are as good as the rest
for pair in "1 4" "1 2" "2 4"; do
	for d in $pair; do
		mv "$(drive "$d")" "$TEST_DIR/away$d"
	done
	launch_quoin
	wait_ready
	read_all
	kill_quoin
	for d in $pair; do
		mv "$TEST_DIR/away$d" "$(drive "$d")"
	done
done

# when more is bad of an object than parity can give back, then a scrub names it, in the report and once in the log
# OBJECT: a byte of three of its four cells
spoil() {
	local dir file offset
	"$QUOIN" admin inspect --json heal "$1" | jq -r '.extents[0].blob as $b | $b.cells | sort_by(.holds_blob != true) | .[:3][] |
		"\(.drive) \($b.file) \($b.offset + ($b.offset_in_cell // 0) + 10)"' >"$TEST_DIR/cells"
	while read -r dir file offset; do
		flip "$dir/$file" "$offset"
	done <"$TEST_DIR/cells"
}
unreadable() {
	"$QUOIN" admin scrub report --json | jq -c '[.unreadable[].objects[]] | sort'
}
launch_quoin
wait_ready
long=dir/$(printf 'l%.0s' $(seq 900))
s3curl "/heal/$long" -T "$TEST_DIR/data/large2"
for i in small1 large1 "$long"; do
	spoil "$i"
done
: >"$QUOIN_LOG"
assert_fails "$QUOIN" admin scrub start
lost=$(unreadable)
for f in "$TEST_DIR"/data/* "$TEST_DIR/data/$long"; do
	key=${f#"$TEST_DIR/data/"}
	if s3curl "/heal/$key" -f -o "$TEST_DIR/back"; then
		assert_eq "$(jq "index(\"heal/$key\")" <<<"$lost")" null "that $key is among what cannot be read"
	else
		[ "$(jq "index(\"heal/$key\")" <<<"$lost")" != null ] || fail "$key cannot be read, and nobody says so: $lost"
	fi
done
for i in small1 large1 "$long"; do
	[ "$(jq "index(\"heal/$i\")" <<<"$lost")" != null ] || fail "$i is not among $lost"
done
assert_eq "$(admin_info .set.unreadable_stripes)" 3 "unreadable stripes"
assert_eq "$(grep -c 'cannot be read object="heal/large1" .* cure="restore it from a copy, or delete it"' "$QUOIN_LOG")" 1 \
	"lines that name it"
restart_quoin
known_again() {
	[ "$(unreadable)" = "$lost" ]
}
expect_within 30 known_again
assert_eq "$(admin_info .set.unreadable_stripes)" 3 "unreadable stripes after a restart"
for i in "$TEST_DIR"/data/* "$long"; do
	s3curl "/heal/${i#"$TEST_DIR/data/"}" -X DELETE
done
"$QUOIN" admin scrub start
assert_eq "$(unreadable)" "[]" "objects that cannot be read, once they are deleted"
assert_eq "$(admin_info .set.unreadable_stripes)" 0 "unreadable stripes then"
