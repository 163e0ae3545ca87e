#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 1800
#
# Staleness: random operations from both faces on a few names, one at a time and many at a time: nothing stale, nothing
# mixed, with kernel cache times of hours. QUOIN_TEST_OPS (5000) operations of each kind; 100000 for the record.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires_boto3
requires_fuse

# given
ops=${QUOIN_TEST_OPS:-5000}
start_quoin
mkdir "$(mnt)/coherence"
here=$(dirname "$0")

# when both faces work, then neither sees anything old
rc=0
/usr/bin/python3 "$here/coherence.py" "$(mnt)" sequential --ops "$ops" || rc=1
/usr/bin/python3 "$here/coherence.py" "$(mnt)" concurrent --ops "$ops" || rc=1
assert_eq "$rc" 0 "stale or mixed answers"

# then, at rest, S3 and the mount agree
boto "$(mnt)/coherence" <<'PY'
import os, sys
from quoin_check import eq
from quoin_s3 import s3
for o in s3.list_objects_v2(Bucket="coherence").get("Contents", []):
    path = f"{sys.argv[1]}/{o['Key']}"
    if not o["Key"].endswith("/"):
        eq(open(path, "rb").read(), s3.get_object(Bucket="coherence", Key=o["Key"])["Body"].read(), o["Key"])
    else:
        eq(os.path.isdir(path), True, path)
PY
