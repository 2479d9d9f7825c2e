// SPDX-License-Identifier: MIT
/* The limits of memory of the cgroups that we are in. The kernel kills who goes beyond, without a
 * word. */
#include "start.h"

#define MB (1024ULL * 1024)

static uint64_t limit(struct path *cgroup, int is_v1)
{
	return number_of(cgroup, is_v1 ? "/memory.limit_in_bytes" : "/memory.max");
}

void require_memory(const struct words *words)
{
	uint64_t least = least_of_cgroups("memory", "/sys/fs/cgroup/memory", limit);

	if (least < LEAST_MEMORY_MB * MB)
		refuse_number(words,
			      "memory is limited to # MB by a cgroup: " TEXT(
				      LEAST_MEMORY_MB) " MB are needed",
			      least / MB, "raise the limit (MemoryMax=, memory.max)");
}
