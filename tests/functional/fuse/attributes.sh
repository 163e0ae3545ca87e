#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Attributes on the mount: modes, owners, set-gid directories, umask, times, xattrs, statfs, permission checks.
set -euo pipefail
. "$(dirname "$0")/../../lib/common.sh"
requires_fuse
requires setpriv getfattr
[ "$(id -u)" = 0 ] || skip "needs root to become other users"

# given
start_quoin
mkdir "$(mnt)/attr"
chmod 1777 "$(mnt)/attr"
cd "$(mnt)/attr"
as() {
	local id=$1
	shift
	setpriv --reuid "$id" --regid "$id" --clear-groups "$@"
}

# when, and then the mount
echo x >file
chmod 4751 file
assert_eq "$(stat -c %a file)" 4751
chown 1234:5678 file
assert_eq "$(stat -c '%u:%g' file)" 1234:5678
mkdir shared
chown 0:4321 shared
chmod 2775 shared
mkdir shared/sub
echo x >shared/file
assert_eq "$(stat -c '%g %a' shared/sub)" "4321 2755" "a set-gid directory's child"
assert_eq "$(stat -c %g shared/file)" 4321
(umask 077 && echo x >private && mkdir privdir)
assert_eq "$(stat -c %a private privdir | tr '\n' ' ')" "600 700 "
as 1000 touch mine
assert_eq "$(stat -c '%u:%g' mine)" 1000:1000
assert_fails as 1001 sh -c 'echo y >mine'
assert_fails as 1001 cat private
assert_fails as 1001 rm -f mine
assert_fails as 1001 chmod 777 mine
assert_fails as 1001 mv mine other
as 1000 rm mine

# times
touch -d '1999-12-31 23:59:59.123456789' file
assert_eq "$(stat -c %y file | cut -c1-29)" "$(date -d '1999-12-31 23:59:59' '+%F %T').123456789"
touch -a -d '2005-06-07' file
assert_eq "$(stat -c %y file | cut -c1-19)" "1999-12-31 23:59:59" "mtime after a change of atime"
before=$(stat -c %Z file)
touch reference
echo more >>file
[ file -nt reference ] || assert_eq "$(stat -c %Y file)" "$(stat -c %Y reference)" "mtime after a write"
[ "$(stat -c %Z file)" -ge "$before" ] || fail "ctime went back"
old=$(stat -c %Y .)
touch -d '2000-01-01' .
touch newname
[ "$(stat -c %Y .)" -ge "$old" ] || fail "mtime of the directory after a create"
touch -h -d '2002-02-02' -- newname
ln -s newname link
touch -h -d '2003-03-03' link
assert_eq "$(stat -c %y link | cut -c1-10)" 2003-03-03
assert_eq "$(stat -c %y newname | cut -c1-10)" 2002-02-02

# xattrs
setfattr -n user.colour -v blue file
setfattr -n user.binary -v 0x00ff01 file
setfattr -n user.empty file
assert_eq "$(getfattr --only-values -n user.colour file)" blue
assert_eq "$(getfattr -e hex --absolute-names -n user.binary file | sed -n 's/^user.binary=//p')" 0x00ff01
assert_eq "$(getfattr --absolute-names file | grep -c ^user.)" 3
setfattr -n user.colour -v green file
assert_eq "$(getfattr --only-values -n user.colour file)" green
setfattr -x user.binary file
assert_fails getfattr -n user.binary file
assert_fails setfattr -x user.none file
setfattr -n user.dir -v d shared
assert_eq "$(getfattr --only-values -n user.dir shared)" d
/usr/bin/python3 - <<'PY'
import errno, os
def fails(want, call, *args):
    try:
        call(*args)
    except OSError as e:
        assert e.errno == want, (e, want)
        return
    raise AssertionError("succeeded")
fails(errno.EEXIST, os.setxattr, "file", "user.colour", b"x", os.XATTR_CREATE)
fails(errno.ENODATA, os.setxattr, "file", "user.none", b"x", os.XATTR_REPLACE)
fails(errno.ENODATA, os.getxattr, "file", "user.none")
os.setxattr("file", "user.large", b"v" * 1500)
assert os.getxattr("file", "user.large") == b"v" * 1500
os.removexattr("file", "user.large")
v = os.statvfs(".")
assert v.f_blocks > v.f_bavail > 0 and v.f_namemax == 255, v
PY
cd /

# then S3, and the same after a restart
assert_match "$(s3curl /attr/file -I | tr -d '\r')" "x-amz-meta-colour: green"
restart_quoin
assert_eq "$(stat -c '%a %u:%g' "$(mnt)/attr/shared")" "2775 0:4321"
assert_eq "$(getfattr --only-values -n user.colour "$(mnt)/attr/file")" green
assert_eq "$(stat -c %y "$(mnt)/attr/newname" | cut -c1-10)" 2002-02-02
assert_eq "$(stat -c %a "$(mnt)/attr")" 1777 "the bucket's directory"
