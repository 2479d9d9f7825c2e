// SPDX-License-Identifier: MIT
/* Limits of the process below which the runtime dies, or opens no file at some point (measured with
 * Bun 1.4.5). */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "start.h"

#define KB 1024ULL
#define MB (1024 * KB)

/* mmap() takes six arguments. */
static long map_space(uint64_t size)
{
	const long flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
#if defined(__x86_64__)
	register long r10 __asm__("r10") = flags;
	register long r8 __asm__("r8") = -1;
	register long r9 __asm__("r9") = 0;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(SYS_mmap), "D"(0L), "S"(size), "d"((long)PROT_NONE), "r"(r10),
			   "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
#else
	register long x8 __asm__("x8") = SYS_mmap;
	register long x0 __asm__("x0") = 0;
	register long x1 __asm__("x1") = (long)size;
	register long x2 __asm__("x2") = PROT_NONE;
	register long x3 __asm__("x3") = flags;
	register long x4 __asm__("x4") = -1;
	register long x5 __asm__("x5") = 0;

	__asm__ volatile("svc #0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
#endif
}

static int has_space(void)
{
	long at = map_space(LEAST_SPACE_MB * MB);

	if (at < 0 && at >= -4095)
		return at != -ENOMEM;
	call4(SYS_munmap, at, (long)(LEAST_SPACE_MB * MB), 0, 0);
	return 1;
}

void require_limits(const struct words *words)
{
	uint64_t files[2] = {NO_LIMIT, NO_LIMIT}, stack[2] = {NO_LIMIT}, data[2] = {NO_LIMIT};
	uint64_t space[2] = {NO_LIMIT};

	call4(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)files);
	call4(SYS_prlimit64, 0, RLIMIT_STACK, 0, (long)stack);
	call4(SYS_prlimit64, 0, RLIMIT_DATA, 0, (long)data);
	call4(SYS_prlimit64, 0, RLIMIT_AS, 0, (long)space);
	if (files[1] < LEAST_FILES) /* the runtime raises the soft limit */
		refuse_number(
			words,
			"only # files may be open at a time: " TEXT(LEAST_FILES) " are needed",
			files[1], "raise the limit (ulimit -n, LimitNOFILE=)");
	if (stack[0] < LEAST_STACK_KB * KB)
		refuse_number(
			words,
			"the stack is limited to # KB: " TEXT(LEAST_STACK_KB) " KB are needed",
			stack[0] / KB, "raise the limit (ulimit -s, LimitSTACK=)");
	if (data[0] < LEAST_SPACE_MB * MB)
		refuse_number(words,
			      "data is limited to # MB: " TEXT(LEAST_SPACE_MB) " MB are needed",
			      data[0] / MB, "raise the limit (ulimit -d, LimitDATA=)");
	if (space[0] != NO_LIMIT && !has_space())
		refuse_number(words,
			      "the address space is limited to # MB: " TEXT(
				      LEAST_SPACE_MB) " MB must be free",
			      space[0] / MB, "raise the limit (ulimit -v, LimitAS=)");
}
