#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Whatever a client gets wrong has AWS's code, stores nothing and hurts nobody else: signatures, bodies, checksums, framing,
# headers, names, XML.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires_boto3
requires_fuse

usage_is() {
	[ "$("$QUOIN" admin info --json | jq '.buckets[0].objects')" = "$1" ]
}

# given: one object that must stay as it is; connections on which nothing moves are not waited for long
start_quoin 4 --set http.idle_timeout=3s

# when, and then S3
boto "$(mnt)" <<'PY'
import os, sys, time
from quoin_check import data, eq, say
from quoin_raw import EMPTY_SHA, STREAMING, STREAMING_TRAILER, UNSIGNED, UNSIGNED_TRAILER, Raw, checksum, quote, sha256
mnt = sys.argv[1]
raw = Raw()
assert raw.request("PUT", "/bad").status == 200
assert raw.request("PUT", "/bad/good", body=b"good").status == 200
checked = 0


def alive():
    a = raw.request("GET", "/bad/good")
    eq((a.status, a.body), (200, b"good"), "the daemon still answers")


def expect(a, status, *codes, what="", closed=False):
    global checked
    checked += 1
    if a is None:
        assert closed, f"{what}: no answer"
    else:
        statuses = status if isinstance(status, tuple) else (status,)
        assert a.status in statuses and (not codes or a.status < 400 or not a.body or a.code in codes), f"{what}: {a}, expected {status} {codes}"
        if a.body and codes and a.status >= 400:
            assert b"<RequestId>" in a.body and b"<Message>" in a.body, f"{what}: {a.body}"
    alive()


def put(**args):
    return raw.request("PUT", "/bad/victim", body=args.pop("body", b"body"), **args)


# --- who are you
other = Raw(secret="wrong-secret")
expect(other.request("PUT", "/bad/victim", body=b"x"), 403, "SignatureDoesNotMatch", what="wrong secret")
expect(Raw(access="nobody-knows-me").request("PUT", "/bad/victim", body=b"x"), 403, "InvalidAccessKeyId", what="wrong key")
expect(raw.request("PUT", "/bad/victim", body=b"x", sign=False), 403, "AccessDenied", what="no signature")
expect(raw.request("GET", "/bad/good", sign=False), 403, "AccessDenied", what="anonymous GET")
expect(raw.request("GET", "/", sign=False), 403, "AccessDenied", what="anonymous list")
expect(put(skew=-3600), 403, "RequestTimeTooSkewed", what="clock behind")
expect(put(skew=3600), 403, "RequestTimeTooSkewed", what="clock ahead")
expect(put(skew=-600), 200, what="ten minutes are allowed")
expect(raw.request("DELETE", "/bad/victim"), 204)
expect(Raw(region="mars-north-1").request("PUT", "/bad/victim", body=b"x"), 400, "AuthorizationHeaderMalformed", what="region")
for auth in ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 Credential=x", "AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=0",
             "AWS4-HMAC-SHA256 " + "," * 1000, "AWS4-HMAC-SHA256 Credential=quointest/20260101/us-east-1/s3/aws4_request, SignedHeaders=host"):
    expect(put(sign=auth), (400, 403), "AuthorizationHeaderMalformed", "AccessDenied", "InvalidRequest", "InvalidArgument", what=auth[:60])
for auth in ("Basic dXNlcjpwYXNz", "AWS quointest:c2lnbmF0dXJl", "Bearer x", "\x01\x02"):
    expect(put(sign=auth), (400, 403), what=repr(auth), closed=True)
a = raw.request("PUT", "/bad/victim", body=b"x", headers={"x-amz-meta-a": "1"}, unsigned_headers={"x-amz-meta-b": "2"})
expect(a, 403, "SignatureDoesNotMatch", "AccessDenied", what="unsigned x-amz header")
head, _, _ = raw.head("PUT", "/bad/victim", payload=UNSIGNED, unsigned_headers={"content-length": "1"})
expect(raw.send(head.replace("/bad/victim", "/bad/victim2").encode() + b"x"), 403, "SignatureDoesNotMatch", what="another path")


def get_presigned(q):
    return raw.send(f"GET /bad/good?{raw.canonical_query(q)} HTTP/1.1\r\nHost: {raw.host}:{raw.port}\r\n\r\n".encode())


q = raw.presign("GET", "/bad/good", expires=60, skew=-120)
expect(get_presigned(q), 403, "AccessDenied", what="expired")
q = raw.presign("GET", "/bad/good", expires=604801)
expect(get_presigned(q), 400, "AuthorizationQueryParametersError", what="expires too late")
q = raw.presign("GET", "/bad/good")
q["X-Amz-Signature"] = "0" * 64
expect(get_presigned(q), 403, "SignatureDoesNotMatch", what="presigned")
q = raw.presign("GET", "/bad/good")
del q["X-Amz-Date"]
expect(get_presigned(q), (400, 403), "AuthorizationQueryParametersError", "AccessDenied", what="no date")
q = raw.presign("GET", "/bad/good")
eq(get_presigned(q).body, b"good", "a good presigned request")

