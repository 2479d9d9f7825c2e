// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "find-netns.h"

#define OWN_USERNS "/proc/thread-self/ns/user"
#define OWN_NETNS "/proc/thread-self/ns/net"

struct search {
	struct wanted *wanted;
	unsigned int n, found;
	void (*seen)(void *context, uint32_t inode);
	void *context;
};

int open_netns(const char *path, uint32_t *inode)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	int type;

	if (fd < 0)
		return -errno;
	type = ioctl(fd, NS_GET_NSTYPE);
	if (type == CLONE_NEWNET && !fstat(fd, &st)) {
		*inode = (uint32_t)st.st_ino;
		return fd;
	}
	close(fd);
	return -EINVAL;
}

int own_userns(struct userns *out)
{
	struct stat st;

	*out = (struct userns){0};
	if (!stat(OWN_USERNS, &st))
		*out = (struct userns){st.st_dev, st.st_ino};
	else if (errno != ENOENT || access(OWN_NETNS, F_OK))
		return -errno;
	return 0;
}

bool netns_owned_by(int fd, const struct userns *owner)
{
	struct stat st;
	bool same;
	int other;

	if (!owner->inode)
		return true;
	other = ioctl(fd, NS_GET_USERNS); /* EPERM: of one that is not below ours */
	if (other < 0)
		return false;
	same = !fstat(other, &st) && st.st_dev == owner->dev && st.st_ino == owner->inode;
	close(other);
	return same;
}

bool netns_is_own(void)
{
	struct userns owner;
	uint32_t inode;
	bool own;
	int fd;

	if (own_userns(&owner))
		return false;
	fd = open_netns(OWN_NETNS, &inode);
	if (fd < 0)
		return false;
	own = netns_owned_by(fd, &owner);
	close(fd);
	return own;
}

static void look(struct search *s, const char *path)
{
	struct stat st;
	uint32_t inode;
	int fd;

	/* stat() first: it opens nothing, and nearly all are others. */
	if (stat(path, &st))
		return;
	if (s->seen)
		s->seen(s->context, (uint32_t)st.st_ino);
	for (unsigned int i = 0; i < s->n; i++) {
		if (s->wanted[i].fd >= 0 || s->wanted[i].inode != st.st_ino)
			continue;
		fd = open_netns(path, &inode);
		if (fd >= 0 && inode == s->wanted[i].inode) {
			s->wanted[i].fd = fd;
			s->found++;
		} else if (fd >= 0) {
			close(fd);
		} else if (fd != -ENOENT) {
			s->wanted[i].err = fd;
		}
		return;
	}
}

static void look_in(struct search *s, const char *dir, const char *below, int processes)
{
	struct dirent *entry;
	char path[300];
	DIR *d = opendir(dir);
	int err = d || errno == ENOENT ? 0 : -errno;

	for (unsigned int i = 0; i < s->n && err; i++)
		s->wanted[i].err = err;
	if (!d)
		return;
	while ((s->seen || s->found < s->n) && (entry = readdir(d))) {
		if (processes ? entry->d_name[0] < '1' || entry->d_name[0] > '9'
			      : entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s%s", dir, entry->d_name, below);
		look(s, path);
	}
	closedir(d);
}

void find_netns(struct wanted *wanted, unsigned int n, void (*seen)(void *context, uint32_t inode),
		void *context)
{
	struct search s = {.wanted = wanted, .n = n, .seen = seen, .context = context};

	for (unsigned int i = 0; i < n; i++)
		wanted[i] = (struct wanted){.inode = wanted[i].inode, .fd = -1};
	look_in(&s, "/proc", "/ns/net", 1);
	look_in(&s, "/run/netns", "", 0);
}
