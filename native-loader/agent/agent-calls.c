// SPDX-License-Identifier: MIT
/* What other threads ask of the agent, and of routing without one. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>

#include "agent-internal.h"
#include "find-netns.h"
#include "held-judge.h"
#include "held-path.h"
#include "routes.h"

int tcpx_agent_holds(void *agent, int holds_fd)
{
	struct agent *a = agent;

	return a ? flusher_holds(&a->flusher, holds_fd) : -EINVAL;
}

int tcpx_agent_at_once(void *agent, unsigned int mark_bits)
{
	struct agent *a = agent;
	int result;

	if (!a)
		return -EINVAL;
	pthread_mutex_lock(&a->callers);
	a->mark_bits = mark_bits;
	result = agent_command(a, AT_ONCE);
	pthread_mutex_unlock(&a->callers);
	return result;
}

int tcpx_agent_serve(void *agent, const char *netns_path)
{
	struct agent *a = agent;
	int result;

	if (!a || !netns_path)
		return -EINVAL;
	pthread_mutex_lock(&a->callers);
	a->path = netns_path;
	result = agent_command(a, SERVE);
	pthread_mutex_unlock(&a->callers);
	return result;
}

int tcpx_agent_reason(void *agent, char *out, int cap)
{
	struct agent *a = agent;
	int result;

	if (!a || !out || cap < 0)
		return -EINVAL;
	pthread_mutex_lock(&a->callers);
	a->text = out;
	a->cap = cap;
	result = agent_command(a, REASON);
	pthread_mutex_unlock(&a->callers);
	return result;
}

int tcpx_agent_stats(void *agent, struct tcpx_agent_stats *out)
{
	struct agent *a = agent;
	uint64_t cpu = 0;

	if (!a || !out)
		return -EINVAL;
	if (add_cpu(a->thread, &cpu) || (a->flusher.running && add_cpu(a->flusher.thread, &cpu)) ||
	    (a->served.copier.running && add_cpu(a->served.copier.thread, &cpu)))
		return -EIO;
	*out = (struct tcpx_agent_stats){
		.flushed = a->flusher.flushed,
		.failed = a->flusher.failed,
		.outdated = a->flusher.outdated,
		.notices = a->notices,
		.namespaces = a->namespaces,
		.cpu_ns = cpu,
		.route_changes = a->route_changes,
		.route_errors = a->route_errors,
		.most = a->served.most,
		.foreign = a->foreign,
		.turned_away = a->turned_away,
		.troubled = a->troubled,
		.trouble_with = a->trouble_with,
		.trouble_errno = a->trouble_errno,
		.unfound = a->unfound,
	};
	return 0;
}

int tcpx_raw_sockets(void)
{
	struct flush f;
	int err = flush_open(&f);

	if (!err)
		flush_close(&f);
	return err;
}

int tcpx_agent_denied(void *agent, char *out, int cap)
{
	struct agent *a = agent;

	return a && out && cap > 0 ? served_denied(&a->served, out, cap) : -EINVAL;
}

int tcpx_held_path(char *why, int cap)
{
	struct held_path *path;
	int err;

	if (!why || cap < 1)
		return -EINVAL;
	*why = 0;
	if (!netns_is_own())
		return -EPERM;
	err = held_path_open(&path);
	if (err)
		return err;
	if (*held_path_why(path))
		err = -EOPNOTSUPP;
	snprintf(why, (size_t)cap, "%s", held_path_why(path));
	held_path_close(path);
	return err;
}

int tcpx_ipsec_policies(void)
{
	return held_ipsec();
}

int tcpx_routes_check(unsigned int mark_bits, char *why, int cap)
{
	bool own = netns_is_own();
	int err = own ? routes_check(mark_bits) : -EPERM;

	if (!why || cap < 1)
		return -EINVAL;
	if (!own)
		snprintf(why, (size_t)cap, NETNS_FOREIGN);
	else
		snprintf(why, (size_t)cap, "%s", err == -EOPNOTSUPP ? routes_reason() : "");
	return err;
}

int tcpx_routes_sweep(void)
{
	return netns_is_own() ? routes_sweep() : -EPERM;
}
