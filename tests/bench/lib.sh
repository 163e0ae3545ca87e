# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What the benchmarks share. A benchmark sets `top` and TEST_NAME, parses its options with `dir` for --dir, sources this,
# and then has a release build (-O2) of the daemon and of the load programs below build/bench, or below QUOIN_BENCH_BUILD,
# and everything of tests/lib/common.sh.

build=${QUOIN_BENCH_BUILD:-$top/build/bench}

build_release() {
	[ -x "$top/configure" ] || autoreconf -fi "$top"
	mkdir -p "$build"
	[ -f "$build/config.status" ] || (cd "$build" && "$top/configure" -q CFLAGS="-g -O2")
	make -s -C "$build" -j "$(nproc)" quoin bench
}
build_release
export QUOIN=$build/quoin TEST_NAME
export QUOIN_TEST_TMP=${dir:-/var/tmp}
. "$top/tests/lib/common.sh"
bench=$build/tests/bench

# value KEY LINE: of a line of key=value figures
value() {
	tr ' ' '\n' <<<"$2" | sed -n "s/^$1=\([0-9.]*\).*/\1/p" | head -n 1
}

# calc EXPRESSION [FORMAT]
calc() {
	awk "BEGIN {printf \"${2:-%.2f}\", ($1)}"
}

# row WORK OURS LIMIT NOTE, told at once and again by table
rows=()
row() {
	local ratio=-
	if [[ $2 =~ ^[0-9.]+$ ]] && [[ $3 =~ ^[0-9.]+$ ]]; then
		ratio=$(awk -v a="$2" -v b="$3" 'BEGIN {if (b > 0) printf "%.2f", a / b; else print "-"}')
	fi
	rows+=("$(printf '%-38s %12s %12s %7s  %s' "$1" "$2" "$3" "$ratio" "$4")")
	echo "${rows[-1]}"
}
row_head() {
	printf '%-38s %12s %12s %7s  %s\n' work ours limit ratio note
}
table() {
	echo
	row_head
	printf '%s\n' "${rows[@]}"
}

# load VERB ARGUMENT...: s3bench on the daemon of the test; prints its figures
load() {
	local verb=$1
	shift
	"$bench/s3bench" "$verb" --endpoint "127.0.0.1:$QUOIN_PORT" --access "$AWS_ACCESS_KEY_ID" --secret "$AWS_SECRET_ACCESS_KEY" \
		--pid "$QUOIN_PID" "$@"
}

daemon_cpu_s() {
	awk -v tick="$(getconf CLK_TCK)" '{sub(/.*\) /, ""); print ($12 + $13) / tick}' "/proc/$QUOIN_PID/stat"
}

drop_caches() {
	sync
	echo 3 2>/dev/null >/proc/sys/vm/drop_caches || true
}
