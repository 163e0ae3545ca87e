#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
#
# The daemon is stopped while a drive hangs. The stop ends soon, with nothing lost: the log names the drive, the mount is gone,
# and the next daemon starts at once on the other drives. Of the first one the kernel keeps what sits in the drive; when that
# is thawed it ends with the status that tells so, and the next daemon takes the drive in.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
requires jq mkfs.ext4 fsfreeze
requires_boto3
requires_fuse
[ "$(id -u)" = 0 ] || skip "needs root for loop devices"

# given
make_disks 4 700M
on_exit 'for i in 1 2 3 4; do fsfreeze -u "$TEST_DIR/drive$i" 2>/dev/null; umount -l "$TEST_DIR/drive$i" 2>/dev/null; done'
start_quoin 4 --set drive.timeout=1s
make_tree 1

# No thread of it is left but those that the kernel does not let go.
has_left() {
	[ ! -e "/proc/$1" ] || ! grep -qE '^State:[[:space:]][RSI]' "/proc/$1"/task/*/status 2>/dev/null
}
# stop_beside_frozen N: by the rules, though drive N hangs.
stop_beside_frozen() {
	OLD_PID=$QUOIN_PID
	kill -TERM "$OLD_PID"
	expect_within 20 has_left "$OLD_PID"
	QUOIN_PID=
	grep -q "not waited for: the drive does not answer path=$TEST_DIR/drive$1\$" "$QUOIN_LOG" || fail "the log does not name the drive"
	! grep -q "the stop is left" "$QUOIN_LOG" || fail "the stop had to be left"
	assert_eq "$(mounts_of_test fuse)" "" "mounts after quoin stopped"
}
next_daemon_serves() {
	launch_quoin
	wait_ready
	verify_tree
	make_tree "$1"
	assert_eq "$(s3status "/known/after-$1" -m 10 -T "$TEST_DIR/manifest")" 200 "PUT"
	timeout 10 cmp "$(mnt)/known/after-$1" "$TEST_DIR/manifest" || fail "the mount does not show what S3 made"
}
# What it had begun in the drive has ended, and then the drive is taken in by the next one.
thaw() {
	local rc=0
	fsfreeze -u "$TEST_DIR/drive$1"
	wait "$OLD_PID" || rc=$?
	assert_eq "$rc" 3 "exit status of the daemon that did not wait"
	expect_within 60 drive_is "$1" in
	expect_within 60 nothing_lacks
	verify_tree
}

# when one is frozen under load and out, then the stop does not wait for it
start_load
fsfreeze -f "$(drive 2)"
expect_within 20 drive_is 2 out
stop_load
stop_beside_frozen 2
next_daemon_serves 2
thaw 2

# when one is frozen while what was written is not flushed, and nobody has found out, then the stop does
make_tree 3
fsfreeze -f "$(drive 3)"
stop_beside_frozen 3
next_daemon_serves 4
thaw 3

# and without a drive that hangs a stop is clean again
restart_quoin
verify_tree
stop_quoin