# --- bodies that are not what was promised
head, _, _ = raw.head("PUT", "/bad/victim", payload=UNSIGNED, unsigned_headers={"content-length": "100000"})
for n in (0, 1, 50000, 99999):
    expect(raw.send(head.encode() + b"x" * n, half_close=True), 400, "IncompleteBody", "RequestTimeout", what=f"{n} of 100000 bytes", closed=True)
expect(put(payload=sha256(b"other")), 400, "XAmzContentSHA256Mismatch", what="sha256")
expect(put(payload="zz"), 400, "XAmzContentSHA256Mismatch", "InvalidArgument", "InvalidRequest", what="not a sha256")
expect(put(headers={"content-md5": "AAAAAAAAAAAAAAAAAAAAAA=="}), 400, "BadDigest", what="md5")
expect(put(headers={"content-md5": "short"}), 400, "InvalidDigest", what="not an md5")
for kind in ("crc32", "crc32c", "crc64nvme", "sha1", "sha256"):
    expect(put(headers={f"x-amz-checksum-{kind}": checksum(kind, b"other")}), 400, "BadDigest", what=kind)
expect(put(length=""), 411, "MissingContentLength", what="no length")
expect(put(length="-5"), 400, what="negative length", closed=True)
expect(put(length="12x"), 400, what="odd length", closed=True)
expect(put(length=str(6 << 30)), 400, "EntityTooLarge", what="6 GiB")
expect(put(length=str(1 << 70)), (400, 413), what="too long for a number", closed=True)

# --- aws-chunked
body = data(200000)
bad_sig = lambda i, line, piece: (line[:-1] + ("0" if line[-1] != "0" else "1") if i == 1 else line, piece)
bad_data = lambda i, line, piece: (line, piece[:-1] + b"!" if i == 1 else piece)
bad_size = lambda i, line, piece: ("zz" + line[2:] if i == 1 else line, piece)
too_big = lambda i, line, piece: ("ffffffffffffffff" + line[line.find(";"):] if i == 1 else line, piece)
short = lambda i, line, piece: (line, piece[:-10] if i == 1 else piece)
no_crlf = lambda i, line, piece: (line.replace(";", "") if i == 0 else line, piece)
long_line = lambda i, line, piece: ("0" * 20000 + line if i == 0 else line, piece)
for spoil, codes, name in ((bad_sig, ("SignatureDoesNotMatch",), "signature"), (bad_data, ("SignatureDoesNotMatch",), "data"),
                           (bad_size, ("InvalidRequest", "IncompleteBody", "InvalidArgument", "SignatureDoesNotMatch", "MalformedTrailerError", "InvalidChunkSizeError"), "size"),
                           (too_big, None, "too big"), (short, None, "short"), (no_crlf, None, "no separator"), (long_line, None, "long line")):
    expect(raw.chunked("/bad/victim", body, STREAMING, 65536, spoil=spoil), (400, 403), *(codes or ()), what=f"chunk {name}", closed=True)
for cut in (0, 10, 65536, 150000):
    expect(raw.chunked("/bad/victim", body, STREAMING, 65536, cut=cut), 400, "IncompleteBody", "RequestTimeout", what=f"cut at {cut}", closed=True)
for decoded in (199999, 200001, 0):
    expect(raw.chunked("/bad/victim", body, STREAMING, 65536, decoded=decoded), 400, "IncompleteBody", "InvalidRequest", "InvalidArgument",
           what=f"decoded length {decoded}", closed=True)
crc = {"x-amz-checksum-crc32": checksum("crc32", body)}
expect(raw.chunked("/bad/victim", body, UNSIGNED_TRAILER, 65536, {"x-amz-checksum-crc32": "AAAAAA=="}), 400, "BadDigest", what="trailer")
expect(raw.chunked("/bad/victim", body, STREAMING_TRAILER, 65536, crc, spoil=bad_data), (400, 403), what="data with trailer")
expect(raw.chunked("/bad/victim", body, UNSIGNED_TRAILER, 65536, {"x-amz-checksum-crc32": "!!"}), 400, what="malformed trailer")
expect(raw.chunked("/bad/victim", body, UNSIGNED_TRAILER, 65536, crc, headers={"x-amz-trailer": "x-amz-checksum-sha1"}), (400, 200), what="trailer of another name")
raw.request("DELETE", "/bad/victim")

