#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# S3 shows no change of the mount that the mount's kernel, which made it, has not acted on yet.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires_boto3
requires_fuse

start_quoin
mkdir "$(mnt)/late"
rc=0
/usr/bin/python3 "$(dirname "$0")/late_kernel.py" "$(mnt)" 12 || rc=1
assert_eq "$rc" 0 "stale answers"
