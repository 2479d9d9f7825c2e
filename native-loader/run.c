// SPDX-License-Identifier: MIT
/*
 * `tcpx run`: becoming another program, and the process that waits for the end of its cgroup.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "start/started.h"
#include "bridge.h"
#include "guard-process.h"

#define SMALLEST_PAGE 4096UL

/* What the runtime ignores in its process before anybody can look (measured with Bun 1.4.5). */
static const int IGNORED[] = {SIGPIPE, SIGXFSZ};

/* What this command may change before it becomes another program. */
static struct {
	int stdio[3]; /* status flags, -1: closed */
	struct rlimit memlock;
} before;

int tcpx_exec_note(void)
{
	for (int fd = 0; fd < 3; fd++)
		before.stdio[fd] = fcntl(fd, F_GETFL);
	return getrlimit(RLIMIT_MEMLOCK, &before.memlock) ? -errno : 0;
}

int tcpx_exec_keep(int fd)
{
	return fcntl(fd, F_SETFD, 0) ? -errno : 0;
}

/* How the process was at its start; nothing is known of it in a checkout that Bun runs. */
static const struct tcpx_started *started(void)
{
	static const struct tcpx_started unknown = {.directory = -1};
	const struct tcpx_start_head *head = (void *)(getauxval(AT_ENTRY) & ~(SMALLEST_PAGE - 1));

	if (!head || memcmp(head->magic, TCPX_START_MAGIC, sizeof(head->magic)))
		return &unknown;
	return (const struct tcpx_started *)head->started;
}

int tcpx_left_directory(void)
{
	return started()->directory;
}

int tcpx_enter_directory(int fd)
{
	int err = fchdir(fd) ? -errno : 0;

	close(fd);
	return err;
}

static void restore(void)
{
	const struct tcpx_started *start = started();

	for (size_t i = 0; i < sizeof(IGNORED) / sizeof(*IGNORED); i++) {
		struct sigaction was = {.sa_handler = SIG_DFL};

		if (start->ignored & (1U << IGNORED[i]))
			was.sa_handler = SIG_IGN;
		sigaction(IGNORED[i], &was, NULL);
	}
	for (int fd = 0; fd < 3; fd++) {
		/* of the open file, which others share: a terminal */
		if (before.stdio[fd] >= 0 && fcntl(fd, F_GETFL) != before.stdio[fd])
			fcntl(fd, F_SETFL, before.stdio[fd]);
		if (start->closed & (1U << fd))
			fcntl(fd, F_SETFD, FD_CLOEXEC);
	}
	setrlimit(RLIMIT_MEMLOCK, &before.memlock);
	if (start->noted) { /* the runtime raises the soft limit to the hard one */
		const struct rlimit files = {start->files[0], start->files[1]};

		setrlimit(RLIMIT_NOFILE, &files);
	}
}

/* Strings that lie back to back, as a vector; the caller frees it. */
static char **vector(const char *text, size_t size)
{
	size_t n = 0;
	char **v;

	if (!text || (size && text[size - 1]))
		return NULL;
	for (size_t i = 0; i < size; i++)
		n += !text[i];
	v = calloc(n + 1, sizeof(*v));
	for (size_t i = 0; v && i < n; i++) {
		v[i] = (char *)text;
		text += strlen(text) + 1;
	}
	return v;
}

int tcpx_exec(const char *argv, size_t argv_size, const char *envp, size_t envp_size)
{
	const struct sigaction ignored = {.sa_handler = SIG_IGN};
	char **args = vector(argv, argv_size), **env = vector(envp, envp_size);
	int err = -EINVAL;

	if (args && env && args[0]) {
		restore();
		execvpe(args[0], args, env);
		err = -errno;
		/* we live on, and may have something to say to a closed pipe */
		sigaction(SIGPIPE, &ignored, NULL);
	}
	free(args);
	free(env);
	return err;
}

#define WORDS 8

struct run_watch {
	int line; /* end of file: tcpx has become the command, or is dead */
	char *argv[WORDS + 1];
	const char *cgroup;
	char text[8192]; /* on the stack, where guard_forget() leaves it alone */
};

/* False for a cgroup that is gone, too. */
static int populated(int events)
{
	static const char word[] = "populated 1";
	char text[256];
	long n = syscall(SYS_pread64, events, text, sizeof(text), 0);

	for (long i = 0; i + (long)sizeof(word) - 1 <= n; i++) {
		if (!memcmp(text + i, word, sizeof(word) - 1))
			return 1;
	}
	return 0;
}

