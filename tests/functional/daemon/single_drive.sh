#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# One directory is enough; 2, 3, 6 and 16 are sets with their default parity; ellipses name them.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires jq
requires_boto3
requires_fuse

# given one directory, when both faces write, then both read, also after kill -9
start_quoin 1
make_tree 1
kill_quoin
launch_quoin
wait_ready
verify_tree
assert_eq "$(admin_info '"\(.set.drives) \(.set.data) \(.set.parity)"')" "1 1 0"
stop_quoin

# and every other size
for shape in "2 1 1" "3 2 1" "6 3 3" "16 12 4"; do
	read -r n k m <<<"$shape"
	rm -rf "$TEST_DIR"/drive* "$TEST_DIR/manifest"
	mkdir -p "$TEST_DIR"/set
	QUOIN_ARGS=(--address "127.0.0.1:$QUOIN_PORT" --set journal.file_size=4MiB --set segment.size=64MiB --mount "$(mnt)" "$TEST_DIR/drive{1...$n}")
	for ((i = 1; i <= n; i++)); do
		mkdir "$TEST_DIR/drive$i"
	done
	launch_quoin
	wait_ready
	make_tree "$n"
	assert_eq "$(admin_info '"\(.set.drives) \(.set.data) \(.set.parity)"')" "$n $k $m"
	stop_quoin
	for ((i = 1; i <= m; i++)); do
		rm -rf "$TEST_DIR/drive$i"
		mkdir "$TEST_DIR/drive$i"
	done
	launch_quoin
	wait_ready
	verify_tree
	stop_quoin
done
