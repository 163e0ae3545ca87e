#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# boto3: multipart uploads: parts in any order and twice, listings, copies of parts, abort, and every way to complete wrongly.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires_boto3
requires_fuse

# given
start_quoin

# when, and then S3
boto "$(mnt)" <<'PY'
import hashlib, os, sys
from quoin_check import data, eq, fails
from quoin_s3 import s3
mnt = sys.argv[1]
MIB = 1 << 20
s3.create_bucket(Bucket="parts")


def start(key, **args):
    return s3.create_multipart_upload(Bucket="parts", Key=key, **args)["UploadId"]


def part(key, upload, n, body):
    return {"PartNumber": n, "ETag": s3.upload_part(Bucket="parts", Key=key, UploadId=upload, PartNumber=n, Body=body)["ETag"]}


def complete(key, upload, parts):
    return s3.complete_multipart_upload(Bucket="parts", Key=key, UploadId=upload, MultipartUpload={"Parts": parts})


def composite(bodies):
    return f'"{hashlib.md5(b"".join(hashlib.md5(b).digest() for b in bodies)).hexdigest()}-{len(bodies)}"'


# Out of order, one part sent twice, numbers with gaps
bodies = [data(5 * MIB, 1), data(6 * MIB + 123, 2), data(777, 3)]
u = start("big/one", Metadata={"k": "v"}, ContentType="text/x-part", Tagging="t=1")
fails("NoSuchKey", s3.get_object, Bucket="parts", Key="big/one")
p3 = part("big/one", u, 900, bodies[2])
part("big/one", u, 7, data(5 * MIB, 99))
p2 = part("big/one", u, 7, bodies[1])
p1 = part("big/one", u, 2, bodies[0])
eq(p1["ETag"], f'"{hashlib.md5(bodies[0]).hexdigest()}"')
r = s3.list_parts(Bucket="parts", Key="big/one", UploadId=u)
eq([(p["PartNumber"], p["Size"], p["ETag"]) for p in r["Parts"]],
   [(2, 5 * MIB, p1["ETag"]), (7, 6 * MIB + 123, p2["ETag"]), (900, 777, p3["ETag"])])
r = s3.list_parts(Bucket="parts", Key="big/one", UploadId=u, MaxParts=1, PartNumberMarker=2)
eq(([p["PartNumber"] for p in r["Parts"]], r["IsTruncated"], r["NextPartNumberMarker"]), ([7], True, 7))
assert not os.path.exists(f"{mnt}/parts/big/one"), "an upload shows on the mount"
r = complete("big/one", u, [p1, p2, p3])
eq(r["ETag"], composite(bodies))
r = s3.get_object(Bucket="parts", Key="big/one")
eq((r["ETag"], r["ContentType"], r["Metadata"], r["ContentLength"]),
   (composite(bodies), "text/x-part", {"k": "v"}, sum(map(len, bodies))))
eq(hashlib.md5(r["Body"].read()).hexdigest(), hashlib.md5(b"".join(bodies)).hexdigest())
eq(s3.get_object_tagging(Bucket="parts", Key="big/one")["TagSet"], [{"Key": "t", "Value": "1"}])
for a, b in ((5 * MIB - 10, 5 * MIB + 10), (0, 11 * MIB + 100), (11 * MIB + 122, 11 * MIB + 130)):
    got = s3.get_object(Bucket="parts", Key="big/one", Range=f"bytes={a}-{b}")["Body"].read()
    eq(got == b"".join(bodies)[a:b + 1], True, f"range {a}-{b}")
r = s3.head_object(Bucket="parts", Key="big/one", PartNumber=2)
eq((r["ContentLength"], r["PartsCount"]), (6 * MIB + 123, 3))
fails("NoSuchUpload", s3.list_parts, Bucket="parts", Key="big/one", UploadId=u)
with open(f"{mnt}/parts/big/one", "rb") as f:
    eq(f.read() == b"".join(bodies), True, "mount")

