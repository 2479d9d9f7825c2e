// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bridge-agent.h"
#include "netlink.h"
#include "route-ask.h"

#define METRICS (RTAX_QUICKACK + 1)
#define ATTRIBUTES (RTA_TABLE + 1)

static size_t address_size(int family)
{
	return family == AF_INET ? 4 : FLOW_ADDRESS;
}

static void put_port(struct nl_request *m, int type, uint16_t port)
{
	uint16_t wire = htons(port);

	if (port)
		nl_put(m, type, &wire, sizeof(wire));
}

/* A request is a few attributes long: there is room. */
static void build(struct nl_request *m, const struct route_flow *flow)
{
	size_t size = address_size(flow->family);
	struct rtmsg *rt = NLMSG_DATA(&m->h);
	uint8_t tcp = IPPROTO_TCP;

	memset(m, 0, NLMSG_LENGTH(sizeof(*rt)));
	m->h.nlmsg_len = NLMSG_LENGTH(sizeof(*rt));
	m->h.nlmsg_type = RTM_GETROUTE;
	m->h.nlmsg_flags = NLM_F_REQUEST;
	m->h.nlmsg_seq = nl_sequence(1);
	rt->rtm_family = (unsigned char)flow->family;
	rt->rtm_dst_len = (unsigned char)(size * 8);
	rt->rtm_tos = flow->tos;
	if (flow->family == AF_INET) /* IPv6 always tells */
		rt->rtm_flags = RTM_F_LOOKUP_TABLE;
	nl_put(m, RTA_DST, flow->to, size);
	if (flow->bound) {
		rt->rtm_src_len = rt->rtm_dst_len;
		nl_put(m, RTA_SRC, flow->source, size);
	}
	nl_put_u32(m, RTA_MARK, flow->mark);
	if (flow->oif)
		nl_put_u32(m, RTA_OIF, flow->oif);
	if (flow->uid != UINT32_MAX)
		nl_put_u32(m, RTA_UID, flow->uid);
	nl_put(m, RTA_IP_PROTO, &tcp, sizeof(tcp));
	put_port(m, RTA_SPORT, flow->local_port);
	put_port(m, RTA_DPORT, flow->remote_port);
}

static int take(const struct nlmsghdr *h, int family, struct route_answer *answer)
{
	const struct rtattr *a[ATTRIBUTES], *metrics[METRICS] = {0};
	const struct rtmsg *rt = NLMSG_DATA(h);

	if (h->nlmsg_type == NLMSG_ERROR)
		return nl_verdict(h) ? nl_verdict(h) : -EPROTO;
	if (h->nlmsg_type != RTM_NEWROUTE || h->nlmsg_len < NLMSG_LENGTH(sizeof(*rt)) ||
	    rt->rtm_family != family)
		return -EPROTO;
	nl_attributes(RTM_RTA(rt), RTM_PAYLOAD(h), a, ATTRIBUTES);
	answer->table = nl_u32(a[RTA_TABLE], rt->rtm_table);
	if (rt->rtm_type == RTN_LOCAL) /* IPv4 joins it to main where there are no rules */
		answer->table = RT_TABLE_LOCAL;
	if (a[RTA_METRICS])
		nl_attributes(RTA_DATA(a[RTA_METRICS]), RTA_PAYLOAD(a[RTA_METRICS]), metrics,
			      METRICS);
	answer->quickack = nl_u32(metrics[RTAX_QUICKACK], 0) != 0;
	if (a[RTA_PREFSRC] && RTA_PAYLOAD(a[RTA_PREFSRC]) == address_size(family)) {
		answer->has_source = true;
		memcpy(answer->source, RTA_DATA(a[RTA_PREFSRC]), address_size(family));
	}
	return 0;
}

int route_ask(int fd, const struct route_flow *flow, struct route_answer *answer)
{
	_Alignas(struct nlmsghdr) unsigned char bytes[NL_READ];
	struct nl_request m;
	struct nlmsghdr *h;
	time_t end = 0;
	int err;
	long n;

	memset(answer, 0, sizeof(*answer));
	build(&m, flow);
	err = nl_transmit(fd, &m, m.h.nlmsg_len);
	while (!err) {
		n = nl_receive(fd, bytes, sizeof(bytes), 0);
		if (n < 0)
			return (int)n;
		for (h = (void *)bytes; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
			if (h->nlmsg_seq == m.h.nlmsg_seq)
				return take(h, flow->family, answer);
		}
		if (nl_late(&end))
			return -ETIMEDOUT;
	}
	return err;
}

static struct route_flow flow_of(const struct tcpx_flow *f)
{
	struct route_flow flow = {
		.family = f->family == 4 ? AF_INET : AF_INET6,
		.bound = true,
		.tos = f->tos,
		.local_port = f->local_port,
		.remote_port = f->remote_port,
		.mark = f->mark,
		.oif = f->bound_if,
		.uid = f->uid,
	};
	size_t size = address_size(flow.family);

	/* IPv4 comes as ::ffff:a.b.c.d */
	memcpy(flow.source, f->local + FLOW_ADDRESS - size, size);
	memcpy(flow.to, f->remote + FLOW_ADDRESS - size, size);
	return flow;
}

static int ask_all(struct tcpx_flow *flows, unsigned int n)
{
	struct route_answer answer;
	struct route_flow flow;
	int fd = nl_open(), err = 0;

	if (fd < 0)
		return fd;
	for (unsigned int i = 0; i < n && err != -ETIMEDOUT; i++) {
		flow = flow_of(&flows[i]);
		err = route_ask(fd, &flow, &answer);
		if (!err)
			flows[i].quickack = answer.quickack ? TCPX_FLOW_QUICKACK : TCPX_FLOW_SLOW;
	}
	close(fd);
	return err == -ETIMEDOUT ? err : 0;
}

int tcpx_routes_ask(const char *netns_path, struct tcpx_flow *flows, unsigned int n)
{
	int back, there, err;

	if (!flows)
		return -EINVAL;
	if (!netns_path)
		return ask_all(flows, n);
	there = open(netns_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (there < 0)
		return -errno;
	back = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	err = back < 0 || setns(there, CLONE_NEWNET) ? -errno : 0;
	close(there);
	if (!err) {
		err = ask_all(flows, n);
		if (setns(back, CLONE_NEWNET))
			err = -ENOTRECOVERABLE;
	}
	if (back >= 0)
		close(back);
	return err;
}
