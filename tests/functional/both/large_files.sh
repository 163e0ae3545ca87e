#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 900
#
# A large file each way: multipart up and cmp on the mount; dd on the mount and down by S3. 256 MiB, or 2 GiB with
# QUOIN_TEST_LONG=1.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires aws
requires_boto3
requires_fuse

# given
mib=256
[ -z "${QUOIN_TEST_LONG:-}" ] || mib=2048
start_quoin 4 --set segment.size=256MiB --set journal.file_size=64MiB
random_file "$TEST_DIR/file" $((mib << 20))
sum=$(md5sum <"$TEST_DIR/file")
s3 mb s3://large >/dev/null

# when: up by multipart; then the mount
SECONDS=0
s3 cp --quiet "$TEST_DIR/file" s3://large/up
echo "aws s3 cp up: $SECONDS s"
cmp "$TEST_DIR/file" "$(mnt)/large/up"

# when: dd on the mount; then S3
SECONDS=0
dd if="$TEST_DIR/file" of="$(mnt)/large/dd" bs=1M conv=fsync status=none
echo "dd onto the mount: $SECONDS s"
s3curl /large/dd | cmp - "$TEST_DIR/file"
s3 cp --quiet s3://large/dd "$TEST_DIR/down"
assert_eq "$(md5sum <"$TEST_DIR/down")" "$sum"
rm "$TEST_DIR/down"

# a single PUT, and copies that move no data
assert_eq "$(s3status /large/put -T "$TEST_DIR/file")" 200
cmp "$TEST_DIR/file" "$(mnt)/large/put"
before=$("$QUOIN" admin info --json | jq '[.set.slots[].bytes_written] | add')
assert_eq "$(s3status /large/copy -X PUT -H "x-amz-copy-source: /large/put")" 200
cp --reflink=auto "$(mnt)/large/put" "$(mnt)/large/copy2"
written=$(($("$QUOIN" admin info --json | jq '[.set.slots[].bytes_written] | add') - before))
[ "$written" -lt $((8 << 20)) ] || fail "two copies of $mib MiB wrote $written bytes"
cmp "$TEST_DIR/file" "$(mnt)/large/copy"
s3curl /large/copy2 | cmp - "$TEST_DIR/file"

# random reads agree
boto "$(mnt)/large/dd" "$TEST_DIR/file" <<'PY'
import os, random, sys
from quoin_check import eq
from quoin_s3 import s3
a, b = os.open(sys.argv[1], os.O_RDONLY), os.open(sys.argv[2], os.O_RDONLY)
size = os.fstat(b).st_size
for _ in range(300):
    off, n = random.randrange(size), random.choice([1, 100, 4096, 70000, 1 << 20])
    want = os.pread(b, n, off)
    eq(os.pread(a, n, off) == want, True, f"mount {off} {n}")
    got = s3.get_object(Bucket="large", Key="up", Range=f"bytes={off}-{off + n - 1}")["Body"].read()
    eq(got == want, True, f"S3 {off} {n}")
PY

# still right when the daemon has started again
restart_quoin
cmp "$TEST_DIR/file" "$(mnt)/large/dd"
s3curl /large/up | cmp - "$TEST_DIR/file"
