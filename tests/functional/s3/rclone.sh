#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# rclone: copy, sync, check, move, delete, many transfers, multipart; modification times come back and show on the mount.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires rclone
requires_fuse

# given
start_quoin
up=$TEST_DIR/up
mkdir -p "$up/a/b" "$up/ünï c"
for i in {1..200}; do
	random_file "$up/a/b/$i" $((i * 333))
done
random_file "$up/ünï c/x'y\"z" 1000
random_file "$up/large" 30000000
touch -d '2001-02-03 04:05:06.789' "$up/large" "$up/a/b/7"

# when, and then S3
rclone_ mkdir q:rclone
rclone_ copy --transfers 16 --s3-upload-cutoff 8M --s3-chunk-size 5M "$up" q:rclone/tree
rclone_ check "$up" q:rclone/tree
rclone_ check --download "$up" q:rclone/tree
assert_eq "$(rclone_ size --json q:rclone/tree | jq .count)" 202
assert_eq "$(rclone_ lsf --format t q:rclone/tree/large)" "$(date -d '2001-02-03 04:05:06' '+%F %T')"
out=$(RCLONE_VERBOSITY=-v rclone_ sync --stats 0 "$up" q:rclone/tree 2>&1)
assert_eq "$(grep -c Copied <<<"$out" || true)" 0 "files of a second sync"
rclone_ moveto q:rclone/tree/a/b/1 q:rclone/moved
rclone_ copyto q:rclone/tree/large q:rclone/copy
rclone_ delete q:rclone/tree/a/b --include '1?'
rclone_ copy --transfers 16 q:rclone "$TEST_DIR/back"
cmp "$up/large" "$TEST_DIR/back/copy"
cmp "$up/a/b/1" "$TEST_DIR/back/moved"
assert_eq "$(find "$TEST_DIR/back/tree/a/b" -type f | wc -l)" 189
rclone_ cat --offset 1000 --count 50 q:rclone/copy | cmp - <(tail -c +1001 "$up/large" | head -c 50)

# then the mount
diff -r "$TEST_DIR/back" "$(mnt)/rclone"
assert_eq "$(stat -c %Y "$(mnt)/rclone/tree/large")" "$(stat -c %Y "$up/large")" "mtime on the mount"
rclone_ purge q:rclone
assert_eq "$(ls "$(mnt)")" ""
