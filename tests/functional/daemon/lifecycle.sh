#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The daemon's life: probes, SIGTERM drains and unmounts, SIGHUP reloads, a second daemon is refused, a crash leaves a mount
# that the next start replaces.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires jq
requires_fuse

# given a configuration file
take_port
conf=$TEST_DIR/quoin.yaml
printf 'log:\n  level: info\njournal:\n  file_size: 4MiB\nsegment:\n  size: 64MiB\n' >"$conf"
start_quoin 4 -c "$conf"

# probes answer everybody; the mount is there when the daemon says it is ready
for probe in /minio/health/ready /minio/health/live /health/ready /health/live; do
	assert_eq "$(curl -s -o /dev/null -w '%{http_code}' "$S3_URL$probe")" 200 "$probe"
done
assert_match "$(cat /proc/self/mountinfo)" " $(mnt) .* fuse"
mkdir "$(mnt)/life"
random_file "$TEST_DIR/file" 20000000

# when a second one takes the same drives, it is refused, and the first lives on
rc=0
out=$(timeout 30 "$QUOIN" server --address 127.0.0.1:0 "${QUOIN_DRIVES[@]}" 2>&1) || rc=$?
assert_eq "$rc" 1 "exit status of the second daemon ($out)"
assert_match "$out" 'in use|locked|another'
rc=0
mkdir "$TEST_DIR/other"
out=$(timeout 30 "$QUOIN" server --address "127.0.0.1:$QUOIN_PORT" "$TEST_DIR/other" 2>&1) || rc=$?
[ "$rc" -ge 1 ] && [ "$rc" -lt 124 ] || fail "a taken port: exit status $rc"
assert_match "$out" 'in use|cannot listen|address'
assert_eq "$(s3status /life/file -T "$TEST_DIR/file")" 200

# when it gets SIGHUP, it reads the file again; a bad file changes nothing
printf 'log:\n  level: debug\njournal:\n  file_size: 4MiB\nsegment:\n  size: 64MiB\n' >"$conf"
kill -HUP "$QUOIN_PID"
expect_within 10 grep -q -i -E 'reload|reread|read again' "$QUOIN_LOG"
printf 'log:\n  levle: debug\n' >"$conf"
kill -HUP "$QUOIN_PID"
expect_within 10 grep -q 'levle' "$QUOIN_LOG"
assert_eq "$(s3status /life/file -I)" 200
printf 'log:\n  level: info\njournal:\n  file_size: 4MiB\nsegment:\n  size: 64MiB\n' >"$conf"

# when SIGTERM comes during requests, those that run end whole
s3curl /life/slow -T "$TEST_DIR/file" --limit-rate 8M -o /dev/null -w '%{http_code}' >"$TEST_DIR/status" &
slow=$!
exec 7>"$(mnt)/life/open"
echo dirty >&7
in_flight() {
	[ "$(ss -tnH state established "( dport = :$QUOIN_PORT )" | wc -l)" -ge 1 ]
}
expect_within 10 in_flight
exec 7>&-
kill -TERM "$QUOIN_PID"
wait "$slow" || true
limit=$((SECONDS + 60))
while kill -0 "$QUOIN_PID" 2>/dev/null; do
	[ "$SECONDS" -lt "$limit" ] || fail "it does not end"
	pause 0.05
done
rc=0
wait "$QUOIN_PID" || rc=$?
QUOIN_PID=
assert_eq "$rc" 0 "exit status after SIGTERM"
assert_eq "$(mounts_of_test)" "" "mounts after SIGTERM"
launch_quoin
wait_ready
assert_eq "$(cat "$(mnt)/life/open")" dirty "what was written and not fsynced before SIGTERM"
if [ "$(cat "$TEST_DIR/status")" = 200 ]; then
	cmp "$(mnt)/life/slow" "$TEST_DIR/file"
fi

# when a file is open on the mount at SIGTERM, it still ends and leaves nothing mounted
exec 7<"$(mnt)/life/file"
stop_quoin
exec 7<&-

# when it is killed, the next start replaces what is left of the mount
launch_quoin
wait_ready
kill -KILL "$QUOIN_PID"
wait "$QUOIN_PID" 2>/dev/null || true
launch_quoin
wait_ready
cmp "$(mnt)/life/file" "$TEST_DIR/file"

# when the mount is taken away by hand, S3 goes on
fusermount3 -uz "$(mnt)"
assert_eq "$(s3status /life/file -I)" 200
stop_quoin
