#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# s3cmd: mb put get ls du info sync del rb, multipart, and the same files on the mount.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires s3cmd
requires_fuse

# given
start_quoin
up=$TEST_DIR/up
mkdir -p "$up/dir/sub"
random_file "$up/small" 5000
random_file "$up/large" 17000000
for i in {1..30}; do
	random_file "$up/dir/sub/f $i" $((i * 501))
done

# when, and then S3
s3cmd_ mb s3://cmd >>"$TEST_DIR/out"
s3cmd_ put "$up/small" s3://cmd/small >>"$TEST_DIR/out"
s3cmd_ put --multipart-chunk-size-mb=5 "$up/large" s3://cmd/large >>"$TEST_DIR/out"
s3cmd_ get s3://cmd/large "$TEST_DIR/down" >>"$TEST_DIR/out"
cmp "$up/large" "$TEST_DIR/down"
assert_match "$(s3cmd_ ls s3://cmd/)" '17000000 +s3://cmd/large'
assert_match "$(s3cmd_ info s3://cmd/small)" 'File size: 5000'
s3cmd_ cp s3://cmd/large s3://cmd/copy >>"$TEST_DIR/out"
s3cmd_ mv s3://cmd/small s3://cmd/moved >>"$TEST_DIR/out"
s3cmd_ sync "$up/" s3://cmd/tree/ >>"$TEST_DIR/out"
assert_eq "$(s3cmd_ sync "$up/" s3://cmd/tree/ | grep -c upload || true)" 0 "files in a second sync"
mkdir "$TEST_DIR/back"
s3cmd_ sync s3://cmd/tree/ "$TEST_DIR/back/" >>"$TEST_DIR/out"
diff -r "$up" "$TEST_DIR/back"
assert_match "$(s3cmd_ du s3://cmd/tree/)" "^ *$(find "$up" -type f -printf '%s\n' | awk '{s += $1} END {print s}') "
s3cmd_ del s3://cmd/copy >>"$TEST_DIR/out"
s3cmd_ del --recursive --force s3://cmd/tree/dir/ >>"$TEST_DIR/out"

# then the mount
cmp "$up/large" "$(mnt)/cmd/large"
cmp "$up/small" "$(mnt)/cmd/moved"
assert_eq "$(ls "$(mnt)/cmd/tree" | tr '\n' ' ')" "large small "
assert_fails ls "$(mnt)/cmd/copy"
s3cmd_ del --recursive --force s3://cmd >>"$TEST_DIR/out"
s3cmd_ rb s3://cmd >>"$TEST_DIR/out"
assert_eq "$(ls "$(mnt)")" ""
