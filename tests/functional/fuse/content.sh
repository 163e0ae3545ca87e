#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Content on the mount: any offset, append, truncate, sparse files, holes, fallocate, copy_file_range, mmap, fsync; then a
# random mixture compared with a model.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires_fuse
requires_boto3

# given
start_quoin
mkdir "$(mnt)/content"

# then the kernel reads ahead as far as it was asked to, where that may be asked
read_ahead=/sys/class/bdi/0:$(stat -c %d "$(mnt)")/read_ahead_kb
[ ! -w "$read_ahead" ] || expect_within 10 grep -qx 1024 "$read_ahead"

# when, and then the mount
/usr/bin/python3 - "$(mnt)/content" "$TEST_DIR/random.model" <<'PY'
import ctypes, errno, mmap, os, random, sys
from quoin_check import data, eq, say
os.chdir(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
KEEP, PUNCH, ZERO = 1, 2, 16


def fallocate(fd, mode, off, n):
    if libc.fallocate(fd, mode, ctypes.c_long(off), ctypes.c_long(n)) != 0:
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e))


# any offset
fd = os.open("f", os.O_CREAT | os.O_RDWR)
eq(os.pread(fd, 10, 0), b"")
os.pwrite(fd, b"world", 6)
os.pwrite(fd, b"hello ", 0)
eq(os.pread(fd, 100, 0), b"hello world")
os.pwrite(fd, b"end", 1 << 20)
eq((os.fstat(fd).st_size, os.pread(fd, 5, 11)), ((1 << 20) + 3, b"\0" * 5))
os.ftruncate(fd, 8)
os.ftruncate(fd, 20)
eq(os.pread(fd, 100, 0), b"hello wo" + b"\0" * 12)
os.close(fd)
fd = os.open("f", os.O_WRONLY | os.O_APPEND)
os.write(fd, b"A")
fd2 = os.open("f", os.O_WRONLY | os.O_APPEND)
os.write(fd2, b"B")
os.write(fd, b"C")
os.close(fd), os.close(fd2)
eq(open("f", "rb").read()[20:], b"ABC")
eq(open("f", "wb").close() or os.stat("f").st_size, 0, "O_TRUNC")
os.truncate("f", 5)
eq(open("f", "rb").read(), b"\0" * 5)

# sparse
fd = os.open("sparse", os.O_CREAT | os.O_RDWR)
os.pwrite(fd, b"x" * 65536, 16 << 20)
os.ftruncate(fd, 1 << 30)
os.fsync(fd)
eq(os.fstat(fd).st_size, 1 << 30)
assert os.fstat(fd).st_blocks * 512 < 2 << 20, os.fstat(fd).st_blocks
at = os.lseek(fd, 0, os.SEEK_DATA)
assert 0 < at <= 16 << 20, at
hole = os.lseek(fd, 16 << 20, os.SEEK_HOLE)
assert (16 << 20) + 65536 <= hole < 1 << 30, hole
eq(os.lseek(fd, 0, os.SEEK_HOLE), 0)
try:
    os.lseek(fd, 1 << 29, os.SEEK_DATA)
    raise AssertionError("data behind the last")
except OSError as e:
    eq(e.errno, errno.ENXIO)
eq(os.pread(fd, 10, (16 << 20) - 5), b"\0" * 5 + b"x" * 5)

# fallocate
fallocate(fd, PUNCH | KEEP, (16 << 20) + 100, 1000)
eq(os.pread(fd, 1200, (16 << 20)), b"x" * 100 + b"\0" * 1000 + b"x" * 100)
os.close(fd)
fd = os.open("alloc", os.O_CREAT | os.O_RDWR)
fallocate(fd, 0, 0, 100000)
eq((os.fstat(fd).st_size, os.pread(fd, 10, 50000)), (100000, b"\0" * 10))
fallocate(fd, KEEP, 100000, 100000)
eq(os.fstat(fd).st_size, 100000)
os.pwrite(fd, data(100000), 0)
fallocate(fd, ZERO, 1000, 50000)
eq(os.pread(fd, 100000, 0), data(100000)[:1000] + b"\0" * 50000 + data(100000)[51000:])
os.close(fd)

