#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What a service manager is told (sd_notify(3)): ready, reloading, stopping, and that the stop may take as long as it does.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires python3

# given
export NOTIFY_SOCKET=$TEST_DIR/notify
python3 - "$NOTIFY_SOCKET" >"$TEST_DIR/told" <<'PY' &
import socket
import sys

listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind(sys.argv[1])
while True:
    print(listener.recv(4096).decode().replace("\n", " "), flush=True)
PY
listener=$!
on_exit 'kill "$listener" 2>/dev/null'
expect_within 20 test -S "$NOTIFY_SOCKET"
told() {
	grep -Eqx "$1" "$TEST_DIR/told"
}
times_ready() {
	[ "$(grep -cx READY=1 "$TEST_DIR/told")" -eq "$1" ]
}

# when it starts
start_quoin 4

# then it says so when it is ready, not before
expect_within 10 times_ready 1

# when it reads its configuration again
kill -HUP "$QUOIN_PID"
expect_within 10 times_ready 2
told 'RELOADING=1 MONOTONIC_USEC=[0-9]+' || fail "nothing was told of the reload"

# when it stops, each step has its time
stop_quoin
expect_within 10 told 'STOPPING=1'
expect_within 10 told 'EXTEND_TIMEOUT_USEC=[1-9][0-9]{6,} STATUS=Stopping: the mount'
expect_within 10 told 'EXTEND_TIMEOUT_USEC=[1-9][0-9]{7,} STATUS=Stopping: the last checkpoint'
