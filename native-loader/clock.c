// SPDX-License-Identifier: MIT
/*
 * The clock of the BPF programs. In a time namespace clock_gettime() adds an offset, which the
 * kernel shows; bpf_ktime_get_ns() does not. The namespace of a process with threads stays.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bridge.h"

#define OFFSETS "/proc/self/timens_offsets"
#define OWN "/proc/self/ns/time"
#define CHILDREN "/proc/self/ns/time_for_children"
/* That of the host has the same number everywhere (PROC_TIME_INIT_INO). */
#define FIRST "time:[4026531834]"

static int name_of(const char *path, char *name, size_t cap)
{
	ssize_t len = readlink(path, name, cap - 1);

	if (len < 0)
		return -errno;
	name[len] = '\0';
	return 0;
}

/*
 * The offsets are those of the namespace that children get. It is another one than our own where
 * somebody called unshare() and then executed us without a fork, and before Linux 6.3 alone.
 */
static int offset_of(int64_t *ns)
{
	char own[64], children[64], clock[32];
	long long seconds, rest;
	FILE *file;
	int err;

	*ns = 0;
	err = name_of(OWN, own, sizeof(own));
	if (err == -ENOENT)
		return 0; /* a kernel without time namespaces */
	if (!err && !strcmp(own, FIRST))
		return 0;
	err = err ?: name_of(CHILDREN, children, sizeof(children));
	if (err)
		return err;
	if (strcmp(own, children))
		return -ENOTSUP;
	file = fopen(OFFSETS, "re");
	if (!file)
		return -errno;
	err = -EPROTO;
	while (err && fscanf(file, "%31s %lld %lld", clock, &seconds, &rest) == 3) {
		/* before 5.7 by its number */
		if (strcmp(clock, "monotonic") && strcmp(clock, "1"))
			continue;
		*ns = seconds * 1000000000 + rest;
		err = 0;
	}
	fclose(file);
	return err;
}

int tcpx_monotonic(uint64_t *out)
{
	static int64_t offset;
	static int state = 1; /* 1: not known yet */
	struct timespec now;

	if (!out)
		return -EINVAL;
	if (state > 0)
		state = offset_of(&offset);
	if (state < 0)
		return state;
	if (clock_gettime(CLOCK_MONOTONIC, &now))
		return -errno;
	*out = (uint64_t)(now.tv_sec * 1000000000LL + now.tv_nsec - offset);
	return 0;
}
