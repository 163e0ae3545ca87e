#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A change that was applied and not flushed when the daemon died, and a start with too few drives to write: S3 answers 503
# for its key, neither the old value nor that there is none. The mount may show it.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
requires_fuse

# given a removal that only the page cache has
start_quoin
s3 mb s3://doubt >/dev/null
echo one >"$TEST_DIR/one"
s3curl /doubt/gone -T "$TEST_DIR/one"
s3curl /doubt/stays -T "$TEST_DIR/one"
rm "$(mnt)/doubt/gone"
kill_quoin

# when the daemon starts with two of four drives
mv "$(drive 3)" "$TEST_DIR/away3"
mv "$(drive 4)" "$TEST_DIR/away4"
launch_quoin
wait_ready

# then
assert_eq "$(s3status /doubt/gone)" 503
assert_eq "$(s3status /doubt/gone -I)" 503
assert_eq "$(s3status '/doubt?list-type=2')" 503
assert_eq "$(s3status /doubt/stays)" 200
cmp "$TEST_DIR/one" "$(mnt)/doubt/stays"

# and when they are back, it is decided, in the same process
mv "$TEST_DIR/away3" "$(drive 3)"
mv "$TEST_DIR/away4" "$(drive 4)"
decided() {
	[ "$(s3status /doubt/new -T "$TEST_DIR/one")" = 200 ]
}
expect_within 30 decided
assert_eq "$(s3status /doubt/gone)" 404
assert_fails stat "$(mnt)/doubt/gone"
assert_eq "$(s3status /doubt/stays)" 200
cmp "$TEST_DIR/one" "$(mnt)/doubt/new"
stop_quoin
