/* SPDX-License-Identifier: Apache-2.0
 *
 * Descriptors: whole reads and writes that retry short counts and EINTR.
 */
#ifndef QUOIN_BASE_FDIO_H
#define QUOIN_BASE_FDIO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/macros.h"

int fd_pread_full(int fd, void *p, size_t len, uint64_t off) WARN_UNUSED;         /* 0, -QE_END_OF_FILE, -errno */
int fd_pwrite_full(int fd, const void *p, size_t len, uint64_t off) WARN_UNUSED;  /* 0 or -errno */
int fd_read_file(const char *path, size_t max, struct buf *ret) WARN_UNUSED;      /* 0, -EFBIG above max, -errno */
int fd_fsync_dir(const char *path) WARN_UNUSED;
void fd_closep(int *fd);                                                          /* for CLEANUP */
#define CLEANUP_FD CLEANUP(fd_closep)

#endif