# Wrong completions
u = start("wrong")
small = part("wrong", u, 1, b"too small")
last = part("wrong", u, 2, b"last")
fails("EntityTooSmall", complete, "wrong", u, [small, last])
fails("InvalidPart", complete, "wrong", u, [{"PartNumber": 3, "ETag": small["ETag"]}])
fails("InvalidPart", complete, "wrong", u, [{"PartNumber": 1, "ETag": last["ETag"]}])
fails("InvalidPartOrder", complete, "wrong", u, [last, small])
fails(("MalformedXML", "InvalidRequest"), complete, "wrong", u, [])
fails("NoSuchUpload", complete, "other", u, [small])
fails("NoSuchUpload", s3.upload_part, Bucket="parts", Key="wrong", UploadId="nonsense", PartNumber=1, Body=b"")
fails("InvalidArgument", s3.upload_part, Bucket="parts", Key="wrong", UploadId=u, PartNumber=10001, Body=b"")
fails("InvalidArgument", s3.upload_part, Bucket="parts", Key="wrong", UploadId=u, PartNumber=0, Body=b"")
fails("NoSuchKey", s3.get_object, Bucket="parts", Key="wrong")
complete("wrong", u, [small])
eq(s3.get_object(Bucket="parts", Key="wrong")["Body"].read(), b"too small", "one small part is the last one")

# Copies of parts
u = start("copied")
r = s3.upload_part_copy(Bucket="parts", Key="copied", UploadId=u, PartNumber=1, CopySource="parts/big/one",
                        CopySourceRange=f"bytes=100-{5 * MIB + 99}")
one = {"PartNumber": 1, "ETag": r["CopyPartResult"]["ETag"]}
r = s3.upload_part_copy(Bucket="parts", Key="copied", UploadId=u, PartNumber=2, CopySource="parts/wrong")
two = {"PartNumber": 2, "ETag": r["CopyPartResult"]["ETag"]}
fails(("InvalidArgument", "InvalidRange", "InvalidRequest"), s3.upload_part_copy, Bucket="parts", Key="copied", UploadId=u, PartNumber=3,
      CopySource="parts/wrong", CopySourceRange="bytes=0-100")
fails("NoSuchKey", s3.upload_part_copy, Bucket="parts", Key="copied", UploadId=u, PartNumber=3, CopySource="parts/none")
complete("copied", u, [one, two])
eq(s3.get_object(Bucket="parts", Key="copied")["Body"].read() == b"".join(bodies)[100:5 * MIB + 100] + b"too small", True)

# Listing uploads, aborting
ids = {k: start(k) for k in ("u/a", "u/b", "u/b/c", "v")}
ids2 = start("u/a")
r = s3.list_multipart_uploads(Bucket="parts")
eq(sorted((x["Key"], x["UploadId"]) for x in r["Uploads"]), sorted(list(ids.items()) + [("u/a", ids2)]))
eq([x["Key"] for x in r["Uploads"]], ["u/a", "u/a", "u/b", "u/b/c", "v"])
r = s3.list_multipart_uploads(Bucket="parts", Prefix="u/", Delimiter="/")
eq(([x["Key"] for x in r["Uploads"]], [p["Prefix"] for p in r["CommonPrefixes"]]), (["u/a", "u/a", "u/b"], ["u/b/"]))
r = s3.list_multipart_uploads(Bucket="parts", MaxUploads=2)
eq((len(r["Uploads"]), r["IsTruncated"]), (2, True))
r = s3.list_multipart_uploads(Bucket="parts", KeyMarker=r["NextKeyMarker"], UploadIdMarker=r["NextUploadIdMarker"])
eq([x["Key"] for x in r["Uploads"]], ["u/b", "u/b/c", "v"])
for k, i in list(ids.items()) + [("u/a", ids2)]:
    s3.upload_part(Bucket="parts", Key=k, UploadId=i, PartNumber=1, Body=data(100000))
    s3.abort_multipart_upload(Bucket="parts", Key=k, UploadId=i)
fails("NoSuchUpload", s3.abort_multipart_upload, Bucket="parts", Key="v", UploadId=ids["v"])
assert "Uploads" not in s3.list_multipart_uploads(Bucket="parts")

# Two completions of one key: the later one wins, whole
u1, u2 = start("race"), start("race")
q1, q2 = part("race", u1, 1, b"first"), part("race", u2, 1, b"second")
complete("race", u2, [q2])
complete("race", u1, [q1])
eq(s3.get_object(Bucket="parts", Key="race")["Body"].read(), b"first")
PY

# then the mount
assert_eq "$(cat "$(mnt)/parts/race")" first
assert_eq "$(ls "$(mnt)/parts" | tr '\n' ' ')" "big copied race wrong "
