#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The cluster probe tells whether the set may be written, with how many drives, and whether one more may be taken away.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires jq
QUOIN_NO_MOUNT=1

probe() {
	curl -s -o /dev/null -D "$TEST_DIR/head" -w '%{http_code}' "$S3_URL/minio/health/cluster${1:-}"
}
header() {
	tr -d '\r' <"$TEST_DIR/head" | sed -n "s/^$1: //Ip"
}

# given four drives with two of parity, all in sync
start_quoin 4
assert_eq "$(probe)" 200
assert_eq "$(header x-minio-write-quorum)" 3
assert_eq "$(header x-minio-healing-drives)" ""
assert_eq "$(probe '?maintenance=true')" 200
assert_eq "$(probe '?maintenance=false')" 200

# when one is away, then it may be written, and no other may go
stop_quoin
mv "$(drive 4)" "$TEST_DIR/away"
launch_quoin
wait_ready
assert_eq "$(probe)" 200
assert_eq "$(probe '?maintenance=true')" 412
grep -q 'set is up .* in="3 of 4 (slots 0,1,2)"' "$QUOIN_LOG" || fail "the log does not tell which drives are in"

# when two are away, then it may not, whatever is asked
stop_quoin
mv "$(drive 3)" "$TEST_DIR/away3"
launch_quoin
wait_ready
assert_eq "$(probe)" 503
assert_eq "$(probe '?maintenance=true')" 503
assert_eq "$(header x-minio-write-quorum)" 3
assert_eq "$(grep -c 'the set is read-only: 2 drives count, 3 are needed' "$QUOIN_LOG")" 1 "lines of the log that say why"
told() {
	grep -q 'it is absent slot=2 cause="[^"]' "$QUOIN_LOG"
}
expect_within 20 told
stop_quoin