# copy_file_range
big = data(3000000, 1)
with open("src", "wb") as f:
    f.write(big)
a, b = os.open("src", os.O_RDONLY), os.open("dst", os.O_CREAT | os.O_RDWR)
done = 0
while done < len(big):
    n = os.copy_file_range(a, b, len(big) - done)
    assert n > 0
    done += n
eq(os.pread(b, 4 << 20, 0) == big, True, "copy_file_range")
eq(os.copy_file_range(a, b, 1000, 500000, 100), 1000)
eq(os.pread(b, 1000, 100), big[500000:501000])
os.pwrite(b, b"changed", 1000000)
eq(os.pread(a, 7, 1000000), big[1000000:1000007], "the source of a copy is not the copy")
os.close(a), os.close(b)

# mmap
fd = os.open("src", os.O_RDWR)
with mmap.mmap(fd, 0, access=mmap.ACCESS_READ) as m:
    eq(m[1234567:1234577], big[1234567:1234577])
try:
    with mmap.mmap(fd, 0) as m:
        m[5000:5010] = b"0123456789"
        m.flush()
    eq(os.pread(fd, 10, 5000), b"0123456789")
    eq(open("src", "rb").read()[5000:5010], b"0123456789")
except OSError as e:
    eq(e.errno, errno.ENODEV, "shared writable mmap")
os.close(fd)

# two descriptors see each other at once
a, b = os.open("two", os.O_CREAT | os.O_RDWR), os.open("two", os.O_RDWR)
for i in range(200):
    os.pwrite(a if i % 2 else b, b"%05d" % i, i % 7)
    eq(os.pread(b if i % 2 else a, 5, i % 7), b"%05d" % i)
os.close(a), os.close(b)

# a random mixture against a model, also across close, fsync and reopening
seed = random.randrange(1 << 30)
say("seed", seed)
rnd = random.Random(seed)
model, fd = bytearray(), os.open("random", os.O_CREAT | os.O_RDWR)
for step in range(3000):
    what, off = rnd.random(), rnd.randrange(600000)
    n = rnd.choice([1, 10, 4096, 5000, 70000, rnd.randrange(1, 200000)])
    if what < 0.45:
        chunk = rnd.randbytes(n)
        os.pwrite(fd, chunk, off)
        if len(model) < off:
            model += bytes(off - len(model))
        model[off:off + n] = chunk
    elif what < 0.75:
        eq(os.pread(fd, n, off) == bytes(model[off:off + n]), True, f"step {step}: read {n} at {off}")
    elif what < 0.82:
        os.ftruncate(fd, off)
        model = model[:off] + bytearray(max(0, off - len(model)))
    elif what < 0.87:
        n = min(n, max(0, len(model) - off))
        if n:
            fallocate(fd, PUNCH | KEEP, off, n)
            model[off:off + n] = bytes(n)
    elif what < 0.92:
        os.fsync(fd)
    elif what < 0.97:
        os.close(fd)
        fd = os.open("random", os.O_RDWR)
    eq(os.fstat(fd).st_size, len(model), f"step {step}: size")
eq(os.pread(fd, 1 << 20, 0) == bytes(model), True, "at the end")
os.close(fd)
with open(sys.argv[2], "wb") as f:
    f.write(model)
PY

# then S3
s3curl /content/random | cmp - "$TEST_DIR/random.model"
assert_eq "$(s3curl /content/sparse -r 16777216-16777225)" xxxxxxxxxx
assert_match "$(s3curl /content/sparse -I | tr -d '\r')" "[Cc]ontent-[Ll]ength: 1073741824"
restart_quoin
cmp "$(mnt)/content/random" "$TEST_DIR/random.model"
