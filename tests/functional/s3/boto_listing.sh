#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 900
#
# Every form of listing, compared with what a sorted list of keys says: prefixes, delimiters, markers, page sizes, odd keys.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires_boto3
requires_fuse

# given
start_quoin

# when, and then S3
boto "$(mnt)" <<'PY'
import itertools, os, random, sys, concurrent.futures
from quoin_check import eq, fails, say
from quoin_s3 import s3
mnt = sys.argv[1]
seed = random.randrange(1 << 30)
say("seed", seed)
rnd = random.Random(seed)

keys = {"a", "a/", "a/b", "a/b/c", "a/b/c/d", "a-b", "a.b", "a/b-c", "a/b.c", "a0", "b/c", "b/d/", "b/d/e", "z//y", "z/", "/lead",
        "ä/ö", "日本/語", "sp ace/x", "plus+", "per%cent", "am&p<>\"'", "tilde~", "star*", "q?mark", "h#ash", "\U0001f600", "a/b/" + "n" * 200,
        "x" * 1000, "deep/" * 100 + "end", ".hidden", "..dots", "back\\slash"}
for i in range(1000):
    keys.add("/".join("".join(rnd.choice("abc-./~") for _ in range(rnd.randint(1, 3))).replace("/", "s") for _ in range(rnd.randint(1, 4)))
             + rnd.choice(["", "", "", str(i)]))
# A component that is "." or ".." is an alias on the mount; it is tested elsewhere.
keys = {k for k in keys if not any(c in (".", "..") for c in k.split("/"))}
s3.create_bucket(Bucket="list")
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    list(pool.map(lambda k: s3.put_object(Bucket="list", Key=k, Body=k.encode()[:10]), keys))
keys = sorted(keys, key=lambda k: k.encode())


def model(prefix, delimiter, after):
    """Keys and common prefixes behind `after`, in order."""
    out = []
    for k in keys:
        if not k.startswith(prefix):
            continue
        if delimiter and delimiter in k[len(prefix):]:
            name = ("p", prefix + k[len(prefix):].split(delimiter)[0] + delimiter)
        else:
            name = ("k", k)
        if name[1].encode() > after.encode() and (not out or out[-1] != name):
            out.append(name)
    return out


def page_items(r):
    got = [("k", o["Key"]) for o in r.get("Contents", [])] + [("p", p["Prefix"]) for p in r.get("CommonPrefixes", [])]
    return sorted(got, key=lambda x: x[1].encode())


def v2(prefix, delimiter, after, page):
    args, got = {"Bucket": "list", "MaxKeys": page, "Prefix": prefix, "Delimiter": delimiter}, []
    if after:
        args["StartAfter"] = after
    while True:
        r = s3.list_objects_v2(**args)
        items = page_items(r)
        assert len(items) <= page, len(items)
        eq(r["KeyCount"], len(items))
        got += items
        if not r["IsTruncated"]:
            return got
        eq(len(items), page, "a truncated page is full")
        args["ContinuationToken"] = r["NextContinuationToken"]


def v1(prefix, delimiter, after, page):
    args, got = {"Bucket": "list", "MaxKeys": page, "Prefix": prefix, "Delimiter": delimiter, "Marker": after}, []
    while True:
        r = s3.list_objects(**args)
        items = page_items(r)
        got += items
        if not r["IsTruncated"]:
            return got
        args["Marker"] = r.get("NextMarker") or items[-1][1]


cases = list(itertools.product(("", "a", "a/", "a/b", "b/", "nothing", "deep/deep/", "z/", "ä"), ("", "/"), ("", "a/b", "a/b/", "m", "~"), (1000, 7)))
cases += [("", "b", "", 1000), ("", "-.", "", 3), ("a", "b/", "", 5), ("", "/", "", 1), ("a", "a", "", 2)]


def inside(prefix, delimiter, after):
    """A marker inside of a common prefix: servers differ in whether the prefix is shown (again)."""
    at = after.find(delimiter, len(prefix)) if delimiter and after.startswith(prefix) else -1
    return at >= 0 and at + len(delimiter) < len(after)


for case in cases:
    prefix, delimiter, after, page = case
    if inside(*case[:3]):
        continue
    if page == 7 and prefix == "" and delimiter == "" and after:
        continue
    want = model(prefix, delimiter, after)
    eq(v2(*case), want, f"v2 {case}")
    eq(v1(*case), want, f"v1 {case}")
for _ in range(60):
    k = rnd.choice(keys)
    case = (k[:rnd.randint(0, len(k))], rnd.choice(["", "/", "/", "-", "b"]), rnd.choice(["", rnd.choice(keys)]), rnd.choice([3, 50, 1000]))
    if not inside(*case[:3]) and (len(model(*case[:3])) < 400 or case[3] > 10):
        eq(v2(*case), model(*case[:3]), f"v2 {case}")

# Forms
r = s3.list_objects_v2(Bucket="list", MaxKeys=0)
eq((r["KeyCount"], r["IsTruncated"]), (0, False))
r = s3.list_objects_v2(Bucket="list", Prefix="日本/", EncodingType="url")
eq(r["Contents"][0]["Key"], "%E6%97%A5%E6%9C%AC/%E8%AA%9E")
eq(r["EncodingType"], "url")
r = s3.list_objects_v2(Bucket="list", MaxKeys=5, FetchOwner=True)
assert r["Contents"][0]["Owner"]["ID"], r
o = s3.list_objects_v2(Bucket="list", Prefix="a0")["Contents"][0]
h = s3.head_object(Bucket="list", Key="a0")
eq((o["ETag"], o["Size"], o["StorageClass"]), (h["ETag"], 2, "STANDARD"))
eq(o["LastModified"].replace(microsecond=0), h["LastModified"])
fails("InvalidArgument", s3.list_objects_v2, Bucket="list", MaxKeys=-1)
fails("InvalidArgument", s3.list_objects_v2, Bucket="list", ContinuationToken="nonsense that was never given")
r = s3.list_object_versions(Bucket="list", Prefix="a/b", Delimiter="/")
eq([(v["Key"], v["VersionId"], v["IsLatest"]) for v in r["Versions"]],
   [(k, "null", True) for kind, k in model("a/b", "/", "") if kind == "k"])
got = []
for page in s3.get_paginator("list_object_versions").paginate(Bucket="list", PaginationConfig={"PageSize": 100}):
    got += [v["Key"] for v in page.get("Versions", [])]
eq(got, keys)

# then the mount: names that both faces can carry are there, with their content
for k in ("a/b-c", "ä/ö", "日本/語", "sp ace/x", "am&p<>\"'", "\U0001f600", "back\\slash", "deep/" * 100 + "end", "a/b/" + "n" * 200):
    if any(other.startswith(k + "/") for other in keys):
        continue   # a directory there
    with open(f"{mnt}/list/{k}", "rb") as f:
        eq(f.read(), k.encode()[:10], k)
r = s3.list_objects_v2(Bucket="list", Prefix="b/", Delimiter="/")
def shown(name):
    return "%~e" + name if name in ("", ".", "..") or name.startswith("%~") else name
dirs = {p["Prefix"][2:-1] for p in r.get("CommonPrefixes", [])}
objects = {o["Key"][2:] for o in r.get("Contents", [])} - {""}
want = {shown(n) for n in dirs} | {"%~o" + shown(n) if n in dirs else shown(n) for n in objects}
eq(set(os.listdir(f"{mnt}/list/b")), want)
PY
