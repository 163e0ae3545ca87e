#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 900
#
# Small drives are filled by both faces until nothing fits: what was answered is there, the refusal is clean, everything still
# reads, all drives stay in the set. Deletes work by both faces, space comes back, writes work again; a restart in between
# changes nothing.
# shellcheck disable=SC2317 # called by name
set -euo pipefail
. "$(dirname "$0")/../lib/common.sh"
requires jq mkfs.ext4
requires_boto3
requires_fuse
[ "$(id -u)" = 0 ] || skip "needs root for loop devices"

# given
make_disks 4 "${QUOIN_TEST_DISK:-400M}"
on_exit 'for i in 1 2 3 4; do umount -l "$TEST_DIR/drive$i" 2>/dev/null; done'
start_quoin 4 --set segment.size=16MiB
make_tree 1
mkdir "$(mnt)/full"
random_file "$TEST_DIR/large" 4000000
random_file "$TEST_DIR/small" 20000
large_sum=$(md5sum <"$TEST_DIR/large")
small_sum=$(md5sum <"$TEST_DIR/small")

all_in() {
	assert_eq "$(admin_info '[.set.slots[] | select(.state == "in")] | length')" 4 "drives in the set"
	assert_eq "$(admin_info .set.writable)" true "the set can be written"
}
# What was answered is there, by both faces.
kept() {
	local n
	for n in "${s3_large[@]}" "${mount_large[@]}"; do
		assert_eq "$(md5sum <"$(mnt)/full/$n")" "$large_sum" "$n"
	done
	for ((n = 0; n < ${#small[@]}; n += 7)); do
		assert_eq "$(s3curl "/full/${small[n]}" | md5sum)" "$small_sum" "${small[n]}"
	done
	verify_tree
}

# when it is filled by S3, by the mount, and by small objects, each until it is refused
s3_large=() mount_large=() small=()
fill() {
	local i status
	for ((i = 0; i < 20; i++)); do
		assert_eq "$(s3status "/full/s3-$1-$i" -T "$TEST_DIR/large")" 200
		s3_large+=("s3-$1-$i")
	done
	for ((i = 0; i < 2000; i++)); do
		cp "$TEST_DIR/large" "$(mnt)/full/mnt-$1-$i" 2>"$TEST_DIR/stderr" || break
		sync "$(mnt)/full/mnt-$1-$i" 2>>"$TEST_DIR/stderr" || break
		mount_large+=("mnt-$1-$i")
	done
	assert_match "$(cat "$TEST_DIR/stderr")" 'No space left on device'
	rm -f "$(mnt)/full/mnt-$1-$i"
	for ((i = 20; i < 2000; i++)); do
		status=$(s3status "/full/s3-$1-$i" -T "$TEST_DIR/large")
		[ "$status" = 200 ] || break
		s3_large+=("s3-$1-$i")
	done
	assert_eq "$status" 507 "PUT on full drives"
	assert_match "$(s3curl "/full/s3-$1-$i" -T "$TEST_DIR/large")" '<Code>XQuoinStorageFull</Code>'
	for ((i = 0; i < 20000; i++)); do
		status=$(s3status "/full/small-$1-$i" -T "$TEST_DIR/small")
		[ "$status" = 200 ] || break
		small+=("small-$1-$i")
	done
	assert_eq "$status" 507 "a small PUT on full drives"
	echo "round $1: ${#s3_large[@]} large by S3, ${#mount_large[@]} by the mount, ${#small[@]} small"
}
fill 1
[ "${#s3_large[@]}" -gt 10 ] || fail "hardly anything fitted"

# then nothing is lost, every drive is in
all_in
kept

# and a scrub ends well, though its report finds no room
"$QUOIN" admin scrub start >"$TEST_DIR/scrub" || fail "a scrub on full drives: $(tail -n 3 "$TEST_DIR/scrub")"
! grep 'a run failed.*service=scrub' "$QUOIN_LOG" || fail "a scrub on full drives failed"

# and a restart changes nothing
restart_quoin
all_in
kept

# when all of it is deleted, half by each face
i=0
for n in "${s3_large[@]}" "${mount_large[@]}" "${small[@]}"; do
	if ((i++ % 2)); then
		assert_eq "$(s3status "/full/$n" -X DELETE)" 204 "DELETE on full drives"
	else
		rm "$(mnt)/full/$n" || fail "rm on full drives"
	fi
done
assert_eq "$(find "$(mnt)/full" -type f | wc -l)" 0
all_in
verify_tree

# then space comes back, and as much fits again
was=${#s3_large[@]}
fits() {
	[ "$(s3status /full/again -T "$TEST_DIR/large")" = 200 ]
}
expect_within 200 fits
s3status /full/again -X DELETE >/dev/null
s3_large=() mount_large=() small=()
refill() {
	local i status
	for ((i = ${#s3_large[@]}; i < was * 3 / 4; i++)); do
		status=$(s3status "/full/again-$i" -T "$TEST_DIR/large")
		[ "$status" = 200 ] || return 1
		s3_large+=("again-$i")
	done
}
expect_within 200 refill
kept
all_in
stop_quoin
