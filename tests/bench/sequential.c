/* SPDX-License-Identifier: Apache-2.0
 *
 * The limits of a rebuild: what the disk below DIR does in sequence, O_DIRECT in blocks of 2 MiB, two on their way at a
 * time.
 *
 *   sequential DIR [--mib N] [--sources K]
 *
 * Prints one line, in MiB/s: `write`, new files to their fdatasync; `read`; and `rebuild`, the bytes a second of one
 * drive of K data drives that is made anew with nothing to compute: each block is read from K files and written to another
 * one, which is flushed and read back as a whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BLOCK (2u << 20)
#define MAX_SOURCES 15
#define TURNS 2

static const char *dir;
static long blocks = 512, sources = 2;
static char *buf[TURNS][MAX_SOURCES];
static struct io_uring ring;
static unsigned inflight;

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void die(const char *what, int err)
{
	fprintf(stderr, "sequential: %s: %s\n", what, strerror(err));
	exit(1);
}

static int new_file(void)
{
	char path[4096];

	snprintf(path, sizeof path, "%s/sequential-%d", dir, (int)getpid());
	int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_DIRECT, 0600);
	if (fd < 0)
		die(path, errno);
	unlink(path);
	/* As segments are: the room is there, the bytes are not. */
	if (posix_fallocate(fd, 0, (off_t)blocks * BLOCK) != 0)
		die("posix_fallocate", ENOSPC);
	return fd;
}

static void begin(int fd, int write, char *p, long block)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
	uint64_t off = (uint64_t)block * BLOCK;

	if (write)
		io_uring_prep_write(sqe, fd, p, BLOCK, off);
	else
		io_uring_prep_read(sqe, fd, p, BLOCK, off);
	inflight++;
}

/* Until at most `left` are on their way. */
static void settle(unsigned left)
{
	int rc = io_uring_submit(&ring);

	if (rc < 0)
		die("io_uring", -rc);
	while (inflight > left) {
		struct io_uring_cqe *cqe;

		rc = io_uring_wait_cqe(&ring, &cqe);
		if (rc < 0 || cqe->res != (int)BLOCK)
			die("transfer", rc < 0 ? -rc : cqe->res < 0 ? -cqe->res : EIO);
		io_uring_cqe_seen(&ring, cqe);
		inflight--;
	}
}

static void flush(int fd)
{
	if (fdatasync(fd) < 0)
		die("fdatasync", errno);
}

static double rate(double since)
{
	return (double)blocks * (BLOCK >> 20) / (now_s() - since);
}

static double pass(int fd, int write)
{
	double since = now_s();

	for (long i = 0; i < blocks; i++) {
		settle(TURNS - 1);
		begin(fd, write, buf[i % TURNS][0], i);
	}
	settle(0);
	if (write)
		flush(fd);
	return rate(since);
}

/* The blocks of a turn are read while those of the turn before are written. */
static double rebuild(const int *source, int target)
{
	double since = now_s();

	for (long i = 0; i <= blocks; i++) {
		for (long s = 0; s < sources && i < blocks; s++)
			begin(source[s], 0, buf[i % TURNS][s], i);
		if (i > 0)
			begin(target, 1, buf[(i - 1) % TURNS][0], i - 1);
		settle(0);
	}
	flush(target);
	pass(target, 0);
	return rate(since);
}

int main(int argc, char **argv)
{
	int source[MAX_SOURCES];
	double write = 0, read;

	if (argc < 2) {
		fprintf(stderr, "usage: sequential DIR [--mib N] [--sources K]\n");
		return 2;
	}
	dir = argv[1];
	for (int i = 2; i + 1 < argc; i += 2) {
		long v = strtol(argv[i + 1], NULL, 10);

		if (strcmp(argv[i], "--mib") == 0 && v >= (long)(BLOCK >> 20))
			blocks = v / (long)(BLOCK >> 20);
		else if (strcmp(argv[i], "--sources") == 0 && v > 0 && v <= MAX_SOURCES)
			sources = v;
	}
	int rc = io_uring_queue_init(64, &ring, 0);
	if (rc < 0)
		die("io_uring_queue_init", -rc);
	for (unsigned i = 0; i < TURNS * MAX_SOURCES; i++) {
		void *p;
		if (posix_memalign(&p, 4096, BLOCK) != 0)
			die("memory", ENOMEM);
		memset(p, (int)i, BLOCK);
		buf[i / MAX_SOURCES][i % MAX_SOURCES] = p;
	}
	for (long s = 0; s < sources; s++) {
		source[s] = new_file();
		write = pass(source[s], 1);
	}
	read = pass(source[0], 0);
	printf("sequential mib=%ld write=%.1f read=%.1f rebuild=%.1f\n", blocks * (long)(BLOCK >> 20), write, read,
	       rebuild(source, new_file()));
	return 0;
}
