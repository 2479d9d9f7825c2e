// SPDX-License-Identifier: MIT
#include <errno.h>
#include <linux/xfrm.h>
#include <string.h>
#include <unistd.h>

#include "held-judge.h"

/* Asks for the kernel's own count, which is what it decides by, too. */
static int count_policies(int fd)
{
	struct {
		struct nlmsghdr h;
		uint32_t flags;
	} ask = {.h = {.nlmsg_len = sizeof(ask), .nlmsg_type = XFRM_MSG_GETSPDINFO}};
	_Alignas(struct nlmsghdr) unsigned char bytes[NL_READ];
	const struct nlmsghdr *h = (void *)bytes;
	const struct rtattr *a[XFRMA_SPD_INFO + 1];
	struct xfrmu_spdinfo info;
	int err;
	long n;

	ask.h.nlmsg_flags = NLM_F_REQUEST;
	ask.h.nlmsg_seq = nl_sequence(1);
	err = nl_transmit(fd, &ask, sizeof(ask));
	n = err ? err : nl_receive(fd, bytes, sizeof(bytes), 0);
	if (n < 0)
		return (int)n;
	if (!NLMSG_OK(h, n) || h->nlmsg_seq != ask.h.nlmsg_seq)
		return -EPROTO;
	if (h->nlmsg_type == NLMSG_ERROR)
		return nl_verdict(h) ? nl_verdict(h) : -EPROTO;
	if (h->nlmsg_type != XFRM_MSG_NEWSPDINFO || h->nlmsg_len < NLMSG_LENGTH(sizeof(uint32_t)))
		return -EPROTO;
	nl_attributes((const struct rtattr *)((const uint32_t *)NLMSG_DATA(h) + 1),
		      h->nlmsg_len - NLMSG_LENGTH(sizeof(uint32_t)), a, XFRMA_SPD_INFO + 1);
	if (!a[XFRMA_SPD_INFO] || RTA_PAYLOAD(a[XFRMA_SPD_INFO]) < sizeof(info))
		return -EPROTO;
	memcpy(&info, RTA_DATA(a[XFRMA_SPD_INFO]), sizeof(info));
	return info.outcnt > INT32_MAX ? INT32_MAX : (int)info.outcnt;
}

int held_ipsec(void)
{
	int fd = nl_open_of(NETLINK_XFRM), n;

	if (fd < 0)
		return fd == -EPROTONOSUPPORT ? 0 : fd;
	n = count_policies(fd);
	close(fd);
	return n;
}
