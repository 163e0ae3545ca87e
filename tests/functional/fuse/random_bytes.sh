#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 900
#
# Random operations on the bytes of files, through the kernel's page cache and around it, against a model; then S3 has the
# same bytes. QUOIN_TEST_OPS (2000) operations on each of two files.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires_boto3
requires_fuse

# given
ops=${QUOIN_TEST_OPS:-2000}
start_quoin
mkdir "$(mnt)/bytes"

# when, and then the mount
for i in 1 2; do
	/usr/bin/python3 "$(dirname "$0")/random_bytes.py" "$(mnt)/bytes/f$i" "$ops" "$((${QUOIN_TEST_SEED:-$RANDOM} + i))"
done

# then S3, also after a restart
same() {
	boto "$(mnt)/bytes" <<'PY'
import sys
from quoin_check import eq
from quoin_s3 import s3
for k in ("f1", "f2"):
    with open(f"{sys.argv[1]}/{k}", "rb") as f:
        eq(s3.get_object(Bucket="bytes", Key=k)["Body"].read() == f.read(), True, k)
PY
}
same
restart_quoin
same
