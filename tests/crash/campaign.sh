#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 9000
#
# Faults of every kind within what parity promises, under a random load of both faces: nothing acknowledged is lost, no
# answer is wrong, none is stale. Drives are taken away, die, fill up, are damaged in every file, swapped, and come
# back; the daemon is killed and restarted; the power is cut. QUOIN_TEST_SHAPE (2+2): 1, 2 or K+M. QUOIN_TEST_SECONDS (60),
# QUOIN_TEST_SEED (202): the choice of faults and operations, not their timing.
#
# A set lives for some rounds, and at most M of its drives are ever touched: a drive that has returned lacks what was
# written meanwhile until it is healed.
# shellcheck disable=SC2317 # called by name
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
requires jq mkfs.ext4
requires_boto3
requires_fuse

shape=${QUOIN_TEST_SHAPE:-2+2}
limit=${QUOIN_TEST_SECONDS:-60}
seed=${QUOIN_TEST_SEED:-202}
# Full drives only in runs for the record: what a close that failed leaves in the kernel's pages for a moment is not told
# apart from a wrong answer.
full=${QUOIN_TEST_SECONDS:-}
RANDOM=$seed
case $shape in
1) drives=1 parity=0 ;;
2) drives=2 parity=1 ;;
*) parity=${shape#*+} drives=$((${shape%+*} + ${shape#*+})) ;;
esac
quorum=$((drives - parity + (drives == 2 * parity)))
harm="/usr/bin/python3 $TEST_TOP/tests/lib/quoin_harm.py"
sets=0 rounds=0 faults=0 operations=0

chance() {
	[ $((RANDOM % 100)) -lt "$1" ]
}
one_of() {
	shift $((RANDOM % $#))
	echo "$1"
}
short_while() {
	pause "$((RANDOM % 2)).$((1 + RANDOM % 9))"
}

# --- faults: each takes the number of a drive --------------------------------------------------------------------------

# Those that a restart makes good, but for the cells that were not written meanwhile. Of a drive on a file system of its own:
dies() {
	disk_dies "$1" && back[$1]=disk_returns
}
gone() {
	disk_gone "$1" && back[$1]=disk_is_back
}
fills() {
	dd if=/dev/zero of="$(drive "$1")/filler" bs=1M status=none 2>/dev/null || true
	back[$1]=empties
}
empties() {
	rm -f "$(drive "$1")/filler"
}
# ... and of a directory:
moved() {
	mv "$(drive "$1")" "$TEST_DIR/away$1" && back[$1]=moved_back
}
moved_back() {
	mv "$TEST_DIR/away$1" "$(drive "$1")"
}

# Those that damage content: the drive itself goes on.
rots() {
	$harm "$(drive "$1")" "$(one_of seg seg journal index)" "$(one_of bits garbage zero shift truncate)" --seed "$RANDOM"
}
# Those after which the drive is not taken in again.
lost_for_good() {
	dead[$1]=1
	case $(one_of super identity removed) in
	removed) find "$(drive "$1")" -mindepth 1 -delete ;;
	super) $harm "$(drive "$1")" super garbage --seed "$RANDOM" ;;
	identity) $harm "$(drive "$1")" identity garbage --seed "$RANDOM" ;;
	esac
}
# Two drives of a set have changed their places, or some of their files have.
swapped() {
	local what
	what=$(one_of seg journal index .)
	if [ "$what" = . ] && [ "$storage" = disks ]; then
		what=seg
	fi
	mv "$(drive "$1")/$what" "$TEST_DIR/swap" && mv "$(drive "$2")/$what" "$(drive "$1")/$what" && mv "$TEST_DIR/swap" "$(drive "$2")/$what"
	if [ "$what" = . ]; then
		dead[$1]=1 dead[$2]=1
	fi
}

