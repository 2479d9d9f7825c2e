// SPDX-License-Identifier: MIT
/*
 * peer: an ordinary TCP program for the tests. It contains no tcpx code, so it can judge tcpx.
 *
 * One command per line on stdin, one answer per line on stdout: "ok ..." or "err ERRNO NAME".
 * A command with the prefix "@ID " runs in a thread of its own and its answer has the same prefix,
 * so a socket that waits never blocks the others. The end of stdin ends the program.
 * The table at the end of the file lists the commands.
 *
 * "peer sockopt PID FD LEVEL NAME [int|str|hex]" reads an option of another process's socket.
 */
#include "peer.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void do_quit(struct call *c)
{
	(void)c;
	exit(0);
}

static const struct {
	const char *name;
	int args;
	handler run;
} commands[] = {
	{"socket4", 0, do_socket}, /* socket6, mptcp4, mptcp6 -> FD */
	{"socket6", 0, do_socket},
	{"mptcp4", 0, do_socket},
	{"mptcp6", 0, do_socket},
	{"connect4", 2, do_connect}, /* ADDR PORT [ms] -> FD */
	{"connect6", 2, do_connect},
	{"connectmptcp4", 2, do_connect},
	{"connectmptcp6", 2, do_connect},
	{"connectfd", 3, do_connectfd}, /* FD ADDR PORT [ms] */
	{"bind", 3, do_bind},		/* FD ADDR PORT -> PORT */
	{"listen4", 2, do_listen},	/* ADDR PORT -> FD PORT */
	{"listen6", 2, do_listen},	/* ADDR PORT [v6only = 1] */
	{"listenmptcp4", 2, do_listen},
	{"listenmptcp6", 2, do_listen},
	{"listenfd", 1, do_listenfd}, /* FD [backlog] -> PORT */
	{"accept", 1, do_accept},     /* FD [ms] -> FD ADDR PORT */
	{"sockname", 1, do_name},
	{"peername", 1, do_name},
	{"setopt", 4, do_setopt},     /* FD LEVEL NAME INT */
	{"setbytes", 4, do_setbytes}, /* FD LEVEL NAME HEX */
	{"getopt", 3, do_getopt},     /* FD LEVEL NAME [int|str|hex] */
	{"setcc", 2, do_setcc},
	{"getcc", 1, do_getcc},
	{"send", 2, do_transfer}, /* FD N [ms] -> N HASH */
	{"recv", 2, do_transfer},
	{"exchange", 3, do_exchange}, /* FD COUNT SIZE [ms] -> COUNT MICROSECONDS */
	{"echo", 1, do_pump},
	{"sink", 1, do_pump},
	{"waiterr", 1, do_waiterr},	  /* FD MS -> ERRNO MS error|closed|timeout */
	{"sendfastopen", 4, do_fastopen}, /* FD ADDR PORT N -> N */
	{"tcpinfo", 1, do_tcpinfo},
	{"shutdown", 1, do_shutdown},	  /* FD [how = SHUT_WR] */
	{"disconnect", 1, do_disconnect}, /* FD may connect again */
	{"close", 1, do_close},
	{"reset", 1, do_close},
	{"quit", 0, do_quit},
};

static void run(struct call *c)
{
	fail(c, ENOSYS);
	for (size_t i = 0; c->argc && i < sizeof(commands) / sizeof(*commands); i++) {
		if (strcmp(commands[i].name, c->arg[0]))
			continue;
		if (c->argc <= commands[i].args)
			return fail(c, EINVAL);
		return commands[i].run(c);
	}
}

static void *execute(void *arg)
{
	char *line = arg, *id = "", *save = NULL;
	struct call *c = calloc(1, sizeof(*c));

	for (char *w = strtok_r(line, " \n", &save); w; w = strtok_r(NULL, " \n", &save)) {
		if (*w == '@' && !c->argc)
			id = w;
		else if (c->argc < MAX_ARGS)
			c->arg[c->argc++] = w;
	}
	run(c);
	/* One call, so that the answers of two threads never mix. */
	printf("%s%s%s\n", id, *id ? " " : "", c->out);
	free(c);
	free(line);
	return NULL;
}

static int foreign_sockopt(int argc, char **argv)
{
	struct call *c = calloc(1, sizeof(*c));
	int pidfd, fd, bad;

	if (argc < 6)
		return 2;
	pidfd = syscall(SYS_pidfd_open, atoi(argv[2]), 0);
	fd = pidfd < 0 ? -1 : syscall(SYS_pidfd_getfd, pidfd, atoi(argv[3]), 0);
	if (fd < 0)
		fail(c, errno);
	else
		read_option(c, fd, atoi(argv[4]), atoi(argv[5]), argc > 6 ? argv[6] : "int");
	bad = strncmp(c->out, "ok ", 3) != 0;
	puts(bad ? c->out : c->out + 3);
	return bad;
}

int main(int argc, char **argv)
{
	char *line = NULL;
	size_t size = 0;
	pthread_t t;

	if (argc > 1 && !strcmp(argv[1], "sockopt"))
		return foreign_sockopt(argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	while (getline(&line, &size, stdin) > 0) {
		char *copy = strdup(line);

		if (*copy == '@' && !pthread_create(&t, NULL, execute, copy))
			pthread_detach(t);
		else
			execute(copy);
	}
	exit(0);
}
