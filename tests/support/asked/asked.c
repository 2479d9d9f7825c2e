// SPDX-License-Identifier: MIT
/*
 * For LD_PRELOAD: writes the names of the variables that a program asks getenv() for to the file
 * that ASKED names, a line each.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

extern char **environ;

static char *value(const char *name)
{
	size_t length = strlen(name);

	for (char **entry = environ; length && entry && *entry; entry++) {
		if (!strncmp(*entry, name, length) && (*entry)[length] == '=')
			return *entry + length + 1;
	}
	return NULL;
}

char *getenv(const char *name)
{
	struct iovec line[] = {{(void *)name, strlen(name)}, {"\n", 1}};
	const char *path = value("ASKED");
	int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644) : -1;

	if (fd >= 0) {
		if (writev(fd, line, 2) < 0)
			_exit(99);
		close(fd);
	}
	return value(name);
}

char *secure_getenv(const char *name)
{
	return getenv(name);
}
