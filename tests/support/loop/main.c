// SPDX-License-Identifier: MIT
/*
 * loop COUNT: that many connections over loopback, one after the other: connect, request, response,
 * close. Prints wall and CPU microseconds (user and system, both ends).
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST = 100, RESPONSE = 1000 };

static long count;

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

static void *serve(void *argument)
{
	int listener = *(int *)argument;

	for (long i = 0; i < count; i++) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			fail("accept");
		move(read, fd, REQUEST);
		move(do_write, fd, RESPONSE);
		close(fd);
	}
	return NULL;
}

static double micros(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	double wall, cpu;
	pthread_t server;

	count = argc > 1 ? atol(argv[1]) : 0;
	if (count < 1 || listener < 0 || bind(listener, (void *)&address, length) ||
	    listen(listener, 128) || getsockname(listener, (void *)&address, &length))
		fail("listen");
	wall = micros(CLOCK_MONOTONIC);
	cpu = micros(CLOCK_PROCESS_CPUTIME_ID);
	if (pthread_create(&server, NULL, serve, &listener))
		fail("thread");
	for (long i = 0; i < count; i++) {
		/* the client closes last, so that its port is free at once */
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		if (fd < 0 || connect(fd, (void *)&address, length))
			fail("connect");
		move(do_write, fd, REQUEST);
		move(read, fd, RESPONSE);
		close(fd);
	}
	pthread_join(server, NULL);
	printf("%.0f %.0f\n", micros(CLOCK_MONOTONIC) - wall,
	       micros(CLOCK_PROCESS_CPUTIME_ID) - cpu);
	return 0;
}
