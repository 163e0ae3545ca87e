#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# An ordinary user runs it, with a mount by fusermount3.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires setpriv
requires_boto3
requires_fuse
[ "$(id -u)" = 0 ] || skip "needs root to become an ordinary user"

# Where /dev/fuse is for root only, one for everybody takes its place in a mount namespace of the test's own.
uid=65534
if ! setpriv --reuid "$uid" --regid "$uid" --clear-groups test -w /dev/fuse; then
	if [ -z "${QUOIN_TEST_UNSHARED:-}" ]; then
		export TEST_DIR QUOIN_TEST_UNSHARED=1
		exec unshare -m --propagation private bash "$0"
	fi
	mknod -m 666 "$TEST_DIR/fuse" c 10 229
	mount --bind "$TEST_DIR/fuse" /dev/fuse
fi

# given directories of that user
# The way to the private directories, which only this test's own (root) user may walk
for dir in "$TEST_DIR" "$(dirname "$TEST_DIR")"; do
	chmod a+x "$dir"
done
mkdir -p "$TEST_DIR"/drive{1..4} "$(mnt)" "$TEST_DIR/bin"
cp "$QUOIN" "$TEST_DIR/bin/quoin"
chmod 755 "$TEST_DIR/bin/quoin"
QUOIN=$TEST_DIR/bin/quoin
chown -R "$uid:$uid" "$TEST_DIR"/drive? "$(mnt)"
QUOIN_WRAP=(setpriv --reuid "$uid" --regid "$uid" --clear-groups)
as() {
	setpriv --reuid "$uid" --regid "$uid" --clear-groups "$@"
}

# when it runs with the defaults, then S3 and that user's mount work (allow_other only where fuse.conf has it)
start_quoin 4 --set mount.allow_other=false
s3curl /user -X PUT
s3curl /user/by-s3 -T "$0" -o /dev/null
as cmp "$(mnt)/user/by-s3" "$0"
as sh -c 'echo hello >"$1"' sh "$(mnt)/user/by-mount"
assert_eq "$(s3curl /user/by-mount)" hello
as mkdir "$(mnt)/user/dir"
as mv "$(mnt)/user/by-mount" "$(mnt)/user/dir/"
assert_eq "$(s3curl /user/dir/by-mount)" hello
assert_eq "$(as stat -c %u "$(mnt)/user/by-s3")" "$uid" "owner of what came by S3"
stop_quoin

# when allow_other is not allowed to users, then it says so, or works without
if ! grep -q '^user_allow_other' /etc/fuse.conf 2>/dev/null; then
	: >"$QUOIN_LOG"
	QUOIN_ARGS=("${QUOIN_ARGS[@]/mount.allow_other=false/mount.allow_other=true}")
	launch_quoin
	done_() {
		! kill -0 "$QUOIN_PID" 2>/dev/null || ready
	}
	expect_within 30 done_
	assert_match "$(cat "$QUOIN_LOG")" 'user_allow_other|allow_other'
fi
