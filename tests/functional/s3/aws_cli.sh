#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 900
#
# The AWS CLI, every installed generation of it: mb cp mv ls sync rm rb presign, multipart by itself and by s3api.
# shellcheck disable=SC2317 # called by name
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires aws jq
requires_fuse

clis() {
	printf '%s\n' "$(command -v aws)" /usr/bin/aws | while read -r cli; do
		[ ! -x "$cli" ] || realpath "$cli"
	done | sort -u
}

one_generation() {
	local cli=$1 up=$2 url id etag1 etag2
	aws() { command "$cli" "$@"; }
	echo "== $("$cli" --version)"

	# when, and then S3
	s3 mb s3://first >/dev/null
	s3 cp --quiet "$up/small" s3://first/dir/small
	s3 cp --quiet "$up/large" s3://first/dir/large --metadata colour=blue --content-type text/x-test
	s3 cp - s3://first/stdin <"$up/small"
	assert_match "$(s3 ls s3://first)" 'PRE dir/'
	assert_match "$(s3 ls s3://first/dir/)" ' 20000000 large'
	assert_match "$(s3 ls --recursive --summarize s3://first)" 'Total Objects: 3'
	s3 cp --quiet s3://first/dir/large "$TEST_DIR/down"
	cmp "$up/large" "$TEST_DIR/down"
	s3 cp s3://first/stdin - | cmp - "$up/small"
	assert_eq "$(s3api head-object --bucket first --key dir/large | jq -r '.Metadata.colour, .ContentType' | tr '\n' ' ')" "blue text/x-test "
	s3 cp --quiet s3://first/dir/large s3://first/copy/large
	s3 mv --quiet s3://first/stdin s3://first/moved
	assert_fails s3 ls s3://first/stdin
	s3 sync --quiet "$up" s3://first/tree --delete
	assert_eq "$(s3 sync "$up" s3://first/tree --delete)" "" "a second sync sends nothing"
	rm -rf "$TEST_DIR/back"
	s3 sync --quiet s3://first/tree "$TEST_DIR/back"
	diff -r "$up" "$TEST_DIR/back"
	rm "$TEST_DIR/back/small"
	s3 sync --quiet "$TEST_DIR/back" s3://first/tree --delete
	assert_fails s3 ls s3://first/tree/small
	url=$(s3 presign s3://first/moved --expires-in 60)
	curl -sf "$url" | cmp - "$up/small"
	assert_eq "$(curl -s -o /dev/null -w '%{http_code}' "${url}0")" 403
	assert_eq "$(s3api get-bucket-location --bucket first | jq -r .LocationConstraint)" null

	# multipart by hand
	id=$(s3api create-multipart-upload --bucket first --key parts | jq -r .UploadId)
	head -c 5242880 "$up/large" >"$TEST_DIR/p1"
	tail -c +5242881 "$up/large" >"$TEST_DIR/p2"
	etag1=$(s3api upload-part --bucket first --key parts --upload-id "$id" --part-number 1 --body "$TEST_DIR/p1" | jq -r .ETag)
	etag2=$(s3api upload-part --bucket first --key parts --upload-id "$id" --part-number 2 --body "$TEST_DIR/p2" | jq -r .ETag)
	assert_eq "$(s3api list-parts --bucket first --key parts --upload-id "$id" | jq '.Parts | length')" 2
	assert_match "$(s3api list-multipart-uploads --bucket first | jq -r '.Uploads[].Key')" parts
	s3api complete-multipart-upload --bucket first --key parts --upload-id "$id" --multipart-upload \
		"$(jq -n --arg a "$etag1" --arg b "$etag2" '{Parts: [{PartNumber: 1, ETag: $a}, {PartNumber: 2, ETag: $b}]}')" >"$TEST_DIR/done"
	assert_match "$(jq -r .ETag "$TEST_DIR/done")" '-2"$'
	s3api get-object --bucket first --key parts --range bytes=5242870-5242889 "$TEST_DIR/range" >/dev/null
	cmp "$TEST_DIR/range" <(dd if="$up/large" bs=1 skip=5242870 count=20 status=none)
	s3api list-objects-v2 --bucket first --prefix tree/ --max-items 2 | jq -e '.Contents | length == 2' >/dev/null

	# then the mount
	cmp "$up/large" "$(mnt)/first/parts"
	cmp "$up/large" "$(mnt)/first/copy/large"
	cmp "$up/small" "$(mnt)/first/moved"
	assert_eq "$(ls "$(mnt)/first")" "$(printf '%s\n' copy dir moved parts tree)"

	s3 rm --quiet --recursive s3://first/tree
	assert_fails ls "$(mnt)/first/tree"
	assert_fails s3 rb s3://first
	s3 rb --force s3://first >/dev/null
	assert_eq "$(ls "$(mnt)")" ""
}

# given; the first generation presigns by the old signature unless it is told
export AWS_CONFIG_FILE=$TEST_DIR/aws.conf
printf '[default]\ns3 =\n    signature_version = s3v4\n' >"$AWS_CONFIG_FILE"
start_quoin
up=$TEST_DIR/up
mkdir -p "$up/a/b" "$up/sp ace" "$up/ünï"
random_file "$up/small" 3000
random_file "$up/large" 20000000
: >"$up/a/empty"
for i in {1..40}; do
	random_file "$up/a/b/$i" $((i * 997))
done
random_file "$up/sp ace/x+y&z" 100
random_file "$up/ünï/日本" 100
while read -r cli; do
	(one_generation "$cli" "$up")
done < <(clis)
