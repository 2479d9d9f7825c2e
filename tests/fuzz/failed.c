// SPDX-License-Identifier: MIT
/* Who is told of requests that failed hears of each once at most, in their order. */
#include "../../native-loader/agent/netlink.h"
#include "host.h"
#include "input.h"

#define MOST 8 /* batches, one inside another */

struct listener {
	struct nl_batch *batch;
	void (*failed)(void *context, uint32_t number, int error);
	void *context;
	uint32_t heard; /* number of the last one, from 1 on */
};

static struct listener listeners[MOST];
static int next;

static void listen(void *context, uint32_t number, int error)
{
	struct listener *l = context;

	require(error < 0, "a failure without an error");
	require(number < l->batch->count, "a failure of what was not asked for");
	require(number >= l->heard, "two failures of one request");
	l->heard = number + 1;
	l->failed(l->context, number, error);
}

void __real_nl_batch_start(struct nl_batch *b, int fd, void (*failed)(void *, uint32_t, int),
			   void *context);
void __wrap_nl_batch_start(struct nl_batch *b, int fd, void (*failed)(void *, uint32_t, int),
			   void *context)
{
	struct listener *l = &listeners[next++ % MOST];

	*l = (struct listener){b, failed, context, 0};
	__real_nl_batch_start(b, fd, failed ? listen : NULL, l);
}
