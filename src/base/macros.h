/* SPDX-License-Identifier: Apache-2.0
 *
 * Compiler helpers and the always-on assertion.
 */
#ifndef QUOIN_BASE_MACROS_H
#define QUOIN_BASE_MACROS_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define DIV_ROUND_UP(n, d) (((n) + (d) - 1) / (d))
#define ALIGN_UP(n, a) (((n) + (a) - 1) / (a) * (a))
/* Pastes after expanding its arguments, so that __LINE__ becomes a number first. */
#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
#define WARN_UNUSED __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

/* A broken program invariant aborts, in release builds too. Never for bytes from a drive, client, peer or file. */
#define ASSERT(cond)                                                                                                   \
	do {                                                                                                               \
		if (__builtin_expect(!(cond), 0))                                                                              \
			assert_failed(#cond, __FILE__, __LINE__, __func__);                                                        \
	} while (0)

_Noreturn void assert_failed(const char *cond, const char *file, int line, const char *func);

/* CLEANUP(freep) T *p: calls freep(&p) at the end of the scope. */
#define CLEANUP(fn) __attribute__((cleanup(fn)))
static inline void freep(void *p)
{
	free(*(void **)p);
}
#define CLEANUP_FREE CLEANUP(freep)

/* Built for ThreadSanitizer, as gcc and as clang tell it. */
#ifdef __SANITIZE_THREAD__
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif

#endif
