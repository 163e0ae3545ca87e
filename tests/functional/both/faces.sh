#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What is written through one face is read through the other: names, bytes, sizes, ETags, times, modes, metadata, links,
# directories, at once and after a restart.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires_boto3
requires_fuse

# given
start_quoin

# when one face writes, then the other has it
boto "$(mnt)" "$TEST_DIR/state" <<'PY'
import errno, hashlib, json, os, re, stat, sys, time
from quoin_check import data, eq, fails
from quoin_s3 import s3
mnt, B = sys.argv[1], "faces"
root = f"{mnt}/{B}"


def keys(prefix=""):
    return [o["Key"] for o in s3.list_objects_v2(Bucket=B, Prefix=prefix).get("Contents", [])]


def get(key):
    return s3.get_object(Bucket=B, Key=key)["Body"].read()


def put(key, body=b"", **args):
    return s3.put_object(Bucket=B, Key=key, Body=body, **args)


def write(path, body):
    with open(f"{root}/{path}", "wb") as f:
        f.write(body)


def read(path):
    with open(f"{root}/{path}", "rb") as f:
        return f.read()


def gone(path):
    assert not os.path.lexists(f"{root}/{path}"), path


def no_key(key):
    fails("404", s3.head_object, Bucket=B, Key=key)


# buckets
s3.create_bucket(Bucket=B)
eq(os.listdir(mnt), [B])
os.mkdir(f"{mnt}/by-mount")
eq([b["Name"] for b in s3.list_buckets()["Buckets"]], ["by-mount", B])
os.rmdir(f"{mnt}/by-mount")
eq(fails("404", s3.head_bucket, Bucket="by-mount"), 404)

# content, every size, both ways
for n in (0, 1, 4096, 32768, 32769, 100000, 1 << 20, 3000001):
    put(f"s/{n}", data(n))
    eq(read(f"s/{n}") == data(n), True, f"S3 -> mount {n}")
    eq(os.stat(f"{root}/s/{n}").st_size, n)
    os.makedirs(f"{root}/m", exist_ok=True)
    write(f"m/{n}", data(n, 1))
    eq(get(f"m/{n}") == data(n, 1), True, f"mount -> S3 {n}")
    h = s3.head_object(Bucket=B, Key=f"m/{n}")
    eq(h["ContentLength"], n)
    eq(re.fullmatch(r'"[0-9a-f]{32}(-[0-9a-zA-Z]+)?"', h["ETag"]) is not None, True, h["ETag"])

# ETag: MD5 of a PUT, opaque and changing for what the mount wrote
eq(put("etag", b"one")["ETag"], f'"{hashlib.md5(b"one").hexdigest()}"')
seen = {s3.head_object(Bucket=B, Key="etag")["ETag"]}
for i in range(5):
    with open(f"{root}/etag", "ab") as f:
        f.write(b"+")
    tag = s3.head_object(Bucket=B, Key="etag")["ETag"]
    assert tag not in seen and "-" in tag, tag
    seen.add(tag)
    eq(s3.list_objects_v2(Bucket=B, Prefix="etag")["Contents"][0]["ETag"], tag)
eq(get("etag"), b"one+++++")

# partial overwrite of an S3 object through the mount, and of a mount file by S3
put("partial", data(200000, 2))
with open(f"{root}/partial", "r+b") as f:
    f.seek(100000)
    f.write(b"in the middle")
want = bytearray(data(200000, 2))
want[100000:100013] = b"in the middle"
eq(get("partial") == bytes(want), True)
os.truncate(f"{root}/partial", 100005)
eq(get("partial") == bytes(want[:100005]), True)
write("replaced", b"by the mount")
ino = os.stat(f"{root}/replaced").st_ino
put("replaced", b"by S3")
eq(read("replaced"), b"by S3")
assert os.stat(f"{root}/replaced").st_ino != ino, "an S3 replace makes a new file"

# what is open keeps its content
put("open", b"old content")
fd = os.open(f"{root}/open", os.O_RDONLY)
eq(os.pread(fd, 3, 0), b"old")
put("open", b"new")
eq((os.pread(fd, 100, 0), os.fstat(fd).st_size), (b"old content", 11))
eq(read("open"), b"new")
s3.delete_object(Bucket=B, Key="open")
eq(os.pread(fd, 100, 0), b"old content")
gone("open")
os.close(fd)
body = s3.get_object(Bucket=B, Key="s/3000001")["Body"]
first = body.read(1000)
write("s/3000001", b"other")
eq(first + body.read() == data(3000001), True, "a GET that runs keeps what it opened")

