#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""halt PID NAME: halts the threads of that name, as if they were slow, until the process ends. "halted" when they are."""
import ctypes
import glob
import os
import sys

PTRACE_SEIZE, PTRACE_INTERRUPT = 0x4206, 0x4207
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


def main():
    found = list(threads(*sys.argv[1:3]))
    if not found:
        sys.exit(f"no thread {sys.argv[2]}")
    for thread in found:
        ptrace(PTRACE_SEIZE, thread)
        ptrace(PTRACE_INTERRUPT, thread)
        os.waitpid(thread, WALL)
    print("halted", flush=True)
    # A thread that is traced has not ended before its tracer knows.
    while True:
        try:
            os.waitpid(-1, WALL)
        except ChildProcessError:
            return


main()
