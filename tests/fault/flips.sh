#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 14400
#
# Any bit of any file of one drive is flipped, and pages of its index copy lie, under a running daemon, after a kill and
# after a stop: every answer of both faces is right, nothing aborts or hangs, and writes go on. Afterwards the drive is whole
# again: fsck --deep finds nothing, and it gives all data with as few others as can be. Nothing but the daemon repairs it.
# QUOIN_TEST_FLIPS (130), QUOIN_TEST_SEED; 10000 for the record.
# shellcheck disable=SC2317 # called by name
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
requires jq
requires_boto3
requires_fuse

flips=${QUOIN_TEST_FLIPS:-130}
seed=${QUOIN_TEST_SEED:-$RANDOM}
RANDOM=$seed
kinds=(seg index journal lie super seg silent journal identity index)
export QUOIN_SCRUB_BANDWIDTH=100GiB
echo "seed $seed, $flips flips"

# given data of all sizes, in packed and in large segments
given() {
	if [ -n "$QUOIN_PID" ]; then
		stop_quoin
	fi
	rm -rf "$TEST_DIR"/drive* "$TEST_DIR/manifest"
	start_quoin "$1" --set memory.memtable=1MiB
	make_tree 1 --max-size 70000
	restart_quoin
	make_tree 2 --max-size 1100000
}
harm() {
	local program=$1
	shift
	/usr/bin/python3 "$TEST_TOP/tests/lib/$program" "$(drive "$d")" "$@" --seed "$RANDOM" >>"$TEST_DIR/harm"
}
# Few of an index: a copy that is found damaged answers nothing more. Of a superblock one slot, as the other has the same.
damage() {
	case $kind in
	seg | journal) harm quoin_harm.py "$kind" bits --count "$n" ;;
	index) harm quoin_harm.py index bits --count "$n" ;;
	super) harm quoin_harm.py super slot --count "$n" ;;
	identity) harm quoin_harm.py identity bits --count 1 ;;
	lie) harm quoin_lie.py "${lies[RANDOM % ${#lies[@]}]}" ;;
	silent) harm quoin_lie.py "${silent[RANDOM % ${#silent[@]}]}" ;;
	esac
}
lies=(pointer pointer pointer older)
silent=(drop stale)
declare -A counts=([seg]=150 [journal]=150 [index]=8 [super]=20 [identity]=1 [lie]=1 [silent]=1)

# The index copies of all drives are good, and nothing else is under way.
all_good() {
	[ "$("$QUOIN" admin info --json | jq -c '[.set.slots[] | [.state, .index]] | unique')" = '[["in","good"]]' ]
}
repair() {
	"$QUOIN" admin heal --deep >"$TEST_DIR/healed" || fail "heal --deep: $(cat "$TEST_DIR/healed")"
	expect_within 120 all_good
}
# The flipped drive and as few others as can be: each read needs it.
alone() {
	local others=() other half=$((${#QUOIN_DRIVES[@]} / 2))
	for other in $(seq ${#QUOIN_DRIVES[@]} | shuf --random-source=<(yes "$RANDOM")); do
		[ "$other" = "$d" ] || [ ${#others[@]} = "$half" ] || others+=("$other")
	done
	for other in "${others[@]}"; do
		mv "$(drive "$other")" "$TEST_DIR/away$other"
	done
	launch_quoin
	wait_ready
	verify_tree --exact
	stop_quoin
	for other in "${others[@]}"; do
		rm -rf "$(drive "$other")"
		mv "$TEST_DIR/away$other" "$(drive "$other")"
	done
}

# An error or a reading that only the other copies of the index answered must not stay: looked for after each batch.
one_batch() {
	local at=$1
	case $at in
	running) damage ;;
	killed)
		kill_quoin
		damage
		launch_quoin
		;;
	stopped)
		stop_quoin
		damage
		launch_quoin
		;;
	esac
	wait_ready
	# then S3 and the mount answer right; what only sums can tell is right once they were compared
	[ "$kind" = silent ] || verify_tree --exact
	# ... also when all of it is worked on
	if [ $((batch % 4)) = 0 ] && [ "$kind" != silent ]; then
		make_tree 5 --max-size 70000
		verify_tree --exact
	fi
	# Files that are read at a start only are repaired by one.
	case $kind in
	journal) kill_quoin ;;
	super | identity) stop_quoin ;;
	esac
	[ -n "$QUOIN_PID" ] || { launch_quoin && wait_ready; }
	repair
	verify_tree --exact
	stop_quoin
	# and the drive is whole
	"$QUOIN" fsck --deep "${QUOIN_DRIVES[@]}" >"$TEST_DIR/fsck" 2>&1 || fail "not repaired: $(cat "$TEST_DIR/fsck")"
	[ $((batch % 3)) != 0 ] || alone
	launch_quoin
	wait_ready
}

declare -A done_=()
all=0 batch=0
given 2
while [ "$all" -lt "$flips" ]; do
	if [ "$all" -ge $((flips / 2)) ] && [ "${#QUOIN_DRIVES[@]}" = 2 ]; then
		given 4
	fi
	kind=${kinds[batch % ${#kinds[@]}]}
	batch=$((batch + 1))
	d=$((1 + RANDOM % ${#QUOIN_DRIVES[@]}))
	at=running
	n=${counts[$kind]}
	# Fewer at a time in a short run, so that it sees all kinds.
	[ "$flips" -ge 1000 ] || n=$(((n + 4) / 5))
	[ "$kind" != journal ] || make_tree 6 --max-size 40000
	case $((RANDOM % 3)) in
	0) at=killed ;;
	1) [ "$kind" = journal ] || at=stopped ;;
	esac
	echo "batch $batch: $n of $kind, drive $d of ${#QUOIN_DRIVES[@]}, $at"
	one_batch "$at"
	all=$((all + n))
	done_[$kind]=$((${done_[$kind]:-0} + n))
done
stop_quoin
for kind in "${!done_[@]}"; do
	echo "$kind: ${done_[$kind]}"
done
echo "$all flips in $batch batches, seed $seed: 0 wrong, all repaired"
