/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/testdir.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void must(bool ok, const char *what, const char *path)
{
	if (ok)
		return;
	fprintf(stderr, "testdir: %s %s: %m\n", what, path);
	abort();
}

char *testdir_path(const char *dir, const char *name)
{
	char *path;

	must(asprintf(&path, "%s/%s", dir, name) >= 0, "name", name);
	return path;
}

char *testdir_new(void)
{
	const char *base = getenv("TMPDIR");
	char *dir = testdir_path(base && *base ? base : "/tmp", "quoin-test-XXXXXX");

	must(mkdtemp(dir), "make", dir);
	return dir;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	must(remove(path) == 0, "remove", path);
	return 0;
}

void testdir_remove(char *dir)
{
	if (!dir)
		return;
	must(nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0, "walk", dir);
	free(dir);
}

void testdir_write(const char *dir, const char *name, const void *p, size_t len)
{
	char *path = testdir_path(dir, name);
	FILE *f = fopen(path, "we");

	must(f, "create", path);
	must(fwrite(p, 1, len, f) == len && fclose(f) == 0, "write", path);
	free(path);
}

void *testdir_read(const char *dir, const char *name, size_t *ret_len)
{
	char *path = testdir_path(dir, name);
	FILE *f = fopen(path, "re");
	struct stat st;

	must(f && fstat(fileno(f), &st) == 0, "open", path);
	void *p = malloc((size_t)st.st_size + 1);
	must(p && fread(p, 1, (size_t)st.st_size, f) == (size_t)st.st_size, "read", path);
	fclose(f);
	free(path);
	if (ret_len)
		*ret_len = (size_t)st.st_size;
	return p;
}

void testdir_mkdir(const char *dir, const char *name)
{
	char *path = testdir_path(dir, name);

	must(mkdir(path, 0700) == 0, "make", path);
	free(path);
}

bool testdir_exists(const char *dir, const char *name)
{
	char *path = testdir_path(dir, name);
	struct stat st;
	bool there = lstat(path, &st) == 0;

	free(path);
	return there;
}

void testdir_corrupt(const char *dir, const char *name, uint64_t off, size_t len)
{
	char *path = testdir_path(dir, name);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint8_t c;

	must(fd >= 0, "open", path);
	for (size_t i = 0; i < len; i++) {
		must(pread(fd, &c, 1, (off_t)(off + i)) == 1, "read", path);
		c = (uint8_t)~c;
		must(pwrite(fd, &c, 1, (off_t)(off + i)) == 1, "write", path);
	}
	close(fd);
	free(path);
}
