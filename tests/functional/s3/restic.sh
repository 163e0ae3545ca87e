#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# restic keeps a repository here: backup twice, check with all data read, restore.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires restic
requires_fuse

# given
start_quoin
export RESTIC_PASSWORD=test RESTIC_REPOSITORY=s3:$S3_URL/backup/repo RESTIC_CACHE_DIR=$TEST_DIR/cache
src=$TEST_DIR/src
mkdir -p "$src"
cp -a /usr/include/linux "$src/"
random_file "$src/large" 40000000

# when
restic -q init
restic -q backup "$src"
rm -r "$src/linux/can"
echo more >"$src/new"
restic -q backup "$src"

# then S3
restic -q check --read-data
assert_eq "$(restic snapshots --json | jq length)" 2
restic -q restore latest --target "$TEST_DIR/restored"
diff -r "$src" "$TEST_DIR/restored$src"
restic -q forget --keep-last 1 --prune
restic -q check

# then the mount: the same repository
assert_eq "$(RESTIC_REPOSITORY=$(mnt)/backup/repo restic snapshots --json | jq length)" 1
RESTIC_REPOSITORY=$(mnt)/backup/repo restic -q check --read-data
