// SPDX-License-Identifier: MIT
/*
 * The executable's first code: the build makes it the entry point, and it goes on to the runtime's
 * own. Where the runtime would die without a reason, it says the reason; it gives the runtime a
 * working directory where ours is gone, and notes what the runtime changes. No C library: system
 * calls and the stack.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/resource.h>

#include "start.h"

const volatile struct tcpx_start_head head __attribute__((section(".head"), used)) = {
	.magic = TCPX_START_MAGIC,
};

static const int CHANGED[] = {SIGPIPE, SIGXFSZ};

static void note(struct tcpx_started *s)
{
	uint64_t action[4];

	s->directory = -1;
	for (size_t i = 0; i < sizeof(CHANGED) / sizeof(*CHANGED); i++) {
		if (!call4(SYS_rt_sigaction, CHANGED[i], 0, (long)action, 8) &&
		    action[0] == (uint64_t)SIG_IGN)
			s->ignored |= 1U << CHANGED[i];
	}
	call4(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)s->files);
	s->noted = 1;
}

/* What is opened later must not become a standard file by accident. The runtime would take
 * /dev/null, and what is written there would seem to be written: from and to this one nothing can
 * be.
 */
static void fill_standard_files(struct tcpx_started *s)
{
	for (int fd = 0; fd < 3; fd++) {
		if (call4(SYS_fcntl, fd, F_GETFD, 0, 0) >= 0)
			continue;
		s->closed |= 1U << fd;
		call4(SYS_openat, AT_FDCWD, (long)"/", O_PATH | O_DIRECTORY, 0);
	}
}

/* The runtime does not start where the directory has no name. Main returns to it
 * (cli/system/working-directory.ts). */
static void leave_nameless_directory(struct tcpx_started *s, const struct words *words)
{
	char path[4096];
	long n = call4(SYS_getcwd, (long)path, sizeof(path), 0, 0);

	if (n > 0 && path[0] == '/')
		return;
	s->directory =
		(int)call4(SYS_openat, AT_FDCWD, (long)".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (s->directory < 0)
		refuse(words, "the working directory is gone, and may not be searched",
		       "change to another one");
	call4(SYS_chdir, (long)"/", 0, 0, 0);
}

void start(const long *stack)
{
	const struct words words = {.count = stack[0], .all = (const char *const *)(stack + 1)};
	struct tcpx_started *s = (struct tcpx_started *)head.started;

	note(s);
	fill_standard_files(s);
	require_limits(&words);
	require_tasks(&words);
	require_memory(&words);
	leave_nameless_directory(s, &words);
}

/* The stack as it is at the entry of a program, and the register in which the loader passes what is
 * to be called at the end, go on to the runtime.
 */
#if defined(__x86_64__)
__asm__(".section .text.entry,\"ax\"\n"
	".globl tcpx_entry\n"
	"tcpx_entry:\n"
	"	mov %rsp, %rdi\n"
	"	push %rdx\n"
	"	sub $8, %rsp\n"
	"	call start\n"
	"	add $8, %rsp\n"
	"	pop %rdx\n"
	"	jmp *head+16(%rip)\n"
	".text\n");
#elif defined(__aarch64__)
__asm__(".section .text.entry,\"ax\"\n"
	".globl tcpx_entry\n"
	"tcpx_entry:\n"
	"	stp x0, x30, [sp, #-16]!\n"
	"	add x0, sp, #16\n"
	"	bl start\n"
	"	ldp x0, x30, [sp], #16\n"
	"	adrp x16, head\n"
	"	add x16, x16, :lo12:head\n"
	"	ldr x16, [x16, #16]\n"
	"	br x16\n"
	".text\n");
#else
#error "no entry for this CPU"
#endif
