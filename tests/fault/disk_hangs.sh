#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
#
# A disk that answers nothing any more, while names are read that are not in memory: the thread that reads such a page of the
# index by a fault would not come back. Both faces go on within drive.timeout, and read and write; when the disk answers
# again, the drive is taken in and healed.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
requires jq mkfs.ext4 bindfs
requires_boto3
requires_fuse
[ "$(id -u)" = 0 ] || skip "needs root for loop devices"

# given: drive 2 lies in a file of a file system whose process can be stopped
make_disks 4 400M
umount "$TEST_DIR/drive2"
expect_within 20 disk_unused 2
mkdir "$TEST_DIR/under" "$TEST_DIR/over"
mv "$TEST_DIR/disk2" "$TEST_DIR/under/"
bindfs -f "$TEST_DIR/under" "$TEST_DIR/over" &
disk=$!
on_exit 'kill -CONT $disk; umount -l "$TEST_DIR/drive2"; expect_within 60 loop_unused; kill $disk; wait $disk
	for i in 1 3 4; do umount -l "$TEST_DIR/drive$i"; done'
loop_unused() {
	[ -z "$(losetup -j "$TEST_DIR/over/disk2")" ]
}
expect_within 10 test -e "$TEST_DIR/over/disk2"
mount -o loop "$TEST_DIR/over/disk2" "$TEST_DIR/drive2"

hang() {
	/usr/bin/python3 "$(dirname "$0")/disk_hangs.py" "$(mnt)" "$@"
}

# and an index that is not in memory
start_quoin 4 --set drive.timeout=2s --set journal.window=1s
mkdir "$(mnt)/hangs"
hang fill
stop_quoin
dd of="$TEST_DIR/drive2/index/data.mdb" oflag=nocache conv=notrunc,fdatasync count=0 status=none
restart_quoin

# when the disk hangs, then both faces go on
hang serve "$disk"
assert_eq "$(admin_info '.set.slots[1].state')" out "the drive that hangs"
grep -q 'drive out slot=1 .*no answer within drive.timeout' "$QUOIN_LOG" || fail "the log does not say why: $(grep 'drive out' "$QUOIN_LOG")"

# and when it answers again, then it is taken in and healed
kill -CONT "$disk"
expect_within 60 four_in
expect_within 60 nothing_lacks
hang check
stop_quoin
