# SPDX-License-Identifier: Apache-2.0
"""Makes pages of an index copy lie: each is whole by itself, and the tree is not what it was.

    quoin_lie.py DRIVE pointer|older|drop|stale [--seed N] [--count N]

pointer: a branch, a table or the root leads to another whole page of the same kind; older: the newest meta page holds
what the one before held, the state of an older transaction. Both must be noticed when they are met.
drop: a row leaves its page and nothing else tells of it; stale: a row has another value with a good checksum. Only the
copy's sums can tell these. Pages are as src/meta/index_tree.c has them.
"""
import argparse
import os
import random
import struct

from quoin_raw import CRC32C_TABLE, crc

PAGE = 4096
BRANCH, LEAF, META = 1, 2, 8
BIG, SUB = 1, 2
TABLES = ["", "bucketdir", "bucket", "doc", "usage", "entry", "dir", "version", "vid", "file", "link", "xattr", "map", "blob",
          "bsum", "stripe", "segment", "missing", "reclaim", "orphan", "upload", "upart", "lease", "outbox", "queue", "piece",
          "meta"]


class Copy:
    def __init__(self, drive):
        self.fd = os.open(f"{drive}/index/data.mdb", os.O_RDWR)
        self.pages = os.fstat(self.fd).st_size // PAGE
        txn = [struct.unpack_from("<Q", self.read(i), 144)[0] for i in (0, 1)]
        self.newest = txn[1] > txn[0]
        self.root = struct.unpack_from("<Q", self.read(int(self.newest)), 128)[0]
        self.rows = {}   # table -> its leaf pages
        self.branches, self.leaves = [], []
        for key, value, flags, _ in self.leaf_nodes(self.root):
            if flags & SUB:
                self.rows[key.decode()] = []
                self.walk(struct.unpack_from("<Q", value, 40)[0], self.rows[key.decode()])

    def read(self, pgno):
        return bytearray(os.pread(self.fd, PAGE, pgno * PAGE))

    def write(self, pgno, page):
        os.pwrite(self.fd, page, pgno * PAGE)
        print(f"lied {pgno}")

    @staticmethod
    def kind(page):
        return struct.unpack_from("<H", page, 10)[0]

    @staticmethod
    def offsets(page):
        n = (struct.unpack_from("<H", page, 12)[0] - 16) // 2
        return list(struct.unpack_from(f"<{n}H", page, 16))

    def node(self, page, off):
        lo, hi, flags, klen = struct.unpack_from("<4H", page, off)
        vlen = 0
        if self.kind(page) == LEAF:
            vlen = 8 if flags & BIG else lo | hi << 16
        return bytes(page[off + 8:off + 8 + klen]), bytes(page[off + 8 + klen:off + 8 + klen + vlen]), flags, lo | hi << 16 | flags << 32

    def leaf_nodes(self, pgno):
        """Of all leaves below a page."""
        page = self.read(pgno)
        for off in self.offsets(page):
            key, value, flags, child = self.node(page, off)
            if self.kind(page) == BRANCH:
                yield from self.leaf_nodes(child)
            else:
                yield key, value, flags, off

    def walk(self, pgno, leaves):
        if pgno == (1 << 64) - 1:
            return
        page = self.read(pgno)
        if self.kind(page) == LEAF:
            leaves.append(pgno)
            self.leaves.append(pgno)
            return
        self.branches.append(pgno)
        for off in self.offsets(page):
            self.walk(self.node(page, off)[3], leaves)

    def some_of_kind(self, rnd, kind, but):
        """Any page of the file that looks like one, in use or left behind."""
        for _ in range(1000):
            pgno = rnd.randrange(2, self.pages)
            if pgno != but and self.kind(self.read(pgno)) == kind and pgno == struct.unpack_from("<Q", self.read(pgno))[0]:
                return pgno
        return but

    def lie_pointer(self, rnd):
        places = [(int(self.newest), 128)]
        for pgno in self.branches:
            page = self.read(pgno)
            places += [(pgno, off) for off in self.offsets(page)]
        page = self.read(self.root)
        if self.kind(page) == LEAF:
            places += [(self.root, off + 8 + struct.unpack_from("<H", page, off + 6)[0] + 40) for off in self.offsets(page)]
        pgno, at = rnd.choice(places)
        page = self.read(pgno)
        if self.kind(page) == BRANCH:
            child = self.node(page, at)[3]
            wrong = self.some_of_kind(rnd, self.kind(self.read(child)), child)
            struct.pack_into("<HHH", page, at, wrong & 0xFFFF, wrong >> 16 & 0xFFFF, wrong >> 32)
        else:
            child = struct.unpack_from("<Q", page, at)[0]
            if child >= self.pages:
                return
            struct.pack_into("<Q", page, at, self.some_of_kind(rnd, self.kind(self.read(child)), child))
        self.write(pgno, page)

    def lie_older(self, _rnd):
        new, old = self.read(int(self.newest)), self.read(int(not self.newest))
        new[16:] = old[16:]
        self.write(int(self.newest), new)

    def some_row(self, rnd):
        """A row of a table that names or places something."""
        table = rnd.choice([t for t in ("entry", "dir", "blob", "map", "segment", "bucket") if self.rows.get(t)])
        pgno = rnd.choice(self.rows[table])
        page = self.read(pgno)
        return table, pgno, page, rnd.randrange(len(self.offsets(page)))

    def lie_drop(self, rnd):
        _, pgno, page, i = self.some_row(rnd)
        offs = self.offsets(page)
        if len(offs) < 2:
            return
        key, value, flags, _ = self.node(page, offs[i])
        gone, size = offs[i], (8 + len(key) + len(value) + 1) // 2 * 2
        upper = struct.unpack_from("<H", page, 14)[0]
        page[upper + size:gone + size] = page[upper:gone]
        left = [o + size if o < gone else o for j, o in enumerate(offs) if j != i]
        struct.pack_into("<HH", page, 12, 16 + 2 * len(left), upper + size)
        struct.pack_into(f"<{len(left)}H", page, 16, *left)
        self.write(pgno, page)

    def lie_stale(self, rnd):
        table, pgno, page, i = self.some_row(rnd)
        off = self.offsets(page)[i]
        key, value, flags, _ = self.node(page, off)
        if flags & BIG or len(value) < 24:
            return
        row = bytearray(value)
        row[rnd.randrange(16, len(row))] ^= 1 << rnd.randrange(8)
        row[4:8] = bytes(4)
        row[4:8] = struct.pack("<I", crc(CRC32C_TABLE, 32, bytes([TABLES.index(table)]) + key + row))
        page[off + 8 + len(key):off + 8 + len(key) + len(row)] = row
        self.write(pgno, page)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("drive")
    p.add_argument("how", choices=["pointer", "older", "drop", "stale"])
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--count", type=int, default=1)
    a = p.parse_args()
    rnd = random.Random(a.seed)
    for _ in range(a.count):
        getattr(Copy(a.drive), f"lie_{a.how}")(rnd)


if __name__ == "__main__":
    main()
