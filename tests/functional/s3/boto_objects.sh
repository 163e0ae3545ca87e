#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# boto3: objects, ranges, conditions, metadata, copies, deletes, tags, as S3 answers them.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires_boto3
requires_fuse

# given
start_quoin

# when, and then S3
boto "$(mnt)" <<'PY'
import datetime, hashlib, sys
from quoin_check import data, eq, fails
from quoin_s3 import s3
mnt = sys.argv[1]

# Buckets
s3.create_bucket(Bucket="objects")
s3.head_bucket(Bucket="objects")
eq(fails("404", s3.head_bucket, Bucket="missing"), 404)
fails("NoSuchBucket", s3.list_objects_v2, Bucket="missing")
fails("NoSuchBucket", s3.put_object, Bucket="missing", Key="k", Body=b"")
assert s3.get_bucket_location(Bucket="objects")["LocationConstraint"] in (None, "us-east-1")
eq([b["Name"] for b in s3.list_buckets()["Buckets"]], ["objects"])

# Sizes around every limit of the design
for n in (0, 1, 100, 4095, 4096, 4097, 32767, 32768, 32769, 65536, 131072, 1 << 20, (1 << 20) + 1, 5 * 1000 * 1000):
    body = data(n)
    md5 = hashlib.md5(body).hexdigest()
    eq(s3.put_object(Bucket="objects", Key=f"size/{n}", Body=body)["ETag"], f'"{md5}"', f"ETag of {n}")
    r = s3.get_object(Bucket="objects", Key=f"size/{n}")
    eq(r["Body"].read(), body, f"body of {n}")
    eq(r["ContentLength"], n)
    eq(r["ETag"], f'"{md5}"')
    h = s3.head_object(Bucket="objects", Key=f"size/{n}")
    eq((h["ContentLength"], h["ETag"]), (n, f'"{md5}"'))
    with open(f"{mnt}/objects/size/{n}", "rb") as f:
        eq(f.read(), body, f"mount, {n}")

# Ranges
body = data(300000, 1)
s3.put_object(Bucket="objects", Key="ranges", Body=body)
total = len(body)
for spec, first, last in (("0-0", 0, 0), ("0-99", 0, 99), ("65535-65536", 65535, 65536), ("299999-", 299999, 299999),
                          ("100-", 100, total - 1), ("-1", total - 1, total - 1), ("-70000", total - 70000, total - 1),
                          ("-999999", 0, total - 1), ("1000-999999", 1000, total - 1)):
    r = s3.get_object(Bucket="objects", Key="ranges", Range=f"bytes={spec}")
    eq(r["ResponseMetadata"]["HTTPStatusCode"], 206, spec)
    eq(r["ContentRange"], f"bytes {first}-{last}/{total}")
    eq(r["Body"].read(), body[first:last + 1], spec)
eq(fails("InvalidRange", s3.get_object, Bucket="objects", Key="ranges", Range="bytes=300000-"), 416)
eq(fails("InvalidRange", s3.get_object, Bucket="objects", Key="ranges", Range="bytes=-0"), 416)
r = s3.get_object(Bucket="objects", Key="ranges", Range="nonsense")
eq((r["ResponseMetadata"]["HTTPStatusCode"], len(r["Body"].read())), (200, total))

# Conditions
etag = s3.head_object(Bucket="objects", Key="ranges")["ETag"]
when = s3.head_object(Bucket="objects", Key="ranges")["LastModified"]
before, after = when - datetime.timedelta(hours=1), when + datetime.timedelta(hours=1)
for call in (s3.get_object, s3.head_object):
    call(Bucket="objects", Key="ranges", IfMatch=etag)
    call(Bucket="objects", Key="ranges", IfNoneMatch='"0"')
    call(Bucket="objects", Key="ranges", IfModifiedSince=before)
    call(Bucket="objects", Key="ranges", IfUnmodifiedSince=after)
    call(Bucket="objects", Key="ranges", IfMatch=etag, IfUnmodifiedSince=before)
    eq(fails(("412", "PreconditionFailed"), call, Bucket="objects", Key="ranges", IfMatch='"0"'), 412)
    eq(fails(("412", "PreconditionFailed"), call, Bucket="objects", Key="ranges", IfUnmodifiedSince=before), 412)
    eq(fails("304", call, Bucket="objects", Key="ranges", IfNoneMatch=etag), 304)
    eq(fails("304", call, Bucket="objects", Key="ranges", IfModifiedSince=when), 304)
    eq(fails("304", call, Bucket="objects", Key="ranges", IfNoneMatch=etag, IfModifiedSince=before), 304)

# Headers and metadata
s3.put_object(Bucket="objects", Key="meta", Body=b"x", ContentType="text/x-test", CacheControl="max-age=5",
              ContentDisposition='attachment; filename="a b"', ContentEncoding="gzip", ContentLanguage="de",
              Expires=datetime.datetime(2030, 1, 2, 3, 4, 5), Metadata={"colour": "blue", "Empty": "", "two-words": "a b"})
h = s3.head_object(Bucket="objects", Key="meta")
eq([h[k] for k in ("ContentType", "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage")],
   ["text/x-test", "max-age=5", 'attachment; filename="a b"', "gzip", "de"])
eq(h["Metadata"], {"colour": "blue", "empty": "", "two-words": "a b"})
r = s3.get_object(Bucket="objects", Key="meta", ResponseContentType="text/other", ResponseCacheControl="no-store")
eq((r["ContentType"], r["CacheControl"]), ("text/other", "no-store"))
eq(s3.head_object(Bucket="objects", Key="size/1")["ContentType"], "binary/octet-stream")
eq(fails("MetadataTooLarge", s3.put_object, Bucket="objects", Key="toomuch", Body=b"", Metadata={"k": "v" * 2100}), 400)
fails("NoSuchKey", s3.get_object, Bucket="objects", Key="toomuch")

