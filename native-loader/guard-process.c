// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guard-process.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

#define MOST_FDS 65536 /* to close one by one */

void guard_close_from(unsigned int first)
{
	struct rlimit most = {.rlim_cur = MOST_FDS};

	if (!syscall(SYS_close_range, first, ~0U, 0))
		return;
	syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &most);
	if (most.rlim_cur > MOST_FDS)
		most.rlim_cur = MOST_FDS;
	for (unsigned int fd = first; fd < most.rlim_cur; fd++)
		syscall(SYS_close, fd);
}

/* Not fork(): that takes the locks of the C library and runs what others have registered. No
 * signal at the child's end either, so nobody else's wait() ever sees it.
 */
static long split(void)
{
	return syscall(SYS_clone, 0UL, NULL, NULL, NULL, NULL);
}

static void __attribute__((noreturn)) leave(int status)
{
	for (;;)
		syscall(SYS_exit_group, status);
}

/* Two generations, so that init waits for the second. */
int guard_launch(void (*child)(const void *), const void *context)
{
	unsigned long all = ~0UL, before;
	int status = 0;
	long pid, n;

	syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, &before, GUARD_SIGNALS);
	pid = split();
	if (!pid) {
		pid = split();
		if (!pid) {
			child(context);
			leave(0);
		}
		leave(pid < 0 ? errno : 0);
	}
	if (pid < 0)
		pid = -errno;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, GUARD_SIGNALS);
	if (pid < 0)
		return (int)pid;
	do
		n = syscall(SYS_wait4, pid, &status, __WALL, NULL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EAGAIN;
}
