# SPDX-License-Identifier: Apache-2.0
"""Known data for fault tests.

    quoin_tree.py make MANIFEST MOUNT [--seed N] [--bucket B] [--max-size N]    writes objects by both faces, adds them
    quoin_tree.py verify MANIFEST MOUNT [--may-fail] [--no-mount] [--no-s3] [--exact]
    quoin_tree.py load MANIFEST MOUNT                             reads and checks until stdin ends; writes beside

verify: every byte by both faces. --may-fail: an answer may also be a clean error (503, EIO), never wrong bytes. --exact:
the listings of both faces have these names and no others.
"""
import argparse
import concurrent.futures
import errno
import hashlib
import json
import os
import random
import sys
import threading

from botocore.exceptions import ClientError
from quoin_s3 import client

SIZES = [0, 1, 100, 4096, 20000, 32768, 32769, 65536, 200000, 1 << 20, 3000001, 9 << 20]


def drop_caches():
    try:
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("3")
    except OSError:
        pass


def make(a, manifest):
    rnd, c = random.Random(a.seed), client()
    sizes = [s for s in SIZES if s <= a.max_size]
    try:
        c.create_bucket(Bucket=a.bucket)
    except ClientError as e:
        if "AlreadyO" not in str(e) and "AlreadyE" not in str(e):
            raise
    for i in range(60):
        size = sizes[i % len(sizes)]
        body, key = rnd.randbytes(size), f"{a.seed}/s3/d{i % 5}/{i}"
        c.put_object(Bucket=a.bucket, Key=key, Body=body)
        manifest[f"{a.bucket}/{key}"] = hashlib.md5(body).hexdigest()
        if a.mount != "-":
            body, key = rnd.randbytes(size), f"{a.seed}/mount/d{i % 5}/{i}"
            path = f"{a.mount}/{a.bucket}/{key}"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as f:
                f.write(body)
            manifest[f"{a.bucket}/{key}"] = hashlib.md5(body).hexdigest()
    if a.mount != "-":
        fd = os.open(f"{a.mount}/{a.bucket}/{a.seed}/last", os.O_CREAT | os.O_WRONLY)
        os.fsync(fd)
        os.close(fd)
        manifest[f"{a.bucket}/{a.seed}/last"] = hashlib.md5(b"").hexdigest()


def read_s3(c, name):
    bucket, key = name.split("/", 1)
    return c.get_object(Bucket=bucket, Key=key)["Body"].read()


def one(a, c, name, md5, face):
    """An error text, "" when it is right, None when it failed cleanly."""
    try:
        if face == "s3":
            body = read_s3(c, name)
        else:
            with open(f"{a.mount}/{name}", "rb") as f:
                body = f.read()
    except ClientError as e:
        status = e.response["ResponseMetadata"]["HTTPStatusCode"]
        return None if a.may_fail and status == 503 else f"{face} {name}: {e}"
    except OSError as e:
        return None if a.may_fail and e.errno in (errno.EIO, errno.EROFS) else f"{face} {name}: {e}"
    except Exception as e:  # noqa: BLE001: a body that ends early is an honest failure, when failures are allowed
        return None if a.may_fail and ("IncompleteRead" in repr(e) or "ConnectionBroken" in repr(e) or "Connection" in type(e).__name__) else f"{face} {name}: {e!r}"
    got = hashlib.md5(body).hexdigest()
    return "" if got == md5 else f"{face} {name}: WRONG BYTES ({len(body)} of them, {got}, expected {md5})"


