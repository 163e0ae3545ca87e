/* SPDX-License-Identifier: Apache-2.0
 *
 * A load on any directory: the same works on the mount, on a null file system (nullfs) and on the local one.
 *
 *   fsbench WORK DIR [--count N] [--threads N] [--size BYTES] [--pid PID]
 *
 * WORK: create (create + close), create4k (+ write of 4 KiB), createsync (+ fsync), stat, absent (lookup of names that do
 * not exist), rename, unlink, write (one file of --size, 1 MiB writes, fsync at the end), read (the same file), randread
 * and randwrite (4 KiB in that file; randwrite with fsync each 16). stat, rename and unlink work on what create made.
 * Prints one line of key=value figures; --pid adds the CPU time of that process.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proc.h"

static const char *work, *dir;
static long count = 10000, threads = 1, size = 256l << 20;
static int pid;

static double now_s(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void check(int ok, const char *what, const char *path)
{
	if (ok)
		return;
	fprintf(stderr, "fsbench: %s %s: %s\n", what, path, strerror(errno));
	exit(1);
}

static void one_name(long i, const char *suffix, char *ret, size_t cap)
{
	snprintf(ret, cap, "%s/f%07ld%s", dir, i, suffix);
}

static void create_one(const char *path, int bytes, int sync)
{
	static const char block[4096] = {1};
	int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
	check(fd >= 0, "create", path);
	if (bytes)
		check(write(fd, block, sizeof block) == sizeof block, "write", path);
	if (sync)
		check(fsync(fd) == 0, "fsync", path);
	check(close(fd) == 0, "close", path);
}

static void small_work(long i)
{
	char path[512], to[512];
	struct stat st;
	one_name(i, "", path, sizeof path);
	if (strcmp(work, "create") == 0)
		create_one(path, 0, 0);
	else if (strcmp(work, "create4k") == 0)
		create_one(path, 1, 0);
	else if (strcmp(work, "createsync") == 0)
		create_one(path, 1, 1);
	else if (strcmp(work, "stat") == 0)
		check(stat(path, &st) == 0, "stat", path);
	else if (strcmp(work, "unlink") == 0)
		check(unlink(path) == 0, "unlink", path);
	else if (strcmp(work, "absent") == 0) {
		one_name(i, ".absent", to, sizeof to);
		check(stat(to, &st) != 0 && errno == ENOENT, "stat of an absent name", to);
	} else if (strcmp(work, "rename") == 0) {
		one_name(i, ".r", to, sizeof to);
		check(rename(path, to) == 0, "rename", path);
		check(rename(to, path) == 0, "rename", to);
	} else {
		fprintf(stderr, "fsbench: unknown work %s\n", work);
		exit(2);
	}
}

static void *small_thread(void *arg)
{
	long t = (long)(intptr_t)arg;
	for (long i = t; i < count; i += threads)
		small_work(i);
	return NULL;
}

static void run_small(void)
{
	pthread_t th[64];
	for (long t = 0; t < threads; t++)
		pthread_create(&th[t], NULL, small_thread, (void *)(intptr_t)t);
	for (long t = 0; t < threads; t++)
		pthread_join(th[t], NULL);
}

static void run_big(int fd, const char *path)
{
	static char block[1 << 20];
	if (strcmp(work, "write") == 0) {
		for (size_t i = 0; i < sizeof block; i++)
			block[i] = (char)(i * 2654435761u >> 11);
		for (long at = 0; at < size; at += (long)sizeof block)
			check(pwrite(fd, block, sizeof block, at) == (ssize_t)sizeof block, "write", path);
		check(fsync(fd) == 0, "fsync", path);
	} else if (strcmp(work, "read") == 0) {
		for (long at = 0; at < size; at += (long)sizeof block)
			check(pread(fd, block, sizeof block, at) == (ssize_t)sizeof block, "read", path);
	} else {
		int wr = strcmp(work, "randwrite") == 0;
		uint64_t x = 88172645463325252u;
		for (long i = 0; i < count; i++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			off_t at = (off_t)(x % (uint64_t)(size / 4096)) * 4096;
			check((wr ? pwrite(fd, block, 4096, at) : pread(fd, block, 4096, at)) == 4096, work, path);
			if (wr && i % 16 == 15)
				check(fsync(fd) == 0, "fsync", path);
		}
	}
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: fsbench WORK DIR [--count N] [--threads N] [--size BYTES] [--pid PID]\n");
		return 2;
	}
	work = argv[1];
	dir = argv[2];
	for (int i = 3; i + 1 < argc; i += 2) {
		long v = strtol(argv[i + 1], NULL, 10);
		if (strcmp(argv[i], "--count") == 0)
			count = v;
		else if (strcmp(argv[i], "--threads") == 0 && v >= 1 && v <= 64)
			threads = v;
		else if (strcmp(argv[i], "--size") == 0)
			size = v;
		else if (strcmp(argv[i], "--pid") == 0)
			pid = (int)v;
	}
	int big = !strcmp(work, "write") || !strcmp(work, "read") || !strcmp(work, "randread") || !strcmp(work, "randwrite");
	int bytes = !strcmp(work, "write") || !strcmp(work, "read");
	double cpu = proc_cpu_s(pid), t0 = now_s();
	if (big) {
		char path[512];
		snprintf(path, sizeof path, "%s/big", dir);
		int fd = open(path, O_CREAT | O_RDWR, 0644);
		check(fd >= 0, "open", path);
		t0 = now_s();
		run_big(fd, path);
		close(fd);
	} else {
		run_small();
	}
	double s = now_s() - t0, n = bytes ? (double)size / 1048576.0 : (double)count;
	printf("%s threads=%ld %s=%.0f rate=%.0f%s", work, threads, bytes ? "mib" : "count", n, n / s, bytes ? "MiB/s" : "/s");
	if (pid)
		printf(" daemon_cpu_us=%.1f", (proc_cpu_s(pid) - cpu) * 1e6 / n);
	printf("\n");
	return 0;
}
