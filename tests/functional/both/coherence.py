# SPDX-License-Identifier: Apache-2.0
"""Random operations from both faces on a few names, against a model.

    coherence.py MOUNT sequential|concurrent [--ops N] [--seed N]

Sequential: after each answered operation the other face, and the same one, must show it at once. Concurrent: several
clients of each face at a time; every value is written once, so each answer of a read tells which write it saw, and the
history of each name must be one that a register could have (linearizability, decided per name). Ends with the number of
operations, stale answers and mixed answers; status 1 when there are any.
"""
import argparse
import collections
import os
import random
import sys
import threading
import time

from botocore.exceptions import ClientError
from quoin_s3 import client

BUCKET = "coherence"
NAMES = ["a", "b", "d/a", "d/b", "d/e/a", "f/a"]
SIZES = [30, 30, 200, 5000, 40000]


def value_of(number, rnd):
    """Content that names its number in every part, so that a mixture of two shows."""
    unit = f"<{number:010d}>".encode()
    return unit * max(1, rnd.choice(SIZES) // len(unit))


def number_of(content):
    """0 for no content, -1 for a mixture."""
    if not content:
        return 0
    unit = content[:12]
    if len(content) % 12 or content != unit * (len(content) // 12):
        return -1
    return int(unit[1:-1])


class S3Face:
    name = "s3"

    def __init__(self):
        self.c = client()

    def put(self, key, content):
        self.c.put_object(Bucket=BUCKET, Key=key, Body=content)

    def delete(self, key):
        self.c.delete_object(Bucket=BUCKET, Key=key)
        return True

    def copy(self, a, b):
        try:
            self.c.copy_object(Bucket=BUCKET, Key=b, CopySource=f"{BUCKET}/{a}")
            return True
        except ClientError as e:
            if e.response["Error"]["Code"] == "NoSuchKey":
                return False
            raise

    def get(self, key):
        try:
            return self.c.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        except ClientError as e:
            if e.response["Error"]["Code"] == "NoSuchKey":
                return None
            raise

    def size(self, key):
        try:
            return self.c.head_object(Bucket=BUCKET, Key=key)["ContentLength"]
        except ClientError as e:
            if e.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise

    def names(self):
        r = self.c.list_objects_v2(Bucket=BUCKET)
        return {o["Key"] for o in r.get("Contents", []) if not o["Key"].endswith("/")}


class MountFace:
    name = "mount"

    def __init__(self, root):
        self.root = root
        self.temp = 0

    def path(self, key):
        return f"{self.root}/{key}"

    def put(self, key, content):
        """As programs replace a file: a new one, renamed over it. Parents may vanish under our hands."""
        self.temp += 1
        tmp = f"{self.root}/.tmp-{threading.get_ident()}-{self.temp}"
        with open(tmp, "wb") as f:
            f.write(content)
        while True:
            try:
                os.makedirs(os.path.dirname(self.path(key)), exist_ok=True)
                os.rename(tmp, self.path(key))
                return
            except FileNotFoundError:
                continue

    def overwrite(self, key, content):
        """In place (sequential mode only: others may see the middle of it)."""
        try:
            fd = os.open(self.path(key), os.O_WRONLY | os.O_TRUNC)
        except FileNotFoundError:
            return False
        os.write(fd, content)
        os.close(fd)
        return True

    def delete(self, key):
        try:
            os.unlink(self.path(key))
            return True
        except FileNotFoundError:
            return False

    def move(self, a, b):
        try:
            os.makedirs(os.path.dirname(self.path(b)), exist_ok=True)
            os.rename(self.path(a), self.path(b))
            return True
        except FileNotFoundError:
            return False

    def get(self, key):
        try:
            with open(self.path(key), "rb") as f:
                return f.read()
        except FileNotFoundError:
            return None

    def size(self, key):
        try:
            return os.stat(self.path(key)).st_size
        except FileNotFoundError:
            return None

    def names(self):
        out = set()
        for d, _, files in os.walk(self.root):
            for f in files:
                out.add(os.path.relpath(os.path.join(d, f), self.root))
        return {n for n in out if not n.startswith(".tmp-")}


def sequential(mount, ops, seed):
    rnd = random.Random(seed)
    faces, model, bad = [S3Face(), MountFace(mount)], {}, []
    for face in faces:
        for n in NAMES:
            face.get(n)
    for i in range(1, ops + 1):
        face, n, m = rnd.choice(faces), rnd.choice(NAMES), rnd.choice(NAMES)
        what = rnd.choice(["put", "put", "put", "delete", "copy", "move", "overwrite"])
        content, touched = value_of(i, rnd), [n]
        if what == "put":
            face.put(n, content)
            model[n] = content
        elif what == "delete":
            face.delete(n)
            model.pop(n, None)
        elif what == "overwrite":
            if faces[1].overwrite(n, content) != (n in model):
                bad.append((i, "mount overwrite of", n, n in model))
            if n in model:
                model[n] = content
        elif n != m and what == "copy":
            if faces[0].copy(n, m) != (n in model):
                bad.append((i, "copy of", n, n in model))
            if n in model:
                model[m] = model[n]
            touched = [n, m]
        elif n != m and what == "move":
            if faces[1].move(n, m) != (n in model):
                bad.append((i, "move of", n, n in model))
            if n in model:
                model[m] = model.pop(n)
            touched = [n, m]
        for n in touched:
            order = faces if rnd.random() < 0.5 else faces[::-1]
            for face in order:
                if rnd.random() < 0.5:
                    got, want = face.get(n), model.get(n)
                else:
                    got, want = face.size(n), len(model[n]) if n in model else None
                if got != want:
                    bad.append((i, what, face.name, n, "got", str(got)[:60], "expected", str(want)[:60]))
        if i % 50 == 0:
            for face in faces:
                if face.names() != set(model):
                    bad.append((i, face.name, "names", sorted(face.names()), sorted(model)))
        if len(bad) > 20:
            break
    for b in bad[:20]:
        print("stale:", *b)
    print(f"sequential: {ops} operations, {len(bad)} stale, seed {seed}", flush=True)
    return len(bad)


# --- concurrent --------------------------------------------------------------------------------------------------------

Event = collections.namedtuple("Event", "start end kind value who")   # kind: "w" value (0: deleted), "r" value


def linearizable(events):
    """Is there an order of one register that agrees with real time and with every read? Depth first with memory
    (Wing and Gong, Lowe). Every value is written once, except 0 (no object)."""
    events = sorted(events)
    n = len(events)
    if n == 0:
        return True
    sys.setrecursionlimit(100000)
    seen = set()
    # State: (first event not yet done, set of later ones done, value); kept small because few overlap at a time.
    stack = [(0, frozenset(), 0)]
    while stack:
        state = stack.pop()
        if state in seen:
            continue
        seen.add(state)
        low, done, value = state
        while low in done:
            done = done - {low}
            low += 1
        if low == n:
            return True
        first_end, i, candidates = None, low, []
        while i < n and (first_end is None or events[i].start <= first_end):
            if i not in done:
                candidates.append(i)
                if first_end is None or events[i].end < first_end:
                    first_end = events[i].end
            i += 1
        candidates = [c for c in candidates if events[c].start <= first_end]
        reads = [c for c in candidates if events[c].kind == "r" and events[c].value == value]
        if reads:                      # a read that fits now can always be done now
            stack.append((low, done | frozenset(reads), value))
            continue
        for c in candidates:
            if events[c].kind == "w":
                stack.append((low, done | {c}, events[c].value))
    return False


def shortest_wrong(events):
    """The end of the shortest prefix (by end time) that is not linearizable, to show."""
    events = sorted(events, key=lambda e: e.end)
    low, high = 1, len(events)
    while low < high:
        mid = (low + high) // 2
        # Operations still running at that time may have happened.
        limit = events[mid - 1].end
        part = [e if e.end <= limit else e._replace(end=float("inf")) for e in events if e.end <= limit or (e.start <= limit and e.kind == "w")]
        pending = [e for e in part if e.end == float("inf")]
        if linearizable_with_pending([e for e in part if e.end != float("inf")], pending):
            low = mid + 1
        else:
            high = mid
    return sorted(events[max(0, low - 8):low], key=lambda e: e.start)


def linearizable_with_pending(events, pending):
    return linearizable(events + pending) or linearizable(events)


def concurrent(mount, ops, seed, clients=3):
    counter, lock = [ops], threading.Lock()
    history, bad, errors = collections.defaultdict(list), [], []

    def next_op():
        with lock:
            counter[0] -= 1
            return ops - counter[0] if counter[0] >= 0 else None

    def work(face, number):
        rnd = random.Random(f"{seed} {face.name} {number}")
        log = []
        while True:
            i = next_op()
            if i is None or errors:
                break
            n, what = rnd.choice(NAMES), rnd.random()
            try:
                start = time.monotonic()
                if what < 0.3:
                    content = value_of(i, rnd)
                    start = time.monotonic()
                    face.put(n, content)
                    log.append((n, Event(start, time.monotonic(), "w", i, face.name)))
                elif what < 0.4:
                    if face.delete(n):
                        log.append((n, Event(start, time.monotonic(), "w", 0, face.name)))
                    else:
                        log.append((n, Event(start, time.monotonic(), "r", 0, face.name)))
                else:
                    got = number_of(face.get(n))
                    if got < 0:
                        bad.append((face.name, n, "mixed"))
                    log.append((n, Event(start, time.monotonic(), "r", got, face.name)))
            except Exception as e:  # noqa: BLE001: whatever it is, it is a failure
                errors.append(f"{face.name} {n}: {e!r}")
        with lock:
            for n, e in log:
                history[n].append(e)

    start_face, first = S3Face(), {}
    for n in NAMES:
        first[n] = number_of(start_face.get(n))
    threads = [threading.Thread(target=work, args=(S3Face(), i)) for i in range(clients)]
    threads += [threading.Thread(target=work, args=(MountFace(mount), i)) for i in range(clients)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    stale = 0
    for n in NAMES:
        events = [Event(-1, -1, "w", first[n], "before")] + history[n]
        if not linearizable(events):
            stale += 1
            print(f"stale: the history of {n} is not one of a register; its first wrong part:")
            for e in shortest_wrong(events):
                print(f"  {e.start:.6f} {e.end:.6f} {e.who} {'write' if e.kind == 'w' else 'read'} {e.value}")
    for e in errors[:10]:
        print("error:", e)
    for b in bad[:10]:
        print("mixed:", *b)
    print(f"concurrent: {ops} operations by {2 * clients} clients, {stale} names with stale answers, {len(bad)} mixed, {len(errors)} errors, seed {seed}",
          flush=True)
    return stale + len(bad) + len(errors)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("mount")
    p.add_argument("mode", choices=["sequential", "concurrent"])
    p.add_argument("--ops", type=int, default=5000)
    p.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    a = p.parse_args()
    print("seed", a.seed, flush=True)
    run = sequential if a.mode == "sequential" else concurrent
    sys.exit(1 if run(f"{a.mount}/{BUCKET}", a.ops, a.seed) else 0)


if __name__ == "__main__":
    main()
