// SPDX-License-Identifier: MIT
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "held-look.h"

#define TRIES 4 /* of a dump, when what is dumped changes meanwhile */

struct looking {
	struct held_look *found;
	struct held_groups groups;
};

static int look_at_rule(const struct nlmsghdr *h, void *context)
{
	struct looking *l = context;
	char why[HELD_WHY];

	if (held_rule(h, &l->found->marks, why) && !l->found->why[0])
		memcpy(l->found->why, why, sizeof(why));
	return 0;
}

static int look_at_route(const struct nlmsghdr *h, void *context)
{
	struct looking *l = context;
	uint32_t group;

	if (!l->found->why[0])
		held_route(h, &l->groups, &group, l->found->why);
	return 0;
}

static int dump(struct looking *l, int fd, int what, int family)
{
	int err = -EINTR;

	for (int i = 0; err == -EINTR && i < TRIES; i++) {
		if (what == RTM_GETRULE)
			err = nl_dump_rules(fd, family, look_at_rule, l);
		else
			err = nl_dump_all_routes(fd, family, RTN_UNICAST, look_at_route, l);
	}
	return err == -EAFNOSUPPORT || err == -EOPNOTSUPP ? 0 : err;
}

static int read_groups(struct looking *l, int fd)
{
	int err = -EINTR;

	for (int i = 0; err == -EINTR && i < TRIES; i++) {
		held_groups_free(&l->groups);
		err = held_groups_read(&l->groups, fd);
	}
	return err;
}

int held_look(struct held_look *out, int fd)
{
	static const int families[] = {AF_INET, AF_INET6};
	struct looking l = {.found = out};
	int err = 0;

	memset(out, 0, sizeof(*out));
	for (int i = 0; i < 2 && !err; i++)
		err = dump(&l, fd, RTM_GETRULE, families[i]);
	if (!err)
		err = read_groups(&l, fd);
	out->groups = l.groups.n || l.groups.many;
	/* enough is known where a rule is in the way, and routes may be many */
	for (int i = 0; i < 2 && !err && !out->why[0]; i++)
		err = dump(&l, fd, RTM_GETROUTE, families[i]);
	held_groups_free(&l.groups);
	return err;
}
