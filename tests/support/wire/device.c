// SPDX-License-Identifier: MIT
/* The TUN device and its addresses. */
#include "wire.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/ipv6.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

int tun = -1;

static int add_address(const char *name, char *spec)
{
	struct ifreq r = {0};
	struct in6_ifreq r6 = {0};
	struct sockaddr_in *in = (struct sockaddr_in *)&r.ifr_addr;
	char *slash = strchr(spec, '/');
	int v6 = strchr(spec, ':') != NULL, bits = slash ? atoi(slash + 1) : (v6 ? 64 : 24), bad;
	int s = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);

	if (slash)
		*slash = 0;
	strncpy(r.ifr_name, name, IFNAMSIZ - 1);
	if (v6) {
		r6.ifr6_ifindex = if_nametoindex(name);
		r6.ifr6_prefixlen = bits;
		bad = inet_pton(AF_INET6, spec, &r6.ifr6_addr) != 1 || ioctl(s, SIOCSIFADDR, &r6);
	} else {
		in->sin_family = AF_INET;
		bad = inet_pton(AF_INET, spec, &in->sin_addr) != 1 || ioctl(s, SIOCSIFADDR, &r);
		in->sin_addr.s_addr = htonl(bits ? ~0u << (32 - bits) : 0);
		bad = bad || ioctl(s, SIOCSIFNETMASK, &r);
	}
	close(s);
	return bad ? -1 : 0;
}

void do_open(struct call *c)
{
	struct ifreq r = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	int s = socket(AF_INET, SOCK_DGRAM, 0);

	strncpy(r.ifr_name, c->arg[1], IFNAMSIZ - 1);
	tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (tun < 0 || ioctl(tun, TUNSETIFF, &r) || ioctl(s, SIOCGIFFLAGS, &r))
		return answer(c, "err %s", strerror(errno));
	r.ifr_flags |= IFF_UP | IFF_RUNNING;
	if (ioctl(s, SIOCSIFFLAGS, &r))
		return answer(c, "err %s", strerror(errno));
	close(s);
	for (int i = 2; i < c->argc; i++)
		if (add_address(c->arg[1], c->arg[i]) < 0)
			return answer(c, "err %s %s", c->arg[i], strerror(errno));
	answer(c, "ok");
}
