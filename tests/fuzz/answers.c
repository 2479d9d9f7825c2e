// SPDX-License-Identifier: MIT
/* What the kernel, or whoever, answers to what the agent asks of routing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "../../native-loader/agent/routes-internal.h"
#include "grammar.h"
#include "host.h"
#include "input.h"

#define IN_A_ROW 4
#define ROOM 200

static int call(const struct nl_pair *nl)
{
	static const int families[] = {AF_INET, AF_INET6};
	uint8_t what = input_u8();
	int family = families[what >= SYNC6], result;
	char *why = calloc(1, ROOM);

	host_calls();
	switch (what % CALLS) {
	case SYNC4:
		result = route_sync(nl, family, 0);
		require(result <= 0, "route_sync() told of no error");
		break;
	case JUDGE:
		result = rules_judge(nl, family, input_u32(), why, ROOM);
		require(result <= 0, "rules_judge() told of no error");
		break;
	case SET:
		result = rules_set(nl, family, input_u32(), why, ROOM);
		require(result <= 0, "rules_set() told of no error");
		break;
	default:
		result = sweep(nl);
		require(result >= 0, "sweep() removed less than nothing");
	}
	require(result != -EOPNOTSUPP || what % CALLS == SYNC4 || *why,
		"a refusal without a reason");
	free(why);
	return result;
}

static void run(int *results)
{
	struct nl_pair nl;

	host_begin();
	nl = (struct nl_pair){.dump = nl_open(), .ask = nl_open()};
	for (int i = 0; i < IN_A_ROW; i++)
		results[i] = input_left() ? call(&nl) : 0;
	fd_close(nl.dump);
	fd_close(nl.ask);
	host_end();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	int results[IN_A_ROW], silent[IN_A_ROW];
	uint64_t sent;

	host_silence_strangers(false);
	input_start(bytes, n);
	run(results);
	if (!host_met_strangers())
		return 0;
	sent = host_sent();
	host_silence_strangers(true);
	input_start(bytes, n);
	run(silent);
	require(sent == host_sent() && !memcmp(results, silent, sizeof(results)),
		"what a stranger says makes a difference");
	return 0;
}
