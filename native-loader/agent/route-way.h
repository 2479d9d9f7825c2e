/* SPDX-License-Identifier: MIT */
/* The rules that keep connections from coming to ours in front of table main. */
#ifndef TCPX_ROUTE_WAY_H
#define TCPX_ROUTE_WAY_H

#include "routes-internal.h"

#define WAYS_MOST 128	/* rules of one family that are looked at */
#define WAY_WORDS 160	/* of one of them, with its NUL */
#define SAMPLES_MOST 64 /* destinations that are tried */

struct way {
	uint32_t priority;
	uint32_t table;	     /* 0: no single one */
	uint32_t suppressed; /* prefixes of so many bits, and shorter, do not count; UINT32_MAX: all
				do */
	bool behind;	     /* main: for what main knows no route for */
	bool always;	     /* in the way whatever the table has */
	bool used;	     /* it has a route */
	char words[WAY_WORDS]; /* "IPv4 rule 5270 (lookup 52)" */
};

struct sample {
	uint8_t prefix;
	uint8_t to[16]; /* the lowest address of a route */
};

/* The routing of one family. */
struct ways {
	int family;
	uint32_t bits;
	uint32_t standing; /* rules of ours */
	bool main_seen;
	bool main_default; /* table main has a route for everything */
	bool vrfs;
	unsigned int n;
	unsigned int more; /* that had no room */
	struct way way[WAYS_MOST];
	unsigned int samples;
	struct sample sample[SAMPLES_MOST];
};

/* -EAFNOSUPPORT: the kernel has no rules for the family. */
int ways_read(struct ways *w, const struct nl_pair *nl, int family, uint32_t bits);
/* Is there no rule, whatever its table has, that may be in the way? */
int ways_none(const struct nl_pair *nl, int family, bool *none);
/* Is it in the way of any connection? */
bool way_counts(const struct ways *w, const struct way *way);
/* A rule in words. */
void way_words(const struct nlmsghdr *h, char *out, size_t room);

#endif
