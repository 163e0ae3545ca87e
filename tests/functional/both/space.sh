#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Space of what is deleted here and there comes back, though something lives in every segment.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires jq
requires_boto3
requires_fuse

taken() {
	du -scB1 "$TEST_DIR"/drive*/seg | awk 'END {print $1}'
}

restart() {
	stop_quoin
	launch_quoin
	wait_ready
}

compact_ran() {
	[ "$("$QUOIN" admin service list --json | jq '.[] | select(.name == "compact") | .ended != null')" = true ]
}

# given small objects by S3 and larger files by the mount, in segments of 1 MiB
start_quoin 4 --set segment.size=1MiB
boto <<'PY'
from quoin_s3 import s3 as c
c.create_bucket(Bucket="space")
for i in range(1200):
    c.put_object(Bucket="space", Key=f"small/{i:04}", Body=bytes([i % 251]) * (9000 + i))
PY
mkdir "$(mnt)/space/large"
for ((i = 0; i < 60; i++)); do
	random_file "$(mnt)/space/large/$i" 300000
done
mkdir "$TEST_DIR/kept"
cp -a "$(mnt)/space/large" "$TEST_DIR/kept/"
cp -a "$(mnt)/space/small" "$TEST_DIR/kept/"
restart
before=$(taken)

# when three of four go, each by the other face
for ((i = 0; i < 1200; i++)); do
	[ $((i % 4)) = 0 ] || printf '%s\0' "small/$(printf %04d "$i")"
done | (cd "$(mnt)/space" && xargs -0 rm)
boto <<'PY'
from quoin_s3 import s3 as c
c.delete_objects(Bucket="space", Delete={"Objects": [{"Key": f"large/{i}"} for i in range(60) if i % 4]})
PY
(cd "$TEST_DIR/kept" && for f in small/* large/*; do
	n=$((10#${f#*/}))
	[ $((n % 4)) = 0 ] || rm "$f"
done)
restart
untouched=$(taken)
"$QUOIN" admin service run compact
expect_within 60 compact_ran
restart

# then most of their space is back, what stays is right by both faces, also with two drives away
is_back() {
	[ "$(taken)" -lt $((before / 2)) ]
}
expect_within 60 is_back
echo "bytes of segments: $before, after deleting $untouched, after compaction $(taken)"
diff -r "$TEST_DIR/kept" "$(mnt)/space"
stop_quoin
rm -rf "$(drive 1)" "$(drive 2)"
mkdir "$(drive 1)" "$(drive 2)"
launch_quoin
wait_ready
KEPT=$TEST_DIR/kept boto <<'PY'
import os
from quoin_s3 import s3 as c
kept = os.environ["KEPT"]
for d in ("small", "large"):
    for name in os.listdir(f"{kept}/{d}"):
        with open(f"{kept}/{d}/{name}", "rb") as f:
            assert c.get_object(Bucket="space", Key=f"{d}/{name}")["Body"].read() == f.read(), name
PY
stop_quoin
