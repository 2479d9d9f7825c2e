// SPDX-License-Identifier: MIT
/* What the kernel, or whoever, tells the agent of a namespace whose routes it keeps. */
#include <errno.h>
#include <string.h>

#include "../../native-loader/agent/routes-follow.h"
#include "host.h"
#include "input.h"

#define CALLS 8
#define GUARD_DIES 1 /* before a call */
#define OTHER_BITS 2 /* other bits of the mark are wanted */
#define ABANDONED 4  /* it ends so */

struct outcome {
	int opened, results[CALLS];
	unsigned int standing[CALLS];
};

static void follow(struct routes *r, struct outcome *o)
{
	uint8_t how = 0;
	int err = 0;

	for (int i = 0; i < CALLS && input_left() && err != -ETIMEDOUT; i++) {
		host_calls();
		how = input_u8();
		if (how & GUARD_DIES && r->guard.fd >= 0)
			*fd_note(r->guard.fd) = 1;
		err = how & OTHER_BITS ? routes_bits(r, input_u32()) : routes_handle(r);
		require(err != -EOPNOTSUPP || *routes_reason(), "a refusal without a reason");
		o->results[i] = err;
		o->standing[i] = routes_bits_standing(r);
		require(!o->standing[i] || err >= 0 || how & OTHER_BITS,
			"rules that stand, and could not be followed");
	}
	host_calls();
	if (how & ABANDONED || err == -ETIMEDOUT)
		routes_abandon(r);
	else
		routes_close(r);
}

static void run(struct outcome *o)
{
	struct routes *r = NULL;

	memset(o, 0, sizeof(*o));
	host_begin();
	host_fails_at(input_u8());
	o->opened = routes_open(input_u32(), NULL, &r);
	require(o->opened <= 0 && !o->opened == !!r, "routes_open() is not sure");
	if (r)
		follow(r, o);
	host_end();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct outcome heard, silent;
	uint64_t sent;

	host_silence_strangers(false);
	input_start(bytes, n);
	run(&heard);
	if (!host_met_strangers())
		return 0;
	sent = host_sent();
	host_silence_strangers(true);
	input_start(bytes, n);
	run(&silent);
	require(sent == host_sent() && !memcmp(&heard, &silent, sizeof(heard)),
		"what a stranger says makes a difference");
	return 0;
}
