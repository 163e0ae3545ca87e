#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 9000
#
# Faults of every kind within what parity promises, under a random load of both faces: nothing acknowledged is lost, no
# answer is wrong, none is stale. Drives are taken away, die, fill up, freeze, are damaged in every file, swapped, set back, and
# come back, as they were or empty, to the running daemon or at a start; the daemon is killed and restarted; the power is
# cut. When the daemon says that all is healed, it is believed: other drives are hurt from then on, and what was healed must
# carry the set. QUOIN_TEST_SHAPE (2+2): 1, 2 or K+M. QUOIN_TEST_SECONDS (60). QUOIN_TEST_SEED: the choice of faults and
# operations, not their timing. QUOIN_TEST_STORAGE: disks or directories only.
# shellcheck disable=SC2317 # called by name
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
. "$(dirname "$0")/../lib/faults.sh"
requires jq mkfs.ext4 fsfreeze
requires_boto3
requires_fuse

shape=${QUOIN_TEST_SHAPE:-2+2}
limit=${QUOIN_TEST_SECONDS:-60}
seed=${QUOIN_TEST_SEED:-202}
# Drives hang in runs for the record only: on a busy machine a timeout that is short enough takes others out, too.
long=${QUOIN_TEST_SECONDS:+yes}
timeout=${long:+10s} timeout=${timeout:-30s}
RANDOM=$seed
case $shape in
1) drives=1 parity=0 ;;
2) drives=2 parity=1 ;;
*) parity=${shape#*+} drives=$((${shape%+*} + ${shape#*+})) ;;
esac
mapfile -t all <<<"$(seq "$drives")"
quorum=$((drives - parity + (drives == 2 * parity)))
sets=0 rounds=0 heals=0 operations=0
was_below= # since the last check
to_heal=   # since the last proof

short_while() {
	pause "$((RANDOM % 2)).$((1 + RANDOM % 9))"
}
where() {
	echo "set $sets, round $rounds, shape $shape, seed $seed"
}
# What else happens only every few seconds or weeks happens now, beside all the rest.
work_begins() {
	local service
	one_of service compact compact scrub usage
	counted "$service"
	timeout 20 "$QUOIN" admin service run "$service" >/dev/null 2>&1 || true
}
# Whether the set is below its write quorum. What nobody was told to be durable may then be lost, and writes are refused.
below_quorum() {
	[ $((drives - ${#left[@]})) -lt "$quorum" ]
}
# Whether one more drive may lose its vote: those that have none must be let in by a quorum of others.
may_lose() {
	[ "${#blank[@]}" -lt $((drives - quorum)) ]
}
# check WHAT ARGUMENT...
check() {
	check_model "${@:2}" || fail "$1; $(where)"
}
launch() {
	launch_quoin
	if chance 20; then
		pause "0.0$((1 + RANDOM % 9))"
		kill_quoin
		launch_quoin
	fi
	wait_ready
}

# --- what happens to a victim ------------------------------------------------------------------------------------------

# hurt_drive DRIVE FAULT
hurt_drive() {
	echo "    drive $1 $2"
	hurt[$1]=1
	if [ "$parity" -gt 0 ]; then
		case $2 in dies | gone | fills | freezes | moved) left[$1]=1 ;; esac
	fi
	below_quorum && was_below=1
	counted "$2"
	"$2" "$1"
}
hurt_running() {
	local fault
	if [ "$parity" = 0 ]; then
		fault=fills_nearly
		[ "$storage" = disks ] || return 0
	elif [ "$storage" = disks ]; then
		one_of fault rots rots slot_rots loses_a_file dies gone fills fills ${long:+freezes freezes}
	else
		one_of fault rots rots slot_rots loses_a_file moved moved moved
	fi
	hurt_drive "$1" "$fault"
}
hurt_stopped() {
	local fault choices=(rots rots slot_rots loses_a_file)
	! may_lose || choices+=(lost_for_good wiped)
	one_of fault "${choices[@]}"
	if [ -e "$TEST_DIR/copy$1" ]; then
		fault=is_old
	elif [ -z "${blank[$1]:-}" ] && chance 30; then
		keep_copy "$1"
	fi
	hurt_drive "$1" "$fault"
}
return_running() {
	echo "    drive $1 ${away[$1]}"
	if [[ ${away[$1]} =~ ^(moved_back|disk_is_back|disk_returns)$ ]] && may_lose && chance 40; then
		echo "    ... empty"
		counted returns_empty
		comes_back_empty "$1"
	else
		counted returns
		comes_back "$1"
	fi
}
# What may happen to a victim while it is in use
act_on() {
	local d=$1 v
	if [ -n "${away[$d]:-}" ]; then
		for v in "${victims[@]}"; do
			if [ "$v" != "$d" ] && [ "${away[$v]:-}${away[$d]}" = moved_backmoved_back ] && chance 50; then
				echo "    drives $d and $v come back crossed"
				counted returns_crossed
				come_back_crossed "$d" "$v"
				return
			fi
		done
		return_running "$d"
	elif [ -z "${dead[$d]:-}" ]; then
		if [ -e "$TEST_DIR/old$d" ] && may_lose && chance 60; then
			hurt_drive "$d" old_is_back
		else
			hurt_running "$d"
		fi
	fi
}
all_return() {
	local d
	for d in "${!away[@]}"; do
		counted returns
		comes_back "$d"
	done
}

# --- rounds ------------------------------------------------------------------------------------------------------------

choose_victims() {
	if [ "$parity" = 0 ]; then
		victims=(1) # it can be full, that is all
		return
	fi
	some_of victims "$parity" "${all[@]}"
	echo "  drives that will be hurt: ${victims[*]}"
}
new_set() {
	if [ -n "$QUOIN_PID" ]; then
		stop_quoin
	fi
	unmount_all ""
	rm -rf "$TEST_DIR"/drive* "$TEST_DIR"/disk* "$TEST_DIR"/away* "$TEST_DIR"/old* "$TEST_DIR"/copy* "$TEST_DIR/model"
	hurt=() away=() left=() dead=() blank=() slot_is_bad=() needs_start=
	sets=$((sets + 1))
	one_of storage disks directories
	storage=${QUOIN_TEST_STORAGE:-$storage}
	if [ "$storage" = disks ]; then
		make_disks "$drives" 700M
	fi
	echo "set $sets: $storage"
	choose_victims
	start_quoin "$drives" --set parity="$parity" --set memory.memtable=1MiB --set scrub.bandwidth=1GiB \
		--set drive.timeout="$timeout"
	mkdir "$(mnt)/crash"
}

# The medium of every drive is what was flushed: all file systems are shut down at once, for a daemon that is stopped
# before, so that it never sees them go. Then the machine starts again.
cut_power() {
	local d how
	kill -STOP "$QUOIN_PID"
	for d in "${all[@]}"; do
		[ "${away[$d]:-}" != thaws ] || comes_back "$d"
		[ "${away[$d]:-}" = disk_is_back ] || disk_dies "$d"
	done
	kill_quoin
	for d in "${all[@]}"; do
		how=${away[$d]:-}
		[ "$how" = disk_is_back ] || disk_returns "$d"
		[ "$how" != disk_returns ] || unset "away[$d]"
	done
}
end_daemon() {
	local d
	for d in "${!away[@]}"; do
		[ "${away[$d]}" != thaws ] || comes_back "$d"
	done
	counted "$1"
	case $1 in
	power) cut_power ;;
	stop) stop_quoin ;;
	kill) kill_quoin ;;
	esac
}

# The set goes on without a restart: what it lost of its drives comes back to it.
go_on() {
	local flags=()
	below_quorum && flags=(--may-refuse)
	[ -z "$was_below" ] || flags+=(--lost-suffix)
	check "while serving" "${flags[@]}"
	chance 50 || return 0
	all_return
	if [ "${#dead[@]}" = 0 ]; then
		expect_within 180 in_sync "$drives"
		left=() blank=()
		check "all have returned" ${was_below:+--lost-suffix}
		was_below=
	fi
}

start_again() {
	local d flags=()
	if [ "$parity" -gt 1 ] && chance 10 && [ "${#blank[@]}${#away[@]}" = 00 ]; then
		counted swapped
		swapped "${victims[0]}" "${victims[1]}"
	fi
	for d in "${victims[@]}"; do
		if [ "$parity" -gt 0 ] && chance 15 && [ -z "${dead[$d]:-}${away[$d]:-}" ]; then
			hurt_stopped "$d"
		fi
	done
	# then it is all there after a start, with the drives back or still away
	if [ "$1" = power ] || [ -n "$was_below" ] || below_quorum; then
		flags=(--lost-suffix)
	fi
	if [ "${#away[@]}" -gt 0 ] && ! below_quorum && chance 40; then
		launch
		check "started while drives are away" "${flags[@]}"
		chance 50 && return 0
		kill_quoin
	fi
	all_return
	for d in "${!dead[@]}"; do
		if chance 50; then
			counted returns_empty
			comes_back_empty "$d"
		fi
	done
	launch
	left=()
	for d in "${!blank[@]}"; do
		left[$d]=1
	done
	below_quorum && flags+=(--may-refuse)
	check "after a start" "${flags[@]}"
}

play_round() {
	local i end acts act last=kill
	rounds=$((rounds + 1)) to_heal=1
	[ "$storage" != disks ] || last=power
	one_of end kill kill stop nothing nothing "$last"
	echo "  round $rounds: ends by $end"
	below_quorum && was_below=1 || was_below=
	# when things go wrong under load
	start_model "$seed-$rounds" --faults
	short_while
	acts=$((1 + RANDOM % 4))
	for ((i = 0; i < acts; i++)); do
		# What comes back to a set that fell may take a part of its history back: not under a load that would call it lost.
		one_of act "${victims[@]}"
		[ -n "${away[$act]:-}" ] && [ -n "$was_below" ] || act_on "$act"
		! chance 50 || work_begins
		short_while
	done
	short_while
	runs "$QUOIN_PID" || fail "quoin ended by itself; $(where)"
	if [ "$end" = kill ] || [ "$end" = power ]; then
		end_daemon "$end"
		end_model
		start_again "$end"
	else
		end_model
		go_on
		if [ "$end" = stop ]; then
			end_daemon stop
			start_again stop
		fi
	fi
	operations=$((operations + ${MODEL_SAID%% *}))
}

# All is put back and healed, as the daemon says; then as many others as parity allows are away, and what was healed is needed.
heal_and_prove() {
	local d how gone=() others=()
	all_return
	for d in "${!dead[@]}"; do
		counted returns_empty
		comes_back_empty "$d"
	done
	if [ -n "$needs_start" ] || chance 50; then
		one_of how kill stop
		end_daemon "$how"
		launch
	fi
	work_begins
	whole_again "$drives" $((parity + 1))
	check "after healing" ${was_below:+--lost-suffix}
	heals=$((heals + 1)) was_below= to_heal=
	rm -rf "$TEST_DIR"/copy* "$TEST_DIR"/old*
	stop_quoin
	"$QUOIN" fsck "${QUOIN_DRIVES[@]}" >"$TEST_DIR/fsck.out" 2>&1 || {
		cat "$TEST_DIR/fsck.out"
		fail "fsck after healing; $(where)"
	}
	for d in "${all[@]}"; do
		[[ " ${victims[*]} " == *" $d "* ]] || others+=("$d")
	done
	some_of gone "$parity" "${others[@]}"
	echo "  healed; without ${gone[*]}:"
	for d in "${gone[@]}"; do
		mv "$(drive "$d")" "$TEST_DIR/away$d" 2>/dev/null || umount "$(drive "$d")"
	done
	launch
	check "what was healed alone" --may-refuse
	one_of how kill stop
	end_daemon "$how"
	for d in "${gone[@]}"; do
		if [ "$storage" = disks ]; then disk_is_back "$d"; else moved_back "$d"; fi
	done
	launch
	check "with all of them again"
	expect_within 180 nothing_missing
	choose_victims
}

echo "seed $seed, shape $shape, $limit s"
until [ "$SECONDS" -ge "$limit" ]; do
	new_set
	for ((i = 1; i <= 12 && SECONDS < limit; i++)); do
		play_round
		if [ $((i % 3)) = 0 ] || below_quorum; then
			heal_and_prove
		fi
	done
	[ -z "$to_heal" ] || heal_and_prove
done
echo "faults: $(faults_seen)"
echo "shape $shape, seed $seed: $SECONDS s, $sets sets, $rounds rounds, $heals heals, $operations operations: 0 lost, 0 wrong, 0 stale"
