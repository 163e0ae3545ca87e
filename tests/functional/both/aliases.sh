#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Keys that are no POSIX names (empty components, ".", "..", too long) live on S3, never harm the mount, and never hide or
# break what is beside them.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires_boto3
requires_fuse

# given
start_quoin

# when, and then S3
boto <<'PY'
from quoin_check import eq, fails
from quoin_raw import Raw
raw = Raw()
raw.request("PUT", "/odd")
keys = ["a//b", "/a", "//", "a/./b", "a/../b", "..", ".", "./x", "../../../etc/passwd", "x/" + "n" * 300, "n" * 256 + "/y", "trail//", "ok/file", "ok/file2"]
for k in keys:
    a = raw.request("PUT", "/odd/" + k, body=k.encode())
    eq(a.status, 200, f"PUT {k!r} {a}")
for k in keys:
    eq(raw.request("GET", "/odd/" + k).body, k.encode(), k)
a = raw.request("GET", "/odd", {"list-type": "2"})
got = [part.split(b"</Key>")[0].decode() for part in a.body.split(b"<Key>")[1:]]
eq(got, sorted(keys))
PY

# then the mount: it can be walked as a whole, and the plain names are right
find "$(mnt)/odd" >"$TEST_DIR/walk"
assert_eq "$(cat "$(mnt)/odd/ok/file")" ok/file
[ ! -e "$(mnt)/etc" ] || fail "a key climbed out of its bucket"
assert_eq "$(cat "$(mnt)/odd/ok/../ok/file2")" ok/file2

# deleting them by S3 leaves nothing behind
boto <<'PY'
from quoin_check import eq
from quoin_raw import Raw
raw = Raw()
a = raw.request("GET", "/odd", {"list-type": "2"})
for k in [part.split(b"</Key>")[0].decode() for part in a.body.split(b"<Key>")[1:]]:
    eq(raw.request("DELETE", "/odd/" + k).status, 204, k)
eq(raw.request("DELETE", "/odd").status, 204)
PY
assert_eq "$(ls -A "$(mnt)")" ""
