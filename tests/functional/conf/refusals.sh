#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A wrong configuration is refused before anything is touched, with its place, cause and cure.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"

conf=$TEST_DIR/quoin.yaml
mkdir "$TEST_DIR/drive"

# refused REGEX ARGUMENT...
refused() {
	local text=$1 rc=0 out
	shift
	out=$("$QUOIN" server "$@" "$TEST_DIR/drive" 2>&1) || rc=$?
	assert_eq "$rc" 2 "exit status of quoin server $*"
	assert_match "$out" "$text"
	assert_eq "$(ls -A "$TEST_DIR/drive")" "" "the drive after a refusal"
}

# in_file REGEX TEXT
in_file() {
	printf '%b' "$2" >"$conf"
	refused "$conf$1" -c "$conf"
}

in_file ':2: drive.timeout: "5 parsecs" is not a duration; write' 'drive:\n  timeout: 5 parsecs\n'
in_file ':1: drive.timeout: 1ms is out of range; allowed is 100ms to 1h' 'drive: {timeout: 1ms}\n'
in_file ':3: jurnal: unknown key; quoin.yaml' 'drive:\n  timeout: 1s\njurnal: 5\n'
in_file ':2: drive.timeout: the key is there twice' 'drive.timeout: 1s\ndrive.timeout: 2s\n'
in_file ':2: not valid YAML' 'drive:\n\ttimeout: 1s\n'
in_file ':1: journal.file_size: 3000000 is not a power of two' 'journal.file_size: 3000000\n'
in_file ':1: log.level: "loud" is not an allowed word; write error, warn, info or debug' 'log.level: loud\n'
in_file ':1: log.level: there is no value' 'log: {level: }\n'
refused 'cannot be read: No such file' -c "$TEST_DIR/missing.yaml"
refused 'drive.timout: unknown key; did you mean drive.timeout' --set drive.timout=1s
refused 'parity: 1 of 1 drives is more than half' --set parity=1
QUOIN_DRIVE_TIMEOUT=soon refused 'QUOIN_DRIVE_TIMEOUT: "soon" is not a duration'
MINIO_ADDRESS=nowhere refused 'MINIO_ADDRESS: "nowhere" is not an address'
