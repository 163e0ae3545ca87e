#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""halt PID NAME: halts the threads of that name, as if they were slow, until the process ends. "halted" when they are.
Each is halted where it waits for a request of the mount: it has no lock there."""
import ctypes
import glob
import os
import sys
import time

PTRACE_CONT, PTRACE_SEIZE, PTRACE_INTERRUPT = 7, 0x4206, 0x4207
WALL = 0x40000000  # threads too

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_ulong, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def ptrace(request, thread):
    if libc.ptrace(request, thread, None, None) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace of thread {thread}")


def threads(pid, name):
    for comm in glob.glob(f"/proc/{pid}/task/*/comm"):
        with open(comm, encoding="utf-8") as f:
            if f.read().strip() == name:
                yield int(comm.split("/")[4])


def waits_for_request(pid, thread):
    with open(f"/proc/{pid}/task/{thread}/syscall", encoding="ascii") as f:
        call = f.read().split()
    try:
        return os.readlink(f"/proc/{pid}/fd/{int(call[1], 16)}") == "/dev/fuse"
    except (OSError, IndexError):
        return False


def halt(pid, thread):
    ptrace(PTRACE_SEIZE, thread)
    while True:
        ptrace(PTRACE_INTERRUPT, thread)
        os.waitpid(thread, WALL)
        if waits_for_request(pid, thread):
            return
        ptrace(PTRACE_CONT, thread)
        time.sleep(0.01)


def main():
    pid, name = sys.argv[1:3]
    halted = set()
    # One that works starts another.
    while found := set(threads(pid, name)) - halted:
        for thread in found:
            halt(pid, thread)
        halted |= found
    if not halted:
        sys.exit(f"no thread {name}")
    print("halted", flush=True)
    # A thread that is traced has not ended before its tracer knows.
    while True:
        try:
            os.waitpid(-1, WALL)
        except ChildProcessError:
            return


main()
