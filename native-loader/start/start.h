/* SPDX-License-Identifier: MIT */
#ifndef TCPX_START_H
#define TCPX_START_H

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "started.h"

/* The command line. */
struct words {
	long count;
	const char *const *all;
};

/* What each of these is about, and how much is the least: docs/requirements.md, install.sh. */
#define LEAST_FILES 64
#define LEAST_STACK_KB 256
#define LEAST_SPACE_MB 3072
#define LEAST_TASKS 16
#define LEAST_MEMORY_MB 32

#define TEXT_(number) #number
#define TEXT(number) TEXT_(number)

void require_limits(const struct words *words);
void require_tasks(const struct words *words);
void require_memory(const struct words *words);

/* One line on stderr, the document of --json on stdout, and the exit code for a host that cannot.
 */
_Noreturn void refuse(const struct words *words, const char *what, const char *hint);
/* The text with its first '#' as this number. */
_Noreturn void refuse_number(const struct words *words, const char *what, uint64_t number,
			     const char *hint);

/* A system call; the kernel's answer. Unused arguments are 0. */
static inline long call4(long number, long a, long b, long c, long d)
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = d;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return result;
#else
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;

	__asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
	return x0;
#endif
}

#endif
