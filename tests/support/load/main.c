// SPDX-License-Identifier: MIT
/*
 * load: traffic for measurements of acknowledgments. It contains no tcpx code.
 *
 *   load serve ADDR PORT CC            answers requests until it is killed, one process per
 * connection load bulk ADDR PORT MS             asks `serve` for as much as goes in MS load fetch
 * ADDR PORT COUNT BYTES THINK_MS keep|new|whole COUNT requests of BYTES each, THINK_MS between
 * them, on one connection or on new ones; whole: the sizes are multiples of the MSS, from the
 * largest that fits to seven segments less load collect ADDR PORT MS          the reader of one
 * connection that `push` opens load push ADDR PORT CC MS          sends for MS, then ends the
 * connection
 *
 * Every connection's end is told in one line of JSON. Times are milliseconds, `at` and the first
 * column of `samples` of CLOCK_MONOTONIC. The reader compares every byte: lost or doubled data is
 * an error.
 */
#include "load.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fetch_from(char **arg)
{
	struct requests what = {
		.host = arg[0],
		.port = arg[1],
		.count = atol(arg[2]),
		.bytes = atol(arg[3]),
		.think_ms = atol(arg[4]),
		.on_new_connections = !strcmp(arg[5], "new"),
		.whole_segments = !strcmp(arg[5], "whole"),
	};

	fetch(&what);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";
	char **arg = argv + 2;

	signal(SIGPIPE, SIG_IGN);
	if (!strcmp(name, "serve") && argc == 5)
		serve(arg[0], arg[1], arg[2]);
	else if (!strcmp(name, "bulk") && argc == 5)
		bulk(arg[0], arg[1], atol(arg[2]));
	else if (!strcmp(name, "fetch") && argc == 8)
		fetch_from(arg);
	else if (!strcmp(name, "collect") && argc == 5)
		collect(arg[0], arg[1], atol(arg[2]));
	else if (!strcmp(name, "push") && argc == 6)
		push(arg[0], arg[1], arg[2], atol(arg[3]));
	else
		return fprintf(stderr, "load: wrong arguments, see main.c\n"), 2;
	return 0;
}
