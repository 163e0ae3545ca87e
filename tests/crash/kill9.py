# SPDX-License-Identifier: Apache-2.0
"""The oracle of kill9.sh.

    kill9.py load STATE MOUNT      works on both faces until the daemon is gone, writing what it knows to STATE
    kill9.py check STATE MOUNT     compares what is there now with STATE, through both faces
    (STATE is kept from cycle to cycle: it is the model.)

Every thread owns its names, so that the model of a name has one author. For each name the model has the last answered
state and, when an operation on it was never answered, the states that it may have led to. States are content digests
with size, or None. Mount operations are ordered: they survive kill -9 when the call has returned. Content that was
written and not yet closed or fsynced may be any earlier published state.
"""
import errno
import hashlib
import http.client
import json
import os
import random
import sys
import threading

from botocore.exceptions import BotoCoreError, ClientError
from quoin_s3 import client

BUCKET = "crash"


def state_of(content):
    return [len(content), hashlib.md5(content).hexdigest()]


class Owner:
    """One thread's names and what may be there."""

    def __init__(self, name, state):
        self.name, self.model = name, state.get(name, {})   # key -> list of states that it may have

    def answered(self, changes):
        for k, v in changes.items():
            self.model[k] = [v]

    def maybe(self, changes):
        """Before an operation: either nothing of it has happened or all. Names are changed together."""
        for k, v in changes.items():
            self.model.setdefault(k, [None])
            if v not in self.model[k]:
                self.model[k].append(v)

    def current(self, key):
        return self.model.get(key, [None])[0]

    def live(self):
        return [k for k, v in self.model.items() if len(v) == 1 and v[0] is not None]


def s3_load(owner, rnd, stop, groups):
    c = client()
    n = 0
    while not stop.is_set():
        n += 1
        key = f"{owner.name}/{'d%d/' % rnd.randrange(4) if rnd.random() < 0.5 else ''}k{rnd.randrange(30)}"
        what = rnd.choices(["small", "large", "multipart", "delete", "copy", "many"], [40, 8, 3, 15, 10, 4])[0]
        try:
            if what in ("small", "large"):
                size = rnd.choice([0, 10, 3000, 30000]) if what == "small" else rnd.choice([40000, 300000, 3 << 20])
                content = rnd.randbytes(size)
                change = {key: state_of(content)}
                owner.maybe(change)
                c.put_object(Bucket=BUCKET, Key=key, Body=content)
            elif what == "multipart":
                parts, bodies = [], [rnd.randbytes(5 << 20), rnd.randbytes(rnd.randrange(1, 100000))]
                up = c.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
                for i, b in enumerate(bodies, 1):
                    parts.append({"PartNumber": i, "ETag": c.upload_part(Bucket=BUCKET, Key=key, UploadId=up, PartNumber=i, Body=b)["ETag"]})
                change = {key: state_of(b"".join(bodies))}
                owner.maybe(change)
                c.complete_multipart_upload(Bucket=BUCKET, Key=key, UploadId=up, MultipartUpload={"Parts": parts})
            elif what == "delete":
                change = {key: None}
                owner.maybe(change)
                c.delete_object(Bucket=BUCKET, Key=key)
            elif what == "many":
                keys = rnd.sample(owner.live(), min(5, len(owner.live())))
                if not keys:
                    continue
                change = {k: None for k in keys}
                owner.maybe(change)
                r = c.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": k} for k in keys]})
                assert not r.get("Errors"), r
            else:
                live = owner.live()
                if not live:
                    continue
                src = rnd.choice(live)
                if src == key:
                    continue
                change = {key: owner.current(src)}
                owner.maybe(change)
                c.copy_object(Bucket=BUCKET, Key=key, CopySource=f"{BUCKET}/{src}")
            owner.answered(change)
        except (BotoCoreError, http.client.HTTPException, OSError):
            return n
        except ClientError as e:
            if stop.is_set() or e.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
                return n
            raise
    return n


