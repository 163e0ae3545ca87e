# shellcheck shell=bash disable=SC2317 # called by name
# SPDX-License-Identifier: Apache-2.0
#
# What goes wrong with single drives, and how they come back, for tests that choose at random. Beside common.sh it needs
# storage: disks (make_disks) or directories, and RANDOM with a seed. Drives are known by their number. What is known of each:

declare -A hurt=() # it may lack, or hold, anything: it counts as lost until whole_again
declare -A away=() # it cannot be used now; the command that brings it back
declare -A left=() # it has left the set, or will at a start: of no use for the write quorum until it is in again
declare -A dead=() # the daemon will not take it as it is: it must be emptied
declare -A blank=() # it knows nothing of the set, and has no vote in it until it is in
declare -A count=() # faults by name

# Choices by the seed are made in the test's own shell: bash seeds RANDOM anew in each subshell.
# one_of VARIABLE CHOICE...
one_of() {
	local variable=$1
	shift
	shift $((RANDOM % $#))
	printf -v "$variable" %s "$1"
}
# some_of ARRAY N CHOICE...: N different ones
some_of() {
	local -n some=$1
	local n=$2 i
	shift 2
	some=()
	for (( ; n > 0 && $# > 0; n--)); do
		i=$((1 + RANDOM % $#))
		some+=("${!i}")
		set -- "${@:1:i-1}" "${@:i+1}"
	done
}
chance() {
	[ $((RANDOM % 100)) -lt "$1" ]
}
# counted NAME: one more of these
counted() {
	count[$1]=$((${count[$1]:-0} + 1))
}
faults_seen() {
	local name
	for name in "${!count[@]}"; do
		echo "$name ${count[$name]}"
	done | sort | paste -s -d , | sed 's/,/, /g'
}

# --- a drive that cannot be used, and as it was comes back -------------------------------------------------------------

# disks
dies() {
	disk_dies "$1" && away[$1]=disk_returns
}
gone() {
	disk_gone "$1" && away[$1]=disk_is_back
}
fills() {
	dd if=/dev/zero of="$(drive "$1")/filler" bs=1M status=none 2>/dev/null || true
	away[$1]=empties
}
# But for some room: what an index copy writes needs it, and there is no other copy than on this drive.
fills_nearly() {
	local free
	free=$(df --output=avail -B 1M "$(drive "$1")" | tail -n 1)
	[ "$free" -le 64 ] || dd if=/dev/zero of="$(drive "$1")/filler" bs=1M count=$((free - 64)) status=none
	away[$1]=empties
}
# Flushed: a disk that dies next would have it again.
empties() {
	rm -f "$(drive "$1")/filler"
	sync -f "$(drive "$1")"
}
freezes() {
	fsfreeze -f "$(drive "$1")" && away[$1]=thaws
}
thaws() {
	fsfreeze -u "$(drive "$1")"
}
# directories
moved() {
	mv "$(drive "$1")" "$TEST_DIR/away$1" && away[$1]=moved_back
}
moved_back() {
	mv "$TEST_DIR/away$1" "$(drive "$1")"
}

# --- damage of what is on it: the drive itself goes on -----------------------------------------------------------------

harm() {
	/usr/bin/python3 "$TEST_TOP/tests/lib/quoin_harm.py" "$(drive "$1")" "${@:2}" --seed "$RANDOM" >/dev/null
}
rots() {
	local what how
	one_of what seg seg journal index
	one_of how bits garbage zero shift truncate
	[ "$what" != journal ] || needs_start=1
	harm "$1" "$what" "$how"
}
needs_start= # the records of journals are read, and made good, at a start
# One of the two slots of the superblock; a second time it may be the other.
slot_rots() {
	if [ -z "${slot_is_bad[$1]:-}" ]; then
		harm "$1" super bits --count 1
		slot_is_bad[$1]=1
	fi
}
declare -A slot_is_bad=()
loses_a_file() {
	local files lost
	mapfile -t files <<<"$(find "$(drive "$1")" -path '*/seg/*' -type f | sort)"
	one_of lost "${files[@]}"
	rm -f "$lost"
}

# --- at a start --------------------------------------------------------------------------------------------------------

# It is what it was some time ago: a copy that was kept comes back in its place.
keep_copy() {
	rm -rf "$TEST_DIR/copy$1"
	cp -a --sparse=always "$(drive "$1")" "$TEST_DIR/copy$1"
}
is_old() {
	find "$(drive "$1")" -mindepth 1 -delete
	cp -a --sparse=always "$TEST_DIR/copy$1/." "$(drive "$1")/"
	rm -rf "$TEST_DIR/copy$1"
	left[$1]=1
}
# The daemon does not take it again.
lost_for_good() {
	local what
	one_of what super identity
	harm "$1" "$what" garbage
	dead[$1]=1 left[$1]=1 blank[$1]=1
}
wiped() {
	find "$(drive "$1")" -mindepth 1 -delete
	left[$1]=1 blank[$1]=1
}
# swapped A B: some of their files have changed places
swapped() {
	local what
	one_of what seg journal index
	mv "$(drive "$1")/$what" "$TEST_DIR/swap"
	mv "$(drive "$2")/$what" "$(drive "$1")/$what"
	mv "$TEST_DIR/swap" "$(drive "$2")/$what"
	hurt[$1]=1 hurt[$2]=1 left[$1]=1 left[$2]=1
}

# --- coming back -------------------------------------------------------------------------------------------------------

# comes_back D: as it was
comes_back() {
	local how=${away[$1]}
	unset "away[$1]"
	"$how" "$1"
}
# comes_back_empty D: another, empty one is put in the place of one that is away or dead
comes_back_empty() {
	case ${away[$1]:-} in
	moved_back)
		rm -rf "$TEST_DIR/old$1"
		mv "$TEST_DIR/away$1" "$TEST_DIR/old$1"
		mkdir "$(drive "$1")"
		;;
	disk_is_back | disk_returns)
		[ "${away[$1]}" = disk_is_back ] || umount -l "$(drive "$1")"
		expect_within 60 disk_unused "$1"
		mkfs.ext4 -q -F "$TEST_DIR/disk$1"
		mount -o loop "$TEST_DIR/disk$1" "$(drive "$1")"
		;;
	*) find "$(drive "$1")" -mindepth 1 -delete ;;
	esac
	unset "away[$1]" "dead[$1]" "slot_is_bad[$1]"
	left[$1]=1 blank[$1]=1
}
# come_back_crossed A B: two that were moved come back at each other's place
come_back_crossed() {
	mv "$TEST_DIR/away$1" "$(drive "$2")"
	mv "$TEST_DIR/away$2" "$(drive "$1")"
	unset "away[$1]" "away[$2]"
}
# The drive that was replaced is put back in the place of its replacement.
old_is_back() {
	rm -rf "$TEST_DIR/trash"
	mv "$(drive "$1")" "$TEST_DIR/trash"
	mv "$TEST_DIR/old$1" "$(drive "$1")"
	rm -rf "$TEST_DIR/trash"
	left[$1]=1 blank[$1]=1
}

# --- being whole -------------------------------------------------------------------------------------------------------

# in_sync N: the set writes, with so many drives (one that cannot write has not recorded who left)
in_sync() {
	[ "$(admin_info 'select(.set.writable).set | [.slots[] | select(.state == "in")] | length')" = "$1" ]
}
index_copies_good() {
	[ "$(admin_info '[.set.slots[] | select(.index == "good")] | length')" -ge "$1" ]
}
nothing_missing() {
	[ "$(admin_info '.set.missing_ranges + .set.unavailable_blobs')" = 0 ]
}
# whole_again N COPIES: waits until the daemon has healed all N drives, as it says itself, looks for the damage that nobody
# has met yet, and believes it. From here on other drives may be hurt.
whole_again() {
	expect_within 180 in_sync "$1"
	expect_within 300 nothing_missing
	"$QUOIN" admin scrub start >"$TEST_DIR/scrub.out" 2>&1 || {
		cat "$TEST_DIR/scrub.out"
		"$QUOIN" admin scrub report
		fail "the scrub could not repair everything"
	}
	expect_within 180 nothing_missing
	expect_within 180 index_copies_good "$2"
	expect_within 60 in_sync "$1"
	hurt=() left=() dead=() away=() blank=() slot_is_bad=() needs_start=
}
