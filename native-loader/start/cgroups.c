// SPDX-License-Identifier: MIT
/* The cgroups that we are in, and those above them. */
#include <fcntl.h>

#include "start.h"

/* Where the hierarchies are mounted. Elsewhere the limit is not seen. */
static const char *const UNIFIED = "/sys/fs/cgroup", *const HYBRID = "/sys/fs/cgroup/unified";

static long read_file(const char *path, char *out, size_t size)
{
	long fd = call4(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0), n;

	if (fd < 0)
		return fd;
	n = call4(SYS_read, fd, (long)out, (long)size, 0);
	call4(SYS_close, fd, 0, 0, 0);
	return n;
}

static void add(struct path *p, const char *more)
{
	while (*more && p->size < sizeof(p->text) - 1)
		p->text[p->size++] = *more++;
	p->text[p->size] = 0;
}

uint64_t number_of(struct path *directory, const char *file)
{
	size_t size = directory->size;
	uint64_t value = 0;
	char text[32];
	long n;

	add(directory, file);
	n = read_file(directory->text, text, sizeof(text));
	directory->size = size;
	directory->text[size] = 0;
	if (n <= 0 || text[0] < '0' || text[0] > '9')
		return NO_LIMIT;
	for (long i = 0; i < n && text[i] >= '0' && text[i] <= '9'; i++)
		value = value * 10 + (uint64_t)(text[i] - '0');
	return value;
}

/* The least of this cgroup and all above it. */
static uint64_t least_from(const char *root, const char *cgroup, limit_of_cgroup *limit, int is_v1)
{
	uint64_t least = NO_LIMIT, here;
	struct path p;
	size_t base;

	p.size = 0;
	add(&p, root);
	base = p.size;
	add(&p, cgroup);
	for (size_t end = p.size;; end--) {
		if (end > base && p.text[end] != 0 && p.text[end] != '/')
			continue;
		p.size = end;
		p.text[end] = 0;
		here = limit(&p, is_v1);
		if (here < least)
			least = here;
		if (end == base)
			return least;
	}
}

static int is(const char *at, const char *end, const char *word)
{
	while (*word && at < end && *at == *word) {
		at++;
		word++;
	}
	return !*word && (at == end || *at == ',');
}

/* HIERARCHY:CONTROLLERS:PATH; no controllers is cgroup v2. */
static uint64_t limit_of(char *line, char *end, const char *controller, const char *v1,
			 limit_of_cgroup *limit)
{
	char *names = line, *cgroup;
	uint64_t a, b;

	while (names < end && *names++ != ':')
		;
	for (cgroup = names; cgroup < end && *cgroup != ':'; cgroup++)
		;
	if (cgroup >= end)
		return NO_LIMIT;
	*end = 0;
	if (cgroup == names) {
		a = least_from(UNIFIED, cgroup + 1, limit, 0);
		b = least_from(HYBRID, cgroup + 1, limit, 0);
		return a < b ? a : b;
	}
	for (char *name = names; name < cgroup; name++) {
		if ((name == names || name[-1] == ',') && is(name, cgroup, controller))
			return least_from(v1, cgroup + 1, limit, 1);
	}
	return NO_LIMIT;
}

uint64_t least_of_cgroups(const char *controller, const char *v1, limit_of_cgroup *limit)
{
	uint64_t least = NO_LIMIT, here;
	char text[8192];
	long size = read_file("/proc/self/cgroup", text, sizeof(text));
	char *line = text;

	for (char *end = text; end < text + (size > 0 ? size : 0); end++) {
		if (*end != '\n')
			continue;
		here = limit_of(line, end, controller, v1, limit);
		if (here < least)
			least = here;
		line = end + 1;
	}
	return least;
}
