// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "flush.h"

#define IPV4_HEADER 20
#define IPV4_ADDRESSES 12
#define IPV6_HEADER 40
#define IPV6_ADDRESSES 8
#define TCP_HEADER 20
#define TCP_OFFSET 12 /* of the header's length, in its upper half, in words */
#define TCP_CHECKSUM 16
#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif

/* In the calling thread's namespace. A filter of address families says the same as a kernel without
 * IPv6, and ACKs would be held that nobody sends.
 */
static bool has_ipv6(void)
{
	return !access("/proc/thread-self/net/if_inet6", F_OK);
}

int flush_open(struct flush *f)
{
	int err;

	static const int one = 1;

	/* IPPROTO_RAW: the headers are ours, and nothing is received. */
	f->v4 = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
	f->v6 = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
	err = f->v4 >= 0 && f->v6 >= 0 ? 0 : -errno;
	if (err && (f->v4 < 0 || err != -EAFNOSUPPORT || has_ipv6())) {
		flush_close(f);
		return err;
	}
	/* routes are looked up with the source, be it the host's or not; IPv4 needs no word */
	if (f->v6 >= 0)
		syscall(SYS_setsockopt, f->v6, IPPROTO_IPV6, IPV6_FREEBIND, &one, sizeof(one));
	return 0;
}

void flush_close(struct flush *f)
{
	if (f->v4 >= 0)
		close(f->v4);
	if (f->v6 >= 0)
		close(f->v6);
	f->v4 = f->v6 = -1;
}

static __u32 add(__u32 sum, const unsigned char *bytes, size_t n)
{
	for (; n > 1; n -= 2, bytes += 2)
		sum += (__u32)bytes[0] << 8 | bytes[1];
	return n ? sum + ((__u32)bytes[0] << 8) : sum;
}

/* The packet may come from before its checksum was completed. */
static void checksum(struct tcpx_held *held, size_t ip, size_t addresses, size_t addresses_len)
{
	unsigned char *tcp = held->packet + ip;
	size_t len = held->len - ip;
	__u32 sum;

	memset(tcp + TCP_CHECKSUM, 0, 2);
	sum = add(IPPROTO_TCP + (__u32)len, held->packet + addresses, addresses_len);
	sum = add(sum, tcp, len);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	tcp[TCP_CHECKSUM] = ~sum >> 8 & 0xff;
	tcp[TCP_CHECKSUM + 1] = ~sum & 0xff;
}

/* Appends to msg->msg_control, which is big enough and zeroed. */
static void control(struct msghdr *msg, int level, int type, const void *data, size_t n)
{
	struct cmsghdr *c = (void *)((char *)msg->msg_control + msg->msg_controllen);

	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(n);
	memcpy(CMSG_DATA(c), data, n);
	msg->msg_controllen += CMSG_SPACE(n);
}

static int send4(int fd, struct tcpx_held *held, struct msghdr *msg)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	struct in_pktinfo info = {.ipi_ifindex = (int)held->bound_if};

	memcpy(&info.ipi_spec_dst, held->packet + IPV4_ADDRESSES, 4);
	memcpy(&to.sin_addr, held->packet + IPV4_ADDRESSES + 4, 4);
	checksum(held, IPV4_HEADER, IPV4_ADDRESSES, 8);
	/* the source counts where rules of policy routing name it */
	control(msg, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	msg->msg_name = &to;
	msg->msg_namelen = sizeof(to);
	return sendmsg(fd, msg, 0) < 0 ? -errno : 0;
}

static int bind6(struct flush *f, __u32 device)
{
	if (device != f->bound6 &&
	    syscall(SYS_setsockopt, f->v6, SOL_SOCKET, SO_BINDTOIFINDEX, &device, sizeof(device)))
		return -errno;
	f->bound6 = device;
	return 0;
}

static int send6_by(struct flush *f, __u32 device, struct tcpx_held *held, struct msghdr *msg)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6};
	struct in6_pktinfo info = {0};
	int err = bind6(f, device);

	if (err)
		return err;
	memcpy(&info.ipi6_addr, held->packet + IPV6_ADDRESSES, 16);
	memcpy(&to.sin6_addr, held->packet + IPV6_ADDRESSES + 16, 16);
	if (IN6_IS_ADDR_LINKLOCAL(&to.sin6_addr))
		to.sin6_scope_id = device;
	control(msg, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
	msg->msg_name = &to;
	msg->msg_namelen = sizeof(to);
	return sendmsg(f->v6, msg, 0) < 0 ? -errno : 0;
}

/*
 * Bound to the device that the ACK had: a connection that was opened without naming its source
 * keeps the route that no rule by source has led elsewhere, until some route changes. Where that
 * device leads there no more, another one does, unless the connection's own socket is bound.
 */
static int send6(struct flush *f, struct tcpx_held *held, struct msghdr *msg)
{
	__u32 device = held->bound_if ? held->bound_if : held->ifindex;
	size_t before = msg->msg_controllen;
	int err;

	checksum(held, IPV6_HEADER, IPV6_ADDRESSES, 32);
	err = send6_by(f, device, held, msg);
	if (held->bound_if || (err != -ENETUNREACH && err != -EHOSTUNREACH && err != -ENODEV))
		return err;
	msg->msg_controllen = before;
	return send6_by(f, 0, held, msg);
}

/* The length that the IP header gives for all; 0: another version, options, not TCP. */
static size_t claimed(const unsigned char *ip, unsigned int version)
{
	if (version == 4 && ip[0] == 0x45 && ip[9] == IPPROTO_TCP)
		return (size_t)ip[2] << 8 | ip[3];
	if (version == 6 && ip[0] >> 4 == 6 && ip[6] == IPPROTO_TCP)
		return IPV6_HEADER + ((size_t)ip[4] << 8 | ip[5]);
	return 0;
}

/* Whether record and headers agree; without data, as all that the thinner holds back. */
static bool is_ack(const struct tcpx_held *held)
{
	size_t ip = held->version == 6 ? IPV6_HEADER : IPV4_HEADER;

	return held->len >= ip + TCP_HEADER && held->len <= sizeof(held->packet) &&
	       held->len == claimed(held->packet, held->version) &&
	       held->len == ip + (held->packet[ip + TCP_OFFSET] >> 4) * 4U;
}

int flush_send(struct flush *f, const struct tcpx_held *record)
{
	struct tcpx_held held = *record; /* the ring buffer is mapped read-only */
	union {
		char bytes[CMSG_SPACE(sizeof(__u32)) + CMSG_SPACE(sizeof(struct in6_pktinfo))];
		struct cmsghdr align;
	} space = {};
	struct iovec iov = {held.packet, held.len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &space};
	int fd = held.version == 6 ? f->v6 : f->v4;

	if (!is_ack(&held))
		return -EINVAL;
	if (fd < 0)
		return -EAFNOSUPPORT;
	if (held.mark)
		control(&msg, SOL_SOCKET, SO_MARK, &held.mark, sizeof(held.mark));
	return held.version == 6 ? send6(f, &held, &msg) : send4(fd, &held, &msg);
}
