#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 3600
#
# kill -9 at a random moment under a load of both faces, again and again: what was answered is there, the rest has happened
# whole or not at all, both faces agree, the counters equal a recount. QUOIN_TEST_CYCLES (8), QUOIN_TEST_SEED.
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
requires jq
requires_boto3
requires_fuse

# given
cycles=${QUOIN_TEST_CYCLES:-8}
RANDOM=${QUOIN_TEST_SEED:-$RANDOM}
seed=${QUOIN_TEST_SEED:-$RANDOM}
RANDOM=$seed
echo "seed $seed, $cycles cycles"
start_quoin 4 --set memory.memtable=1MiB
mkdir "$(mnt)/crash"

for ((cycle = 1; cycle <= cycles; cycle++)); do
	# when
	echo "cycle $cycle"
	start_model "$seed-$cycle"
	pause "$((RANDOM % 4)).$((RANDOM % 10))$((1 + RANDOM % 9))"
	kill -0 "$QUOIN_PID" 2>/dev/null || fail "quoin ended by itself"
	kill_quoin
	end_model

	# then S3 and the mount; every third time it is killed again while it starts
	launch_quoin
	if [ $((cycle % 3)) = 0 ]; then
		pause "0.0$((1 + RANDOM % 9))"
		kill_quoin
		launch_quoin
	fi
	wait_ready
	check_model || fail "cycle $cycle of seed $seed"
done

# and a clean stop keeps it all
restart_quoin
check_model
