#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 7200
#
# Any bit of any file of one drive is flipped, of a running and of a stopped daemon: every answer of both faces is right,
# nothing aborts or hangs, and writes go on. QUOIN_TEST_FLIPS (300), QUOIN_TEST_SEED; 10000 for the record.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
requires jq
requires_boto3
requires_fuse

flips=${QUOIN_TEST_FLIPS:-300}
RANDOM=${QUOIN_TEST_SEED:-$RANDOM}
seed=${QUOIN_TEST_SEED:-$RANDOM}
RANDOM=$seed
kinds=(index index seg seg journal journal super identity)
echo "seed $seed, $flips flips"

# given data in all kinds of files: applied to the index and packed, and only in the journal. Two drives, so that every
# other read of the index meets the damaged one; then four.
given() {
	if [ -n "$QUOIN_PID" ]; then
		stop_quoin
	fi
	rm -rf "$TEST_DIR"/drive* "$TEST_DIR/good" "$TEST_DIR/manifest"
	start_quoin "$1" --set memory.memtable=1MiB
	make_tree 1 --max-size 70000
	restart_quoin
	make_tree 2 --max-size 1100000
	kill_quoin
	mkdir "$TEST_DIR/good"
	cp -a --sparse=always "$TEST_DIR"/drive* "$TEST_DIR/good/"
	cp "$TEST_DIR/manifest" "$TEST_DIR/good/"
}
give_back() {
	rm -rf "$TEST_DIR"/drive*
	cp -a --sparse=always "$TEST_DIR"/good/drive* "$TEST_DIR/"
	cp "$TEST_DIR/good/manifest" "$TEST_DIR/manifest"
}
flip() {
	/usr/bin/python3 "$TEST_TOP/tests/lib/quoin_harm.py" "$(drive "$1")" "$2" bits --count "$3" --seed "$RANDOM"
}

done_=0 batch=0
while [ "$done_" -lt "$flips" ]; do
	if [ "$batch" = 0 ]; then
		given 2
	elif [ "$done_" -ge $((flips / 2)) ] && [ "${#QUOIN_DRIVES[@]}" = 2 ]; then
		given 4
	fi
	batch=$((batch + 1))
	d=$((1 + RANDOM % ${#QUOIN_DRIVES[@]}))
	kind=${kinds[RANDOM % ${#kinds[@]}]}
	# Without one of two drives, what was written last before a kill is of unknown outcome, and nothing can be written.
	[ "${#QUOIN_DRIVES[@]}" != 2 ] || [[ $kind != super && $kind != identity ]] || kind=index
	# Few of an index: a copy that is found damaged answers nothing more.
	n=60
	[ "$kind" != index ] || n=$((1 + RANDOM % 8))
	[ "$kind" != identity ] || n=1
	echo "batch $batch: $n of $kind, drive $d"

	# when it is damaged before a start, or while it serves
	give_back
	if [ $((RANDOM % 2)) = 0 ]; then
		flip "$d" "$kind" "$n"
		launch_quoin
		wait_ready
	else
		launch_quoin
		wait_ready
		verify_tree
		flip "$d" "$kind" "$n"
	fi
	# then S3 and the mount answer right
	verify_tree --exact
	if [ $((batch % 3)) = 0 ]; then
		# ... also when all of it is worked on
		make_tree 5 --max-size 70000
		verify_tree --exact
		[ $((RANDOM % 2)) = 0 ] || kill_quoin
		restart_quoin
		verify_tree --exact
	fi
	kill -0 "$QUOIN_PID" || fail "quoin ended by itself"
	stop_quoin
	done_=$((done_ + n))
done
echo "$done_ flips in $batch batches, seed $seed: 0 wrong"
