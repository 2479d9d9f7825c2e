/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What a program is loaded with, and what it counts. */
#ifndef TCPX_SHARED_CONFIG_H
#define TCPX_SHARED_CONFIG_H

#include <linux/types.h>
#include "conn.h"

/* A congestion control that enum tcpx_algorithm does not have. */
struct tcpx_site_algorithm {
	char name[16];
	__u16 number; /* that travels; 0: the slot is free */
	__u8 reserved[6];
};

/* An experiment identifier that a site uses in place of the documented one. */
struct tcpx_site_exid {
	__u8 ext;
	__u8 role;  /* enum tcpx_role */
	__u16 exid; /* 0: this place is free */
};

#define TCPX_SITE_EXIDS 48 /* all that there can be */

/*
 * What the administrators of a site have agreed on: the same for all scopes of a host. Other
 * layouts take it over: it may grow at its end. What a table lacks is as documented.
 */
struct tcpx_site {
	__u16 old_exids[8]; /* of layouts up to 8, which had a place for each */
	struct tcpx_site_algorithm algorithms[TCPX_SITE_ALGORITHMS];
	struct tcpx_site_exid exids[TCPX_SITE_EXIDS];
};

/* What an experiment identifier is for. */
enum tcpx_role {
	TCPX_ROLE_ASK,
	TCPX_ROLE_ANSWER,
	TCPX_ROLE_OWN, /* the extension's own: it looks at it itself */
	TCPX_ROLE_COUNT,
};

/*
 * Constant per loaded program (.rodata). Other layouts of tcpx read it, too, and struct
 * tcpx_rule_record: what stands here up to the site's table keeps its place.
 */
struct tcpx_config {
	__u32 layout;
	__u32 rule_count;
	__u64 scope;	/* cgroup id */
	__u8 use_netns; /* rules differ between network namespaces */
	__u8 use_ports; /* some rule names a port */
	__u8 foreign;	/* other sock_ops programs run on these sockets: leave shared flags alone */
	__u8 use_from;	/* some rule is for connections that this side accepts */
	__u32 jiffy_us; /* the kernel's tick */
	char version[32];  /* of the tcpx that loaded it */
	char cgroup[4024]; /* path below the cgroup2 mount, as whoever loaded it sees that */
	__u64 base;	   /* id of the cgroup that the path begins at; 0: not known */
	__u64 keeper;	/* device of the /run whose systemd restarts services; 0: there is none */
	__u64 no_reads; /* kernel lockdown forbids the helpers that read memory: do without */
	struct tcpx_site site;
	__u32 uses; /* bit per extension: rules of this scope, or of one around it, are for it */
	__u32 reserved;
	/* where a rule stands in a profile, by extension and kind; 0: no rule of this scope is so
	 */
	__u16 places[TCPX_EXTENSIONS][TCPX_KINDS];
	__u32 kinds_to[TCPX_EXTENSIONS];   /* bit per kind: a rule is for what this side opens */
	__u32 kinds_from[TCPX_EXTENSIONS]; /* for what it accepts */
	__u16 exids[TCPX_EXTENSIONS]
		   [TCPX_ROLE_COUNT]; /* identifiers behind kind 254, RFC 6994; 0: none */
};

struct tcpx_counters {
	__u64 count[TCPX_EXTENSIONS][TCPX_COUNTER_COUNT];
	__u32 error_line; /* of the last refused helper call */
	__s32 error_code;
};

#endif
