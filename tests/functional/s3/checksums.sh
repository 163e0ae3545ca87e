#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# CRC32, CRC32C, CRC64NVME, SHA-1 and SHA-256: in the header and as a trailer, verified, kept, returned, copied, of parts;
# aws-chunked bodies signed and unsigned.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires_boto3
requires_fuse

# given
start_quoin

# when, and then S3
boto "$(mnt)" <<'PY'
import hashlib, re, sys
import quoin_raw
from quoin_check import data, eq, fails
from quoin_raw import CHECKSUMS, STREAMING, STREAMING_TRAILER, UNSIGNED_TRAILER, Raw, checksum
from quoin_s3 import s3
mnt = sys.argv[1]
raw = Raw()
s3.create_bucket(Bucket="sums")
assert checksum("crc32c", b"123456789") == "4waSgw==", "self-test"
assert checksum("crc64nvme", b"123456789") == "rosUhgp5mIg=", checksum("crc64nvme", b"123456789")


def returned(key, kind):
    h = raw.request("HEAD", f"/sums/{key}", headers={"x-amz-checksum-mode": "ENABLED"})
    eq(h.status, 200, f"HEAD {key}")
    return h.headers.get(f"x-amz-checksum-{kind}")


for kind in CHECKSUMS:
    for n in (0, 1000, 70000):
        body = data(n, 3)
        name, value = f"x-amz-checksum-{kind}", checksum(kind, body)
        bad = checksum(kind, body + b"x")
        # in the header
        key = f"{kind}/header/{n}"
        a = raw.request("PUT", f"/sums/{key}", headers={name: value}, body=body)
        eq((a.status, a.headers.get(name)), (200, value), key)
        eq(returned(key, kind), value, key)
        a = raw.request("GET", f"/sums/{key}", headers={"x-amz-checksum-mode": "ENABLED"})
        eq((a.status, a.headers.get(name), a.body), (200, value, body), key)
        assert raw.request("HEAD", f"/sums/{key}").headers.get(name) is None, "given without being asked for"
        a = raw.request("PUT", f"/sums/{key}/bad", headers={name: bad}, body=body)
        eq((a.status, a.code), (400, "BadDigest"), key)
        eq(raw.request("HEAD", f"/sums/{key}/bad").status, 404, "a bad body was stored")
        # as a trailer
        for payload in (UNSIGNED_TRAILER, STREAMING_TRAILER):
            key = f"{kind}/{payload}/{n}"
            a = raw.chunked(f"/sums/{key}", body, payload, 16384, {name: value})
            eq((a.status, a.headers.get(name)), (200, value), f"{key} {a}")
            eq(returned(key, kind), value, key)
            eq(raw.request("GET", f"/sums/{key}").body, body, key)
            a = raw.chunked(f"/sums/{key}/bad", body, payload, 16384, {name: bad})
            eq((a.status, a.code), (400, "BadDigest"), key)
            eq(raw.request("HEAD", f"/sums/{key}/bad").status, 404)
            h = raw.request("HEAD", f"/sums/{key}")
            assert "aws-chunked" not in h.headers.get("content-encoding", ""), h.headers
    # copied
    a = raw.request("PUT", f"/sums/{kind}/copy", headers={"x-amz-copy-source": f"/sums/{kind}/header/1000"})
    eq(a.status, 200)
    eq(returned(f"{kind}/copy", kind), checksum(kind, data(1000, 3)), f"copy {kind}")
    a = raw.request("PUT", "/sums/malformed", headers={f"x-amz-checksum-{kind}": "!!!"}, body=b"x")
    eq((a.status, a.code in ("InvalidRequest", "InvalidArgument")), (400, True), f"malformed {kind} {a}")

# signed chunks without a trailer, chunk sizes that do not divide the body
for n, chunk in ((0, 8192), (1, 8192), (8192, 8192), (100000, 8193), (1 << 20, 65536)):
    body = data(n, 4)
    a = raw.chunked(f"/sums/streaming/{n}", body, STREAMING, chunk)
    eq((a.status, a.headers.get("etag")), (200, f'"{hashlib.md5(body).hexdigest()}"'), f"streaming {n} {a}")
    eq(raw.request("GET", f"/sums/streaming/{n}").body == body, True)

