#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What a configuration may say: file, environment and flags in that order; each refusal of a start has its place, cause and
# cure, and touches nothing.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires jq
requires_boto3
requires_fuse

# given a file that says everything
take_port
conf=$TEST_DIR/quoin.yaml
mkdir "$(mnt)" "$TEST_DIR"/drive{1..4}
cat >"$conf" <<-YAML
	address: 127.0.0.1:1
	region: eu-test-1
	root.user: fromfile
	drives: [$TEST_DIR/drive1, $TEST_DIR/drive2, $TEST_DIR/drive3, $TEST_DIR/drive4]
	parity: 1
	mount:
	  path: $(mnt)
	  file_mode: 0600
	  uid: 4242
	journal.file_size: 4MiB
	segment.size: 64MiB
	http.max_connections: 50
YAML

# when it runs, then flags win over the environment, and that over the file
QUOIN_ARGS=(-c "$conf" --address "127.0.0.1:$QUOIN_PORT")
launch_quoin
wait_ready
export AWS_DEFAULT_REGION=eu-test-1
assert_eq "$(s3status /conf -X PUT)" 200
assert_match "$(s3curl '/conf?location=')" 'eu-test-1'
assert_eq "$(admin_info '"\(.set.data) \(.set.parity)"')" "3 1"
s3curl /conf/a -T "$conf" -o /dev/null
assert_eq "$(stat -c '%a %u' "$(mnt)/conf/a")" "600 4242"
stop_quoin

# and it goes on with what the drives say
before=$(md5sum "$TEST_DIR"/drive?/identity)
rc=0
out=$("$QUOIN" server -c "$conf" --set parity=2 --address "127.0.0.1:$QUOIN_PORT" --set mount.path= 2>&1 & p=$!; pause 5; kill "$p" 2>/dev/null; wait "$p") || rc=$?
assert_match "$out" 'parity|formatted'
assert_eq "$(md5sum "$TEST_DIR"/drive?/identity)" "$before"

# when the mount point is no directory, or the drive cannot be written, it says so
refused() {
	local regex=$1 rc=0 out
	shift
	out=$(timeout 20 "$QUOIN" server -c "$conf" --address "127.0.0.1:$QUOIN_PORT" "$@" 2>&1) || rc=$?
	[ "$rc" -ge 1 ] && [ "$rc" -lt 124 ] || fail "exit status $rc: $out"
	assert_match "$out" "$regex"
}
refused 'nowhere.*(No such file|not a directory|does not exist)' --mount "$TEST_DIR/nowhere"
refused 'quoin.yaml.*(ot a directory|mount)' --mount "$conf"
refused 'quoin.yaml.*ot a directory' --set parity=auto "$conf"
