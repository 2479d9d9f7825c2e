// SPDX-License-Identifier: MIT
/* Pages of the executable, which the page cache has anyway: what a process that waits does not need
 * to have mapped. They come back when they are touched.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bridge.h"

struct mapping {
	unsigned long start, end;
	bool ours; /* private, of the executable, and nobody may write there */
};

/* start-end rwxp offset device inode path */
static bool read_head(const char *line, unsigned long inode, struct mapping *m)
{
	const char *access;
	struct mapping found;
	char *at;

	found.start = strtoul(line, &at, 16);
	if (at == line || *at != '-')
		return false;
	found.end = strtoul(at + 1, &at, 16);
	access = at + 1;
	if (*at != ' ' || strlen(access) < 5)
		return false;
	strtoul(access + 5, &at, 16); /* offset */
	at = strchr(at + 1, ' ');     /* behind the device */
	found.ours = at && access[0] == 'r' && access[1] == '-' && access[3] == 'p' &&
		     strtoul(at, NULL, 10) == inode;
	*m = found;
	return true;
}

int tcpx_leave_file_pages(void)
{
	const char anonymous[] = "Anonymous:";
	struct mapping m = {0};
	struct stat executable;
	char line[512];
	FILE *smaps;

	if (stat("/proc/self/exe", &executable))
		return -errno;
	smaps = fopen("/proc/self/smaps", "re");
	if (!smaps)
		return -errno;
	while (fgets(line, sizeof(line), smaps)) {
		if (read_head(line, executable.st_ino, &m) ||
		    strncmp(line, anonymous, sizeof(anonymous) - 1))
			continue;
		/* What was written there once, by a linker, would be gone. */
		if (m.ours && !strtoul(line + sizeof(anonymous) - 1, NULL, 10))
			syscall(SYS_madvise, m.start, m.end - m.start, MADV_DONTNEED);
	}
	fclose(smaps);
	return 0;
}
