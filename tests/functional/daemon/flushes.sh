#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# alone: yes
#
# What is durable costs few flushes: 1 000 PUTs by 16 clients need far fewer flush rounds than PUTs; creating files on the
# mount needs none.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires jq strace
requires_boto3
requires_fuse

# given
start_quoin
s3curl /flush -X PUT
mkdir "$(mnt)/flush/dir"
# What was flushed: rounds of fdatasync, and at most one write with DSYNC per record and drive
rounds() {
	admin_info '.journal.flush_rounds + .journal.records'
}
syncs() {
	admin_info .journal.flush_rounds
}
# sync_calls FILE: fsync, fdatasync, sync_file_range and writes with DSYNC that strace saw
sync_calls() {
	grep -c -E '^[0-9]+ +(fsync|fdatasync|syncfs|sync_file_range)\(|pwritev2\(.*RWF_DSYNC' "$1" || true
}
trace() {
	strace -f -q -e trace=fsync,fdatasync,syncfs,sync_file_range,pwritev2,io_uring_enter -o "$1" -p "$QUOIN_PID" 2>/dev/null &
	STRACE=$!
	attached() {
		grep -q '^TracerPid:.*[1-9]' "/proc/$QUOIN_PID/status"
	}
	expect_within 10 attached
}
untrace() {
	kill -INT "$STRACE"
	wait "$STRACE" || true
}

# when 16 clients PUT 1 000 objects, then S3 has them all after far fewer rounds
before=$(rounds)
trace "$TEST_DIR/puts"
boto <<'PY'
import threading
from quoin_s3 import client
def work(n):
    c = client()
    for i in range(n, 1000, 16):
        c.put_object(Bucket="flush", Key=f"put/{i}", Body=b"x" * 4096)
threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
[t.start() for t in threads]
[t.join() for t in threads]
PY
untrace
after=$(rounds)
calls=$(sync_calls "$TEST_DIR/puts")
echo "1000 PUTs by 16 clients: $((after - before)) rounds, $calls system calls to sync on 4 drives"
assert_eq "$(s3api list-objects-v2 --bucket flush --prefix put/ --query 'length(Contents)')" 1000
[ $((after - before)) -gt 0 ] || fail "no flush at all"
[ $((after - before)) -lt 700 ] || fail "$((after - before)) rounds for 1000 PUTs"
[ "$calls" -lt 2800 ] || fail "$calls sync calls for 1000 PUTs on 4 drives"

assert_eq "$(admin_info '.journal.flush_p50_ms > 0 and .journal.flush_p99_ms >= .journal.flush_p50_ms')" true "flush times"

# the same by the lean client, which gives the daemon more at a time
if [ -x "${QUOIN_BUILD:-$TEST_TOP/build}/tests/bench/s3bench" ]; then
	before=$(rounds)
	"${QUOIN_BUILD:-$TEST_TOP/build}/tests/bench/s3bench" put --endpoint "127.0.0.1:$QUOIN_PORT" --access "$AWS_ACCESS_KEY_ID" \
		--secret "$AWS_SECRET_ACCESS_KEY" --bucket flush --count 1000 --clients 16
	after=$(rounds)
	echo "the same by s3bench: $((after - before)) rounds"
	[ $((after - before)) -lt 400 ] || fail "$((after - before)) rounds for 1000 PUTs"
fi

# when the mount creates, renames and removes files, then nothing is flushed for it
trace "$TEST_DIR/creates"
before=$(syncs)
/usr/bin/python3 - "$(mnt)/flush/dir" <<'PY'
import os, sys
os.chdir(sys.argv[1])
for i in range(1000):
    os.close(os.open(f"f{i}", os.O_CREAT | os.O_WRONLY))
for i in range(0, 1000, 2):
    os.rename(f"f{i}", f"g{i}")
for i in range(1, 1000, 2):
    os.unlink(f"f{i}")
PY
untrace
calls=$(sync_calls "$TEST_DIR/creates")
after=$(syncs)
echo "1000 creates, 500 renames, 500 unlinks: $((after - before)) rounds, $calls sync calls"
# The journal window, a checkpoint and the questions themselves flush now and then; no operation does
[ $((after - before)) -le 20 ] || fail "$((after - before)) flush rounds for creates"
[ "$calls" -le 200 ] || fail "$calls sync calls for creates"

# then S3 has the files
assert_eq "$(s3api list-objects-v2 --bucket flush --prefix dir/g --query 'length(Contents)')" 500
