# SPDX-License-Identifier: Apache-2.0
"""A random load by both faces and the model of what must then be there, for crash and fault tests.

    quoin_model.py load STATE MOUNT SEED [--faults]     works until stdin ends, writing what it knows to STATE
    quoin_model.py check STATE MOUNT [--lost-suffix] [--may-refuse]
                                                        compares what is there now with STATE, by both faces
    (STATE is kept from round to round: it is the model.)

Every thread owns its names, so that the model of a name has one author. For each name the model has the states that it
may have: one when the last operation on it was answered, more when it was not (either nothing of it has happened or all).
States are content digests with size, or None. Mount operations are ordered: they survive kill -9 when the call has
returned, but power loss may take a suffix of them, and so may the fall of a set below its write quorum; for that, each
name also has the states since it was last known to be durable (--lost-suffix). Content that was written and not yet
closed or fsynced may be any earlier published state. What a close(2) that failed has left is the file's for the mount until
its release has published it after all, or given it up: until both faces agree on it, nothing is concluded from either.

Without --faults the load ends at the first error of the daemon's death. With it errors that a drive fault may cause are
counted (503, 507, EIO, EROFS, ENOSPC), leave the name with both states, and the load goes on. Anything else is a
failure, and so is every answer that the model does not allow: lost, wrong or stale.
"""
import argparse
import collections
import contextlib
import errno
import hashlib
import http.client
import json
import os
import random
import sys
import threading
import time

from botocore.exceptions import BotoCoreError, ClientError
from quoin_s3 import client

BUCKET = "crash"
NAMES = 30            # of one owner
DEAD = (errno.EIO, errno.ECONNABORTED, errno.ENOTCONN)
FAULTY = DEAD + (errno.EROFS, errno.ENOSPC)


class Wrong(Exception):
    """An answer that the model does not allow."""


def state_of(content):
    return [len(content), hashlib.md5(content).hexdigest()]


class Owner:
    """One thread's names and what may be there."""

    def __init__(self, name, state):
        self.name = name
        self.model = state["owners"].get(name, {})   # key -> list of states that it may have
        self.older = state["older"].get(name, {})    # key -> states that may come back with a lost suffix
        self.groups = []                             # [after, before]: renames of unknown outcome
        self.doubt = set()                           # keys whose close failed, until both faces agree

    def answered(self, changes, durable):
        """durable: so is everything that this owner did before, as all of it lies in one order."""
        self.doubt -= set(changes)
        for k, v in changes.items():
            self.forget_groups(k)
            if not durable:
                self.older.setdefault(k, []).extend(s for s in self.model.get(k, [None]) if s != v)
            self.model[k] = [v]
        if durable:
            self.older = {k: [] for k in self.older}

    def maybe(self, changes):
        """Before an operation: either nothing of it has happened or all. Names are changed together."""
        for k, v in changes.items():
            self.forget_groups(k)
            self.model.setdefault(k, [None])
            if v not in self.model[k]:
                self.model[k].append(v)

    def maybe_group(self, changes):
        before = {k: self.current(k) for k in changes}
        self.maybe(changes)
        self.groups.append([changes, before])

    def forget_groups(self, key):
        self.groups = [g for g in self.groups if key not in g[0]]

    def current(self, key):
        return self.model.get(key, [None])[0]

    def known(self, key):
        return len(self.model.get(key, [None])) == 1

    def live(self):
        return [k for k in self.model if self.known(k) and self.current(k) is not None]

    def saw(self, key, got, face):
        """A read of this owner's name by either face, with nothing else running on it."""
        if got not in self.model.get(key, [None]):
            raise Wrong(f"{face} {key}: {got}, expected {self.model.get(key, [None])}")

    def vouched(self, key, got):
        """S3 has answered so: it is durable, but not what came behind it."""
        if not self.known(key):
            self.forget_groups(key)
        self.model[key], self.older[key] = [got], []

    def all_states(self):
        return {k: v + [s for s in self.older.get(k, []) if s not in v] for k, v in self.model.items()}


# --- operations -------------------------------------------------------------------------------------------------------

