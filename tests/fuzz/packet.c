// SPDX-License-Identifier: MIT
#include <linux/types.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <string.h>

#include "packet.h"
#include "input.h"

/* Over pairs of bytes, the last one filled up. */
static uint32_t sum(uint32_t start, const unsigned char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		start += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	return start;
}

static void tcp(const unsigned char *packet, size_t n, size_t ip, const void *addresses,
		size_t addresses_n)
{
	struct tcphdr header;
	uint32_t total;

	require(n >= ip + sizeof(header), "a packet without TCP's header");
	memcpy(&header, packet + ip, sizeof(header));
	require(ip + header.doff * 4U == n, "an ACK with data");
	total = sum(IPPROTO_TCP + (uint32_t)(n - ip), addresses, addresses_n);
	total = sum(total, packet + ip, n - ip);
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	require(total == 0xffff, "a wrong checksum of TCP");
}

static void version4(const unsigned char *packet, size_t n, const struct sockaddr_in *to)
{
	struct iphdr header;

	require(n >= sizeof(header), "a packet without IP's header");
	memcpy(&header, packet, sizeof(header));
	require(header.version == 4 && header.ihl == 5, "no header of IPv4, or options");
	require(header.protocol == IPPROTO_TCP, "not TCP");
	require(ntohs(header.tot_len) == n, "a length that IPv4's header denies");
	require(to->sin_family == AF_INET && to->sin_addr.s_addr == header.daddr,
		"another destination than the packet's");
	tcp(packet, n, sizeof(header), &header.saddr, 8);
}

static void version6(const unsigned char *packet, size_t n, const struct sockaddr_in6 *to)
{
	struct ip6_hdr header;

	require(n >= sizeof(header), "a packet without IP's header");
	memcpy(&header, packet, sizeof(header));
	require(header.ip6_vfc >> 4 == 6, "no header of IPv6");
	require(header.ip6_nxt == IPPROTO_TCP, "not TCP");
	require(ntohs(header.ip6_plen) + sizeof(header) == n, "a length that IPv6's header denies");
	require(to->sin6_family == AF_INET6 &&
			!memcmp(&to->sin6_addr, &header.ip6_dst, sizeof(header.ip6_dst)),
		"another destination than the packet's");
	tcp(packet, n, sizeof(header), &header.ip6_src, 32);
}

static void controls(struct msghdr msg, const struct tcpx_held *held)
{
	uint32_t mark = 0;
	size_t n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		n += CMSG_SPACE(c->cmsg_len - CMSG_LEN(0));
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_MARK)
			memcpy(&mark, CMSG_DATA(c), sizeof(mark));
	}
	require(n == msg.msg_controllen, "control messages that do not fill their room");
	require(mark == held->mark, "another mark than the packet's");
}

void packet_judge(const struct msghdr *msg, const struct tcpx_held *held)
{
	const unsigned char *packet = msg->msg_iov->iov_base;
	size_t n = msg->msg_iov->iov_len;

	require(msg->msg_iovlen == 1 && n == held->len, "another length than the record's");
	if (held->version == 4)
		version4(packet, n, msg->msg_name);
	else if (held->version == 6)
		version6(packet, n, msg->msg_name);
	else
		require(false, "a packet of no version");
	controls(*msg, held);
}
