#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
#
# Three of four drives are taken away under load by both faces, and come back: the daemon writes again by itself, by both
# faces, with all that was answered; an open file has what was written to it before and over the outage, and a git tree on
# the mount is intact.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
requires jq mkfs.ext4 git
requires_boto3
requires_fuse
[ "$(id -u)" = 0 ] || skip "needs root for loop devices"

writes() {
	[ "$(s3status /known/probe -T "$TEST_DIR/manifest")" = 200 ]
}
refused() {
	[ "$(s3status /known/probe -T "$TEST_DIR/manifest")" = 503 ]
}
is_writable() {
	[ "$(admin_info .set.writable)" = true ]
}
in_tree() {
	git -C "$(mnt)/known/tree" -c user.name=t -c user.email=t@example.org -c core.fileMode=false "$@"
}
commit_tree() {
	cp -r "$TEST_TOP/tests/lib" "$(mnt)/known/tree/$1"
	in_tree add -A
	in_tree commit -q -m "$1"
}
# A process that holds a file open: each line is a number of bytes to be written (kept beside, in held), or fsync.
hold() {
	coproc HOLD { exec /usr/bin/python3 -u -c '
import os, sys
fd, beside = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), open(sys.argv[2], "wb", 0)
for line in sys.stdin:
    try:
        if line == "fsync\n":
            os.fsync(fd)
        else:
            data = os.urandom(int(line))
            os.write(fd, data)
            beside.write(data)
        print("done", flush=True)
    except OSError as e:
        print(e, flush=True)' "$1" "$TEST_DIR/held"; }
}
held() {
	local answer
	echo "$1" >&"${HOLD[1]}"
	read -r -t 30 answer <&"${HOLD[0]}" || fail "the holder of the file hangs at $1"
	echo "$answer"
}
let_go() {
	local pid=$HOLD_PID
	eval "exec ${HOLD[1]}>&-"
	wait "$pid"
}

# given
make_disks 4 1500M
on_exit 'for i in 1 2 3 4; do umount -l "$TEST_DIR/drive$i" 2>/dev/null; done'
start_quoin
make_tree 1
mkdir "$(mnt)/known/tree"
in_tree init -q
commit_tree one
sync -f "$(mnt)"

round() {
	local away=$1 back=$2 d

	echo "== away: $away, back: $back"
	# when a file is open with bytes that nobody asked to be durable, and the drives die
	hold "$(mnt)/known/held"
	assert_eq "$(held 200000)" done
	start_load --may-fail
	for d in $away; do
		disk_dies "$d"
	done

	# then writes are refused cleanly, by both faces, and what is read is right
	expect_within 30 refused
	assert_eq "$(admin_info .set.writable)" false
	assert_fails touch "$(mnt)/known/touch"
	assert_match "$(cat "$TEST_DIR/stderr")" '[Rr]ead-only|Input/output'
	verify_tree --may-fail
	# (bytes that fit into memory are taken; that they are safe is not said)
	assert_eq "$(held 100000)" done
	assert_match "$(held fsync)" '[Rr]ead-only|Input/output'

	# when they are back, then it writes again, by both faces, in the same process
	for d in $back; do
		disk_returns "$d"
	done
	expect_within 60 is_writable
	expect_within 30 writes
	touch "$(mnt)/known/touch"
	stop_load
	verify_tree

	# and the open file has all of it
	assert_eq "$(held 50000)" done
	assert_eq "$(held fsync)" done
	let_go
	cmp "$TEST_DIR/held" "$(mnt)/known/held"
	s3curl /known/held -o "$TEST_DIR/got"
	cmp "$TEST_DIR/held" "$TEST_DIR/got"

	# and the tree is intact and grows
	in_tree fsck --strict --full
	assert_eq "$(in_tree status --porcelain)" ""
	commit_tree "after$RANDOM"
}
round "2 3 4" "2 3 4"
make_tree 2
round "1 2 4" "1 4 2"
make_tree 3
verify_tree

# then a start finds it as it was
kill_quoin
launch_quoin
wait_ready
verify_tree
in_tree fsck --strict --full
stop_quoin