class S3Work:
    """Operations by S3, each followed by the model. What S3 answers is durable."""
    choices = {"small": 40, "large": 8, "multipart": 3, "delete": 15, "copy": 10, "many": 4, "read": 15, "list": 2}

    def __init__(self, owner, rnd):
        self.o, self.rnd, self.c = owner, rnd, client()

    def step(self):
        key = self.key()
        getattr(self, self.rnd.choices(list(self.choices), list(self.choices.values()))[0])(key)

    def key(self):
        r = self.rnd
        return f"{self.o.name}/{'d%d/' % r.randrange(4) if r.random() < 0.5 else ''}k{r.randrange(NAMES)}"

    def change(self, changes, call, **args):
        self.o.maybe(changes)
        reply = call(Bucket=BUCKET, **args)
        if reply.get("Errors"):
            raise ClientError({"Error": reply["Errors"][0], "ResponseMetadata": {"HTTPStatusCode": 503}}, "DeleteObjects")
        self.o.answered(changes, durable=True)

    def put(self, key, size):
        content = self.rnd.randbytes(size)
        self.change({key: state_of(content)}, self.c.put_object, Key=key, Body=content)

    def small(self, key):
        self.put(key, self.rnd.choice([0, 10, 3000, 30000]))

    def large(self, key):
        self.put(key, self.rnd.choice([40000, 300000, 3 << 20]))

    def multipart(self, key):
        bodies = [self.rnd.randbytes(5 << 20), self.rnd.randbytes(self.rnd.randrange(1, 100000))]
        up = self.c.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
        parts = []
        for i, b in enumerate(bodies, 1):
            etag = self.c.upload_part(Bucket=BUCKET, Key=key, UploadId=up, PartNumber=i, Body=b)["ETag"]
            parts.append({"PartNumber": i, "ETag": etag})
        self.change({key: state_of(b"".join(bodies))}, self.c.complete_multipart_upload, Key=key, UploadId=up,
                    MultipartUpload={"Parts": parts})

    def delete(self, key):
        self.change({key: None}, self.c.delete_object, Key=key)

    def many(self, key):
        live = self.o.live()
        keys = self.rnd.sample(live, min(5, len(live)))
        if keys:
            self.change({k: None for k in keys}, self.c.delete_objects, Delete={"Objects": [{"Key": k} for k in keys]})

    def copy(self, key):
        live = self.o.live()
        src = self.rnd.choice(live) if live else key
        if src != key:
            self.change({key: self.o.current(src)}, self.c.copy_object, Key=key, CopySource=f"{BUCKET}/{src}")

    def get(self, key, **args):
        try:
            return self.c.get_object(Bucket=BUCKET, Key=key, **args)["Body"].read()
        except ClientError as e:
            if e.response["Error"]["Code"] == "NoSuchKey":
                return None
            raise

    def read(self, key):
        body = self.get(key)
        got = None if body is None else state_of(body)
        self.o.saw(key, got, "s3")
        self.o.vouched(key, got)
        if body:
            first = self.rnd.randrange(len(body))
            last = self.rnd.randrange(first, len(body))
            if self.get(key, Range=f"bytes={first}-{last}") != body[first:last + 1]:
                raise Wrong(f"s3 {key}: bytes {first}-{last} are not those of the whole")

    def list(self, key):
        found, args = {}, {}
        while True:
            r = self.c.list_objects_v2(Bucket=BUCKET, Prefix=self.o.name + "/", **args)
            found.update({e["Key"]: e["Size"] for e in r.get("Contents", []) if not e["Key"].endswith("/")})
            if not r["IsTruncated"]:
                break
            args = {"ContinuationToken": r["NextContinuationToken"]}
        expect_names(self.o, "s3", found, self.o.model)