# hurt DRIVE RUNNING|STOPPED: one fault of those that can be now
hurt() {
	local d=$1 fault
	[ -z "${dead[$d]:-}" ] && [ -z "${back[$d]:-}" ] || return 0
	if [ "$2" = stopped ]; then
		fault=$(one_of rots rots rots lost_for_good)
	elif [ "$storage" = disks ]; then
		fault=$(one_of rots dies gone ${full:+fills})
	else
		fault=$(one_of rots rots moved lost_for_good)
	fi
	echo "    drive $d $fault ($2)"
	"$fault" "$d"
	faults=$((faults + 1))
	[ "$fault" = rots ] || left[$d]=1
}
# Whether the set may have been below its write quorum since the last check
below_quorum() {
	[ $((drives - ${#left[@]})) -lt "$quorum" ]
}
all_return() {
	local d
	for d in "${!back[@]}"; do
		"${back[$d]}" "$d"
	done
	back=()
}

# --- rounds ------------------------------------------------------------------------------------------------------------

new_set() {
	local i
	if [ -n "$QUOIN_PID" ]; then
		stop_quoin
	fi
	unmount_all ""
	rm -rf "$TEST_DIR"/drive* "$TEST_DIR"/disk* "$TEST_DIR"/away* "$TEST_DIR/model"
	sets=$((sets + 1))
	storage=$(one_of disks directories)
	if [ "$storage" = disks ]; then
		make_disks "$drives" 400M
	fi
	mapfile -t victims < <(seq "$drives" | shuf --random-source=<(yes "$RANDOM") -n "$parity")
	back=() dead=() left=()
	echo "set $sets: $storage, drives that will be hurt: ${victims[*]}"
	start_quoin "$drives" --set parity="$parity" --set memory.memtable=1MiB --set drive.timeout=30s
	mkdir "$(mnt)/crash"
}

# check WHAT ARGUMENT...
check() {
	check_model "${@:2}" || fail "$1; set $sets, round $rounds, seed $seed"
}

# The medium of every drive is what was flushed: all file systems are shut down at once, for a daemon that is stopped
# before, so that it never sees them go. Then the machine starts again.
cut_power() {
	local d
	kill -STOP "$QUOIN_PID"
	for d in $(seq "$drives"); do
		[ "${back[$d]:-}" = disk_is_back ] || disk_dies "$d"
	done
	kill_quoin
	for d in $(seq "$drives"); do
		case ${back[$d]:-} in
		disk_is_back) disk_is_back "$d" ;;
		empties) disk_returns "$d" && empties "$d" ;;
		*) disk_returns "$d" ;;
		esac
	done
	back=()
}
end_daemon() {
	case $1 in
	power) cut_power ;;
	stop) stop_quoin ;;
	kill) kill_quoin ;;
	esac
}

play_round() {
	local d end flags=()
	rounds=$((rounds + 1))
	end=$(one_of kill kill stop "$([ "$storage" = disks ] && echo power || echo kill)")
	echo "  round $rounds: ends by $end"
	# when things go wrong under load
	start_model "$seed-$rounds" --faults
	short_while
	for d in "${victims[@]}"; do
		if chance 60; then
			hurt "$d" running
			short_while
		fi
	done
	short_while
	kill -0 "$QUOIN_PID" 2>/dev/null || fail "quoin ended by itself; set $sets, round $rounds, seed $seed"
	if [ "$end" != stop ]; then
		end_daemon "$end"
		end_model
	else
		end_model
		# then it is all there while they are away
		below_quorum && flags=(--may-refuse)
		check "while serving" "${flags[@]}"
		end_daemon stop
	fi
	if [ "$parity" -gt 1 ] && chance 10 && [ "${#dead[@]}${#back[@]}" = 00 ]; then
		swapped "${victims[0]}" "${victims[1]}"
		faults=$((faults + 1))
	fi
	for d in "${victims[@]}"; do
		if chance 15; then
			hurt "$d" stopped
		fi
	done
	# then it is all there after a start, with the drives back or still away
	flags=()
	if [ "$end" = power ] || below_quorum; then
		flags=(--lost-suffix)
	fi
	if [ "${#back[@]}" -gt 0 ] && [ $((drives - ${#left[@]})) -ge "$quorum" ] && chance 30; then
		launch_quoin
		wait_ready
		check "started while drives are away" "${flags[@]}"
		kill_quoin
	fi
	all_return
	launch_quoin
	if chance 20; then
		pause "0.0$((1 + RANDOM % 9))"
		kill_quoin
		launch_quoin
	fi
	wait_ready
	left=()
	for d in "${!dead[@]}"; do
		left[$d]=1
	done
	below_quorum && flags+=(--may-refuse)
	check "after a start" "${flags[@]}"
	faults=$((faults + 1))
	operations=$((operations + ${MODEL_SAID%% *}))
}

declare -A back dead left
echo "seed $seed, shape $shape, $limit s"
until [ "$SECONDS" -ge "$limit" ]; do
	new_set
	for ((i = 0; i < 6 && SECONDS < limit; i++)); do
		play_round
		if below_quorum; then
			break
		fi
	done
	restart_quoin
	below_quorum && may=(--may-refuse) || may=()
	check "after a clean stop" "${may[@]}"
done
echo "shape $shape, seed $seed: $SECONDS s, $sets sets, $rounds rounds, $faults faults, $operations operations: 0 lost, 0 wrong, 0 stale"
