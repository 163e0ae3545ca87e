# shellcheck shell=bash disable=SC2119,SC2120
# SPDX-License-Identifier: Apache-2.0
#
# What functional, fault and crash tests share. A test starts with
#
#	#!/bin/bash
#	# SPDX-License-Identifier: Apache-2.0
#	# timeout: 600		(seconds; 300 when not given)
#	# alone: yes		(nothing else runs beside it; for measurements)
#	set -euo pipefail
#	. "$(dirname "$0")/../../lib/common.sh"
#
# and then has TEST_DIR, a private directory that goes away. Everything here works on one daemon at a time: its drives
# are $TEST_DIR/drive1.., its mount is mnt(), its log quoin.log. When the script ends, however it does, the daemon is
# killed and the mount is gone. Never sleep and hope: wait with expect_within for what must become true.

TEST_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$TEST_TOP/tests/lib/fuse.sh"
TEST_NAME=${TEST_NAME:-$(basename "$0" .sh)}
QUOIN=${QUOIN:-$TEST_TOP/build/quoin}
TEST_DIR_OWN=
if [ -z "${TEST_DIR:-}" ]; then
	TEST_DIR=$(mktemp -d "${QUOIN_TEST_TMP:-/var/tmp}/quoin-$TEST_NAME.XXXXXX")
	TEST_DIR_OWN=1
fi
QUOIN_MNT=$TEST_DIR/mnt
export QUOIN_MNT
QUOIN_LOG=$TEST_DIR/quoin.log
QUOIN_PID=
QUOIN_PORT=
QUOIN_ARGS=()
QUOIN_DRIVES=()
CLEANUP_COMMANDS=()

# Clients see nothing of the user's own settings.
export AWS_ACCESS_KEY_ID=quointest AWS_SECRET_ACCESS_KEY=quointest-secret AWS_DEFAULT_REGION=us-east-1
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true AWS_PAGER=
export QUOIN_ROOT_USER=$AWS_ACCESS_KEY_ID QUOIN_ROOT_PASSWORD=$AWS_SECRET_ACCESS_KEY
export PYTHONPATH=$TEST_TOP/tests/lib PYTHONDONTWRITEBYTECODE=1
unset AWS_PROFILE AWS_ENDPOINT_URL AWS_CA_BUNDLE REQUESTS_CA_BUNDLE SSL_CERT_FILE SSL_CERT_DIR CURL_CA_BUNDLE
unset QUOIN_CONFIG http_proxy https_proxy HTTP_PROXY HTTPS_PROXY

# --- results ---------------------------------------------------------------------------------------------------------