class MountWork:
    """Operations by the mount, on names right below the owner's directory. They are ordered, fsync makes them durable."""
    choices = {"write": 20, "fsync": 10, "replace": 10, "append": 10, "truncate": 5, "rename": 15, "unlink": 15, "read": 15, "list": 2}

    def __init__(self, owner, rnd, mount):
        self.o, self.rnd = owner, rnd
        # By a descriptor: what is below the mount point when the mount is gone must not be taken for it.
        self.root = f"/proc/self/fd/{os.open(f'{mount}/{BUCKET}', os.O_RDONLY | os.O_DIRECTORY)}/{owner.name}"
        os.makedirs(self.root, exist_ok=True)

    def step(self):
        key = self.key()
        getattr(self, self.rnd.choices(list(self.choices), list(self.choices.values()))[0])(key)

    def key(self):
        return f"{self.o.name}/k{self.rnd.randrange(NAMES)}"

    def path(self, key):
        return f"{self.root}/{key.split('/', 1)[1]}"

    def content(self):
        return self.rnd.randbytes(self.rnd.choice([0, 10, 3000, 40000, 400000]))

    @contextlib.contextmanager
    def opened(self, key, flags):
        fd = os.open(self.path(key), flags)
        self.o.doubt.add(key)      # until the caller knows the outcome
        try:
            yield fd
        finally:
            os.close(fd)

    def store(self, key, content, sync):
        # Truncated first, then written, then published by close or fsync: each of these is a whole state. The name
        # itself is ordered.
        self.o.maybe({key: state_of(b"")})
        self.o.maybe({key: state_of(content)})
        with self.opened(key, os.O_CREAT | os.O_TRUNC | os.O_WRONLY) as fd:
            os.write(fd, content)
            if sync:
                os.fsync(fd)
        self.o.answered({key: state_of(content)}, durable=sync)

    def write(self, key):
        self.store(key, self.content(), sync=False)

    def fsync(self, key):
        self.store(key, self.content(), sync=True)

    def replace(self, key):
        tmp = f"{self.o.name}/tmp"
        self.store(tmp, self.content(), sync=False)
        self.move(tmp, key)

    def move(self, key, other):
        changes = {key: None, other: self.o.current(key)}
        self.o.maybe_group(changes)
        os.rename(self.path(key), self.path(other))
        self.o.answered(changes, durable=False)

    def rename(self, key):
        other = f"{self.o.name}/k{self.rnd.randrange(NAMES)}"
        if other != key and key in self.o.live() and self.o.known(other):
            self.move(key, other)

    def edit(self, key, change):
        """change(fd, old): changes the file by its descriptor, returns the new content; one publication."""
        if key not in self.o.live():
            return
        old = self.get(key)
        self.o.saw(key, state_of(old), "mount")
        with self.opened(key, os.O_RDWR | os.O_APPEND) as fd:
            new = change(fd, old)
        self.o.answered({key: new}, durable=False)

    def append(self, key):
        def change(fd, old):
            more = self.content()[:1000]
            new = state_of(old + more)
            self.o.maybe({key: new})
            os.write(fd, more)
            return new
        self.edit(key, change)

    def truncate(self, key):
        def change(fd, old):
            size = self.rnd.randrange(len(old) + 5000)
            new = state_of(old[:size] + bytes(max(0, size - len(old))))
            self.o.maybe({key: new})
            os.ftruncate(fd, size)
            return new
        self.edit(key, change)

    def unlink(self, key):
        if key in self.o.live():
            self.o.maybe({key: None})
            os.unlink(self.path(key))
            self.o.answered({key: None}, durable=False)

    def get(self, key):
        try:
            with open(self.path(key), "rb") as f:
                return f.read()
        except FileNotFoundError:
            return None

    def read(self, key):
        body = self.get(key)
        self.o.saw(key, None if body is None else state_of(body), "mount")

    def list(self, key):
        names = {f"{self.o.name}/{e.name}": e.stat().st_size for e in os.scandir(self.root) if e.is_file()}
        expect_names(self.o, "mount", names, [k for k in self.o.model if k.count("/") == 1])


class BothWork:
    """One author by both faces in turn, so that each must see at once what the other has done."""

    def __init__(self, owner, rnd, mount):
        self.o, self.s3, self.mount, self.rnd = owner, S3Work(owner, rnd), MountWork(owner, rnd, mount), rnd
        self.s3.key = self.mount.key = self.key

    def key(self):
        key = f"{self.o.name}/k{self.rnd.randrange(NAMES)}"
        if key in self.o.doubt:
            self.settle(key)
        return key

    def settle(self, key):
        """The mount first: what it shows of an open file is not S3's yet, what S3 shows is the mount's."""
        deadline = time.monotonic() + 60
        while True:
            on_mount, by_s3 = self.mount.get(key), self.s3.get(key)
            if on_mount == by_s3:
                break
            if time.monotonic() > deadline:
                raise Wrong(f"stale {key}: a minute after a close that failed the faces differ")
            time.sleep(0.05)
        got = None if by_s3 is None else state_of(by_s3)
        self.o.saw(key, got, "both")
        self.o.vouched(key, got)
        self.o.doubt.discard(key)

    def step(self):
        self.rnd.choice([self.s3, self.mount]).step()


