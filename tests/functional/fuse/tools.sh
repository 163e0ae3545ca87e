#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
#
# Programs that trust a file system: git, make and gcc, rsync, SQLite, tar, cp -a, find, sort.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires_fuse
requires git make gcc rsync sqlite3 tar setfattr

# given: a source repository with a small program, and a tree with links, modes, times and xattrs
start_quoin
export HOME=$TEST_DIR GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@t GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@t
mkdir "$(mnt)/tools"
w=$(mnt)/tools
origin=$TEST_DIR/origin
git init -q "$origin"
for i in {1..60}; do
	printf '#include <stdio.h>\nint f%d(int x)\n{\n\tprintf("%%d\\n", x + %d);\n\treturn x;\n}\n' "$i" "$i" >"$origin/f$i.c"
done
{
	seq -f 'int f%g(int);' 60
	echo 'int main(void) {'
	seq -f 'f%g(1);' 60
	echo 'return 0; }'
} >"$origin/main.c"
printf 'OBJ = $(patsubst %%.c,%%.o,$(wildcard *.c))\nprog: $(OBJ)\n\tgcc -o $@ $^\nclean:\n\trm -f *.o prog\n' >"$origin/Makefile"
cp -r /usr/include/linux "$origin/headers"
git -C "$origin" add -A
git -C "$origin" commit -qm one
git -C "$origin" rm -q headers/a*.h
git -C "$origin" commit -qm two

# when: git and a build; then the mount
git clone -q "$origin" "$w/clone"
make -s -j4 -C "$w/clone"
"$w/clone/prog" >"$TEST_DIR/out"
assert_eq "$(wc -l <"$TEST_DIR/out")" 60
assert_eq "$(make -C "$w/clone" | grep -c gcc || true)" 0 "second make rebuilds"
make -s -C "$w/clone" clean
cd "$w/clone"
git fsck --strict --no-progress 2>"$TEST_DIR/fsck"
assert_eq "$(grep -c -v -E '^(Checking|notice)' "$TEST_DIR/fsck" || true)" 0 "$(cat "$TEST_DIR/fsck")"
assert_eq "$(git status --porcelain)" ""
git checkout -q HEAD~1
git checkout -q -b side
echo change >>main.c
git commit -qam three
git gc -q --aggressive --prune=now
git fsck --strict --no-progress >/dev/null 2>&1
cd /
assert_eq "$(git -C "$w/clone" rev-parse 'side~1')" "$(git -C "$origin" rev-parse HEAD~1)"
git clone -q "$w/clone" "$TEST_DIR/again"
assert_eq "$(git -C "$TEST_DIR/again" rev-parse HEAD)" "$(git -C "$w/clone" rev-parse HEAD)"

# when: rsync; then a second run sends nothing
t=$TEST_DIR/tree
mkdir -p "$t/d/e"
cp -a /usr/include/asm-generic "$t/"
random_file "$t/large" 30000000
echo x >"$t/one"
ln "$t/one" "$t/d/two"
ln -s ../one "$t/d/sym"
mkfifo "$t/d/fifo"
chmod 640 "$t/one"
chown -R 1000:1000 "$t/d" 2>/dev/null || true
setfattr -n user.note -v hi "$t/one"
touch -d '2001-02-03 04:05:06.789012345' "$t/large" "$t/d"
rsync -aHAX "$t/" "$w/rsync/"
assert_eq "$(rsync -aHAXi "$t/" "$w/rsync/")" "" "changes in a second rsync -aHAX"
assert_eq "$(rsync -aHAXic "$t/" "$w/rsync/")" "" "changes by checksum"
assert_eq "$(stat -c %h "$w/rsync/one")" 2
printf 'new' | dd of="$t/large" bs=1 seek=1000000 conv=notrunc status=none
rm "$t/asm-generic/errno.h"
rsync -aHAX --delete --inplace "$t/" "$w/rsync/"
diff -r --no-dereference "$t/asm-generic" "$w/rsync/asm-generic"
cmp "$t/large" "$w/rsync/large"

# when: cp -a, tar; then nothing differs
cp -a "$t" "$w/copy"
assert_eq "$(rsync -aHAXnci "$t/" "$w/copy/")" "" "differences after cp -a"
tar -C "$t" --xattrs -cf "$w/t.tar" .
mkdir "$w/untar"
tar -C "$w/untar" --xattrs -xpf "$w/t.tar"
assert_eq "$(rsync -aHAXnci "$t/" "$w/untar/")" "" "differences after tar"
rm -rf "$w/untar"
assert_fails ls "$w/untar"

# when: SQLite in both journal modes, with a writer that is killed
for mode in delete wal; do
	db=$w/$mode.db
	sqlite3 "$db" "PRAGMA journal_mode=$mode; CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT); CREATE INDEX i ON t (b);" >/dev/null
	for i in {1..40}; do
		echo "BEGIN; INSERT INTO t (b) SELECT hex(randomblob(200)) FROM (SELECT 1 FROM sqlite_master, sqlite_master, sqlite_master LIMIT 50); COMMIT;"
	done | sqlite3 "$db"
	for i in {1..3}; do
		# reaped before the next one opens: until a killed process is gone, it holds its locks
		sqlite3 "$db" < <(
			echo "BEGIN; INSERT INTO t (b) SELECT hex(randomblob(500)) FROM t LIMIT 500; UPDATE t SET b = b || 'x';"
			pause 5
		) &
		writer=$!
		pause 0.5
		kill -KILL "$writer"
		wait "$writer" || true
	done
	assert_eq "$(sqlite3 "$db" 'PRAGMA integrity_check; SELECT count(*) > 200 FROM t;' | tr '\n' ' ')" "ok 1 " "$mode"
	sqlite3 "$db" "DELETE FROM t WHERE a % 3 = 0; VACUUM;"
	assert_eq "$(sqlite3 "$db" 'PRAGMA integrity_check')" ok
done

# then S3: the same bytes
for f in clone/main.c rsync/large copy/one delete.db t.tar; do
	s3curl "/tools/$f" | cmp - "$w/$f"
done
sqlite3 "$TEST_DIR/down.db" '' && s3curl /tools/delete.db -o "$TEST_DIR/down.db"
assert_eq "$(sqlite3 "$TEST_DIR/down.db" 'PRAGMA integrity_check')" ok
