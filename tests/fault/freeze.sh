#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
#
# A file system that is frozen under load: no call into it returns that would change something, as on a disk that hangs. Both
# faces go on within drive.timeout, reads are right, the drive is out; when it is thawed it is taken in again while both
# serve, and healed.
# The same for a drive that is frozen while nothing is done, and over checkpoints.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
requires jq mkfs.ext4 fsfreeze
requires_boto3
requires_fuse
[ "$(id -u)" = 0 ] || skip "needs root for loop devices"

# given
make_disks 4 700M
on_exit 'for i in 1 2 3 4; do fsfreeze -u "$TEST_DIR/drive$i" 2>/dev/null; umount -l "$TEST_DIR/drive$i" 2>/dev/null; done'
start_quoin 4 --set drive.timeout=2s --set journal.window=1s
make_tree 1

# Each by one call that must come back: a change by each face, then a read of each by the other.
faces_serve() {
	timeout 10 touch "$(mnt)/known/by-mount-$1" || fail "the mount hangs"
	assert_eq "$(s3status "/known/by-s3-$1" -m 10 -T "$TEST_DIR/manifest")" 200 "PUT"
	assert_eq "$(s3status "/known/by-mount-$1" -m 10)" 200 "GET of what the mount made"
	timeout 10 cmp "$(mnt)/known/by-s3-$1" "$TEST_DIR/manifest" || fail "the mount does not show what S3 made"
}
thaw() {
	fsfreeze -u "$TEST_DIR/drive$1"
	expect_within 60 four_in
	expect_within 60 nothing_lacks
}

# when one is frozen under load, then both faces go on without it
start_load
fsfreeze -f "$(drive 2)"
faces_serve load
expect_within 20 drive_is 2 out
grep -q 'drive out slot=1 .*no answer within drive.timeout' "$QUOIN_LOG" || fail "the log does not say why: $(grep 'drive out' "$QUOIN_LOG")"
stop_load
make_tree 2
verify_tree

# and when it is thawed, then it is taken in again and healed, while both serve
start_load
thaw 2
stop_load
verify_tree

# when one is frozen while nothing is done, then the next change finds out
fsfreeze -f "$(drive 3)"
faces_serve idle
expect_within 20 drive_is 3 out
thaw 3

# when one is frozen, then checkpoints are made without it: more is written than the journal holds
checkpoints() {
	"$QUOIN" admin service list --json | jq '[.. | objects | select(.name? == "checkpoint") | .cycle] | add'
}
fsfreeze -f "$(drive 4)"
before=$(checkpoints)
mkdir "$TEST_DIR/small"
for ((i = 0; i < 400; i++)); do
	head -c 30000 /dev/urandom >"$TEST_DIR/small/$i"
done
more_checkpoints() {
	timeout 60 cp -r "$TEST_DIR/small" "$(mnt)/known"
	[ "$(checkpoints)" -ge $((before + 2)) ]
}
expect_within 90 more_checkpoints
expect_within 20 drive_is 4 out
verify_tree
thaw 4
verify_tree

# and a stop and a start find everything
restart_quoin
four_in
verify_tree
stop_quoin
