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
#define LEAST_SMALL_TASKS 6
#define LEAST_MEMORY_MB 32

#define TEXT_(number) #number
#define TEXT(number) TEXT_(number)

#define NO_LIMIT (~0ULL)

struct path {
	size_t size;
	char text[4600];
};

/* The number in a file of a directory. "max" and whatever else is no number is no limit. */
uint64_t number_of(struct path *directory, const char *file);

/* What a cgroup, which a path leads to, limits. */
typedef uint64_t limit_of_cgroup(struct path *cgroup, int is_v1);

/* The least of the cgroups that we are in and all above them, as far as they can be seen; v1: where
 * that controller is mounted. */
uint64_t least_of_cgroups(const char *controller, const char *v1, limit_of_cgroup *limit);

/* The first word that is no flag; an empty one where there is none. */
const char *command_of(const struct words *words);
int same(const char *a, const char *b);

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