# --- requests that are not requests
for text in (b"nonsense\r\n\r\n", b"GET\r\n\r\n", b"\r\n\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\n\r\n",
             b"GET http://x/ HTTP/1.1\r\n\r\n", b"GET /bad/good HTTP/1.1\r\nHost\r\n\r\n", b"\x00" * 5000):
    expect(raw.send(text, half_close=True), (400, 403, 404, 405, 505), what=repr(text[:20]), closed=True)
expect(raw.request("GET", "/bad/good", headers={"x-amz-meta-a": "a" * 20000}), (400, 431), "RequestHeaderSectionTooLarge", "MetadataTooLarge", what="a header of 20 kB", closed=True)
expect(raw.request("GET", "/bad/good", headers={f"x-filler-{i}": "a" * 500 for i in range(200)}), (400, 431), what="100 kB of headers", closed=True)
expect(raw.request("PUT", "/bad/victim", headers={"x-amz-meta-a": "a" * 2049}, body=b"x"), 400, "MetadataTooLarge", what="metadata")
expect(raw.request("BREW", "/bad/good"), (400, 405, 501), "MethodNotAllowed", "NotImplemented", what="BREW", closed=True)
expect(raw.request("PATCH", "/bad/good"), (400, 405, 501), "MethodNotAllowed", "NotImplemented", what="PATCH")
expect(raw.request("POST", "/bad/good"), (400, 405, 501, 411, 412), what="POST to an object")
expect(raw.request("GET", "/bad/good", {"torrent": ""}), (400, 405, 501), what="torrent")
expect(raw.request("PUT", "/bad", {"nonsense": ""}), (200, 400, 405, 409, 501), what="unknown subresource")
expect(raw.send(b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"), (400, 414, 431), what="long URI", closed=True)

# --- names
for name in ("ab", "a" * 64, "Upper", "under_score", "dot..dot", "-start", "end-", "192.168.1.1", "sp ace", "ümlaut", "a.-b"):
    expect(raw.request("PUT", f"/{name}"), 400, "InvalidBucketName", what=name)
    assert not os.path.exists(f"{mnt}/{name}"), name
expect(raw.request("PUT", "/bad/" + "k" * 1025, body=b"x"), 400, "KeyTooLongError", what="key of 1025")
expect(raw.request("PUT", "/bad/" + "k" * 1024, body=b"x"), 200, what="key of 1024")
expect(raw.request("DELETE", "/bad/" + "k" * 1024), 204)
expect(raw.request("PUT", "/bad/x", raw_path="/bad/%zz", body=b"x"), (400, 403), what="%zz")
expect(raw.request("PUT", "/bad/x", raw_path="/bad/a%00b", body=b"x"), 400, what="NUL in the key")
expect(raw.request("PUT", "/bad/x", raw_path="/bad/%ff%fe", body=b"x"), 400, what="not UTF-8")
controls = ["c/\x01", "c/\x1f\x7f", "c/\r\n", "c/\t<>&\"'", "c/\ufffe", "c/\x0b"]
for k in controls:
    expect(raw.request("PUT", "/bad/" + k, body=b"ctl"), 200, what=repr(k))
    eq(raw.request("GET", "/bad/" + k).body, b"ctl", repr(k))
for version in ("1", "2"):
    a = raw.request("GET", "/bad", {"list-type": version, "prefix": "c/", "encoding-type": "url"})
    eq(a.status, 200)
    for k in controls:
        assert f"<Key>{quote(k)}</Key>".encode() in a.body or f"<Key>{quote(k, '')}</Key>".encode() in a.body, f"{k!r} in {a.body}"
import xml.etree.ElementTree as ET
a = raw.request("GET", "/bad", {"list-type": "2", "prefix": "c/"})
eq(a.status, 200)
say("without encoding-type:", a.body.count(b"<Key>"), "keys")
for k in controls:
    eq(raw.request("DELETE", "/bad/" + k).status, 204)

# --- XML
for text in (b"", b"nonsense", b"<Delete>", b"<Delete></Delete>", b"<Other/>", b"<Delete><Object></Object></Delete>", b"<a>" * 10000,
             b'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "b">]><Delete><Object><Key>&a;</Key></Object></Delete>',
             b"<Delete>" + b"<Object><Key>k</Key></Object>" * 1001 + b"</Delete>", b"\xff\xfe<\x00"):
    import base64, hashlib
    md5 = base64.b64encode(hashlib.md5(text).digest()).decode()
    expect(raw.request("POST", "/bad", {"delete": ""}, {"content-md5": md5}, text), 400, "MalformedXML", "InvalidRequest", "MissingRequestBodyError", what=repr(text[:40]))
expect(raw.request("POST", "/bad", {"delete": ""}, body=b"<Delete><Object><Key>good</Key></Object></Delete>", headers={"content-md5": "AAAAAAAAAAAAAAAAAAAAAA=="}),
       400, "BadDigest", what="delete with a wrong MD5")
expect(raw.request("POST", "/bad", {"delete": ""}, body=b"<Delete>" + b" " * (6 << 20) + b"</Delete>"), (400, 413), what="6 MiB of XML", closed=True)
a = raw.request("POST", "/bad/up", {"uploads": ""})
upload = a.body.split(b"<UploadId>")[1].split(b"<")[0].decode()
for text in (b"", b"x", b"<CompleteMultipartUpload/>", b"<CompleteMultipartUpload><Part><PartNumber>one</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>",
             b"<CompleteMultipartUpload><Part></Part></CompleteMultipartUpload>"):
    expect(raw.request("POST", "/bad/up", {"uploadId": upload}, body=text), 400, "MalformedXML", "InvalidPart", "InvalidArgument", "InvalidRequest", what=repr(text[:60]))
expect(raw.request("PUT", "/bad/good", {"tagging": ""}, body=b"<Tagging><TagSet><Tag><Key></Key>"), 400, "MalformedXML", "InvalidTag", what="tagging")
for q in ({"partNumber": "x", "uploadId": upload}, {"partNumber": "0", "uploadId": upload}, {"partNumber": "10001", "uploadId": upload},
          {"partNumber": "99999999999999999999", "uploadId": upload}, {"partNumber": "-1", "uploadId": upload}):
    expect(raw.request("PUT", "/bad/up", q, body=b"x"), 400, "InvalidArgument", what=str(q))
expect(raw.request("DELETE", "/bad/up", {"uploadId": upload}), 204)
for q in ({"list-type": "3"}, {"max-keys": "x"}, {"max-keys": "-1"}, {"max-keys": "99999999999999999999"}, {"encoding-type": "rot13"},
          {"list-type": "2", "continuation-token": "\x01"}, {"list-type": "2", "continuation-token": ""}):
    expect(raw.request("GET", "/bad", q), (200, 400), "InvalidArgument", what=str(q))
for source in ("", "/", "bad", "/bad", "/bad/", "%zz/%zz", "/bad/good?versionId=zz", "//", "/UPPER/x", "/bad/" + "k" * 2000):
    a = raw.request("PUT", "/bad/victim", headers={"x-amz-copy-source": source})
    expect(a, (400, 404), what=f"copy source {source!r}"[:60])
for h in ({"range": "bytes=5-1"}, {"range": "bytes=a-b"}, {"range": "bytes=0-0,2-2"}, {"range": "bytes=" + "9" * 40 + "-"}, {"range": "lines=1-2"}, {"range": "bytes=--1"}):
    expect(raw.request("GET", "/bad/good", headers=h), (200, 206, 416), "InvalidRange", what=str(h))
for h in ({"if-match": ""}, {"if-modified-since": "yesterday"}, {"if-match": '"' * 500}):
    expect(raw.request("GET", "/bad/good", headers=h), (200, 304, 400, 412), what=str(h)[:60])
expect(raw.request("GET", "/bad/good", {"versionId": "nonsense"}), (400, 404), "NoSuchVersion", "InvalidArgument", what="version")
expect(raw.request("PUT", "/bad/victim", headers={"x-amz-storage-class": "FLOPPY"}, body=b"x"), 400, "InvalidStorageClass", what="storage class")
expect(raw.request("PUT", "/bad/victim", headers={"x-amz-tagging": "a=1&a=2"}, body=b"x"), 400, "InvalidTag", "InvalidArgument", what="same tag twice")

# --- a client that stalls or leaves does not keep others waiting
slow = [raw.connect() for _ in range(50)]
head, _, _ = raw.head("PUT", "/bad/victim", payload=UNSIGNED, unsigned_headers={"content-length": "10000000"})
for i, s in enumerate(slow):
    s.sendall(head.encode()[:20 + i * 10] if i % 2 else head.encode() + b"x" * 100000)
began = time.monotonic()
for _ in range(20):
    alive()
assert time.monotonic() - began < 5, "stalled clients keep others waiting"
for s in slow:
    s.close()

# nothing was stored
a = raw.request("GET", "/bad", {"list-type": "2"})
eq(a.body.count(b"<Contents>"), 1, f"objects in the bucket {a.body}")
a = raw.request("GET", "/", {})
eq(a.body.count(b"<Bucket>"), 1, "buckets")
say(checked, "wrong requests")
PY

# then the mount: the one object, and the daemon that has served all along ends well
assert_eq "$(ls -A "$(mnt)/bad")" good
assert_eq "$(cat "$(mnt)/bad/good")" good
kill -0 "$QUOIN_PID"
expect_within 20 usage_is 1
stop_quoin
