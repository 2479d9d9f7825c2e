// SPDX-License-Identifier: MIT
/*
 * A forked child keeps every page alive that its parent had, tens of megabytes of somebody's heap.
 * It needs its stack, the code, and the small data of the libraries, which come from files.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guard-process.h"

#define SMALL (256 * 1024) /* bytes; the .bss of a library stays */
#define NEAR 65536	   /* bytes around what is in use that stay in any case */

/* A line of /proc/self/maps: start-end rwxp offset major:minor inode path */
struct line {
	uintptr_t word[6]; /* of the hexadecimal ones: start, end, then as they come */
	int words;
	char access[4];
	int at;	   /* column in access[] */
	char kind; /* of [heap], [stack], ...: the first letter */
	char last;
};

static bool in_use(const struct line *l, const void *what)
{
	uintptr_t at = (uintptr_t)what;

	return at + NEAR >= l->word[0] && at < l->word[1] + NEAR;
}

static void drop(const struct line *l)
{
	uintptr_t size = l->word[1] - l->word[0];
	bool file = l->word[5] != 0 || (l->kind && l->kind != 'h' && l->kind != 'a');

	if (file || size < SMALL || l->access[1] != 'w' || l->access[3] != 'p')
		return;
	/* The stack, and errno with the rest of the thread's own data. */
	if (in_use(l, __builtin_frame_address(0)) || in_use(l, &errno))
		return;
	syscall(SYS_madvise, l->word[0], size, MADV_DONTNEED);
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* words: 0 start, 1 end, 2 is access, then offset, device (its halves run together), inode. */
static void eat(struct line *l, char c)
{
	static const struct line empty;

	if (c == '\n') {
		drop(l);
		*l = empty;
	} else if (l->words < 6 && (c == ' ' || c == '-') && !(l->words == 2 && c == '-')) {
		/* the inode is followed by many spaces */
		l->words++;
	} else if (l->words == 2) {
		if (l->at < 4)
			l->access[l->at++] = c;
	} else if (l->words < 6) {
		if (digit(c) >= 0)
			l->word[l->words] = l->word[l->words] << 4 | (uintptr_t)digit(c);
	} else if (!l->kind && c != ' ') {
		l->kind = c == '[' ? 0 : (l->last == '[' ? c : '/');
	}
	l->last = c == '\n' ? 0 : c;
}

void guard_forget(void)
{
	struct line line = {0};
	char text[4096];
	long fd, n;

	fd = syscall(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	while ((n = syscall(SYS_read, fd, text, sizeof(text))) > 0) {
		for (long i = 0; i < n; i++)
			eat(&line, text[i]);
	}
	syscall(SYS_close, fd);
}