/* The kernel's struct for rt_sigaction: handler, flags, restorer, mask. */
static void ignore(int signal)
{
	const unsigned long action[4] = {(unsigned long)SIG_IGN, 0, 0, 0};

	syscall(SYS_rt_sigaction, signal, action, NULL, GUARD_SIGNALS);
}

/* This very program again, even when its file has been replaced meanwhile. A service that is being
 * stopped sends SIGTERM to all that is in its cgroup, which may be us.
 */
static void clean_up(char *const *argv)
{
	static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	char *env[] = {path, NULL};
	unsigned long none = 0;

	ignore(SIGHUP);
	ignore(SIGINT);
	ignore(SIGQUIT);
	ignore(SIGTERM);
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, GUARD_SIGNALS);
	syscall(SYS_close, 0);
	syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR);
	syscall(SYS_dup3, 0, 1, 0);
	syscall(SYS_dup3, 0, 2, 0);
	guard_close_from(3);
	syscall(SYS_execve, "/proc/self/exe", argv, env);
}

/* The clock of the kernel's ticks, which the rate of notifications is measured in. */
static long ticked_ms(void)
{
	struct timespec now = {};

	syscall(SYS_clock_gettime, CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Is there a change since the file was read last? Waits for one without end, or as long as given.
 */
static long changed(int events, const struct timespec *most)
{
	struct pollfd change = {.fd = events, .events = POLLPRI};
	struct timespec rest = most ? *most : (struct timespec){};

	return syscall(SYS_ppoll, &change, 1, most ? &rest : NULL, NULL, 0);
}

/* The kernel tells of changes at most every 10 ms, so the next one comes later; it never comes when
 * somebody removes the cgroup before, and nothing else tells of a removal. So whoever waits without
 * end must know that no change is on its way: none was told of for longer than that (the first
 * file, read once per change), and there are processes now (the second, whose reading takes no
 * change away from the first). A change from now on is told of at once, before the cgroup can go.
 */
static void until_empty(int events, int again)
{
	const struct timespec longer = {.tv_nsec = 50000000};
	const long settled = 40; /* ms */

	while (populated(events)) {
		long since = ticked_ms(), n;

		do
			n = changed(events, &longer);
		while (!n && ticked_ms() - since < settled);
		if (!n && populated(again))
			n = changed(events, NULL);
		if (n < 0 && errno != EINTR)
			return;
	}
}

/* It fails where the cgroup is gone: then nobody is in it. */
static int open_events(const char *cgroup)
{
	int dir = (int)syscall(SYS_openat, AT_FDCWD, cgroup, O_PATH | O_DIRECTORY);

	return (int)syscall(SYS_openat, dir, "cgroup.events", O_RDONLY);
}

static void watch(const void *context)
{
	const struct run_watch *w = context;
	int line = (int)syscall(SYS_fcntl, w->line, F_DUPFD, 3);
	char word;

	syscall(SYS_dup3, line, 0, 0);
	guard_close_from(1);
	syscall(SYS_setsid);
	syscall(SYS_chdir, "/");
	syscall(SYS_prctl, PR_SET_NAME, "tcpx-run-watch", 0, 0, 0);
	guard_forget();
	if (syscall(SYS_read, 0, &word, 1) > 0)
		return; /* it could not be made */
	until_empty(open_events(w->cgroup), open_events(w->cgroup));
	clean_up(w->argv);
}

int tcpx_run_watch(const char *argv, size_t argv_size)
{
	struct run_watch w = {};
	int line[2], words = 0, err;

	if (!argv || !argv_size || argv[argv_size - 1] || argv_size > sizeof(w.text))
		return -EINVAL;
	memcpy(w.text, argv, argv_size);
	for (size_t i = 0; i < argv_size; i += strlen(w.text + i) + 1) {
		if (words == WORDS)
			return -E2BIG;
		w.cgroup = w.argv[words++] = w.text + i;
	}
	if (syscall(SYS_pipe2, line, O_CLOEXEC))
		return -errno;
	w.line = line[0];
	err = guard_launch(watch, &w);
	close(line[0]);
	if (err) {
		close(line[1]);
		return err;
	}
	return line[1];
}
