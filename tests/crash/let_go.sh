#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A daemon that dies while it tells the kernel of a name: its notifier waits in the kernel for a directory's lock, whoever has
# that waits for the daemon. Nothing hangs all the same, and the next start needs no help: neither when the daemon alone is
# killed, nor when it crashes, nor when its guard is killed with it.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
requires_fuse

thread_is() { # NAME STATE
	local task comm stat
	for task in /proc/"$QUOIN_PID"/task/*; do
		{ read -r comm <"$task/comm" && read -r stat <"$task/stat"; } 2>/dev/null || continue
		stat=${stat##*) }
		[ "$comm" != "$1" ] || [ "${stat%% *}" != "$2" ] || return 0
	done
	return 1
}
thread_named() {
	local comm
	comm=$(grep -lxm 1 "$1.*" /proc/"$QUOIN_PID"/task/*/comm | head -n 1)
	comm=${comm%/comm}
	echo "${comm##*/}"
}
control=${QUOIN_TEST_CONTROL:-/sys/fs/fuse/connections}
requests() {
	cat "$control/$connection/waiting"
}
more_requests() { # THAN
	[ "$(requests)" -gt "$1" ]
}
gone() {
	[ ! -e "/proc/$1" ]
}

# The workers of the mount answer no more. A look-up has the lock of the directory, the notifier wants it.
knot() {
	local dir out before
	dir=$(mnt)/names/dir
	stat "$dir/known" >/dev/null
	connection=$(stat -c %d "$dir")
	out=$(mktemp "$TEST_DIR/halt.XXXXXX")
	python3 "$(dirname "$0")/../lib/quoin_halt.py" "$QUOIN_PID" qn-fuse >"$out" &
	halting=$!
	expect_within 10 grep -q halted "$out"
	before=$(requests) # a file that was closed
	stat "$dir/unknown" >"$TEST_DIR/stat.out" 2>&1 &
	user=$!
	expect_within 10 more_requests "$before"
	s3curl /names/dir/known -X PUT --data-binary "$1" >/dev/null &
	putting=$!
	expect_within 10 thread_is qn-notify D
}
# Who used the mount has been let go with an error, and what was asked of both faces is there after the next start.
untied() {
	local rc=0
	wait "$user" || rc=$?
	assert_ne "$rc" 0 "exit status of who used the mount"
	wait "$halting" || true
	wait "$putting" || true
	wait_ready
	assert_eq "$(mounts_of_test fuse.quoin | wc -l)" 1 "mounts, dead ones too"
	assert_eq "$(cat "$(mnt)/names/dir/known")" "$1" "what was put"
	assert_eq "$(s3curl /names/dir/known)" "$1" "what was put, by S3"
}

# given
start_quoin 4
mkdir "$(mnt)/names" "$(mnt)/names/dir"
echo first >"$(mnt)/names/dir/known"

# when the daemon is killed
knot second
kill -KILL "$QUOIN_PID"
expect_within 20 gone "$QUOIN_PID"

# then the guard has let the mount go
assert_match "$(cat "$QUOIN_LOG")" "the daemon was killed or crashed"
launch_quoin
untied second

# when it crashes, here in one of its many threads
knot third
worker=$(thread_named qn-commit)
python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).tgkill(*map(int, sys.argv[1:])))' "$QUOIN_PID" "$worker" 11
expect_within 20 gone "$QUOIN_PID"
launch_quoin
untied third

# when the guard is killed with it
knot fourth
guard=$(pgrep -P "$QUOIN_PID" -x quoin-guard)
kill -KILL "$guard" "$QUOIN_PID"
expect_within 20 thread_is quoin Z
pause 0.5
! gone "$QUOIN_PID" || fail "the process ended by itself: this test ties no knot"

# then the next start lets the mount go, by whatever name it is given
ln -s "$(mnt)" "$TEST_DIR/link"
QUOIN_ARGS=("${QUOIN_ARGS[@]/#"$(mnt)"/$TEST_DIR/link}")
launch_quoin
untied fourth
assert_match "$(cat "$QUOIN_LOG")" "a killed process cannot end, as its mount waits for it"

# and a daemon that lives is left alone by a second one with its mount point and its drives
second=0
timeout 60 "$QUOIN" server "${QUOIN_ARGS[@]}" --address 127.0.0.1:0 >"$TEST_DIR/second.log" 2>&1 || second=$?
assert_eq "$second" 1 "exit status of the second daemon"
assert_eq "$(cat "$(mnt)/names/dir/known")" fourth "the mount of the first"

# nor is it hidden by one with drives of its own
mkdir "$TEST_DIR/other"
second=0
timeout 60 "$QUOIN" server --address 127.0.0.1:0 --mount "$(mnt)" "$TEST_DIR/other" >"$TEST_DIR/second.log" 2>&1 || second=$?
assert_eq "$second" 1 "exit status of one with other drives"
assert_match "$(cat "$TEST_DIR/second.log")" "mount point $(mnt): another quoin has mounted there"
assert_eq "$(mounts_of_test fuse.quoin | wc -l)" 1 "mounts then"

# and a clean stop ends the guard
guard=$(pgrep -P "$QUOIN_PID" -x quoin-guard)
stop_quoin
gone "$guard" || fail "the guard is still there"