fail() {
	echo "FAIL: $*" >&2
	local i
	for ((i = 1; i < ${#FUNCNAME[@]}; i++)); do
		echo "  at ${BASH_SOURCE[i]##*/}:${BASH_LINENO[i - 1]} ${FUNCNAME[i]}" >&2
	done
	exit 1
}

skip() {
	if [ -n "${QUOIN_TEST_STRICT:-}" ]; then
		fail "would be skipped: $*"
	fi
	echo "SKIP: $*" >&2
	exit 77
}

# Programs that the test needs. In strict mode, as in contrib/check, a missing one fails the test.
requires() {
	local program
	for program; do
		command -v "$program" >/dev/null || skip "$program is not installed"
	done
}

requires_fuse() {
	requires fusermount3
	if ! [ -r /dev/fuse ] || ! [ -w /dev/fuse ]; then
		skip "/dev/fuse cannot be used"
	fi
}

requires_boto3() {
	/usr/bin/python3 -c 'import boto3' 2>/dev/null || skip "/usr/bin/python3 has no boto3"
}

assert_eq() {
	[ "$1" = "$2" ] || fail "${3:-values differ}: expected \"$2\", got \"$1\""
}

assert_ne() {
	[ "$1" != "$2" ] || fail "${3:-values are equal}: \"$1\""
}

# assert_match TEXT REGEX
assert_match() {
	[[ $1 =~ $2 ]] || fail "\"$1\" does not match \"$2\""
}

# assert_fails COMMAND...: it must fail; its output goes to $TEST_DIR/stderr.
assert_fails() {
	if "$@" >"$TEST_DIR/stderr" 2>&1; then
		fail "succeeded, but must not: $*"
	fi
}

# expect_within SECONDS COMMAND...: tries until it succeeds.
expect_within() {
	local limit=$1 deadline
	shift
	deadline=$((SECONDS + limit))
	until "$@" >"$TEST_DIR/expect.out" 2>&1; do
		if [ "$SECONDS" -ge "$deadline" ]; then
			cat "$TEST_DIR/expect.out" >&2
			fail "not true within $limit s: $*"
		fi
		pause 0.05
	done
}

# For loops that look at something again; never instead of looking. (Of a pipe that is never written to. Not one for each
# pause: bash waits for ever for a child that has the number of a process substitution of before, and numbers return.)
exec {PAUSE_FD}<> <(:)
pause() {
	read -r -t "$1" -u "$PAUSE_FD" || true
}

# It has not ended. One that bash has not waited for yet has, and bash may be slow to: process numbers are used again.
runs() {
	local stat
	{ read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
	stat=${stat##*) }
	[ "${stat%% *}" != Z ]
}
ended() {
	while runs "$1"; do
		pause 0.05
	done
}

# --- cleaning up -----------------------------------------------------------------------------------------------------

# on_exit COMMAND: runs last come, first served, also when the test fails.
on_exit() {
	CLEANUP_COMMANDS=("$1" "${CLEANUP_COMMANDS[@]}")
}

# Mount points below TEST_DIR of file systems whose type starts with TYPE (fuse; "" for all), innermost first. Reads
# mountinfo only: a stat of a hung mount would hang too.
mounts_of_test() {
	awk -v dir="$TEST_DIR/" -v type="- ${1-fuse}" 'index($5, dir) == 1 && index($0, type) {print $5}' /proc/self/mountinfo | sort -r
}

unmount_all() {
	local m
	while read -r m; do
		fusermount3 -uz "$m" 2>/dev/null || umount -l "$m" 2>/dev/null || true
	done < <(mounts_of_test "$@")
}

cleanup() {
	local rc=$? command
	trap '' EXIT INT TERM
	set +e
	for command in "${CLEANUP_COMMANDS[@]}"; do
		eval "$command"
	done
	if [ -n "$QUOIN_PID" ]; then
		if [ "$rc" -ne 0 ] && ! runs "$QUOIN_PID"; then
			echo "quoin is not running any more" >&2
		fi
		kill -KILL "$QUOIN_PID" 2>/dev/null
		abort_fuse "$TEST_DIR" fuse.quoin >/dev/null 2>&1 # its guard may be what failed
		wait "$QUOIN_PID" 2>/dev/null
	fi
	unmount_all ""
	if [ "$rc" -ne 0 ] && [ "$rc" -ne 77 ] && [ -s "$QUOIN_LOG" ]; then
		echo "--- last lines of quoin.log" >&2
		tail -n 25 "$QUOIN_LOG" >&2
	fi
	if [ -n "$TEST_DIR_OWN" ] && [ -z "${QUOIN_TEST_KEEP:-}" ]; then
		rm -rf "$TEST_DIR"
	fi
	exit "$rc"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- the daemon ------------------------------------------------------------------------------------------------------

mnt() {
	echo "$QUOIN_MNT"
}

# drive N: its directory.
drive() {
	echo "$TEST_DIR/drive$1"
}

# Takes a port that no other test uses: a lock on a file of its number is held until the test ends.
take_port() {
	local dir=${TMPDIR:-/tmp}/quoin-test-ports port try
	mkdir -p "$dir"
	chmod 1777 "$dir" 2>/dev/null || true
	for ((try = 0; try < 500; try++)); do
		port=$((20000 + RANDOM % 10000))
		exec {PORT_LOCK}>"$dir/$port" || continue
		if flock -n "$PORT_LOCK" && ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
			QUOIN_PORT=$port
			S3_URL=http://127.0.0.1:$port
			export S3_URL QUOIN_ENDPOINT=$S3_URL
			return
		fi
		exec {PORT_LOCK}>&-
	done
	fail "no free port"
}

ready() {
	[ "$(curl -s -m 5 -o /dev/null -w '%{http_code}' "$S3_URL/minio/health/ready")" = 200 ]
}

# Waits until the daemon answers; fails at once when it has ended.
wait_ready() {
	local deadline=$((SECONDS + ${1:-60}))
	until ready; do
		if ! runs "$QUOIN_PID"; then
			wait "$QUOIN_PID" || true
			QUOIN_PID=
			fail "quoin ended before it was ready"
		fi
		[ "$SECONDS" -lt "$deadline" ] || fail "quoin was not ready within ${1:-60} s"
		pause 0.05
	done
}

# Runs the daemon with QUOIN_ARGS and does not wait. QUOIN_WRAP may hold a command that runs it (strace -f -o ...).
launch_quoin() {
	"${QUOIN_WRAP[@]}" "$QUOIN" server "${QUOIN_ARGS[@]}" {PORT_LOCK}>&- </dev/null >>"$QUOIN_LOG" 2>&1 &
	QUOIN_PID=$!
	echo "$QUOIN_PID" >>"$TEST_DIR/pids"
}
QUOIN_WRAP=()

# start_quoin [N_DRIVES] [ARGUMENT...]: on N (4) fresh drives, mounted, ready. QUOIN_NO_MOUNT=1: without the mount.
start_quoin() {
	local n=${1:-4} i
	shift || true
	QUOIN_DRIVES=()
	for ((i = 1; i <= n; i++)); do
		mkdir -p "$TEST_DIR/drive$i"
		QUOIN_DRIVES+=("$TEST_DIR/drive$i")
	done
	[ -n "$QUOIN_PORT" ] || take_port
	QUOIN_ARGS=(--address "127.0.0.1:$QUOIN_PORT" --set journal.file_size=4MiB --set segment.size=64MiB)
	if [ -z "${QUOIN_NO_MOUNT:-}" ]; then
		mkdir -p "$QUOIN_MNT"
		QUOIN_ARGS+=(--mount "$QUOIN_MNT")
	fi
	QUOIN_ARGS+=("$@" "${QUOIN_DRIVES[@]}")
	launch_quoin
	wait_ready
}

# Ends it by SIGTERM; it must drain, unmount and exit with 0.
stop_quoin() {
	local limit=${1:-60} deadline rc=0
	deadline=$((SECONDS + limit))
	kill -TERM "$QUOIN_PID"
	while runs "$QUOIN_PID"; do
		[ "$SECONDS" -lt "$deadline" ] || fail "quoin did not stop within $limit s"
		pause 0.02
	done
	wait "$QUOIN_PID" || rc=$?
	QUOIN_PID=
	assert_eq "$rc" 0 "exit status of quoin"
	assert_eq "$(mounts_of_test fuse.quoin)" "" "mounts after quoin stopped"
}

# kill -9, and what a dead daemon leaves mounted is taken away.
kill_quoin() {
	kill -KILL "$QUOIN_PID"
	wait "$QUOIN_PID" 2>/dev/null || true
	QUOIN_PID=
	unmount_all fuse.quoin
}

# Starts it again with the same arguments, on the same drives and port.
restart_quoin() {
	if [ -n "$QUOIN_PID" ]; then
		stop_quoin
	fi
	launch_quoin
	wait_ready
}

# make_disks N SIZE: drives 1 to N become file systems of their own (ext4 on loop devices, root only), so that they can
# die as a disk dies. Before start_quoin. Skipped where the machine has no loop devices, in strict mode too. Room that is given
# back on them is given back to the machine.
make_disks() {
	local n=$1 size=$2 i
	for ((i = 1; i <= n; i++)); do
		truncate -s "$size" "$TEST_DIR/disk$i"
		mkfs.ext4 -q -F "$TEST_DIR/disk$i"
		mkdir -p "$TEST_DIR/drive$i"
		if ! mount -o loop,discard "$TEST_DIR/disk$i" "$TEST_DIR/drive$i"; then
			echo "SKIP: loop devices cannot be mounted here" >&2
			exit 77
		fi
		chmod 0777 "$TEST_DIR/drive$i"
	done
}

# disk_dies N: from now on every request to it answers EIO; what was not flushed is lost.
disk_dies() {
	/usr/bin/python3 -c '
import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack("I", 2))' "$TEST_DIR/drive$1"
}

# disk_returns N: it is back at its place, with what had been flushed. The daemon lets go of the dead one first: as long as
# somebody has a file of it open, a mount of the same disk is the dead one again.
disk_unused() {
	[ -z "$(losetup -j "$TEST_DIR/disk$1")" ]
}
disk_returns() {
	umount -l "$TEST_DIR/drive$1"
	expect_within 60 disk_unused "$1"
	mount -o loop,discard "$TEST_DIR/disk$1" "$TEST_DIR/drive$1"
}

# disk_gone N: its directory is empty, as when it was pulled out and the mount point is left.
disk_gone() {
	disk_dies "$1"
	umount -l "$TEST_DIR/drive$1"
}
disk_is_back() {
	expect_within 60 disk_unused "$1"
	mount -o loop,discard "$TEST_DIR/disk$1" "$TEST_DIR/drive$1"
}

# --- clients ---------------------------------------------------------------------------------------------------------

# aws s3 ...
s3() {
	aws --endpoint-url "$S3_URL" s3 "$@"
}

# aws s3api ...
s3api() {
	aws --endpoint-url "$S3_URL" --output json s3api "$@"
}

# curl PATH-OR-QUERY ARGUMENT..., signed
s3curl() {
	local path=$1
	shift
	curl -s --aws-sigv4 "aws:amz:$AWS_DEFAULT_REGION:s3" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
		-H "x-amz-content-sha256: UNSIGNED-PAYLOAD" "$@" "$S3_URL$path"
}

# The HTTP status of the same.
s3status() {
	local path=$1
	shift
	s3curl "$path" -o /dev/null -w '%{http_code}' "$@"
}

s3cmd_() {
	command s3cmd --no-progress --config /dev/null --access_key "$AWS_ACCESS_KEY_ID" --secret_key "$AWS_SECRET_ACCESS_KEY" \
		--host "127.0.0.1:$QUOIN_PORT" --host-bucket "127.0.0.1:$QUOIN_PORT" --no-ssl --region "$AWS_DEFAULT_REGION" "$@"
}

# rclone with the remote "q:"
rclone_() {
	RCLONE_CONFIG=/dev/null RCLONE_CONFIG_Q_TYPE=s3 RCLONE_CONFIG_Q_PROVIDER=Minio \
		RCLONE_CONFIG_Q_ACCESS_KEY_ID=$AWS_ACCESS_KEY_ID RCLONE_CONFIG_Q_SECRET_ACCESS_KEY=$AWS_SECRET_ACCESS_KEY \
		RCLONE_CONFIG_Q_ENDPOINT=$S3_URL RCLONE_CONFIG_Q_REGION=$AWS_DEFAULT_REGION command rclone "${RCLONE_VERBOSITY:--q}" "$@"
}

# boto3: a script on stdin; `from quoin_s3 import s3` gives it a client.
boto() {
	/usr/bin/python3 - "$@"
}

# random_file PATH BYTES [SEED]: the same bytes for the same seed.
random_file() {
	openssl enc -aes-128-ctr -nosalt -pass "pass:${3:-$1}" -in /dev/zero 2>/dev/null | head -c "$2" >"$1" || true
	assert_eq "$(stat -c %s "$1")" "$2" "size of $1"
}

# Known data for fault tests, see quoin_tree.py: make_tree [SEED ARGUMENT...], verify_tree [--may-fail ...]
make_tree() {
	/usr/bin/python3 "$TEST_TOP/tests/lib/quoin_tree.py" make "$TEST_DIR/manifest" "$(mnt)" --seed "${1:-1}" "${@:2}"
}
verify_tree() {
	/usr/bin/python3 "$TEST_TOP/tests/lib/quoin_tree.py" verify "$TEST_DIR/manifest" "$(mnt)" "$@" || fail "verify_tree $*"
}

# start_load [--may-fail]: readers that check and writers, in the background; stop_load fails when they saw something wrong.
start_load() {
	exec {LOAD_FEED}> >(exec /usr/bin/python3 "$TEST_TOP/tests/lib/quoin_tree.py" load "$TEST_DIR/manifest" "$(mnt)" "$@" \
		>"$TEST_DIR/load.out" 2>&1)
	LOAD_PID=$!
	expect_within 20 grep -q running "$TEST_DIR/load.out"
}
stop_load() {
	exec {LOAD_FEED}>&-
	ended "$LOAD_PID"
	cat "$TEST_DIR/load.out"
	if grep -q -E 'FAIL|Traceback' "$TEST_DIR/load.out"; then
		fail "the load saw something wrong"
	fi
}

# A random load by both faces in the bucket crash, and the model of what must then be there, see quoin_model.py.
# start_model SEED [--faults], in the background; end_model fails when it saw something wrong; check_model [--may-refuse]
# [--lost-suffix].
start_model() {
	: >"$TEST_DIR/model.out"
	exec {MODEL_FEED}> >(exec /usr/bin/python3 "$TEST_TOP/tests/lib/quoin_model.py" load "$TEST_DIR/model" "$(mnt)" "$@" \
		>"$TEST_DIR/model.out" 2>&1)
	MODEL_PID=$!
	expect_within 30 grep -q running "$TEST_DIR/model.out"
}
end_model() {
	exec {MODEL_FEED}>&-
	ended "$MODEL_PID"
	MODEL_SAID=$(grep -v '^running' "$TEST_DIR/model.out" || true)
	echo "    $MODEL_SAID"
	if [[ $MODEL_SAID =~ FAIL|Traceback ]]; then
		fail "the load saw something wrong"
	fi
}
check_model() {
	/usr/bin/python3 "$TEST_TOP/tests/lib/quoin_model.py" check "$TEST_DIR/model" "$(mnt)" "$@"
}

# A value of `quoin admin info --json`: admin_info JQ
admin_info() {
	"$QUOIN" admin info --json | jq -r "$1"
}

# For expect_within: drive_is N STATE; all four drives are in; nothing lacks on any drive.
drive_is() {
	[ "$(admin_info ".set.slots[$(($1 - 1))].state")" = "$2" ]
}
four_in() {
	[ "$(admin_info '[.set.slots[] | select(.state == "in")] | length')" = 4 ]
}
nothing_lacks() {
	[ "$("$QUOIN" admin heal status --json | jq '[.. | .missing_ranges? | numbers] | add // 0')" = 0 ]
}
