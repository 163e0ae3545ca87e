/* SPDX-License-Identifier: Apache-2.0
 *
 * Temporary directories of tests, below $TMPDIR or /tmp. All calls abort on an error: a test cannot go on without.
 */
#ifndef QUOIN_TESTS_LIB_TESTDIR_H
#define QUOIN_TESTS_LIB_TESTDIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A new empty directory; the caller gives it to testdir_remove. */
char *testdir_new(void);
/* Removes it with all below it, and frees the name; accepts NULL. */
void testdir_remove(char *dir);
/* dir/name; the caller frees it. */
char *testdir_path(const char *dir, const char *name);
/* Whole files below dir: write replaces, read is malloc'd, of *ret_len bytes. */
void testdir_write(const char *dir, const char *name, const void *p, size_t len);
void *testdir_read(const char *dir, const char *name, size_t *ret_len);
void testdir_mkdir(const char *dir, const char *name);
bool testdir_exists(const char *dir, const char *name);
/* Overwrites len bytes in place with others (each byte inverted): bit rot. */
void testdir_corrupt(const char *dir, const char *name, uint64_t off, size_t len);

#endif
