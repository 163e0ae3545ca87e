#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 1500
#
# Real data both ways: cp -a of at least 20 000 files with links and modes onto the mount, down again by S3 clients; up by
# aws, s3cmd, rclone and boto3, compared on the mount. QUOIN_TEST_LONG=1: all of it also by aws s3 sync, which takes long.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires aws s3cmd rclone rsync jq
requires_boto3
requires_fuse

# given: a tree of the machine's own files, with links
src=$TEST_DIR/src
mkdir "$src"
count_files() {
	find "$1" -type f | wc -l
}
for dir in /usr/include /usr/share/zoneinfo /usr/share/perl /usr/share/icons /usr/share/man /usr/lib/python3 /usr/lib/gcc \
	/usr/share/locale /usr/share/doc /usr/share /usr/lib; do
	[ -d "$dir" ] || continue
	[ "$(count_files "$src")" -lt 20000 ] || break
	mkdir -p "$src$dir"
	rsync -aHAX --max-size=4m "$dir/" "$src$dir/"
done
echo linked >"$src/one"
ln "$src/one" "$src/two"
ln -s usr/include "$src/inc"
ln -s nowhere "$src/dangling"
chmod 2751 "$src/usr"
chmod 600 "$src/one"
n=$(count_files "$src")
[ "$n" -ge 20000 ] || skip "this machine has only $n files for it"
echo "$n files, $(du -sh "$src" | cut -f1)"
start_quoin 4 --set segment.size=256MiB --set journal.file_size=64MiB
mkdir "$(mnt)/tree"

# when: the mount writes
SECONDS=0
cp -a "$src/." "$(mnt)/tree/"
echo "cp -a onto the mount: $SECONDS s"

# then the mount: nothing differs, links and modes included
SECONDS=0
assert_eq "$(rsync -aHAXnci "$src/" "$(mnt)/tree/" | head)" "" "differences on the mount"
echo "rsync -c of the mount: $SECONDS s"

# then S3: every file by rclone, a part by aws (all by aws when QUOIN_TEST_LONG is set)
SECONDS=0
rclone_ copy --transfers 32 --checkers 32 q:tree "$TEST_DIR/rclone-down"
echo "rclone copy down: $SECONDS s"
diff <(cd "$src" && find . -type f | sort) <(cd "$TEST_DIR/rclone-down" && find . -type f | sort | grep -v -x -F -f <(cd "$src" && find . -type l)) >"$TEST_DIR/diff" ||
	fail "$(head "$TEST_DIR/diff")"
(cd "$src" && find . -type f -print0 | sort -z | xargs -0 md5sum) >"$TEST_DIR/sums"
(cd "$TEST_DIR/rclone-down" && md5sum --quiet -c "$TEST_DIR/sums")
rm -rf "$TEST_DIR/rclone-down"
part=usr/include/linux
[ -z "${QUOIN_TEST_LONG:-}" ] || part=usr
SECONDS=0
s3 sync --quiet "s3://tree/$part" "$TEST_DIR/aws-down"
echo "aws s3 sync down of $part: $SECONDS s"
(cd "$src/$part" && find . -type f -print0 | sort -z | xargs -0 md5sum) >"$TEST_DIR/sums"
(cd "$TEST_DIR/aws-down" && md5sum --quiet -c "$TEST_DIR/sums")
rm -rf "$TEST_DIR/aws-down"

# when: each client sends a tree; then the mount: diff -r finds nothing
up=$TEST_DIR/up
mkdir "$up"
rsync -a --no-links "$src/usr/include/linux" "$src/usr/include/asm-generic" "$up/"
random_file "$up/large" 20000000
s3 mb s3://sent >/dev/null
s3 sync --quiet "$up" s3://sent/aws
s3cmd_ sync "$up/" s3://sent/s3cmd/ >/dev/null
rclone_ sync --transfers 16 "$src/usr/include" q:sent/rclone
boto "$up" <<'PY'
import concurrent.futures, os, sys
from quoin_s3 import s3
up = sys.argv[1]
files = [os.path.relpath(os.path.join(d, f), up) for d, _, names in os.walk(up) for f in names]
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    list(pool.map(lambda f: s3.upload_file(os.path.join(up, f), "sent", "boto/" + f), files))
PY
for client in aws s3cmd boto; do
	diff -r "$up" "$(mnt)/sent/$client"
done
find "$src/usr/include" -type l -printf '%P\n' >"$TEST_DIR/links"
rsync -rnci --no-links "$src/usr/include/" "$(mnt)/sent/rclone/" | grep '^[<>]' >"$TEST_DIR/diff" || true
assert_eq "$(cat "$TEST_DIR/diff")" "" "differences after rclone"

# when: all of it goes away through one face; then it is gone on the other
SECONDS=0
rm -rf "$(mnt)/tree"/*
echo "rm -rf: $SECONDS s"
assert_eq "$(rclone_ size --json q:tree | jq .count)" 0
rclone_ purge q:sent
assert_eq "$(ls "$(mnt)")" tree
assert_eq "$("$QUOIN" admin info --json | jq -c '.buckets | map([.name, .objects, .bytes])')" '[["tree",0,0]]'
