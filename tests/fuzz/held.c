// SPDX-License-Identifier: MIT
/* What the kernel, or whoever, tells of the routing that held ACKs would meet. */
#include <string.h>

#include "../../native-loader/agent/held-judge.h"
#include "../../native-loader/agent/held-path.h"
#include "grammar.h"
#include "host.h"
#include "input.h"

#define IN_A_ROW 8

struct outcome {
	int opened, policies[IN_A_ROW];
	bool marks[IN_A_ROW];
	char why[IN_A_ROW][HELD_WHY];
};

static void step(struct held_path *p, struct outcome *o, int i)
{
	const char *why;

	host_calls();
	switch (input_u8() % STEPS) {
	case HANDLE:
		held_path_handle(p);
		break;
	case COUNT_POLICIES:
		o->policies[i] = held_ipsec();
		break;
	default:
		clock_advance(input_u8());
		held_path_handle(p);
	}
	why = held_path_why(p);
	require(strlen(why) < HELD_WHY, "a reason without an end");
	strcpy(o->why[i], why);
	o->marks[i] = held_path_marks(p);
}

static void run(struct outcome *o)
{
	struct held_path *p = NULL;

	memset(o, 0, sizeof(*o));
	host_begin();
	host_fails_at(input_u8());
	o->opened = held_path_open(&p);
	require(o->opened <= 0 && !o->opened == !!p, "held_path_open() is not sure");
	for (int i = 0; p && i < IN_A_ROW && input_left(); i++)
		step(p, o, i);
	held_path_close(p);
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
