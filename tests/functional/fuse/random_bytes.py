# SPDX-License-Identifier: Apache-2.0
"""Random operations on the bytes of one file through the kernel, against a model in memory.

    random_bytes.py FILE OPERATIONS SEED

Writes, truncations, mappings, holes, copies within the file, reopening, with the page cache dropped now and then.
"""
import ctypes
import mmap
import os
import random
import sys

MAX = 3 << 20
PUNCH_KEEP_SIZE = 3
libc = ctypes.CDLL(None, use_errno=True)


class File:
    def __init__(self, path, rnd):
        self.path, self.rnd, self.model = path, rnd, bytearray()
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)

    def put(self, at, data):
        self.grow(at)
        self.model[at:at + len(data)] = data

    def grow(self, to):
        if to > len(self.model):
            self.model.extend(bytes(to - len(self.model)))

    def check(self, at, n):
        got, want = os.pread(self.fd, n, at), bytes(self.model[at:at + n])
        if got != want:
            first = next((i for i in range(min(len(got), len(want))) if got[i] != want[i]), min(len(got), len(want)))
            raise AssertionError(f"differs at {at + first} (read {at} + {n} of {len(self.model)}, got {len(got)} bytes)")

    def range(self):
        at = self.rnd.randrange(MAX) if self.rnd.random() < 0.3 else self.rnd.randrange(len(self.model) + 1)
        n = 1 + self.rnd.randrange(1 << self.rnd.randrange(3, 20))
        return min(at, MAX - 1), max(1, min(n, MAX - at))

    def write(self):
        at, n = self.range()
        data = self.rnd.randbytes(n)
        assert os.pwrite(self.fd, data, at) == n
        self.put(at, data)

    def read(self):
        self.check(*self.range())

    def truncate(self):
        at, _ = self.range()
        os.ftruncate(self.fd, at)
        del self.model[at:]
        self.grow(at)

    def map_write(self):
        at, n = self.range()
        n = min(n, len(self.model) - at)
        if n <= 0:
            return
        with mmap.mmap(self.fd, len(self.model)) as m:
            m[at:at + n] = data = self.rnd.randbytes(n)
            if self.rnd.random() < 0.5:
                m.flush()
        self.put(at, data)

    def map_read(self):
        if self.model:
            at, n = self.range()
            with mmap.mmap(self.fd, len(self.model), prot=mmap.PROT_READ) as m:
                assert m[at:at + n] == bytes(self.model[at:at + n]), "mapping"

    def sync(self):
        os.fsync(self.fd)

    def reopen(self):
        os.close(self.fd)
        self.drop(0.2)
        self.fd = os.open(self.path, os.O_RDWR)

    def drop(self, chance):
        if self.rnd.random() < chance and os.access("/proc/sys/vm/drop_caches", os.W_OK):
            with open("/proc/sys/vm/drop_caches", "w") as f:
                f.write("3")

    def punch(self):
        at, n = self.range()
        assert libc.fallocate(self.fd, PUNCH_KEEP_SIZE, ctypes.c_long(at), ctypes.c_long(n)) == 0
        end = min(at + n, len(self.model))
        if at < end:
            self.model[at:end] = bytes(end - at)

    def copy(self):
        if not self.model:
            return
        at, n = self.range()
        source = self.rnd.randrange(len(self.model))
        n = min(n, len(self.model) - source)
        if source < at + n and at < source + n:
            return
        while n:
            done = os.copy_file_range(self.fd, self.fd, n, source, at)
            assert done > 0
            self.put(at, bytes(self.model[source:source + done]))
            source, at, n = source + done, at + done, n - done

    def stat(self):
        assert os.fstat(self.fd).st_size == len(self.model)
        self.drop(0.1)
        self.check(0, MAX)


def main():
    path, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    rnd = random.Random(seed)
    f = File(path, rnd)
    works = [f.write] * 4 + [f.read] * 2 + [f.truncate, f.map_write, f.map_read, f.sync, f.reopen, f.punch, f.copy, f.stat]
    for i in range(count):
        work = rnd.choice(works)
        try:
            work()
        except Exception as e:
            raise AssertionError(f"operation {i} ({work.__name__}), seed {seed}") from e
    f.check(0, MAX)
    print(f"{count} operations, {len(f.model)} bytes, seed {seed}")


main()
