# SPDX-License-Identifier: Apache-2.0
"""What S3 shows of a change of the mount whose caller is still in the kernel: late_kernel.py MOUNT ROUNDS

A process that hardly ever gets the processor changes names on the mount, so that a long time passes from the answer of
the daemon until its kernel acts on it. Whoever has seen the change by S3 must see it on the mount from then on.
"""
import os
import subprocess
import sys
import time

from botocore.exceptions import ClientError
from quoin_s3 import client

BUCKET = "late"
mount, rounds = sys.argv[1], int(sys.argv[2])
root = f"{mount}/{BUCKET}"


def change_slowly(cpu):
    """In each round: replaces a file (its size tells the round), makes a name, removes one, moves one."""
    os.sched_setaffinity(0, {cpu})
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    for i in range(1, rounds + 1):
        with open(f"{root}/new", "w") as f:
            f.write("x" * i)
        os.rename(f"{root}/new", f"{root}/file")
        with open(f"{root}/made-{i}", "w") as f:
            f.write("y")
        os.unlink(f"{root}/gone-{i}")
        os.rename(f"{root}/from-{i}", f"{root}/there/to-{i}")


def size(s3, key):
    """-1: there is none."""
    try:
        return s3.head_object(Bucket=BUCKET, Key=key)["ContentLength"]
    except ClientError as e:
        if e.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        return -1


def watch(s3, what, key, changed):
    """Asks S3 until the change shows, then the mount, which has it in its cache as it was."""
    path, old = f"{root}/{key}", -1
    deadline = time.monotonic() + 120
    while True:
        try:
            old = os.stat(path).st_size
        except FileNotFoundError:
            old = -1
        seen = size(s3, key)
        if changed(seen):
            break
        if time.monotonic() > deadline:
            sys.exit(f"{what}: {key} did not change within 120 s")
    try:
        with open(path) as f:
            now = len(f.read())
        told = os.stat(path).st_size
    except FileNotFoundError:
        now = told = -1
    if not changed(now) or not changed(told):
        print(f"{what} {key}: S3 has {seen}, the mount read {now}, stat {told}, before {old}", flush=True)
        return 1
    return 0


def main():
    s3 = client()
    cpus = sorted(os.sched_getaffinity(0))
    os.makedirs(f"{root}/there")
    for i in range(1, rounds + 1):
        for name in f"gone-{i}", f"from-{i}":
            with open(f"{root}/{name}", "w") as f:
                f.write("z")
    spin = f"import os\nos.sched_setaffinity(0, {{{cpus[0]}}})\nwhile True: pass"
    hog = subprocess.Popen([sys.executable, "-c", spin])
    stale, status = 0, 0
    try:
        child = os.fork()
        if child == 0:
            try:
                change_slowly(cpus[0])
                os._exit(0)
            finally:
                os._exit(1)
        for i in range(1, rounds + 1):
            stale += watch(s3, "replaced", "file", lambda v: v >= i)
            stale += watch(s3, "made", f"made-{i}", lambda v: v == 1)
            stale += watch(s3, "removed", f"gone-{i}", lambda v: v == -1)
            stale += watch(s3, "moved to", f"there/to-{i}", lambda v: v == 1)
            stale += watch(s3, "moved from", f"from-{i}", lambda v: v == -1)
        status = os.waitpid(child, 0)[1]
    finally:
        hog.kill()
        hog.wait()
    print(f"{rounds} rounds, {stale} stale")
    sys.exit(1 if stale or status else 0)


main()
