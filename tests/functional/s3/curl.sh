#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# curl --aws-sigv4: PUT, GET, HEAD, ranges, listings, Expect: 100-continue, chunked refusals, odd paths, keep-alive.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires curl
requires_fuse

# given
start_quoin
random_file "$TEST_DIR/body" 2000000

# when, and then S3
assert_eq "$(s3status /curl -X PUT)" 200
assert_eq "$(s3status /curl/dir/file -T "$TEST_DIR/body")" 200
assert_eq "$(s3status /curl/dir/file2 -T "$TEST_DIR/body" -H 'Expect: 100-continue')" 200
s3curl /curl/dir/file | cmp - "$TEST_DIR/body"
s3curl /curl/dir/file2 -r 1000-1999 | cmp - <(tail -c +1001 "$TEST_DIR/body" | head -c 1000)
head=$(s3curl /curl/dir/file -I | tr -d '\r')
assert_match "$head" "[Cc]ontent-[Ll]ength: 2000000"
assert_match "$head" "[Ee][Tt]ag: \"$(md5sum <"$TEST_DIR/body" | cut -d' ' -f1)\""
assert_match "$head" "[Aa]ccept-[Rr]anges: bytes"
assert_match "$head" "[Xx]-[Aa]mz-[Rr]equest-[Ii]d: "
assert_match "$(s3curl '/curl?list-type=2&prefix=dir%2F')" '<Key>dir/file</Key>.*<Key>dir/file2</Key>'
assert_match "$(s3curl /)" '<Name>curl</Name>'
assert_eq "$(s3status /curl/none)" 404
assert_match "$(s3curl /curl/none)" '<Code>NoSuchKey</Code>.*<Key>none</Key>'
assert_eq "$(s3status /curl/dir/file -H "If-None-Match: \"$(md5sum <"$TEST_DIR/body" | cut -d' ' -f1)\"")" 304
assert_eq "$(s3status /curl/dir/file -r 3000000-)" 416

# as the README says it: no x-amz-content-sha256 stands for an empty body, and for nothing else
bare=(curl -s -o "$TEST_DIR/bare" -w '%{http_code}' --aws-sigv4 aws:amz:us-east-1:s3 --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY")
assert_eq "$("${bare[@]}" "$S3_URL/curl/dir/file")" 200
cmp "$TEST_DIR/bare" "$TEST_DIR/body"
assert_ne "$("${bare[@]}" -T "$TEST_DIR/body" "$S3_URL/curl/bare")" 200
assert_eq "$(s3status /curl/bare)" 404

# many on one connection, answers in order
urls=()
for i in {1..50}; do
	urls+=("$S3_URL/curl/dir/file2" -o /dev/null)
done
count=$(s3curl /curl/dir/file -o /dev/null -w '%{num_connects} ' "${urls[@]}" | tr ' ' '\n' | awk '{s += $1} END {print s}')
assert_eq "$count" 1 "connections for 51 requests"

# probes need no signature
for probe in /minio/health/ready /health/ready /minio/health/live /health/live; do
	assert_eq "$(curl -s -o /dev/null -w '%{http_code}' "$S3_URL$probe")" 200 "$probe"
done

# then the mount
cmp "$(mnt)/curl/dir/file" "$TEST_DIR/body"
assert_eq "$(s3status /curl/dir/file -X DELETE)" 204
assert_fails stat "$(mnt)/curl/dir/file"
assert_eq "$(s3status /curl/dir/file2 -X DELETE)" 204
assert_fails stat "$(mnt)/curl/dir"
assert_eq "$(s3status /curl -X DELETE)" 204
assert_fails stat "$(mnt)/curl"