def names_differ(a, c, manifest):
    """Error texts: names that a listing has too many or too few."""
    want, bad = {n.split("/", 1)[1] for n in manifest if n.startswith(a.bucket + "/")}, []
    pages = c.get_paginator("list_objects_v2").paginate(Bucket=a.bucket)
    found = {"s3": {o["Key"] for p in pages for o in p.get("Contents", []) if not o["Key"].endswith("/")}}
    if not a.no_mount and a.mount != "-":
        root = f"{a.mount}/{a.bucket}"
        found["mount"] = {os.path.relpath(os.path.join(d, f), root) for d, _, fs in os.walk(root, onerror=bad.append) for f in fs}
    return bad + [f"{face} lists too many or too few: {sorted(names ^ want)[:6]}" for face, names in found.items() if names != want]


def verify(a, manifest):
    drop_caches()
    c = client()
    faces = [f for f, skip in (("s3", a.no_s3), ("mount", a.no_mount or a.mount == "-")) if not skip]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda x: one(a, c, *x), [(n, m, f) for n, m in manifest.items() for f in faces]))
    bad = [r for r in results if r] + (names_differ(a, c, manifest) if a.exact else [])
    for b in bad[:10]:
        print("FAIL:", b, flush=True)
    print(f"{results.count('')} right, {results.count(None)} clean errors, {len(bad)} bad", flush=True)
    return 1 if bad else 0


def load(a, manifest):
    """Readers of both faces, and writers whose answered writes are added to the manifest; errors of writers are allowed."""
    stop, bad, new, lock = threading.Event(), [], {}, threading.Lock()

    def reader(face):
        c, rnd = client(), random.Random()
        names = list(manifest.items())
        while not stop.is_set():
            n, m = rnd.choice(names)
            r = one(a, c, n, m, face)
            if r:
                bad.append(r)
                return

    def writer(face):
        c, rnd, i = client(), random.Random(), 0
        while not stop.is_set():
            i += 1
            name, body = f"{a.bucket}/load/{face}/{os.getpid()}/{i}", rnd.randbytes(rnd.choice(SIZES[:9]))
            try:
                if face == "s3":
                    c.put_object(Bucket=a.bucket, Key=name.split("/", 1)[1], Body=body)
                else:
                    os.makedirs(os.path.dirname(f"{a.mount}/{name}"), exist_ok=True)
                    fd = os.open(f"{a.mount}/{name}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
                    try:
                        os.write(fd, body)
                        os.fsync(fd)
                    finally:
                        os.close(fd)
            except ClientError as e:
                if e.response["ResponseMetadata"]["HTTPStatusCode"] != 503:
                    bad.append(f"writer: {e}")
                stop.wait(0.05)
                continue
            except OSError as e:
                if e.errno not in (errno.EROFS, errno.EIO):
                    bad.append(f"writer: {e}")
                stop.wait(0.05)
                continue
            with lock:
                new[name] = hashlib.md5(body).hexdigest()

    threads = [threading.Thread(target=f, args=(face,)) for f in (reader, writer) for face in ("s3", "mount")]
    for t in threads:
        t.start()
    print("running", flush=True)
    sys.stdin.read()
    stop.set()
    for t in threads:
        t.join()
    manifest.update(new)
    for b in bad[:10]:
        print("FAIL:", b, flush=True)
    print(f"{len(new)} written under load", flush=True)
    return 1 if bad else 0


def main():
    p = argparse.ArgumentParser()
    p.add_argument("work", choices=["make", "verify", "load"])
    p.add_argument("manifest")
    p.add_argument("mount")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--bucket", default="known")
    p.add_argument("--max-size", type=int, default=max(SIZES))
    p.add_argument("--exact", action="store_true")
    p.add_argument("--may-fail", action="store_true")
    p.add_argument("--no-mount", action="store_true")
    p.add_argument("--no-s3", action="store_true")
    a = p.parse_args()
    manifest = json.load(open(a.manifest)) if os.path.exists(a.manifest) else {}
    rc = {"make": make, "verify": verify, "load": load}[a.work](a, manifest) or 0
    if a.work != "verify":
        with open(a.manifest, "w") as f:
            json.dump(manifest, f)
    os._exit(rc)


if __name__ == "__main__":
    main()
