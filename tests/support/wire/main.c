// SPDX-License-Identifier: MIT
/*
 * wire: a TCP endpoint in user space behind a TUN device, which puts any bytes on the wire that the
 * tests want. No kernel answers for it, so no RST disturbs, and nothing is sent unasked.
 *
 * One command per line on stdin, one answer per line on stdout: "ok ..." or "err WHAT"; a prefix
 * "@ID " is repeated in the answer. The table at the end of the file lists the commands.
 * OPTHEX: raw TCP option bytes in hex, sent as they are and padded with zeros to 4 bytes; "-" is
 * none. On SYN and SYN-ACK an MSS option goes before them, unless OPTHEX starts with "=".
 */
#include "wire.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void do_quit(struct call *c)
{
	(void)c;
	exit(0);
}

static const struct {
	const char *name;
	int args, needs_tun;
	void (*run)(struct call *c);
} commands[] = {
	{"open", 1, 0, do_open},     /* NAME [ADDR/LEN ...]: the kernel's own addresses */
	{"syn", 4, 1, do_syn},	     /* SADDR SPORT DADDR DPORT [OPTHEX] [SEQ] -> FLOW */
	{"listen", 2, 1, do_listen}, /* ADDR PORT: SYNs to it start flows */
	{"expect", 2, 1, do_expect}, /* FLOW MS: the next packet; flow 0 is any */
	{"synack", 1, 1, do_next},   {"ack", 1, 1, do_next},  {"data", 2, 1, do_next},
	{"fin", 1, 1, do_next},	     {"rst", 1, 1, do_next},  {"raw", 5, 1, do_raw},
	{"window", 2, 1, do_window}, {"flow", 1, 1, do_flow}, {"quit", 0, 0, do_quit},
};

static void execute(char *line)
{
	static struct call c;
	char *id = "";

	c.argc = 0;
	answer(&c, "err unknown-command");
	for (char *w = strtok(line, " \n"); w; w = strtok(NULL, " \n")) {
		if (*w == '@' && !c.argc)
			id = w;
		else if (c.argc < MAX_ARGS)
			c.arg[c.argc++] = w;
	}
	for (size_t i = 0; c.argc && i < sizeof(commands) / sizeof(*commands); i++) {
		if (strcmp(commands[i].name, c.arg[0]))
			continue;
		if (c.argc <= commands[i].args)
			answer(&c, "err too-few-arguments");
		else if (commands[i].needs_tun && tun < 0)
			answer(&c, "err not-open");
		else
			commands[i].run(&c);
	}
	printf("%s%s%s\n", id, *id ? " " : "", c.out);
}

int main(void)
{
	char *line = NULL;
	size_t size = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	while (getline(&line, &size, stdin) > 0)
		execute(line);
	return 0;
}
