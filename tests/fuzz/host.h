/* SPDX-License-Identifier: MIT */
/*
 * The host of a harness, in place of the kernel's: descriptors, a clock, and a kernel that answers
 * what the input says. Nothing leaves the process. The linker leads the bridge's calls here
 * (--wrap); those of others, libFuzzer's among them, go on to the C library.
 */
#ifndef TCPX_FUZZ_HOST_H
#define TCPX_FUZZ_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NETLINK_READ 65536 /* no message of the kernel's is longer */

/* Between these two the calls are ours. end: what was opened is closed again, or it is a finding.
 */
void host_begin(void);
void host_end(void);
bool host_inside(void);
/* A call of the bridge begins, which has to end. */
void host_calls(void);
/* The n-th system call from now on that is neither a message nor the clock fails; 0: none. */
void host_fails_at(unsigned int n);
/* A number that says all that was sent. */
uint64_t host_sent(void);
/* From now on strangers say nothing; what they said is read over. */
void host_silence_strangers(bool silent);
bool host_met_strangers(void);

enum what { CLOSED, SOCKET /* netlink */, OTHER, TEXT };
int fd_open(enum what what);
enum what fd_what(int fd);
/* Of an open descriptor, for whoever uses it. */
int *fd_note(int fd);
int fd_close(int fd);

uint64_t clock_ns(void);
void clock_advance(uint64_t seconds);

/* What was asked last on a socket. */
struct asked {
	bool dump, news;
	int family;
	uint32_t first, last; /* sequence numbers */
};
/* netlink.c: sendto() and recvfrom() of such a socket; -errno. */
struct asked *asked(int fd);
long netlink_sent(int fd, const void *bytes, size_t n);
struct sockaddr_nl;
long netlink_read(int fd, void *bytes, size_t room, struct sockaddr_nl *from,
		  unsigned int *from_len);
void netlink_reset(void);
/* messages.c: so many messages of the input, as one read. */
size_t messages_read(const struct asked *asked, uint8_t *out, size_t room);
void messages_reset(void);
/* sent.c: what the bridge asks of the kernel must be well-formed, and of ours only. */
void sent_judge(const void *bytes, size_t n);

/* What lies behind a message in its buffer is nobody's: see poison.c. */
void poison(const void *from, size_t n);
void poison_lift(const void *buffer, size_t n);
void poison_end(void);

#endif
