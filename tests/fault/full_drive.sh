#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
#
# One drive of four is smaller than the others and fills up: both faces go on writing, new data goes to the other three. With
# one more drive gone everything reads. When there is room on it, it gets what it lacks, and carries the set when two others
# go. A second full drive ends the writing, and no delete.
# shellcheck disable=SC2317 # called by name
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
requires jq mkfs.ext4
requires_boto3
requires_fuse
[ "$(id -u)" = 0 ] || skip "needs root for loop devices"

# given
make_disks 4 1G
on_exit 'for i in 1 2 3 4; do umount -l "$TEST_DIR/drive$i" 2>/dev/null; done'
start_quoin 4 --set segment.size=16MiB --set memory.memtable=1MiB
mkdir "$(mnt)/full"
random_file "$TEST_DIR/large" 8000000
random_file "$TEST_DIR/small" 30000
slot_of() {
	admin_info ".set.slots[] | select(.path == \"$(drive "$1")\") | .slot"
}
of_slot() {
	admin_info ".set.slots[] | select(.slot == $1) | .$2"
}
is_full() {
	[ "$(of_slot "$1" full)" = "$2" ]
}
# fill DRIVE MIB: until so much is left on it
fill() {
	local free
	free=$(df --output=avail -B 1M "$(drive "$1")" | tail -n 1)
	dd if=/dev/zero of="$(drive "$1")/filler" bs=1M count=$((free - $2)) oflag=append conv=notrunc status=none
}
# write ROUND: 24 large and 200 small ones by each face
write() {
	local i
	for ((i = 0; i < 12; i++)); do
		assert_eq "$(s3status "/full/s3-$1-$i" -T "$TEST_DIR/large")" 200 "PUT, round $1"
		cp "$TEST_DIR/large" "$(mnt)/full/mnt-$1-$i"
	done
	for ((i = 0; i < 100; i++)); do
		assert_eq "$(s3status "/full/s3-small-$1-$i" -T "$TEST_DIR/small")" 200 "small PUT, round $1"
		cp "$TEST_DIR/small" "$(mnt)/full/mnt-small-$1-$i"
	done
	sync -f "$(mnt)/full"
}
# verify ROUND...: what one face wrote the other one reads
verify() {
	local r i
	for r in "$@"; do
		for ((i = 0; i < 12; i++)); do
			s3curl "/full/mnt-$r-$i" | cmp - "$TEST_DIR/large" || fail "mnt-$r-$i by S3"
			cmp "$(mnt)/full/s3-$r-$i" "$TEST_DIR/large" || fail "s3-$r-$i by the mount"
		done
		for ((i = 0; i < 100; i += 9)); do
			s3curl "/full/mnt-small-$r-$i" | cmp - "$TEST_DIR/small" || fail "mnt-small-$r-$i by S3"
			cmp "$(mnt)/full/s3-small-$r-$i" "$TEST_DIR/small" || fail "s3-small-$r-$i by the mount"
		done
	done
}
lacks_nothing() {
	[ "$(admin_info .set.missing_ranges)" = 0 ]
}
slot=$(slot_of 2)
write 1

# when somebody fills one drive up, then both faces go on, and it stays in the set
fill 2 60
expect_within 30 is_full "$slot" true
grep -q "warn erasure drive full: .*path=$(drive 2)" "$QUOIN_LOG" || fail "not logged"
write 2
write 3
assert_eq "$(of_slot "$slot" state)" in
[ "$(admin_info .set.missing_ranges)" -gt 0 ] || fail "nothing is missing on the full drive"
verify 1 2 3

# and after a restart it is the same
restart_quoin
verify 1 2 3
expect_within 30 is_full "$slot" true
write 4

# when one more drive dies, then everything reads
disk_dies 3
verify 1 2 3 4

# and when there is room again, and the drive is back, then all is made whole
disk_returns 3
rm "$(drive 2)/filler"
expect_within 60 is_full "$slot" false
expect_within 200 lacks_nothing
write 5

# so that two others may go
stop_quoin
for i in 1 4; do
	umount "$(drive "$i")"
done
launch_quoin
wait_ready
verify 1 2 3 4 5
stop_quoin
for i in 1 4; do
	mount -o loop "$TEST_DIR/disk$i" "$(drive "$i")"
done
launch_quoin
wait_ready
write 6

# when a second one is full, then nothing is taken in, and deletes are
fill 1 60
fill 2 60
refused() {
	[ "$(s3status /full/refused -T "$TEST_DIR/large")" = 507 ]
}
expect_within 30 refused
for ((i = 0; i < 12; i++)); do
	assert_eq "$(s3status "/full/s3-1-$i" -X DELETE)" 204
	rm "$(mnt)/full/mnt-1-$i"
done
verify 2 3 4 5 6
rm "$(drive 1)/filler"
goes_on() {
	[ "$(s3status /full/again -T "$TEST_DIR/large")" = 200 ]
}
expect_within 60 goes_on
stop_quoin
