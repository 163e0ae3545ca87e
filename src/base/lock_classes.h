/* SPDX-License-Identifier: Apache-2.0
 *
 * Every mutex and rwlock has a class; the order here is the rank, outermost first. A thread takes locks in this order
 * only; --enable-debug aborts on an inversion. Two of one class at a time only where the comment says so.
 */
#define QUOIN_LOCK_CLASSES(X)                                                                                          \
	X(LOCK_CONF)        /* configuration reload */                                                                     \
	X(LOCK_HTTP)        /* listener and connection lists of net */                                                     \
	X(LOCK_NS)          /* tables of names above the core; two at a time; never held across I/O */                     \
	X(LOCK_FILE)        /* one open file's dirty data (object/file); held across core calls of that file */            \
	X(LOCK_HANDLE)      /* one open directory or file handle of the mount */                                           \
	X(LOCK_CHECKPOINT)  /* one checkpoint at a time */                                                                 \
	X(LOCK_WRITER)      /* the set's group writer: who holds it leads */                                               \
	X(LOCK_SEQUENCER)   /* the set's queue of submitted batches */                                                     \
	X(LOCK_SEGMENT)     /* open segments and their allocation pointers */                                              \
	X(LOCK_PUBLISH)     /* views are taken and memtables swapped under it */                                           \
	X(LOCK_MEMTABLE)    /* memtable writer state */                                                                    \
	X(LOCK_MOUNTS)      /* the notifier's list of mounts, held while they are asked what they hold */                      \
	X(LOCK_INODE)       /* a mount's node table: asked what is held while a change is applied */                        \
	X(LOCK_NOTIFY)      /* notifier's queues, name locks, holds of files */                                            \
	X(LOCK_QUEUE)       /* work queues and completion lists */                                                         \
	X(LOCK_DRIVE)       /* one drive's files and health */                                                             \
	X(LOCK_POOL)        /* buffer pools */                                                                             \
	X(LOCK_LOG)         /* log output */