# Copies
s3.create_bucket(Bucket="copies")
s3.put_object(Bucket="objects", Key="src & +ü", Body=data(200000, 2), Metadata={"k": "v"}, ContentType="text/x-src")
r = s3.copy_object(Bucket="copies", Key="dst", CopySource={"Bucket": "objects", "Key": "src & +ü"})
eq(r["CopyObjectResult"]["ETag"], f'"{hashlib.md5(data(200000, 2)).hexdigest()}"')
r = s3.get_object(Bucket="copies", Key="dst")
eq((r["Body"].read() == data(200000, 2), r["Metadata"], r["ContentType"]), (True, {"k": "v"}, "text/x-src"))
s3.copy_object(Bucket="copies", Key="dst2", CopySource={"Bucket": "objects", "Key": "src & +ü"}, MetadataDirective="REPLACE",
               Metadata={"n": "w"}, ContentType="text/x-new")
h = s3.head_object(Bucket="copies", Key="dst2")
eq((h["Metadata"], h["ContentType"]), ({"n": "w"}, "text/x-new"))
fails("InvalidRequest", s3.copy_object, Bucket="copies", Key="dst", CopySource="copies/dst")
s3.copy_object(Bucket="copies", Key="dst", CopySource="copies/dst", MetadataDirective="REPLACE", Metadata={"self": "1"})
h = s3.head_object(Bucket="copies", Key="dst")
eq((h["Metadata"], h["ContentLength"]), ({"self": "1"}, 200000))
fails("NoSuchKey", s3.copy_object, Bucket="copies", Key="x", CopySource="objects/nothing")
fails("NoSuchBucket", s3.copy_object, Bucket="copies", Key="x", CopySource="nobucket/nothing")
eq(fails("PreconditionFailed", s3.copy_object, Bucket="copies", Key="x", CopySource="objects/meta",
         CopySourceIfMatch='"0"'), 412)
s3.delete_object(Bucket="objects", Key="src & +ü")
eq(s3.get_object(Bucket="copies", Key="dst2")["Body"].read(), data(200000, 2), "the copy lives on")

# Overwriting
s3.put_object(Bucket="objects", Key="meta", Body=b"second")
h = s3.head_object(Bucket="objects", Key="meta")
eq((h["ContentLength"], h["Metadata"]), (6, {}))

# Tags
tags = [{"Key": "a", "Value": "1"}, {"Key": "b b", "Value": "x+y/z"}]
s3.put_object(Bucket="objects", Key="tagged", Body=b"t", Tagging="a=1&b%20b=x%2By%2Fz")
eq(sorted(s3.get_object_tagging(Bucket="objects", Key="tagged")["TagSet"], key=lambda t: t["Key"]), tags)
eq(s3.get_object(Bucket="objects", Key="tagged")["TagCount"], 2)
s3.put_object_tagging(Bucket="objects", Key="tagged", Tagging={"TagSet": [{"Key": "c", "Value": ""}]})
eq(s3.get_object_tagging(Bucket="objects", Key="tagged")["TagSet"], [{"Key": "c", "Value": ""}])
s3.copy_object(Bucket="copies", Key="tagged", CopySource="objects/tagged")
eq(s3.get_object_tagging(Bucket="copies", Key="tagged")["TagSet"], [{"Key": "c", "Value": ""}])
s3.copy_object(Bucket="copies", Key="tagged", CopySource="objects/tagged", TaggingDirective="REPLACE", Tagging="d=2")
eq(s3.get_object_tagging(Bucket="copies", Key="tagged")["TagSet"], [{"Key": "d", "Value": "2"}])
s3.delete_object_tagging(Bucket="objects", Key="tagged")
eq(s3.get_object_tagging(Bucket="objects", Key="tagged")["TagSet"], [])
fails(("InvalidTag", "BadRequest"), s3.put_object_tagging, Bucket="objects", Key="tagged",
      Tagging={"TagSet": [{"Key": f"k{i}", "Value": ""} for i in range(11)]})
fails("NoSuchKey", s3.get_object_tagging, Bucket="objects", Key="none")

# Deleting
s3.delete_object(Bucket="objects", Key="never-there")
s3.delete_object(Bucket="objects", Key="meta")
fails("NoSuchKey", s3.get_object, Bucket="objects", Key="meta")
eq(fails("404", s3.head_object, Bucket="objects", Key="meta"), 404)
fails("BucketNotEmpty", s3.delete_bucket, Bucket="objects")
keys = [o["Key"] for o in s3.list_objects_v2(Bucket="objects")["Contents"]]
r = s3.delete_objects(Bucket="objects", Delete={"Objects": [{"Key": k} for k in keys + ["never-there"]]})
eq(sorted(d["Key"] for d in r["Deleted"]), sorted(keys + ["never-there"]))
assert "Errors" not in r, r
eq(s3.list_objects_v2(Bucket="objects")["KeyCount"], 0)
for i in range(1000):
    s3.put_object(Bucket="objects", Key=f"many/{i:04}", Body=b"")
r = s3.delete_objects(Bucket="objects", Delete={"Quiet": True, "Objects": [{"Key": f"many/{i:04}"} for i in range(1000)]})
assert not r.get("Deleted") and not r.get("Errors"), r
s3.delete_bucket(Bucket="objects")
fails("NoSuchBucket", s3.list_objects_v2, Bucket="objects")
PY

# then the mount: the deleted bucket is gone, the copies are files
assert_eq "$(ls "$(mnt)")" copies
assert_eq "$(ls "$(mnt)/copies" | tr '\n' ' ')" "dst dst2 tagged "
cmp "$(mnt)/copies/dst" "$(mnt)/copies/dst2"