def expect_names(owner, face, found, keys):
    """found: name -> size, of a listing; keys: which of the model it should have."""
    for k in keys:
        states = owner.model[k]
        if (None if k not in found else found[k]) not in [None if s is None else s[0] for s in states]:
            raise Wrong(f"{face} list: {k} {found.get(k, 'is not there')}, expected {states}")
    for k in set(found) - set(owner.model):
        raise Wrong(f"{face} list: {k}: nobody wrote it")


# --- load -------------------------------------------------------------------------------------------------------------

class Load:
    """The workers, one thread each. They are made here, before anything goes wrong."""

    def __init__(self, state, mount, seed, faults):
        self.faults = faults
        self.stop, self.failures, self.done, self.refused = threading.Event(), [], collections.Counter(), collections.Counter()
        makers = [("s0", S3Work), ("s1", S3Work), ("m0", MountWork), ("m1", MountWork), ("b0", BothWork), ("b1", BothWork)]
        self.owners, self.workers = [], []
        for name, maker in makers:
            owner, rnd = Owner(name, state), random.Random(f"{seed} {name}")
            self.owners.append(owner)
            self.workers.append(maker(owner, rnd) if maker is S3Work else maker(owner, rnd, mount))

    def tolerated(self, e):
        """A word for an error that the daemon's death or a drive fault explains, else None."""
        if isinstance(e, ClientError):
            status = e.response["ResponseMetadata"]["HTTPStatusCode"]
            return str(status) if status in (503, 507) and (self.faults or self.stop.is_set()) else None
        if isinstance(e, OSError) and not isinstance(e, (BotoCoreError, http.client.HTTPException)):
            known = e.errno in (FAULTY if self.faults else DEAD) or isinstance(e, ConnectionError)
            return errno.errorcode.get(e.errno, "connection") if known else None
        return "connection" if isinstance(e, (BotoCoreError, http.client.HTTPException)) else None

    def run(self, owner, worker):
        while not self.stop.is_set():
            try:
                worker.step()
                self.done[owner.name] += 1
            except BaseException as e:  # noqa: BLE001: shown by the parent
                why = self.tolerated(e)
                if why is None:
                    self.failures.append(f"{owner.name}: {e!r}")
                    return
                self.refused[why] += 1
                if not self.faults:
                    return
                self.stop.wait(0.02)

    def go(self):
        threads = [threading.Thread(target=self.run, args=w, daemon=True) for w in zip(self.owners, self.workers)]
        for t in threads:
            t.start()
        print("running", flush=True)
        sys.stdin.read()           # ends when the daemon has been killed, or when it is enough
        self.stop.set()
        for t in threads:
            t.join(60)
        if any(t.is_alive() for t in threads):
            self.failures.append("a client hangs")


def load(path, mount, seed, faults):
    state = {"owners": {}, "older": {}, "groups": []}
    if os.path.exists(path):
        state.update(json.load(open(path)))
    work = Load(state, mount, seed, faults)
    work.go()
    json.dump({"owners": {o.name: o.model for o in work.owners}, "older": {o.name: o.older for o in work.owners},
               "groups": [g for o in work.owners for g in o.groups]}, open(path, "w"))
    print(sum(work.done.values()), "operations,", dict(work.refused), flush=True)
    for f in work.failures:
        print("FAIL:", f, flush=True)
    os._exit(1 if work.failures else 0)


# --- check ------------------------------------------------------------------------------------------------------------

