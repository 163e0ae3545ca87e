#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A secret never appears in what the daemon prints, not even when it is refused.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"

unset QUOIN_ROOT_PASSWORD
out=$("$QUOIN" server --set "root.password=hidden"$'\t'"secret" "$TEST_DIR/drive" 2>&1) || true
assert_match "$out" 'root.password: the value has control characters'
if [[ $out == *hidden* ]]; then
	fail "the secret was printed: $out"
fi