# a writer on the mount: S3 sees it from fsync and from close, as a whole
fd = os.open(f"{root}/writer", os.O_CREAT | os.O_RDWR)
os.write(fd, b"first")
os.fsync(fd)
eq(get("writer"), b"first")
os.write(fd, b" second")
eq(os.stat(f"{root}/writer").st_size, 12)
eq(read("writer"), b"first second")
assert get("writer") in (b"first", b"first second")
put("writer", b"s3 wins the name")
os.write(fd, b" third")
os.close(fd)
eq((get("writer"), read("writer")), (b"s3 wins the name",) * 2)
fd = os.open(f"{root}/unlinked", os.O_CREAT | os.O_RDWR)
os.write(fd, b"x")
os.unlink(f"{root}/unlinked")
os.fsync(fd)
os.close(fd)
no_key("unlinked")

# deletes
s3.delete_object(Bucket=B, Key="s/1")
gone("s/1")
os.unlink(f"{root}/m/1")
no_key("m/1")

# directories: implicit, explicit, empty
put("i/j/k", b"x")
eq(os.listdir(f"{root}/i"), ["j"])
s3.delete_object(Bucket=B, Key="i/j/k")
gone("i")
os.makedirs(f"{root}/e/f")
eq(keys("e/"), ["e/", "e/f/"])
eq((get("e/f/"), s3.head_object(Bucket=B, Key="e/f/")["ContentLength"]), (b"", 0))
put("e/f/g", b"x")
s3.delete_object(Bucket=B, Key="e/f/g")
eq(os.listdir(f"{root}/e/f"), [], "an explicit directory stays")
put("explicit/", b"")
eq(os.listdir(f"{root}/explicit"), [])
os.rmdir(f"{root}/explicit")
no_key("explicit/")
s3.delete_object(Bucket=B, Key="e/f/")
gone("e/f")
put("body/", b"a directory with a body")
eq((get("body/"), os.path.isdir(f"{root}/body")), (b"a directory with a body", True))
put("emptied/x", b"x")
os.unlink(f"{root}/emptied/x")
eq((os.listdir(f"{root}/emptied"), keys("emptied")), ([], ["emptied/"]), "unlink never removes the parent")
put("changed/x", b"x")
os.chmod(f"{root}/changed", 0o700)
s3.delete_object(Bucket=B, Key="changed/x")
eq(os.path.isdir(f"{root}/changed"), True, "a changed directory is explicit")
put("cwd/deep/x", b"x")
here = os.open(f"{root}/cwd/deep", os.O_RDONLY)
s3.delete_object(Bucket=B, Key="cwd/deep/x")
put("cwd/deep/x", b"again")
eq(os.listdir(f"{root}/cwd/deep"), ["x"])
os.close(here)

# a and a/b
put("both", b"object")
put("both/child", b"child")
eq((get("both"), get("both/child"), os.path.isdir(f"{root}/both"), read("both/child")), (b"object", b"child", True, b"child"))
eq(keys("both"), ["both", "both/child"])
s3.delete_object(Bucket=B, Key="both/child")
eq(read("both"), b"object")

# renames
write("r1", b"r")
os.rename(f"{root}/r1", f"{root}/r2")
no_key("r1")
eq(get("r2"), b"r")
for i in range(50):
    put(f"tree/d{i % 5}/f{i}", str(i).encode())
os.rename(f"{root}/tree", f"{root}/moved")
eq((keys("tree"), len([k for k in keys("moved") if not k.endswith("/")])), ([], 50))
eq(get("moved/d3/f13"), b"13")
put("tree/new", b"n")
eq(sorted(os.listdir(root + "/tree")), ["new"])

# links and special files
os.symlink("moved/d3/f13", f"{root}/sym")
eq(get("sym"), b"moved/d3/f13")
eq(read("sym"), b"13")
os.link(f"{root}/r2", f"{root}/r3")
eq(get("r3"), b"r")
with open(f"{root}/r3", "ab") as f:
    f.write(b"!")
eq((get("r2"), get("r3")), (b"r!", b"r!"))
eq(s3.head_object(Bucket=B, Key="r2")["ETag"], s3.head_object(Bucket=B, Key="r3")["ETag"])
put("r2", b"alone")
eq((get("r2"), get("r3"), read("r3"), os.stat(f"{root}/r3").st_nlink), (b"alone", b"r!", b"r!", 1))
os.mkfifo(f"{root}/fifo")
eq(s3.head_object(Bucket=B, Key="fifo")["ContentLength"], 0)

