/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs every fuzz target over its seeds and over mutations of them (a fixed number, from a printed random seed). Inputs
 * are in memory of their exact size, so that sanitizers see a byte too far.
 */
#include "fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/macros.h"

#define MUTATIONS 400
#define SEED_MAX (1u << 20)

static const struct {
	const char *name;
	fuzz_fn *fn;
} targets[] = {
	{"chunked", fuzz_chunked},
	{"sigv4", fuzz_sigv4},
	{"xml", fuzz_xml},
	{"uri", fuzz_uri},
};

static void run(fuzz_fn *fn, const uint8_t *p, size_t n)
{
	uint8_t *exact = malloc(n ? n : 1);

	ASSERT(exact != NULL);
	if (n)
		memcpy(exact, p, n);
	fn(exact, n);
	free(exact);
}

/* A few random edits: changed, removed, doubled bytes. */
static void mutate(fuzz_fn *fn, const uint8_t *p, size_t n)
{
	size_t cap = 2 * n + 16;
	uint8_t *m = malloc(cap);

	ASSERT(m != NULL);
	memcpy(m, p, n);
	for (unsigned edits = 1 + (unsigned)random() % 4; edits && n; edits--) {
		size_t at = (size_t)random() % n, len = (size_t)random() % 8;

		len = MIN(len, n - at);
		switch (random() % 4) {
		case 0:
			m[at] = (uint8_t)random();
			break;
		case 1:
			m[at] ^= (uint8_t)(1u << random() % 8);
			break;
		case 2:
			memmove(m + at, m + at + len, n - at - len);
			n -= len;
			break;
		case 3:
			if (n + len > cap)
				break;
			memmove(m + at + len, m + at, n - at);
			n += len;
			break;
		}
	}
	run(fn, m, n);
	free(m);
}

static unsigned replay_file(fuzz_fn *fn, const char *path)
{
	uint8_t *p = malloc(SEED_MAX);
	FILE *f = fopen(path, "re");
	size_t n;

	ASSERT(p != NULL);
	if (!f) {
		free(p);
		return 0;
	}
	n = fread(p, 1, SEED_MAX, f);
	fclose(f);
	run(fn, p, n);
	for (unsigned i = 0; i < MUTATIONS; i++)
		mutate(fn, p, n);
	free(p);
	return 1;
}

static unsigned replay_dir(fuzz_fn *fn, const char *name)
{
	const char *top = getenv("top_srcdir");
	unsigned files = 0;
	char path[1024];
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof path, "%s/tests/fuzz/seeds/%s", top ? top : ".", name);
	d = opendir(path);
	if (!d)
		return 0;
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "%s/tests/fuzz/seeds/%s/%s", top ? top : ".", name, e->d_name);
		files += replay_file(fn, path);
	}
	closedir(d);
	return files;
}

int main(void)
{
	const char *text = getenv("QUOIN_TEST_SEED");
	unsigned seed = text ? (unsigned)strtoul(text, NULL, 10) : 20260102; /* fixed: a failure can be run again */

	printf("QUOIN_TEST_SEED=%u\n", seed);
	srandom(seed);
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		unsigned n = replay_dir(targets[i].fn, targets[i].name);

		printf("%s: %u seeds\n", targets[i].name, n);
		if (n == 0)
			return 1;
	}
	return 0;
}
