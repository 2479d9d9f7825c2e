// SPDX-License-Identifier: MIT
/*
 * Buffers for messages are larger than what comes. AddressSanitizer knows of the end of the buffer
 * only; so all behind what came is marked, until the function that has the buffer returns.
 *
 * The functions with such buffers are entered and left through those below, since what a function
 * leaves marked on the stack would be another one's variables.
 */
#include <sanitizer/asan_interface.h>

#include "../../native-loader/agent/route-ask.h"
#include "../../native-loader/agent/routes-follow.h"
#include "host.h"
#include "input.h"

#define MOST 8 /* buffers in use, one function inside another */
#define PLAIN __attribute__((noinline, no_sanitize("address")))

static struct {
	const char *from;
	size_t n;
} marked[MOST];
static int marks;

/* The stack grows downwards: what is below the caller is left. */
static PLAIN void leave(const void *frame)
{
	while (marks && marked[marks - 1].from < (const char *)frame) {
		marks--;
		ASAN_UNPOISON_MEMORY_REGION(marked[marks].from, marked[marks].n);
	}
}

void poison_end(void)
{
	leave((const void *)UINTPTR_MAX);
}

void poison(const void *from, size_t n)
{
	require(marks < MOST, "buffers inside of one another");
	marked[marks].from = from;
	marked[marks++].n = n;
	ASAN_POISON_MEMORY_REGION(from, n);
}

/* The same buffer again, in a loop: it is the last one that was marked. */
void poison_lift(const void *buffer, size_t n)
{
	const char *last = marks ? marked[marks - 1].from : NULL;

	if (last >= (const char *)buffer && last < (const char *)buffer + n)
		ASAN_UNPOISON_MEMORY_REGION(last, marked[--marks].n);
}

/* Names that begin with __wrap_ and __real_ are the linker's. */
#define THROUGH(type, name, parameters, arguments)                                                 \
	type __real_##name parameters;                                                             \
	PLAIN type __wrap_##name parameters                                                        \
	{                                                                                          \
		type result;                                                                       \
                                                                                                   \
		leave(__builtin_frame_address(0));                                                 \
		result = __real_##name arguments;                                                  \
		leave(__builtin_frame_address(0));                                                 \
		return result;                                                                     \
	}

THROUGH(int, nl_call, (int fd, struct nl_request *m), (fd, m))
THROUGH(int, nl_batch_flush, (struct nl_batch * b), (b))
THROUGH(int, nl_batch_add, (struct nl_batch * b, const struct nlmsghdr *m, int type, int flags),
	(b, m, type, flags))
THROUGH(int, nl_dump_routes, (int fd, int family, uint32_t table, nl_each each, void *context),
	(fd, family, table, each, context))
THROUGH(int, nl_dump_rules, (int fd, int family, nl_each each, void *context),
	(fd, family, each, context))
THROUGH(int, nl_dump, (int fd, const struct nlmsghdr *request, nl_each each, void *context),
	(fd, request, each, context))
THROUGH(int, route_ask, (int fd, const struct route_flow *flow, struct route_answer *answer),
	(fd, flow, answer))
THROUGH(int, routes_follow, (struct routes * r), (r))