class Check:
    def __init__(self, state, mount, may_refuse, lost_suffix):
        self.state, self.root, self.bad, self.c = state, f"{mount}/{BUCKET}", [], client()
        self.may_refuse, self.lost_suffix, self.refused = may_refuse, lost_suffix, 0
        self.now = {}

    def listing(self):
        sizes = {}
        for page in self.c.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            sizes.update({o["Key"]: o["Size"] for o in page.get("Contents", [])})
        return sizes

    def by_s3(self, key):
        try:
            return state_of(self.c.get_object(Bucket=BUCKET, Key=key)["Body"].read())
        except ClientError as e:
            if e.response["Error"]["Code"] == "NoSuchKey":
                return None
            raise

    def by_mount(self, key):
        try:
            with open(f"{self.root}/{key}", "rb") as f:
                return state_of(f.read())
        except FileNotFoundError:
            return None

    def one(self, key, states):
        """What is there; the error of a face that may refuse is no answer."""
        deadline = time.monotonic() + 60
        while True:
            on_mount = self.by_mount(key)
            try:
                got = self.by_s3(key)
            except ClientError as e:
                if not self.may_refuse or e.response["ResponseMetadata"]["HTTPStatusCode"] != 503:
                    raise
                self.refused += 1
                got = on_mount
            # Bytes whose close(2) failed are the file's for the mount until its release has given them up, too.
            if on_mount == got or on_mount not in states or len(states) == 1 or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        if on_mount != got:
            self.bad.append(f"stale {key}: S3 {got}, mount {on_mount}")
        if got not in states:
            self.bad.append(f"{'lost' if got is None else 'wrong'} {key}: {got}, expected one of {states}")
        return got

    def keys(self):
        owners = {name: Owner(name, self.state) for name in self.state["owners"]}
        for name, owner in owners.items():
            self.now[name] = {}
            for key, states in (owner.all_states() if self.lost_suffix else owner.model).items():
                try:
                    self.now[name][key] = [self.one(key, states)]
                except Exception as e:  # noqa: BLE001: an unreadable key is a lost one
                    self.bad.append(f"lost {key}: {e!r}")

    def groups(self):
        """A rename happens whole or not at all."""
        for after, before in [] if self.lost_suffix else self.state["groups"]:
            now = {k: self.now[k.split("/")[0]].get(k, [None])[0] for k in after}
            if now not in (after, before):
                self.bad.append(f"wrong: half a rename: {now}, before {before}, after {after}")

    def names(self):
        """Listing, tree walk and the counters of the bucket against each other."""
        listed = self.listing()
        files = {k: v for k, v in listed.items() if not k.endswith("/")}
        have = {k: v[0][0] for m in self.now.values() for k, v in m.items() if v[0] is not None}
        if files != have:
            self.bad.append(f"stale: listing and reading differ: {sorted(set(files.items()) ^ set(have.items()))[:6]}")
        walked = {os.path.relpath(os.path.join(d, f), self.root) for d, _, fs in os.walk(self.root) for f in fs}
        if walked != set(files):
            self.bad.append(f"stale: readdir and listing differ: {sorted(walked ^ set(files))[:6]}")
        info = json.load(os.popen(f"{os.environ['QUOIN']} admin info --json"))
        counted = next(b for b in info["buckets"] if b["name"] == BUCKET)
        if counted["objects"] not in (len(listed), len(files)) or counted["bytes"] != sum(files.values()):
            self.bad.append(f"wrong counters {counted}, recount {len(listed)} keys ({len(files)} without directories), "
                            f"{sum(files.values())} bytes")

    def go(self):
        self.keys()
        self.groups()
        try:
            self.names()
        except ClientError as e:
            if not self.may_refuse or e.response["ResponseMetadata"]["HTTPStatusCode"] != 503:
                raise
            self.refused += 1


def check(path, mount, may_refuse, lost_suffix):
    state = {"older": {}, "groups": [], **json.load(open(path))}
    c = Check(state, mount, may_refuse, lost_suffix)
    c.go()
    for b in c.bad[:20]:
        print("FAIL:", b, flush=True)
    if c.refused:
        print(c.refused, "refused", flush=True)
    if not may_refuse:         # what a set that is not whole shows may still change, as the model allows it
        json.dump({"owners": c.now, "older": {}, "groups": []}, open(path, "w"))
    sys.exit(1 if c.bad else 0)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("work", choices=["load", "check"])
    p.add_argument("state")
    p.add_argument("mount")
    p.add_argument("seed", nargs="?")
    p.add_argument("--faults", action="store_true")
    p.add_argument("--may-refuse", action="store_true")
    p.add_argument("--lost-suffix", action="store_true")
    a = p.parse_args()
    if a.work == "load":
        load(a.state, a.mount, a.seed, a.faults)
    check(a.state, a.mount, a.may_refuse, a.lost_suffix)


if __name__ == "__main__":
    main()
