/* SPDX-License-Identifier: Apache-2.0
 *
 * What another process has used, for the benchmarks. pid 0: zeros.
 */
#ifndef QUOIN_TESTS_BENCH_PROC_H
#define QUOIN_TESTS_BENCH_PROC_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Reads /proc/PID/NAME; "" when there is none. */
static inline void proc_read(int pid, const char *name, char *ret, size_t cap)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
	FILE *f = pid ? fopen(path, "r") : NULL;
	size_t n = f ? fread(ret, 1, cap - 1, f) : 0;
	ret[n] = 0;
	if (f)
		fclose(f);
}

/* User and system time, seconds. */
static inline double proc_cpu_s(int pid)
{
	char buf[1024];
	proc_read(pid, "stat", buf, sizeof buf);
	char *p = strrchr(buf, ')'); /* field 2, may hold anything; utime and stime are fields 14 and 15 */
	for (int field = 2; p && field < 14; field++) {
		p = strchr(p, ' ');
		p = p ? p + 1 : NULL;
	}
	if (!p)
		return 0;
	unsigned long user = strtoul(p, &p, 10), sys = strtoul(p, NULL, 10);
	return (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
}

/* Bytes that it caused to be written to storage. */
static inline uint64_t proc_written(int pid)
{
	char buf[1024];
	proc_read(pid, "io", buf, sizeof buf);
	char *p = strstr(buf, "\nwrite_bytes: ");
	return p ? strtoull(p + 14, NULL, 10) : 0;
}

#endif
