# SPDX-License-Identifier: Apache-2.0
"""Many small objects, read and written at random by both faces: disk_hangs.py MOUNT fill | serve PID | check

serve stops the process PID, which the disk depends on, in the middle of it. Every call must come back with the right answer
in time: some wait for the drive once.
"""
import os
import random
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from quoin_s3 import client

BUCKET, KEYS, WORKERS, SECONDS, IN_TIME = "hangs", 8000, 8, 10, 30
mount, command = sys.argv[1], sys.argv[2]


def key(i):
    return f"dir{i % 50}/{i:06d}-{'x' * 60}"


def content(i):
    return b"%d" % i * 3


def fill():
    s3 = client()
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(lambda i: s3.put_object(Bucket=BUCKET, Key=key(i), Body=content(i)), range(KEYS)))


class Worker(threading.Thread):
    def __init__(self, number):
        super().__init__(daemon=True)
        self.number, self.done, self.since, self.slowest, self.wrong = number, 0, time.monotonic(), 0, None

    def read(self, s3, i):
        if self.number % 2:
            return s3.get_object(Bucket=BUCKET, Key=key(i))["Body"].read()
        with open(f"{mount}/{BUCKET}/{key(i)}", "rb") as f:
            return f.read()

    def write(self, s3, name, data):
        if self.number % 2:
            s3.put_object(Bucket=BUCKET, Key=name, Body=data)
        else:
            with open(f"{mount}/{BUCKET}/{name}", "wb") as f:
                f.write(data)

    def run(self):
        rnd, s3 = random.Random(self.number), client(read_timeout=IN_TIME)
        while not stop.is_set() and not self.wrong:
            i = rnd.randrange(KEYS)
            try:
                if rnd.random() < 0.05:
                    self.write(s3, f"new-{self.number}-{self.done}", content(i))
                elif self.read(s3, i) != content(i):
                    self.wrong = f"{key(i)} has other content"
            except Exception as e:  # noqa: BLE001: whatever it is, it is a failure
                self.wrong = repr(e)
            now = time.monotonic()
            self.slowest = max(self.slowest, now - self.since)
            self.since, self.done = now, self.done + 1


def serve(pid):
    workers = [Worker(i) for i in range(WORKERS)]
    for w in workers:
        w.start()
    while any(w.done < 5 and not w.wrong for w in workers):
        time.sleep(0.01)
    os.kill(pid, signal.SIGSTOP)
    before, end = [w.done for w in workers], time.monotonic() + SECONDS
    while time.monotonic() < end or any(w.done == b and not w.wrong for w, b in zip(workers, before)):
        time.sleep(0.05)
        for w in workers:
            if time.monotonic() - w.since > IN_TIME and w.is_alive():
                print(f"worker {w.number}: a call does not come back", flush=True)
                os.kill(pid, signal.SIGCONT)   # else this process would not end either
                os._exit(1)
    stop.set()
    for w in workers:
        w.join(IN_TIME)
    for w in workers:
        print(f"worker {w.number}: {w.done} calls, slowest {w.slowest:.1f} s, {w.wrong or 'all right'}")
    sys.stdout.flush()
    os._exit(1 if any(w.wrong or w.is_alive() for w in workers) else 0)


def check():
    s3 = client()
    for i in range(0, KEYS, 7):
        with open(f"{mount}/{BUCKET}/{key(i)}", "rb") as f:
            by_mount = f.read()
        if not by_mount == content(i) == s3.get_object(Bucket=BUCKET, Key=key(i))["Body"].read():
            sys.exit(f"{key(i)} has other content")


stop = threading.Event()
if command == "serve":
    serve(int(sys.argv[3]))
else:
    {"fill": fill, "check": check}[command]()