def mount_load(owner, rnd, stop, mount, groups):
    n = 0
    try:
        # By a descriptor: what is below the mount point when the mount is gone must not be taken for it.
        root = f"/proc/self/fd/{os.open(f'{mount}/{BUCKET}', os.O_RDONLY | os.O_DIRECTORY)}/{owner.name}"
        os.makedirs(root, exist_ok=True)
        while not stop.is_set():
            n += 1
            name = f"k{rnd.randrange(30)}"
            key, path = f"{owner.name}/{name}", f"{root}/{name}"
            what = rnd.choices(["write", "fsync", "replace", "append", "rename", "unlink"], [20, 10, 10, 10, 15, 15])[0]
            content = rnd.randbytes(rnd.choice([0, 10, 3000, 40000, 400000]))
            if what in ("write", "fsync"):
                # Truncated first, then written, then published by close or fsync: each of these is a whole state, and
                # so is any prefix that was published because memory was short. The name itself is ordered.
                change = {key: state_of(content)}
                owner.maybe({key: state_of(b"")})
                owner.maybe(change)
                fd = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
                os.write(fd, content)
                if what == "fsync":
                    os.fsync(fd)
                    owner.answered(change)
                os.close(fd)
            elif what == "replace":
                tmp = f"{root}/tmp"
                change = {key: state_of(content), f"{owner.name}/tmp": None}
                owner.maybe({f"{owner.name}/tmp": state_of(b"")})
                owner.maybe({f"{owner.name}/tmp": state_of(content)})
                fd = os.open(tmp, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
                os.write(fd, content)
                os.close(fd)
                owner.answered({f"{owner.name}/tmp": state_of(content)})
                groups.append([change, {k: owner.current(k) for k in change}])
                owner.maybe(change)
                os.rename(tmp, path)
                groups.pop()
            elif what == "append":
                if owner.current(key) is None or len(owner.model[key]) != 1:
                    continue
                with open(path, "rb") as f:
                    old = f.read()
                assert state_of(old) == owner.current(key), f"{key} is not what was written"
                change = {key: state_of(old + content[:1000])}
                owner.maybe(change)
                fd = os.open(path, os.O_WRONLY | os.O_APPEND)
                os.write(fd, content[:1000])
                os.close(fd)
            elif what == "rename":
                other = f"k{rnd.randrange(30)}"
                if other == name or owner.current(key) is None:
                    continue
                okey = f"{owner.name}/{other}"
                change = {key: None, okey: owner.current(key)}
                groups.append([change, {k: owner.current(k) for k in change}])
                owner.maybe(change)
                os.rename(path, f"{root}/{other}")
                groups.pop()
            else:
                if owner.current(key) is None:
                    continue
                change = {key: None}
                owner.maybe(change)
                os.unlink(path)
            owner.answered(change)
    except OSError as e:
        if e.errno not in (errno.EIO, errno.ECONNABORTED, errno.ENOTCONN) and n > 0:
            raise
    return n


def load(path, mount, seed):
    state = json.load(open(path)) if os.path.exists(path) else {"owners": {}}
    stop, threads, owners, groups, counts, failures = threading.Event(), [], [], {}, [], []

    def run(owner, f, *args):
        groups[owner.name] = []
        try:
            counts.append(f(owner, random.Random(f"{seed} {owner.name}"), stop, *args, groups[owner.name]))
        except BaseException as e:  # noqa: BLE001: shown by the parent
            failures.append(f"{owner.name}: {e!r}")

    for i in range(3):
        owners.append(Owner(f"s{i}", state["owners"]))
        threads.append(threading.Thread(target=run, args=(owners[-1], s3_load)))
    for i in range(3):
        owners.append(Owner(f"m{i}", state["owners"]))
        threads.append(threading.Thread(target=run, args=(owners[-1], mount_load, mount)))
    for t in threads:
        t.start()
    sys.stdin.read()           # ends when the daemon has been killed
    stop.set()
    for t in threads:
        t.join(60)
    if any(t.is_alive() for t in threads):
        failures.append("a client hangs")
    json.dump({"owners": {o.name: o.model for o in owners}, "groups": [g for gs in groups.values() for g in gs]}, open(path, "w"))
    print(sum(counts), "operations", flush=True)
    for f in failures:
        print("FAIL:", f, flush=True)
    if failures:
        os._exit(1)
    os._exit(0)


def check(path, mount):
    state = json.load(open(path))
    c, bad = client(), []
    listed, listed_all = {}, 0
    for page in c.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for o in page.get("Contents", []):
            listed_all += 1
            if not o["Key"].endswith("/"):
                listed[o["Key"]] = o["Size"]
    new = {}
    for owner, model in state["owners"].items():
        new[owner] = {}
        for key, states in model.items():
            if key in listed:
                got = state_of(c.get_object(Bucket=BUCKET, Key=key)["Body"].read())
                if got[0] != listed[key]:
                    bad.append(f"{key}: listed with {listed[key]} bytes, has {got[0]}")
            else:
                got = None
            file = f"{mount}/{BUCKET}/{key}"
            on_mount = state_of(open(file, "rb").read()) if os.path.exists(file) else None
            if on_mount != got:
                bad.append(f"{key}: S3 {got}, mount {on_mount}")
            if got not in states:
                bad.append(f"{key}: {got}, expected {'one of ' if len(states) > 1 else ''}{states}")
            new[owner][key] = [got]
    known = {k for m in state["owners"].values() for k in m}
    for key in set(listed) - known:
        bad.append(f"{key}: nobody wrote it")
    # A rename happens whole or not at all.
    for after, before in state.get("groups", []):
        now = {k: (new[k.split("/")[0]][k] or [None])[0] for k in after}
        if now != after and now != before:
            bad.append(f"half a rename: {now}, before {before}, after {after}")
    walked = {os.path.relpath(os.path.join(d, f), f"{mount}/{BUCKET}") for d, _, fs in os.walk(f"{mount}/{BUCKET}") for f in fs}
    if walked != set(listed):
        bad.append(f"readdir and listing differ: {sorted(walked ^ set(listed))[:5]}")
    # counters and a recount
    info = json.load(os.popen(f"{os.environ['QUOIN']} admin info --json"))
    counted = next(b for b in info["buckets"] if b["name"] == BUCKET)
    total = sum(listed.values())
    if counted["objects"] not in (listed_all, len(listed)) or counted["bytes"] != total:
        bad.append(f"counters {counted}, recount {listed_all} keys ({len(listed)} without directories), {total} bytes")
    for b in bad[:20]:
        print("FAIL:", b, flush=True)
    json.dump({"owners": new, "groups": []}, open(path, "w"))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    if sys.argv[1] == "load":
        load(sys.argv[2], sys.argv[3], sys.argv[4])
    check(sys.argv[2], sys.argv[3])
