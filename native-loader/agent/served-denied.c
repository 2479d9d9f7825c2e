// SPDX-License-Identifier: MIT
/* What namespaces do not get, for whoever asks. */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <stdio.h>

#include "served-netns.h"

#define IPSEC "it has IPsec policies"

/* The thinner looks at those itself, and leaves a note. */
static bool has_ipsec(const struct served *s, const struct namespace *n)
{
	struct tcpx_served value = {0};

	if (!bpf_map_lookup_elem(s->map_fd, &n->inode, &value) && value.flags & TCPX_SERVED_IPSEC)
		return true;
	return n->ipsec_ns && now_ns() < n->ipsec_ns + IDLE_NS;
}

int served_denied(struct served *s, char *out, int cap)
{
	const char *why;
	int used = 0, n;

	pthread_mutex_lock(&s->lock);
	for (const struct namespace *at = s->first; at; at = at->next) {
		why = at->pass[0] ? at->pass : at->open && has_ipsec(s, at) ? IPSEC : NULL;
		if (!why)
			continue;
		n = snprintf(out + used, (size_t)(cap - used), "%u thinned %s\n", at->inode, why);
		if (n < 0 || n >= cap - used)
			break;
		used += n;
	}
	pthread_mutex_unlock(&s->lock);
	return used;
}
