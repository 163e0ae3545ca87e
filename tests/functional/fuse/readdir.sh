#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A directory of 10 000 names is read while names come and go: what was there all along is given exactly once.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires_fuse
requires_boto3

# given
start_quoin
mkdir -p "$(mnt)/many/dir"

# when, and then the mount
/usr/bin/python3 - "$(mnt)/many/dir" <<'PY'
import collections, ctypes, os, sys, threading
from quoin_check import eq, say
os.chdir(sys.argv[1])
stay = {f"stay-{i:05}" for i in range(10000)}
for n in stay:
    os.close(os.open(n, os.O_CREAT | os.O_WRONLY))
eq(set(os.listdir(".")), stay)

stop = threading.Event()


def change():
    i = 0
    while not stop.is_set():
        name = f"{'acm stzz'[i % 8]}-come-{i % 500}".replace(" ", "_")
        try:
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
            if i % 3 == 0:
                os.rename(name, name + "r")
                name += "r"
            os.unlink(name)
        except FileNotFoundError:
            pass
        i += 1
    say(i, "changes")


threads = [threading.Thread(target=change) for _ in range(2)]
for t in threads:
    t.start()
try:
    for round in range(8):
        seen = collections.Counter(e.name for e in os.scandir("."))
        twice = [n for n, c in seen.items() if c > 1 and n in stay]
        lost = stay - set(seen)
        assert not twice and not lost, f"round {round}: twice {twice[:5]}, lost {sorted(lost)[:5]} ({len(lost)})"
finally:
    stop.set()
    for t in threads:
        t.join()

# removing everything while reading it, as rm -r does with small buffers
libc = ctypes.CDLL(None, use_errno=True)
for n in os.listdir("."):
    if not n.startswith("stay"):
        os.unlink(n)
with os.scandir(".") as it:
    for e in it:
        os.unlink(e.name)
eq(os.listdir("."), [])

# telldir and seekdir, rewinddir: a new pass sees what is there
os.mkdir("sub")
fd = os.open(".", os.O_RDONLY)
eq(os.listdir(fd), ["sub"])
open("late", "w").close()
eq(sorted(os.listdir(fd)), ["late", "sub"])
eq({e.name: e.is_dir() for e in os.scandir(".")}, {"late": False, "sub": True})
eq({e.name: e.inode() for e in os.scandir(".")}, {n: os.stat(n).st_ino for n in ("late", "sub")})
os.close(fd)
PY

# then S3
assert_eq "$(s3api list-objects-v2 --bucket many --query 'Contents[].Key' --output text | tr '\t' ' ')" "dir/ dir/late dir/sub/"
