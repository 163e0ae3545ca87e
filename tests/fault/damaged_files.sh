#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
#
# Damage of each kind of file of a drive, before a start: survived, or a clear error; nothing lost, no abort.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
requires jq
requires_boto3
requires_fuse

# given: data from before and after a clean stop, then a kill
start_quoin
make_tree 1
restart_quoin
make_tree 2
kill_quoin
mkdir "$TEST_DIR/good"
for d in 1 2 3 4; do
	cp -a --sparse=always "$(drive "$d")" "$TEST_DIR/good/"
done

give_back() {
	local d
	for d in 1 2 3 4; do
		rm -rf "$(drive "$d")"
		cp -a --sparse=always "$TEST_DIR/good/drive$d" "$(drive "$d")"
	done
}
spoil_bytes() {
	local f=$1 off=$2 n=$3
	head -c "$n" /dev/urandom | dd of="$f" bs=1 seek="$off" conv=notrunc status=none
}

# survives WHAT [--may-fail]: started on the damaged drives, all data is there. With two drives gone right after a kill,
# the last changes before it may be answered by 503: whether they were durable is not known until one comes back.
survives() {
	echo "== $1"
	: >"$QUOIN_LOG"
	launch_quoin
	wait_ready
	verify_tree "${@:2}"
	stop_quoin
	give_back
}
# fails_clearly WHAT REGEX: it ends by itself, says why, and has written nothing
fails_clearly() {
	local rc=0 before after
	echo "== $1"
	: >"$QUOIN_LOG"
	before=$(cd "$TEST_DIR" && find drive? -type f -exec md5sum {} + | sort -k2)
	launch_quoin
	ended() {
		! kill -0 "$QUOIN_PID" 2>/dev/null
	}
	expect_within 30 ended
	wait "$QUOIN_PID" || rc=$?
	QUOIN_PID=
	[ "$rc" -ge 1 ] && [ "$rc" -lt 128 ] || fail "exit status $rc"
	assert_match "$(cat "$QUOIN_LOG")" "$2"
	after=$(cd "$TEST_DIR" && find drive? -type f -exec md5sum {} + | sort -k2)
	assert_eq "$after" "$before" "files after a refused start"
	give_back
}
log_of() {
	find "$(drive "$1")/journal" -name '*.log' -size +0 | sort | head -n "${2:-1}" | tail -n 1
}

# when one slot of a superblock is bad, or all of one drive's
for d in 1 3; do
	spoil_bytes "$(drive $d)/super" 100 50
	survives "first slot of super of drive $d"
	spoil_bytes "$(drive $d)/super" 4196 50
	survives "second slot of super of drive $d"
done
spoil_bytes "$(drive 2)/super" 0 8192
survives "super of one drive"
spoil_bytes "$(drive 2)/super" 0 8192
rm "$(drive 4)/super"
survives "super of two drives" --may-fail

# when identities are bad, then the superblocks tell who the drives are
for d in 1 2 3; do
	spoil_bytes "$(drive $d)/identity" 10 20
done
: >"$QUOIN_LOG"
launch_quoin
wait_ready
verify_tree
assert_eq "$(grep -c 'identity of a drive was damaged and is written anew' "$QUOIN_LOG")" 3
stop_quoin
for d in 1 2 3; do
	cmp "$(drive $d)/identity" "$TEST_DIR/good/drive$d/identity"
done
give_back
for d in 1 2 3; do
	spoil_bytes "$(drive $d)/identity" 10 20
	spoil_bytes "$(drive $d)/super" 0 8192
done
fails_clearly "identities and superblocks of three drives" 'identity|format|damaged|drive'

# when the journal is bad: headers, records, whole files, of one and of two drives
spoil_bytes "$(log_of 1)" 0 4096
survives "journal header of one drive"
for d in 1 2; do
	for f in "$(drive $d)"/journal/*.log; do
		spoil_bytes "$f" 5000 100
		spoil_bytes "$f" 200000 5000
	done
done
survives "records in the journals of two drives"
rm "$(drive 3)"/journal/*.log
survives "no journal on one drive"
for d in 2 4; do
	find "$(drive $d)/journal" -name '*.log' -exec truncate -s 10000 {} +
done
survives "cut journals on two drives"

# when index copies are bad: pages, meta pages, files
for d in 1 2 3; do
	find "$(drive $d)/index" -name 'data.mdb' | while read -r f; do
		dd if=/dev/urandom of="$f" bs=4096 seek=2 count=50 conv=notrunc status=none
	done
done
survives "index pages of three drives"
for d in 1 2; do
	find "$(drive $d)/index" -name 'data.mdb' -exec truncate -s 100 {} +
done
survives "cut index on two drives"
rm -rf "$(drive 4)/index"
survives "no index on one drive"

# when segments are bad on two drives
for d in 2 3; do
	for f in "$(drive $d)"/seg/*.seg; do
		dd if=/dev/urandom of="$f" bs=64K count=$(($(stat -c %s "$f") / 65536)) conv=notrunc status=none
	done
done
survives "segments of two drives"
rm -f "$(drive 1)"/seg/*.seg "$(drive 4)"/seg/*.seg
survives "no segments on two drives"

# when a file is where none belongs
echo junk >"$(drive 1)/journal/junk.log"
echo junk >"$(drive 1)/seg/junk.seg"
echo junk >"$(drive 1)/junk"
survives "junk beside the files"
