// SPDX-License-Identifier: MIT
/* The limits of memory of the cgroups that we are in. The kernel kills who goes beyond, without a
 * word. */
#include <errno.h>
#include <fcntl.h>

#include "start.h"

#define MB (1024ULL * 1024)

struct path {
	size_t size;
	char text[4600];
};

/* Where the hierarchies are mounted. Elsewhere the limit is not seen. */
static const char *const UNIFIED = "/sys/fs/cgroup", *const HYBRID = "/sys/fs/cgroup/unified";
static const char *const V1 = "/sys/fs/cgroup/memory";

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

/* "max" and whatever else is no number is no limit. */
static uint64_t number_in(const char *path)
{
	uint64_t value = 0;
	char text[32];
	long n = read_file(path, text, sizeof(text));

	if (n <= 0 || text[0] < '0' || text[0] > '9')
		return ~0ULL;
	for (long i = 0; i < n && text[i] >= '0' && text[i] <= '9'; i++)
		value = value * 10 + (uint64_t)(text[i] - '0');
	return value;
}

/* The least of this cgroup and all above it. */
static uint64_t least_of(const char *root, const char *cgroup, const char *file)
{
	uint64_t least = ~0ULL, here;
	struct path p;
	size_t base, end;

	p.size = 0;
	add(&p, root);
	base = p.size;
	add(&p, cgroup);
	for (end = p.size;; end--) {
		if (end > base && p.text[end] != 0 && p.text[end] != '/')
			continue;
		p.size = end;
		add(&p, file);
		here = number_in(p.text);
		if (here < least)
			least = here;
		p.text[end] = 0;
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
static uint64_t limit_of(char *line, char *end)
{
	char *names = line, *cgroup;
	uint64_t a, b;

	while (names < end && *names++ != ':')
		;
	for (cgroup = names; cgroup < end && *cgroup != ':'; cgroup++)
		;
	if (cgroup >= end)
		return ~0ULL;
	*end = 0;
	if (cgroup == names) {
		a = least_of(UNIFIED, cgroup + 1, "/memory.max");
		b = least_of(HYBRID, cgroup + 1, "/memory.max");
		return a < b ? a : b;
	}
	for (char *name = names; name < cgroup; name++) {
		if ((name == names || name[-1] == ',') && is(name, cgroup, "memory"))
			return least_of(V1, cgroup + 1, "/memory.limit_in_bytes");
	}
	return ~0ULL;
}

void require_memory(const struct words *words)
{
	uint64_t least = ~0ULL, here;
	char text[8192];
	long size = read_file("/proc/self/cgroup", text, sizeof(text));
	char *line = text;

	for (char *end = text; end < text + (size > 0 ? size : 0); end++) {
		if (*end != '\n')
			continue;
		here = limit_of(line, end);
		if (here < least)
			least = here;
		line = end + 1;
	}
	if (least < LEAST_MEMORY_MB * MB)
		refuse_number(words,
			      "memory is limited to # MB by a cgroup: " TEXT(
				      LEAST_MEMORY_MB) " MB are needed",
			      least / MB, "raise the limit (MemoryMax=, memory.max)");
}
