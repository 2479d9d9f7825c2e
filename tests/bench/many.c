// SPDX-License-Identifier: MIT
/* many PAIRS CONNECTIONS: so many connections over loopback in every pair of processes, held
 * until its stdin ends. Says "ready". One process alone could not have so many descriptors.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

static void die(const char *what)
{
	perror(what);
	_exit(1);
}

static struct sockaddr_in address(int pair)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(2000 + pair)};

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return in;
}

static int listener(int pair)
{
	struct sockaddr_in in = address(pair);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&in, sizeof(in)) || listen(fd, 4096))
		die("listen");
	return fd;
}

static void child(int pair, int listening, int count, int done)
{
	struct sockaddr_in in = address(pair);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 0; i < count; i++) {
		int fd;

		if (listening >= 0) {
			if (accept(listening, NULL, NULL) < 0)
				die("accept");
			continue;
		}
		fd = socket(AF_INET, SOCK_STREAM, 0);
		if (fd < 0 || connect(fd, (struct sockaddr *)&in, sizeof(in)))
			die("connect");
	}
	if (write(done, "", 1) != 1)
		die("write");
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	int pairs = argc > 2 ? atoi(argv[1]) : 0, count = argc > 2 ? atoi(argv[2]) : 0;
	struct rlimit files;
	int done[2];
	char byte;

	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (pipe(done))
		die("pipe");
	for (int pair = 0; pair < pairs; pair++) {
		int fd = listener(pair);

		if (!fork())
			child(pair, fd, count, done[1]);
		if (!fork()) {
			close(fd);
			child(pair, -1, count, done[1]);
		}
		close(fd);
	}
	for (int i = 0; i < 2 * pairs; i++)
		if (read(done[0], &byte, 1) != 1)
			die("read");
	puts("ready");
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