# metadata
put("meta", b"m", Metadata={"colour": "blue", "mode": "33184", "uid": "1234", "gid": "4321", "mtime": "981173106.5"}, ContentType="text/x-m")
st = os.stat(f"{root}/meta")
eq(os.getxattr(f"{root}/meta", "user.colour"), b"blue")
eq((stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid, st.st_mtime), (0o640, 1234, 4321, 981173106.5), "mode, owner and time by metadata")
os.setxattr(f"{root}/meta", "user.size-of-it", b"big")
os.setxattr(f"{root}/meta", "user.raw", b"\x00\xff")
h = s3.head_object(Bucket=B, Key="meta")
eq((h["Metadata"].get("size-of-it"), h["Metadata"]["colour"], h["ContentType"]), ("big", "blue", "text/x-m"))
with open(f"{root}/meta", "ab") as f:
    f.write(b"+")
h = s3.head_object(Bucket=B, Key="meta")
eq((h["Metadata"]["colour"], h["ContentType"], h["ContentLength"]), ("blue", "text/x-m", 2), "a mount write keeps metadata")
eq(os.getxattr(f"{root}/meta", "user.raw"), b"\x00\xff")
put("plain", b"p")
st = os.stat(f"{root}/plain")
eq((stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid), (0o644, os.getuid(), os.getgid()), "defaults")
eq(abs(st.st_mtime - time.time()) < 60, True)
os.utime(f"{root}/plain", (1e9, 1e9))
assert float(s3.head_object(Bucket=B, Key="plain")["Metadata"].get("mtime", "1000000000")) == 1e9
eq(abs(s3.head_object(Bucket=B, Key="plain")["LastModified"].timestamp() - time.time()) < 60, True, "Last-Modified is the commit time")

# copies
s3.copy_object(Bucket=B, Key="copy", CopySource=f"{B}/partial")
eq(read("copy"), read("partial"))
with open(f"{root}/copy", "r+b") as f:
    f.write(b"COPY")
eq(read("partial")[:4] != b"COPY", True)
u = s3.create_multipart_upload(Bucket=B, Key="mp/obj")["UploadId"]
etag = s3.upload_part(Bucket=B, Key="mp/obj", UploadId=u, PartNumber=1, Body=data(5 << 20))["ETag"]
gone("mp")
s3.complete_multipart_upload(Bucket=B, Key="mp/obj", UploadId=u, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
eq(read("mp/obj") == data(5 << 20), True)

# conditional writes see the mount
from quoin_raw import Raw
raw = Raw()
eq(raw.request("PUT", f"/{B}/cond", headers={"if-none-match": "*"}, body=b"1").status, 200)
eq(raw.request("PUT", f"/{B}/cond", headers={"if-none-match": "*"}, body=b"2").status, 412)
old = s3.head_object(Bucket=B, Key="cond")["ETag"]
write("cond", b"by mount")
eq(raw.request("PUT", f"/{B}/cond", headers={"if-match": old}, body=b"3").status, 412)
eq(raw.request("PUT", f"/{B}/cond", headers={"if-match": s3.head_object(Bucket=B, Key="cond")["ETag"]}, body=b"4").status, 200)
eq(read("cond"), b"4")
try:
    os.open(f"{root}/cond", os.O_CREAT | os.O_EXCL)
    raise AssertionError("O_EXCL over an object")
except FileExistsError:
    pass

# listing and readdir: the same names
want = set()
for d, dirs, files in os.walk(root):
    rel = os.path.relpath(d, root)
    want |= {os.path.normpath(f"{rel}/{f}") for f in files} | {os.path.normpath(f"{rel}/{x}") + "/" for x in dirs if os.path.islink(f"{d}/{x}")}
got = {k for k in keys() if not k.endswith("/")}
eq(want, got, "readdir and listing")
state = {k: [s3.head_object(Bucket=B, Key=k)["ETag"], hashlib.md5(get(k)).hexdigest()] for k in keys()}
json.dump(state, open(sys.argv[2], "w"))
PY

# then, after a restart, S3 and the mount still agree
restart_quoin
boto "$(mnt)" "$TEST_DIR/state" <<'PY'
import hashlib, json, os, stat, sys
from quoin_check import eq
from quoin_s3 import s3
state = json.load(open(sys.argv[2]))
eq([o["Key"] for o in s3.list_objects_v2(Bucket="faces")["Contents"]], sorted(state, key=lambda k: k.encode()))
for k, (etag, md5) in state.items():
    eq(s3.head_object(Bucket="faces", Key=k)["ETag"], etag, k)
    path = f"{sys.argv[1]}/faces/{k}"
    st = os.lstat(path)
    if stat.S_ISREG(st.st_mode):
        eq(hashlib.md5(open(path, "rb").read()).hexdigest(), md5, k)
PY
info=$("$QUOIN" admin info --json)
assert_eq "$(jq '.buckets[] | select(.name == "faces") | .objects' <<<"$info")" "$(jq length "$TEST_DIR/state")" "objects counted"
