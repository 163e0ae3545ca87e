# SPDX-License-Identifier: Apache-2.0
"""Damages the files of one kind on a drive, as bit rot or a lying disk would.

    quoin_harm.py DRIVE seg|journal|index|super|identity bits|garbage|zero|shift|truncate|slot [--seed N] [--count N]

bits: some flipped bits, or --count N of them over all the files; garbage, zero: some blocks of 4 KiB; shift: blocks that hold what another block of the file
should; truncate: the file ends early; slot: bits in one of the two blocks of a superblock. Holes are left alone where they can be: nothing was written there.
"""
import argparse
import errno
import os
import random

BLOCK = 4096


def size(path):
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0               # the daemon has just removed it


def files(drive, kind):
    top = f"{drive}/{kind}"
    if os.path.isfile(top):
        return [top]
    return sorted(f"{d}/{f}" for d, _, fs in os.walk(top) for f in fs if not f.startswith("lock") and size(f"{d}/{f}"))


def written(fd):
    """Extents that hold data."""
    out, end = [], 0
    size = os.fstat(fd).st_size
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError:
            break
        end = os.lseek(fd, start, os.SEEK_HOLE)
        out.append((start, end))
    return out


def some_block(fd, rnd):
    extents = written(fd)
    if not extents:
        return 0
    start, end = rnd.choices(extents, [e - s for s, e in extents])[0]
    return rnd.randrange(start, end) // BLOCK * BLOCK


def harm(path, how, rnd):
    try:
        fd = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return                 # the daemon has just removed it
    if how == "truncate":
        os.ftruncate(fd, rnd.randrange(os.fstat(fd).st_size))
    for _ in range(0 if how == "truncate" else rnd.randrange(1, 40)):
        at = some_block(fd, rnd)
        old = os.pread(fd, BLOCK, at)
        if how == "bits" and old:
            i = rnd.randrange(len(old))
            os.pwrite(fd, bytes([old[i] ^ 1 << rnd.randrange(8)]), at + i)
        elif how == "garbage":
            os.pwrite(fd, rnd.randbytes(len(old)), at)
        elif how == "zero":
            os.pwrite(fd, bytes(len(old)), at)
        elif how == "shift":
            os.pwrite(fd, os.pread(fd, len(old), some_block(fd, rnd)), at)
    os.close(fd)


def flip(paths, count, rnd, one_block=False):
    """One bit of so many random bytes, of blocks that hold something."""
    blocks = []
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        for start, end in written(fd):
            blocks += [(path, at) for at in range(start, end, BLOCK) if os.pread(fd, min(BLOCK, end - at), at).strip(b"\0")]
        os.close(fd)
    if one_block:
        blocks = [rnd.choice(blocks)]
    for path, block in rnd.choices(blocks, k=count) if blocks else []:
        fd = os.open(path, os.O_RDWR)
        at = block + rnd.randrange(min(BLOCK, os.fstat(fd).st_size - block))
        os.pwrite(fd, bytes([os.pread(fd, 1, at)[0] ^ 1 << rnd.randrange(8)]), at)
        print(f"flipped {path}:{at}")
        os.close(fd)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("drive")
    p.add_argument("kind", choices=["seg", "journal", "index", "super", "identity"])
    p.add_argument("how", choices=["bits", "garbage", "zero", "shift", "truncate", "slot"])
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--count", type=int)
    a = p.parse_args()
    rnd = random.Random(a.seed)
    try:
        damage(a, rnd)
    except OSError as e:
        if e.errno != errno.EIO:
            raise
        print("the drive does not answer any more")


def damage(a, rnd):
    if a.count:
        flip(files(a.drive, a.kind), a.count, rnd, a.how == "slot")
        return
    for f in files(a.drive, a.kind):
        harm(f, a.how, rnd)


if __name__ == "__main__":
    main()
