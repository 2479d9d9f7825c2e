// SPDX-License-Identifier: MIT
/* What the parts of load share; main.c says what load is. */
#pragma once
#define _GNU_SOURCE
#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

/* What a reader asks of `load serve`; both zero never occurs. In the byte order of the machine. */
struct request {
	uint32_t bytes; /* as many, and the connection stays */
	uint32_t ms;	/* as much as goes in this time, then the end of the connection */
};

union addr {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* net.c; failures end the program with a message */
long now_ms(void);
int listen_on(const char *host, const char *port);
int accept_one(int listener);
int connect_to(const char *host, const char *port);
void use_algorithm(int fd, const char *name);
void give_up(const char *what) __attribute__((noreturn));
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* pattern.c: byte number `at` of a connection is always the same */
const unsigned char *pattern_at(uint64_t at, uint32_t *left);
int pattern_differs(uint64_t at, const unsigned char *data, uint32_t n);

/* source.c: sends, and says what TCP_INFO says about it */
void serve(const char *host, const char *port, const char *algorithm);
void push(const char *host, const char *port, const char *algorithm, long ms);

/* sink.c: reads, compares with the pattern, and says what came when */
void bulk(const char *host, const char *port, long ms);
void collect(const char *host, const char *port, long ms);
struct requests {
	const char *host, *port;
	long count, bytes, think_ms;
	int on_new_connections;
	int whole_segments;
};
void fetch(const struct requests *what);
