// SPDX-License-Identifier: MIT
/* What the parts of peer share; main.c says what peer is. */
#pragma once
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define WAIT_MS 5000
#define MAX_ARGS 8

struct call {
	char *arg[MAX_ARGS];
	int argc;
	char out[8192];
};

typedef void (*handler)(struct call *c);

union addr {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* call.c */
void answer(struct call *c, const char *fmt, ...);
void fail(struct call *c, int err);
void result(struct call *c, long value);
long num(struct call *c, int i, long otherwise);
long now_us(void);
int wait_for(int fd, short events, long deadline_us);
socklen_t parse(const char *host, long port, union addr *a);
const char *show(const union addr *a, char buf[64]);

/* open.c */
void do_socket(struct call *c);
void do_connect(struct call *c);
void do_connectfd(struct call *c);
void do_bind(struct call *c);
void do_disconnect(struct call *c);
void do_listenfd(struct call *c);
void do_listen(struct call *c);
void do_accept(struct call *c);
void do_name(struct call *c);
void do_close(struct call *c);
void do_shutdown(struct call *c);

/* option.c */
void read_option(struct call *c, int fd, int level, int name, const char *type);
void do_setopt(struct call *c);
void do_setbytes(struct call *c);
void do_getopt(struct call *c);
void do_setcc(struct call *c);
void do_getcc(struct call *c);
void do_tcpinfo(struct call *c);

/* transfer.c */
void do_transfer(struct call *c);
void do_exchange(struct call *c);
void do_pump(struct call *c);
void do_waiterr(struct call *c);
void do_fastopen(struct call *c);
