#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# admin inspect tells where what lies for content of every size, from either face; failures are JSON that names the cause.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires jq
requires_boto3
requires_fuse

# given
start_quoin
mkdir "$(mnt)/admin"
random_file "$TEST_DIR/small" 100
random_file "$TEST_DIR/inline" 10000
random_file "$TEST_DIR/large" 3000000

# when it comes by S3, or by the mount
for f in small inline; do
	s3curl "/admin/$f" -T "$TEST_DIR/$f" -o /dev/null
done
cp "$TEST_DIR/large" "$(mnt)/admin/large"

# then
inspect() {
	"$QUOIN" admin inspect --json admin "$1"
}
assert_eq "$(inspect small | jq -r '"\(.size) \(.extents[0].kind)"')" "100 inrow"
assert_eq "$(inspect inline | jq -r '"\(.size) \(.extents[0].kind) \([.extents[].length] | add)"')" "10000 blob 10000"
assert_eq "$(inspect large | jq '[.extents[].length] | add')" 3000000
assert_eq "$(inspect large | jq -c '[.extents[0].blob.cells[].kind]')" '["data","data","parity","parity"]'
assert_eq "$(inspect large | jq '[.extents[0].blob.cells[].drive] | unique | length')" 4
segment=$(inspect large | jq -r '.extents[0].blob | "\(.cells[0].drive)/\(.file)"')
[ -f "$segment" ] || fail "no such segment file: $segment"

# and what fails is JSON, whatever is asked for
body=$(s3curl '/quoin/admin/v1/inspect?bucket=admin&key=no%22such%5C')
assert_eq "$(jq -r .code <<<"$body")" NoSuchKey
[ -n "$(jq -r .message <<<"$body")" ] || fail "no message: $body"
assert_eq "$(s3curl '/quoin/admin/v1/nothing' | jq -r .code)" InvalidRequest
