// SPDX-License-Identifier: MIT
/* native-loader/agent/routes.h from lines on stdin: "@id command" is answered by "@id ok ..." or
 * "@id err errno reason". Changes are followed all the time, and before every command.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../../native-loader/agent/routes.h"

static struct routes *routes;
static struct {
	long calls, changes, errors, longest_us;
	int last;
} seen;

static long clock_us(clockid_t which)
{
	struct timespec t;

	clock_gettime(which, &t);
	return t.tv_sec * 1000000L + t.tv_nsec / 1000;
}

static void follow(void)
{
	struct pollfd p = {.events = POLLIN};
	long start;

	while (routes) {
		p.fd = routes_fd(routes);
		if (poll(&p, 1, 0) <= 0)
			return;
		start = clock_us(CLOCK_MONOTONIC);
		seen.last = routes_handle(routes);
		seen.calls++;
		if (seen.last < 0)
			seen.errors++;
		else
			seen.changes += seen.last;
		start = clock_us(CLOCK_MONOTONIC) - start;
		if (start > seen.longest_us)
			seen.longest_us = start;
	}
}

static void answer(const char *id, int err)
{
	if (err < 0)
		printf("%s err %d %s\n", id, -err, err == -EOPNOTSUPP ? routes_reason() : "failed");
}

static void run(const char *id, const char *command, unsigned int number)
{
	long wall = clock_us(CLOCK_MONOTONIC), cpu = clock_us(CLOCK_PROCESS_CPUTIME_ID);
	int err = 0;

	if (!strcmp(command, "open")) {
		err = routes ? -EBUSY : routes_open(number, NULL, &routes);
	} else if (!strcmp(command, "bits")) {
		err = routes_bits(routes, number);
	} else if (!strcmp(command, "close")) {
		routes_close(routes);
		routes = NULL;
	} else if (!strcmp(command, "sweep")) {
		err = routes_sweep();
	} else if (strcmp(command, "stats") != 0) {
		err = -EINVAL;
	}
	if (err < 0)
		return answer(id, err);
	wall = clock_us(CLOCK_MONOTONIC) - wall;
	cpu = clock_us(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	printf("%s ok result=%d wall=%ld cpu=%ld total=%ld calls=%ld changes=%ld errors=%ld "
	       "last=%d longest=%ld\n",
	       id, err, wall, cpu, clock_us(CLOCK_PROCESS_CPUTIME_ID), seen.calls, seen.changes,
	       seen.errors, seen.last, seen.longest_us);
}

int main(void)
{
	char line[256], id[64], command[64], number[64];
	struct pollfd p[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.events = POLLIN}};

	setvbuf(stdin, NULL, _IONBF, 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (;;) {
		p[1].fd = routes ? routes_fd(routes) : -1;
		poll(p, 2, -1);
		follow();
		if (!p[0].revents)
			continue;
		if (!fgets(line, sizeof(line), stdin))
			break;
		*number = 0;
		if (sscanf(line, "%63s %63s %63s", id, command, number) >= 2)
			run(id, command, (unsigned int)strtoul(number, NULL, 0));
	}
	routes_close(routes);
	return 0;
}