# two checksums, unknown ones
a = raw.request("PUT", "/sums/two", headers={"x-amz-checksum-crc32": checksum("crc32", b"x"), "x-amz-checksum-sha1": checksum("sha1", b"x")}, body=b"x")
eq((a.status, a.code), (400, "InvalidRequest"), "two")
a = raw.request("PUT", "/sums/named", headers={"x-amz-sdk-checksum-algorithm": "CRC99"}, body=b"x")
eq((a.status, a.code), (400, "InvalidRequest"), "CRC99")

# parts: composite for CRC32 and SHA-256, full object for CRC64NVME
MIB = 1 << 20
bodies = [data(5 * MIB, 5), data(1000, 6)]
for kind, algorithm, kind_of in (("crc32", "CRC32", "COMPOSITE"), ("sha256", "SHA256", "COMPOSITE"), ("crc32", "CRC32", "FULL_OBJECT"),
                                 ("crc64nvme", "CRC64NVME", "FULL_OBJECT"), ("crc32c", "CRC32C", "FULL_OBJECT")):
    key = f"parts/{kind}/{kind_of}"
    a = raw.request("POST", f"/sums/{key}", {"uploads": ""}, {"x-amz-checksum-algorithm": algorithm, "x-amz-checksum-type": kind_of})
    eq((a.status, a.headers.get("x-amz-checksum-algorithm")), (200, algorithm), f"{key} {a}")
    upload = re.search(rb"<UploadId>(.*)</UploadId>", a.body).group(1).decode()
    xml, digests = "", b""
    for i, body in enumerate(bodies, 1):
        value = checksum(kind, body)
        wrong = raw.request("PUT", f"/sums/{key}", {"partNumber": str(i), "uploadId": upload}, {f"x-amz-checksum-{kind}": checksum(kind, b"")},
                            body=body)
        eq((wrong.status, wrong.code), (400, "BadDigest"), key)
        a = raw.request("PUT", f"/sums/{key}", {"partNumber": str(i), "uploadId": upload}, {f"x-amz-checksum-{kind}": value}, body=body)
        eq((a.status, a.headers.get(f"x-amz-checksum-{kind}")), (200, value), f"{key} {a}")
        tag = f"Checksum{algorithm}"
        xml += f"<Part><PartNumber>{i}</PartNumber><ETag>{a.headers['etag']}</ETag><{tag}>{value}</{tag}></Part>"
        digests += quoin_raw.base64.b64decode(value)
    if kind_of == "COMPOSITE":
        want = checksum(kind, digests) + "-2"
    else:
        want = checksum(kind, b"".join(bodies))
    a = raw.request("POST", f"/sums/{key}", {"uploadId": upload}, body=f"<CompleteMultipartUpload>{xml}</CompleteMultipartUpload>".encode())
    eq(a.status, 200, f"{key} {a}")
    eq(a.code, "", key)
    eq(returned(key, kind), want, key)

# Content-MD5
body = data(5000, 7)
a = raw.request("PUT", "/sums/md5", headers={"content-md5": quoin_raw.b64(hashlib.md5(body).digest())}, body=body)
eq(a.status, 200)
a = raw.request("PUT", "/sums/md5/bad", headers={"content-md5": quoin_raw.b64(hashlib.md5(b"").digest())}, body=body)
eq((a.status, a.code), (400, "BadDigest"))
a = raw.request("PUT", "/sums/md5/bad", headers={"content-md5": "abc"}, body=body)
eq((a.status, a.code), (400, "InvalidDigest"))
a = raw.request("PUT", "/sums/md5/bad", body=body, payload=quoin_raw.sha256(b"other"))
eq((a.status, a.code), (400, "XAmzContentSHA256Mismatch"))
eq(raw.request("HEAD", "/sums/md5/bad").status, 404)

# and by boto3
for algorithm, field in (("CRC32", "ChecksumCRC32"), ("SHA1", "ChecksumSHA1"), ("SHA256", "ChecksumSHA256")):
    r = s3.put_object(Bucket="sums", Key="boto", Body=body, ChecksumAlgorithm=algorithm)
    eq(r[field], checksum(algorithm.lower(), body))
    eq(s3.get_object(Bucket="sums", Key="boto", ChecksumMode="ENABLED")[field], r[field])
PY

# then the mount: only what was right is there
assert_eq "$(find "$(mnt)/sums" -name bad | wc -l)" 0
assert_eq "$(md5sum <"$(mnt)/sums/boto")" "$(md5sum <"$(mnt)/sums/md5")"
