/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of a whole set share: directories, drives (lying or not), opening in any combination, small batches.
 */
#ifndef QUOIN_TESTS_UNIT_META_SET_FIXTURE_H
#define QUOIN_TESTS_UNIT_META_SET_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>

#include "drive/drive_faulty.h"
#include "meta/meta.h"

struct fixture {
	char root[64];
	unsigned n, m;
	struct fault_bench *bench; /* NULL: plain directories */
	struct drive *drive[SUPER_MAX_SLOTS];
	struct meta_set *s;
	struct meta_params p;      /* as the next open gets it */
	uint64_t drive_timeout_ns; /* of the calls of drives that are opened; 0: none */
	char detail[320];          /* of the last open */
};

/* Parameters for tests: small files, no threads. */
void fixture_start(struct fixture *f, unsigned n, unsigned m, bool faulty);
/* Opens the set with the drives of the mask (by number of the directory). */
int fixture_open(struct fixture *f, uint32_t mask);
void fixture_close(struct fixture *f);                    /* set and drives */
void fixture_kill(struct fixture *f);                     /* kill -9 */
void fixture_close_drives(struct fixture *f);
void fixture_end(struct fixture *f);                      /* removes the directories */
void fixture_reopen(struct fixture *f, uint32_t mask);    /* must succeed */
void fixture_open_known(struct fixture *f);               /* all drives; faults can name the log files */
void fixture_start_known(struct fixture *f, unsigned n, unsigned m); /* both, on faulty drives */
void fixture_boot(struct fixture *f, uint32_t mask);      /* reopened, without a fault */
unsigned missing_ranges(const struct fixture *f);
#define ALL(f) ((1u << (f)->n) - 1)

/* An object per key number in one bucket, below one of a few implicit directories, with a value number: rows and counters
 * as the object layer makes them, so that meta_recount must find nothing. Conflicts are tried again. */
int put(struct fixture *f, enum meta_promise promise, uint64_t key, uint64_t value);
int drop(struct fixture *f, uint64_t key);
/* The batches of such changes, from a view, to be submitted by the test. NULL: there is nothing to drop; a directory that
 * is there or is not, or is not empty. */
struct meta_batch *put_batch(struct fixture *f, struct meta_view *v, uint64_t key, uint64_t value);
struct meta_batch *drop_batch(struct fixture *f, struct meta_view *v, uint64_t key);
struct meta_batch *mkdir_batch(struct fixture *f, struct meta_view *v, unsigned dir);
struct meta_batch *rmdir_batch(struct fixture *f, struct meta_view *v, unsigned dir);
#define SUBDIRS 5 /* key k lies in directory k % SUBDIRS */
/* 0: absent, 1: implicit, 2: explicit. */
int dir_state(struct fixture *f, unsigned dir);
/* The entry of the key, as the view shows it. */
bool object_find(struct meta_view *v, uint64_t key, struct row_entry *ret);
/* 0: absent. */
uint64_t get(struct fixture *f, uint64_t key);
/* What an S3 answer would do: -QE_UNKNOWN_OUTCOME when it cannot be vouched for. */
int get_durable(struct fixture *f, uint64_t key, uint64_t *ret);
/* The same with an inline blob of len bytes of the pattern of seed; the value is the seed. */
int put_blob(struct fixture *f, enum meta_promise promise, uint64_t key, uint64_t seed, uint32_t len);
/* The same with a large blob. */
int put_large(struct fixture *f, enum meta_promise promise, uint64_t key, uint64_t seed, uint32_t len);
/* In two steps: its cells are written, then its record. */
int large_begin(struct fixture *f, uint64_t seed, uint32_t len, struct erasure_blob *ret);
int put_large_begun(struct fixture *f, enum meta_promise promise, uint64_t key, uint64_t seed, uint32_t len, struct erasure_blob *eb);
/* 1: the pattern is there; 0: no such key; < 0 error; 2: other bytes. */
int check_blob(struct fixture *f, uint64_t key, uint64_t seed, uint32_t len);
void expect_counters(struct fixture *f);
void pattern(uint64_t seed, uint8_t *p, size_t len);
uint64_t rnd64(uint64_t *state);

/* Power loss of all drives: what is unflushed stays on the slots of the masks only. */
void lose_power(struct fixture *f, uint32_t journal, uint32_t segments);
/* The process dies at the nth write to a journal (op DRIVE_IO_WRITE) or the nth sync of one, on any drive. */
void stop_at_journal(struct fixture *f, enum drive_io_op op, unsigned nth);
void fail_io(struct fixture *f, unsigned slot, const char *name, enum drive_io_op op, unsigned nth);
/* Damages the body of the last record in the newest log of a drive. */
void rot_last_record(struct fixture *f, unsigned slot);
/* The slot leaves, and what then stands in its directory is taken in again. */
void drive_leaves(struct fixture *f, unsigned slot);
void drive_given_back(struct fixture *f, unsigned slot); /* by the set, and closed */
int drive_joins(struct fixture *f, unsigned slot);       /* opened anew; detail is set */
void drive_returns(struct fixture *f, unsigned slot);    /* all of it must succeed */
bool slot_is_in(struct fixture *f, unsigned slot);
unsigned segment_files(struct fixture *f, uint32_t slots); /* on all of them together */
void make_blank(struct fixture *f, unsigned slot);

#endif
