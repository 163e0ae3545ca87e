#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
#
# Disks that answer every request with EIO, under load: one, two, three of four. Reads stay right or fail cleanly; what
# was answered is there when the disks are back.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
requires jq mkfs.ext4
requires_boto3
requires_fuse
[ "$(id -u)" = 0 ] || skip "needs root for loop devices"

# given
make_disks 4 700M
on_exit 'for i in 1 2 3 4; do umount -l "$TEST_DIR/drive$i" 2>/dev/null; done'
start_quoin
make_tree 1

# when one dies, then everything goes on
start_load
disk_dies 2
verify_tree
writes() {
	[ "$(s3status /known/probe -T "$TEST_DIR/manifest")" = 200 ]
}
expect_within 30 writes
stop_load
make_tree 2
verify_tree
expect_within 20 drive_is 2 out

# when a second dies, then everything still reads; writes are refused
start_load
disk_dies 4
verify_tree
refused() {
	[ "$(s3status /known/probe -T "$TEST_DIR/manifest")" = 503 ]
}
expect_within 30 refused
stop_load
verify_tree

# when a third dies, then there are clean errors and right bytes only
disk_dies 1
verify_tree --may-fail
assert_fails touch "$(mnt)/known/touch"
kill -0 "$QUOIN_PID"
kill_quoin

# when all are back, then all that was answered is there
for i in 1 2 4; do
	disk_returns "$i"
done
launch_quoin
wait_ready
verify_tree
make_tree 3
verify_tree
assert_eq "$(admin_info '[.set.slots[] | select(.state == "in")] | length')" 4 "drives in sync"
stop_quoin
