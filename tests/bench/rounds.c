/* SPDX-License-Identifier: Apache-2.0
 *
 * The limit of small durable writes: 4 KiB with O_DIRECT and RWF_DSYNC into each of four prewritten files at once, over
 * and over, the next round when all four have returned.
 *
 *   rounds DIR [--seconds N] [--files N]
 *
 * Prints one line: rounds per second.
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

#define FILE_BYTES (64u << 20)
#define BLOCK 4096u
#define MAX_FILES 16

static const char *dir;
static long seconds = 5, files = 4;
static int fds[MAX_FILES];
static char *block;

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void die(const char *what, int err)
{
	fprintf(stderr, "rounds: %s: %s\n", what, strerror(err));
	exit(1);
}

/* Written from end to end before it is measured, as journal files are. Unlinked at once. */
static int prewritten(long i)
{
	char path[4096];
	size_t chunk = 1u << 20;

	snprintf(path, sizeof path, "%s/rounds-%d-%ld", dir, (int)getpid(), i);
	int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_DIRECT, 0600);
	if (fd < 0)
		die(path, errno);
	unlink(path);
	for (size_t off = 0; off < FILE_BYTES; off += chunk)
		if (pwrite(fd, block, chunk, (off_t)off) != (ssize_t)chunk)
			die("pwrite", errno);
	if (fsync(fd) < 0)
		die("fsync", errno);
	return fd;
}

static void one_round(struct io_uring *ring, uint64_t off)
{
	for (long i = 0; i < files; i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

		io_uring_prep_write(sqe, fds[i], block, BLOCK, off);
		sqe->rw_flags = RWF_DSYNC;
	}
	int rc = io_uring_submit_and_wait(ring, (unsigned)files);
	if (rc < 0)
		die("io_uring", -rc);
	for (long i = 0; i < files; i++) {
		struct io_uring_cqe *cqe;

		rc = io_uring_wait_cqe(ring, &cqe);
		if (rc < 0 || cqe->res != (int)BLOCK)
			die("write", rc < 0 ? -rc : cqe->res < 0 ? -cqe->res : EIO);
		io_uring_cqe_seen(ring, cqe);
	}
}

int main(int argc, char **argv)
{
	struct io_uring ring;
	void *p;
	long n = 0;

	if (argc < 2) {
		fprintf(stderr, "usage: rounds DIR [--seconds N] [--files N]\n");
		return 2;
	}
	dir = argv[1];
	for (int i = 2; i + 1 < argc; i += 2) {
		long v = strtol(argv[i + 1], NULL, 10);

		if (strcmp(argv[i], "--seconds") == 0)
			seconds = v;
		else if (strcmp(argv[i], "--files") == 0 && v > 0 && v <= MAX_FILES)
			files = v;
	}
	if (posix_memalign(&p, BLOCK, 1u << 20) != 0)
		die("memory", ENOMEM);
	block = p;
	memset(block, 0x5a, 1u << 20);
	for (long i = 0; i < files; i++)
		fds[i] = prewritten(i);
	int rc = io_uring_queue_init(64, &ring, 0);
	if (rc < 0)
		die("io_uring_queue_init", -rc);
	double start = now_s(), s;
	do {
		one_round(&ring, ((uint64_t)n * BLOCK) % FILE_BYTES);
		n++;
		s = now_s() - start;
	} while (s < (double)seconds);
	printf("rounds files=%ld count=%ld rate=%.0f/s\n", files, n, (double)n / s);
	return 0;
}
