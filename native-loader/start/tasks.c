// SPDX-License-Identifier: MIT
/* How many processes and threads may be started. The runtime dies where it gets too few. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "start.h"

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

/* How many more this cgroup may have. */
static uint64_t left_in(struct path *cgroup, int is_v1)
{
	uint64_t most = number_of(cgroup, "/pids.max"), now;

	(void)is_v1;
	if (most == NO_LIMIT)
		return NO_LIMIT;
	now = number_of(cgroup, "/pids.current");
	if (now == NO_LIMIT)
		return NO_LIMIT;
	return now < most ? most - now : 0;
}

/* Has the user a limit? Root has none, whatever the number. */
static int is_user_limited(void)
{
	uint64_t most[2] = {NO_LIMIT, NO_LIMIT};

	call4(SYS_prlimit64, 0, RLIMIT_NPROC, 0, (long)most);
	return most[0] != NO_LIMIT && call4(SYS_getuid, 0, 0, 0, 0) != 0;
}

/* Up to `least`. Trying takes tasks from whoever starts some at that moment, another tcpx among
 * them. So a limit of cgroups that can be read is not tried.
 */
static uint64_t startable(long least)
{
	uint64_t left = least_of_cgroups("pids", "/sys/fs/cgroup/pids", left_in);

	if (left < (uint64_t)least)
		return left;
	return left == NO_LIMIT || is_user_limited() ? (uint64_t)chain(least) : (uint64_t)least;
}

/* Those that tcpx starts beside itself, and that have little to do. */
static int is_small(const struct words *words)
{
	const char *command = command_of(words);

	return same(command, "internal-peer") || same(command, "internal-run-end");
}

/* Others may be starting, or trying, for a moment. */
static void wait_for_others(long round)
{
	long spread = call4(SYS_getpid, 0, 0, 0, 0) * 7 + round * 13;
	struct timespec time = {.tv_nsec = (5 + spread % 40) * 1000000};

	call4(SYS_nanosleep, (long)&time, 0, 0, 0);
}

void require_tasks(const struct words *words)
{
	const int small = is_small(words);
	const long least = small ? LEAST_SMALL_TASKS : LEAST_TASKS;
	uint64_t tasks = startable(least);

	for (long round = 0; tasks < (uint64_t)least && round < 16; round++) {
		wait_for_others(round);
		tasks = startable(least);
	}
	if (tasks < (uint64_t)least)
		refuse_number(words,
			      small ? "only # processes and threads can be started here: " TEXT(
					      LEAST_SMALL_TASKS) " are needed"
				    : "only # processes and threads can be started here: " TEXT(
					      LEAST_TASKS) " are needed",
			      tasks, "raise the limit (ulimit -u, TasksMax=, pids.max)");
}
