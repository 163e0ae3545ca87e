#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Names on the mount: create, links, symlinks, special files, directories, every kind of rename, unlink while open.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires_fuse
requires_boto3

# given
start_quoin
mkdir "$(mnt)/posix"

# when, and then the mount
cd "$(mnt)/posix"
/usr/bin/python3 - <<'PY'
import ctypes, errno, os, stat
from quoin_check import eq
libc = ctypes.CDLL(None, use_errno=True)
NOREPLACE, EXCHANGE = 1, 2


def renameat2(a, b, flags):
    if libc.renameat2(-100, a.encode(), -100, b.encode(), flags) != 0:
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e))


def fails(want, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except OSError as e:
        wants = want if isinstance(want, tuple) else (want,)
        if e.errno not in wants:
            raise AssertionError(f"{call.__name__}{args}: {errno.errorcode[e.errno]}, expected {[errno.errorcode[w] for w in wants]}") from None
        return
    raise AssertionError(f"{call.__name__}{args} succeeded, expected {want}")


def put(path, text):
    with open(path, "w") as f:
        f.write(text)


def get(path):
    with open(path) as f:
        return f.read()


# create and open
fd = os.open("excl", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640)
os.close(fd)
fails(errno.EEXIST, os.open, "excl", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
eq(stat.S_IMODE(os.stat("excl").st_mode), 0o640)
fails(errno.ENOENT, os.open, "absent", os.O_RDONLY)
fails(errno.ENOTDIR, os.open, "excl/x", os.O_RDONLY)
fails(errno.EISDIR, os.open, ".", os.O_WRONLY)
fails((errno.ENOTDIR,), os.open, "excl", os.O_RDONLY | os.O_DIRECTORY)
fails(errno.ENAMETOOLONG, os.open, "n" * 256, os.O_CREAT | os.O_WRONLY)
os.close(os.open("n" * 255, os.O_CREAT | os.O_WRONLY))
os.unlink("n" * 255)

# directories
os.mkdir("d", 0o750)
eq(stat.S_IMODE(os.stat("d").st_mode), 0o750)
eq(os.stat("d").st_nlink, 2)
os.mkdir("d/sub")
eq(os.stat("d").st_nlink, 3)
os.rmdir("d/sub")
fails(errno.EEXIST, os.mkdir, "d")
put("d/f", "x")
fails(errno.ENOTEMPTY, os.rmdir, "d")
fails(errno.ENOTDIR, os.rmdir, "d/f")
fails((errno.EISDIR, errno.EPERM), os.unlink, "d")
os.unlink("d/f")
eq(os.listdir("d"), [])
os.rmdir("d")
fails(errno.ENOENT, os.rmdir, "d")

# symlinks
os.symlink("some/target", "sym")
eq(os.readlink("sym"), "some/target")
eq(os.lstat("sym").st_size, len("some/target"))
fails(errno.ENOENT, os.stat, "sym")
fails(errno.EEXIST, os.symlink, "x", "sym")
os.symlink("t" * 4000, "longsym")
eq(os.readlink("longsym"), "t" * 4000)
put("real", "content")
os.symlink("real", "sym2")
eq(get("sym2"), "content")

# hard links
os.link("real", "hard")
a, b = os.stat("real"), os.stat("hard")
eq((a.st_ino, a.st_nlink, b.st_nlink), (b.st_ino, 2, 2))
with open("hard", "a") as f:
    f.write("+more")
eq(get("real"), "content+more")
os.chmod("hard", 0o600)
eq(stat.S_IMODE(os.stat("real").st_mode), 0o600)
os.unlink("real")
eq((get("hard"), os.stat("hard").st_nlink), ("content+more", 1))
os.mkdir("ld")
os.link("hard", "ld/other")
os.rename("ld/other", "other")
eq(os.stat("hard").st_nlink, 2)
fails(errno.EEXIST, os.link, "hard", "other")
fails(errno.EPERM, os.link, "ld", "dirlink")
os.rename("hard", "other")                       # the same file: nothing happens
eq((os.path.exists("hard"), os.stat("hard").st_nlink), (True, 2))

# special files
os.mkfifo("fifo", 0o644)
eq(stat.S_ISFIFO(os.stat("fifo").st_mode), True)
r = os.open("fifo", os.O_RDONLY | os.O_NONBLOCK)
w = os.open("fifo", os.O_WRONLY)
os.write(w, b"through")
eq(os.read(r, 10), b"through")
os.close(r), os.close(w)
os.mknod("null", stat.S_IFCHR | 0o600, os.makedev(1, 3)) if os.geteuid() == 0 else None
if os.geteuid() == 0:
    eq(os.stat("null").st_rdev, os.makedev(1, 3))
import socket
s = socket.socket(socket.AF_UNIX)
s.bind("sock")
s.close()
eq(stat.S_ISSOCK(os.stat("sock").st_mode), True)

# rename
put("a", "a"), put("b", "b")
ino = os.stat("a").st_ino
os.rename("a", "b")
eq((get("b"), os.stat("b").st_ino, os.path.exists("a")), ("a", ino, False))
os.mkdir("x"), os.mkdir("y"), put("y/f", "y")
fails((errno.ENOTEMPTY, errno.EEXIST), os.rename, "x", "y")
fails(errno.EISDIR, os.rename, "b", "x")
fails(errno.ENOTDIR, os.rename, "x", "b")
fails(errno.EINVAL, os.rename, "x", "x/inside")
os.rename("y", "x")
eq(get("x/f"), "y")
os.makedirs("t1/t2/t3")
put("t1/t2/t3/deep", "deep")
os.rename("t1/t2", "moved")
eq((get("moved/t3/deep"), os.listdir("t1")), ("deep", []))
fails(errno.ENOENT, os.stat, "t1/t2/t3/deep")
here = os.open("moved/t3", os.O_RDONLY)
os.rename("moved", "x/moved2")
eq(os.listdir(here), ["deep"])
os.close(here)
fails(errno.EINVAL, os.rename, "x", "x/moved2/t3/x")
fails(errno.ENOENT, os.rename, "absent", "z")

# renameat2
put("n1", "1"), put("n2", "2")
fails(errno.EEXIST, renameat2, "n1", "n2", NOREPLACE)
renameat2("n1", "n3", NOREPLACE)
eq((get("n3"), os.path.exists("n1")), ("1", False))
renameat2("n3", "n2", EXCHANGE)
eq((get("n3"), get("n2")), ("2", "1"))
os.makedirs("ex/sub")
put("ex/sub/f", "f")
renameat2("ex", "n2", EXCHANGE)
eq((get("ex"), get("n2/sub/f")), ("1", "f"))
fails(errno.ENOENT, renameat2, "n2", "absent", EXCHANGE)
fails(errno.EINVAL, renameat2, "n2", "n3", EXCHANGE | NOREPLACE)

# unlink while open, and in an open directory
fd = os.open("open", os.O_CREAT | os.O_RDWR)
os.write(fd, b"still here")
os.unlink("open")
fails(errno.ENOENT, os.stat, "open")
eq(os.pread(fd, 100, 0), b"still here")
os.pwrite(fd, b"S", 0)
eq(os.pread(fd, 100, 0), b"Still here")
eq((os.fstat(fd).st_nlink, os.fstat(fd).st_size), (0, 10))
put("open", "new")
eq((os.pread(fd, 100, 0), get("open")), (b"Still here", "new"))
os.ftruncate(fd, 5)
eq(os.pread(fd, 100, 0), b"Still")
os.close(fd)
eq(get("open"), "new")
fd = os.open("over", os.O_CREAT | os.O_RDWR)
os.write(fd, b"old")
put("by", "new")
os.rename("by", "over")
eq((os.pread(fd, 10, 0), get("over")), (b"old", "new"))
os.close(fd)

# names that are not UTF-8 are refused, all others live
fails(errno.EILSEQ, os.open, b"bad\xff", os.O_CREAT | os.O_WRONLY)
for name in ("sp ace", "ünï", "日本語", "\U0001f600", "a+b&c<d>\"'", "-dash", ".hidden", "...", "tab\tnew\nline", "back\\slash", "%41", "x" * 254):
    put(name, name)
    eq(get(name), name)
    eq(name in os.listdir("."), True, name)
    os.unlink(name)
eq(sorted(os.listdir(".")), sorted(["excl", "sym", "longsym", "sym2", "hard", "other", "ld", "fifo", "sock", "b", "x", "t1", "n2", "n3", "ex", "open",
                                    "over"] + (["null"] if os.geteuid() == 0 else [])))

# the root: buckets
os.chdir("..")
fails((errno.EINVAL, errno.EPERM, errno.EACCES), os.mkdir, "Not_A_Bucket")
fails((errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOTSUP), put, "file-in-root", "x")
fails(errno.ENOTEMPTY, os.rmdir, "posix")
os.mkdir("second-bucket")
fails(errno.EXDEV, os.rename, "posix/b", "second-bucket/b")
os.rmdir("second-bucket")
PY
cd /

# then S3
keys=$(s3api list-objects-v2 --bucket posix --query 'Contents[].Key' --output text | tr '\t' '\n' | sort)
assert_eq "$(grep -c . <<<"$keys")" "$(find "$(mnt)/posix" -mindepth 1 | wc -l)" "keys and files"
assert_eq "$(s3curl /posix/x/moved2/t3/deep)" deep
assert_eq "$(s3curl /posix/sym)" some/target
assert_eq "$(s3curl /posix/hard)" "content+more"
restart_quoin
assert_eq "$(readlink "$(mnt)/posix/sym")" some/target
assert_eq "$(stat -c %h "$(mnt)/posix/hard")" 2
