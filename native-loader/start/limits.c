// SPDX-License-Identifier: MIT
/* Limits of the process below which the runtime dies, or opens no file at some point (measured with
 * Bun 1.4.5). */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "start.h"

#define KB 1024ULL
#define MB (1024 * KB)
#define UNLIMITED (~0ULL)

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
	uint64_t files[2] = {UNLIMITED, UNLIMITED}, stack[2] = {UNLIMITED}, data[2] = {UNLIMITED};
	uint64_t space[2] = {UNLIMITED};

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
	if (space[0] != UNLIMITED && !has_space())
		refuse_number(words,
			      "the address space is limited to # MB: " TEXT(
				      LEAST_SPACE_MB) " MB must be free",
			      space[0] / MB, "raise the limit (ulimit -v, LimitAS=)");
}

/* Processes, each of which waits for the next one: so all of them exist at once. Nothing is copied,
 * no thread is left, and each is gone before its parent goes on. Returns how many could be started.
 */
static __attribute__((noinline)) long chain(long length)
{
	int status = 0;
	long pid;

	if (length == 0)
		return 0;
	pid = call4(SYS_clone, CLONE_VM | CLONE_VFORK, 0, 0, 0);
	if (pid == 0) {
		for (;;)
			call4(SYS_exit, chain(length - 1), 0, 0, 0);
	}
	if (pid < 0)
		return pid == -EAGAIN ? 0 : length; /* another reason: not for us to say */
	while (call4(SYS_wait4, pid, (long)&status, __WALL, 0) == -EINTR)
		;
	return 1 + WEXITSTATUS(status);
}

void require_tasks(const struct words *words)
{
	long tasks = chain(LEAST_TASKS);

	if (tasks < LEAST_TASKS)
		refuse_number(words,
			      "only # processes and threads can be started here: " TEXT(
				      LEAST_TASKS) " are needed",
			      (uint64_t)tasks, "raise the limit (ulimit -u, TasksMax=, pids.max)");
}
