# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# abort_fuse DIR [TYPE]: aborts the FUSE connections of what is mounted below DIR (of all types, or fuse.quoin alone), and
# prints their numbers.
#
# What a hung file system keeps waiting comes back with an error when its connection is aborted. The number of the
# connection is the minor number of its device, which mountinfo has; nothing here touches the mount itself.
abort_fuse() {
	local dev control=/sys/fs/fuse/connections
	while read -r dev; do
		echo "${dev#*:}"
		if [ ! -e "$control/${dev#*:}" ]; then
			mount -t fusectl fusectl "$control" || true
		fi
		echo 1 >"$control/${dev#*:}/abort" || true
	done < <(awk -v dir="$1/" -v type=" - ${2-fuse}" 'index($5, dir) == 1 && index($0, type) {print $3}' /proc/self/mountinfo)
}
