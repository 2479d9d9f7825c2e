// SPDX-License-Identifier: MIT
/*
 * The guard lives in a copy of a process with many threads, of which only one was copied: locks
 * may be held for ever, so nothing but system calls and the stack. It has sockets of the
 * namespace and is not there itself: a process would keep the namespace alive.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/fib_rules.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../embedded-bpf/tcpx_shared.h"
#include "routes-internal.h"

#define ROUNDS 100 /* of a sweep; a dump may miss what moves while it runs */

static const int FAMILIES[] = {AF_INET, AF_INET6};

static int drop_rule(const struct nlmsghdr *h, void *context)
{
	const struct rtattr *a[FRA_PROTOCOL + 1];
	const struct fib_rule_hdr *r = NLMSG_DATA(h);
	int err;

	if (h->nlmsg_type != RTM_NEWRULE || h->nlmsg_len < NLMSG_LENGTH(sizeof(*r)))
		return 0;
	nl_attributes((const struct rtattr *)(r + 1), h->nlmsg_len - NLMSG_LENGTH(sizeof(*r)), a,
		      FRA_PROTOCOL + 1);
	if (nl_u32(a[FRA_TABLE], r->table) != ROUTES_TABLE ||
	    nl_u8(a[FRA_PROTOCOL], 0) != ROUTES_PROTOCOL)
		return 0;
	err = nl_batch_add(context, h, RTM_DELRULE, 0);
	return err == -EMSGSIZE ? 0 : err; /* no rule of ours is so long */
}

static int drop_route(const struct nlmsghdr *h, void *context)
{
	struct nl_request m;
	struct route_view v;
	int err;

	if (route_view(h, &v) || v.rt->rtm_protocol != ROUTES_PROTOCOL ||
	    route_table(&v) != ROUTES_TABLE)
		return 0;
	err = route_key(&v, &m);
	return err ? err : nl_batch_add(context, &m.h, RTM_DELROUTE, 0);
}

static void count_failure(void *context, uint32_t number, int error)
{
	(void)number;
	(void)error;
	++*(int *)context;
}

/* One round: how many were removed. */
static int sweep_once(const struct nl_pair *nl, int family, bool rules)
{
	struct nl_batch b;
	int failures = 0, err;

	nl_batch_start(&b, nl->ask, count_failure, &failures);
	if (rules)
		err = nl_dump_rules(nl->dump, family, drop_rule, &b);
	else
		err = nl_dump_routes(nl->dump, family, ROUTES_TABLE, drop_route, &b);
	if (nl_batch_flush(&b))
		return 0;
	if (err && err != -EINTR)
		return 0;
	return (int)b.count - failures;
}

int sweep(const struct nl_pair *nl)
{
	int removed = 0, n;

	for (int rules = 1; rules >= 0; rules--) {
		for (int f = 0; f < 2; f++) {
			for (int i = 0; i < ROUNDS; i++) {
				n = sweep_once(nl, FAMILIES[f], rules);
				removed += n;
				if (n <= 0)
					break;
			}
		}
	}
	return removed;
}

/* Where the guard lives: it ends with this process's namespace at the latest. */
static int leave_for(int home)
{
	return home < 0 || !syscall(SYS_setns, home, CLONE_NEWNET) ? 0 : -errno;
}

#define KEPT 4

/* To 0, 1, 2 and 3, out of the reach of each other; one that is none stays none. */
static void keep_only(int *const fds[KEPT])
{
	int own = 0;

	for (int i = 0; i < KEPT; i++)
		*fds[i] = (int)syscall(SYS_fcntl, *fds[i], F_DUPFD, KEPT);
	for (int i = 0; i < KEPT; i++) {
		if (*fds[i] < 0)
			continue;
		syscall(SYS_dup3, *fds[i], own, 0);
		*fds[i] = own++;
	}
	guard_close_from((unsigned int)own);
}

struct watch {
	int line;
	struct nl_pair nl;
	struct routes_place place;
};

/* From here on nobody sets a bit of the mark for routes that are about to go. The entry stays, so
 * that the next agent knows of the namespace: connections there have the mark.
 */
static void tell(const struct routes_place *place)
{
	struct tcpx_served none = {0};
	union bpf_attr attr = {.map_fd = (uint32_t)place->map_fd, .flags = BPF_EXIST};

	attr.key = (uintptr_t)&place->inode;
	attr.value = (uintptr_t)&none;
	if (place->map_fd >= 0)
		syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &attr, sizeof(attr));
}

static void watch(const void *context)
{
	struct watch w = *(const struct watch *)context;
	int *const fds[KEPT] = {&w.line, &w.nl.dump, &w.nl.ask, &w.place.map_fd};
	char goodbye;
	long n;

	if (leave_for(w.place.home))
		return; /* another one is tried, and at last none */
	keep_only(fds);
	syscall(SYS_setsid);
	syscall(SYS_chdir, "/");
	syscall(SYS_prctl, PR_SET_NAME, "tcpx-guard", 0, 0, 0);
	guard_forget();
	do
		n = syscall(SYS_read, w.line, &goodbye, 1);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return;
	tell(&w.place);
	sweep(&w.nl);
}

int guard_start(struct guard *g, const struct nl_pair *nl, const struct routes_place *place)
{
	struct watch w = {.nl = *nl, .place = *place};
	int line[2], err;

	if (syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line))
		return -errno;
	w.line = line[1];
	err = guard_launch(watch, &w);
	close(line[1]);
	if (err) {
		close(line[0]);
		return err;
	}
	g->fd = line[0];
	return 0;
}

void guard_end(struct guard *g, bool sweeps)
{
	if (g->fd < 0)
		return;
	if (!sweeps)
		syscall(SYS_sendto, g->fd, "q", 1, MSG_NOSIGNAL, NULL, 0);
	close(g->fd);
	g->fd = -1;
}
