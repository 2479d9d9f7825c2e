// SPDX-License-Identifier: MIT
/*
 * loop COUNT [CGROUP [RATE]]: that many connections over loopback, one after the other: connect,
 * request, response, close. Prints wall and CPU microseconds (user and system, both ends). With a
 * cgroup the clients are a process in there, and the microseconds are the server's, from its first
 * connection on. With a rate there are LANES such clients and threads of the server, and together
 * they begin so many connections in a second, evenly spaced; who is late makes up for it.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST = 100, RESPONSE = 1000, LANES = 4 };

static long count; /* of each lane */
static long rate;  /* connections per second of each lane; 0: as fast as they can */

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void move(ssize_t (*call)(int, void *, size_t), int fd, size_t left)
{
	char buffer[RESPONSE] = {0};

	while (left > 0) {
		ssize_t n = call(fd, buffer, left);

		if (n <= 0)
			fail("transfer");
		left -= (size_t)n;
	}
}

static ssize_t do_write(int fd, void *buffer, size_t n)
{
	return write(fd, buffer, n);
}

static double micros(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void serve(int listener, long connections)
{
	while (connections-- > 0) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			fail("accept");
		move(read, fd, REQUEST);
		move(do_write, fd, RESPONSE);
		close(fd);
	}
}

static void *serve_all(void *listener)
{
	serve(*(int *)listener, count);
	return NULL;
}

/* Waits for the time of connection number i. */
static void wait_turn(const struct timespec *start, long i)
{
	long long ns = start->tv_nsec + i * 1000000000LL / rate;
	struct timespec due = {start->tv_sec + ns / 1000000000LL, ns % 1000000000LL};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
}

static void call(const struct sockaddr_in *address)
{
	struct timespec start;

	prctl(PR_SET_TIMERSLACK, 1);
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (long i = 0; i < count; i++) {
		if (rate)
			wait_turn(&start, i);
		/* the client closes last, so that its port is free at once */
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		if (fd < 0 || connect(fd, (const void *)address, sizeof(*address)))
			fail("connect");
		move(do_write, fd, REQUEST);
		move(read, fd, RESPONSE);
		close(fd);
	}
}

static void enter(const char *cgroup)
{
	char path[4096];
	FILE *procs;

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	procs = fopen(path, "w");
	if (!procs || fputs("0", procs) < 0 || fclose(procs))
		fail(path);
}

static double wall, cpu;

static void start_clocks(void)
{
	wall = micros(CLOCK_MONOTONIC);
	cpu = micros(CLOCK_PROCESS_CPUTIME_ID);
}

static void both_here(int listener, const struct sockaddr_in *address)
{
	pthread_t server;

	start_clocks();
	if (pthread_create(&server, NULL, serve_all, &listener))
		fail("thread");
	call(address);
	pthread_join(server, NULL);
}

static void client_there(const struct sockaddr_in *address, const char *cgroup)
{
	int parent = getpid();
	pid_t child = fork();

	if (child < 0)
		fail("fork");
	if (child)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	enter(cgroup);
	call(address);
	_exit(0);
}

static void clients_there(int listener, const struct sockaddr_in *address, const char *cgroup)
{
	int lanes = rate ? LANES : 1;
	pthread_t servers[LANES];

	for (int i = 0; i < lanes; i++)
		client_there(address, cgroup);
	serve(listener, 1);
	start_clocks();
	for (int i = 1; i < lanes; i++)
		if (pthread_create(&servers[i], NULL, serve_all, &listener))
			fail("thread");
	serve(listener, count - 1);
	for (int i = 1; i < lanes; i++)
		pthread_join(servers[i], NULL);
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	count = argc > 1 ? atol(argv[1]) : 0;
	if (argc > 3) {
		count /= LANES;
		rate = atol(argv[3]) / LANES;
	}
	if (count < 1 || listener < 0 || bind(listener, (void *)&address, length) ||
	    listen(listener, 128) || getsockname(listener, (void *)&address, &length))
		fail("listen");
	if (argc > 2)
		clients_there(listener, &address, argv[2]);
	else
		both_here(listener, &address);
	printf("%.0f %.0f\n", micros(CLOCK_MONOTONIC) - wall,
	       micros(CLOCK_PROCESS_CPUTIME_ID) - cpu);
	fflush(stdout);
	while (wait(NULL) > 0)
		;
	return 0;
}
