#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
#
# Any two of four drives are taken away under load, in every way that a directory can be: everything still reads, byte for
# byte, by both faces. One more gone: clean errors, never wrong bytes. They come back at a restart: all is well.
# shellcheck disable=SC2317 # called by name
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
requires jq
requires_boto3
requires_fuse

pairs=("1 2" "1 3" "1 4" "2 3" "2 4" "3 4")
garbage_segments() {
	find "$(drive "$1")/seg" -name '*.seg' -size +0 | while read -r f; do
		# Below the header too: nothing of this file is what was written
		dd if=/dev/urandom of="$f" bs=64K count=$((($(stat -c %s "$f") + 65535) / 65536)) conv=notrunc status=none
	done
}
truncated_segments() {
	find "$(drive "$1")/seg" -name '*.seg' -exec truncate -s 8192 {} +
}
removed() {
	rm -rf "${TEST_DIR:?}/drive$1"
}
moved() {
	mv "$(drive "$1")" "$TEST_DIR/away$1"
}
all_back() {
	local d
	for d in 1 2 3 4; do
		[ ! -d "$TEST_DIR/away$d" ] || mv "$TEST_DIR/away$d" "$(drive "$d")"
	done
}
fresh_set() {
	if [ -n "$QUOIN_PID" ]; then
		kill_quoin
	fi
	rm -rf "$TEST_DIR"/drive? "$TEST_DIR"/away? "$TEST_DIR/manifest"
	start_quoin
	make_tree 1
	restart_quoin
	make_tree 2
}

# given data, half of it from before a restart; when two drives lose it under load, then all is read
i=0
for how in garbage_segments truncated_segments removed moved; do
	pair=${pairs[$(((i++ + RANDOM) % 6))]}
	echo "== $how: drives $pair"
	fresh_set
	start_load
	for d in $pair; do
		"$how" "$d"
	done
	verify_tree
	stop_load
	verify_tree
done

# when they are away at a start of a set that was well, then all is read, and what writes is refused cleanly
stop_quoin || true
all_back
launch_quoin
wait_ready
verify_tree
stop_quoin
for pair in "${pairs[@]}"; do
	echo "== start without drives $pair"
	all_back
	for d in $pair; do
		moved "$d"
	done
	launch_quoin
	wait_ready
	verify_tree
	status=$(s3status /known/new -T "$TEST_DIR/manifest")
	assert_eq "$status" 503 "PUT below write quorum"
	assert_match "$(s3curl /known/new -T "$TEST_DIR/manifest")" '<Code>SlowDown</Code>'
	assert_fails touch "$(mnt)/known/new"
	assert_match "$(cat "$TEST_DIR/stderr")" '[Rr]ead-only|Input/output'
	kill_quoin
done

# when a third is away, then there are clean errors; the daemon may also say why it does not start
echo "== start with one drive of four"
all_back
for d in 1 2 3; do
	moved "$d"
done
launch_quoin
answers_or_ended() {
	! kill -0 "$QUOIN_PID" 2>/dev/null || [ "$(curl -s -m 5 -o /dev/null -w '%{http_code}' "$S3_URL/minio/health/ready")" = 503 ]
}
expect_within 60 answers_or_ended
if kill -0 "$QUOIN_PID" 2>/dev/null; then
	assert_eq "$(s3status /known/1/s3/d0/0)" 503
	verify_tree --may-fail
	kill_quoin
else
	rc=0
	wait "$QUOIN_PID" || rc=$?
	QUOIN_PID=
	unmount_all
	assert_match "$(tail -n 3 "$QUOIN_LOG")" 'drive|quorum'
	[ "$rc" -lt 128 ] || fail "quoin died by signal: $rc"
fi

# when they are back, then all is well
for d in 1 2 3; do
	mv "$TEST_DIR/away$d" "$(drive "$d")"
done
launch_quoin
wait_ready
verify_tree
make_tree 3
verify_tree
assert_eq "$(admin_info '[.set.slots[] | select(.state == "in")] | length')" 4 "drives in sync"
stop_quoin
