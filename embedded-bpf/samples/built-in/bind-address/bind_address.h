/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A sample, to be copied: programs of other types. What the source address keeps of a connection. A
 * rule's value: local: the IPv4 address, as it travels.
 *
 * In embedded-bpf/extensions.def: TCPX_EXTENSION(BIND_ADDRESS, bind_address, 6)
 */
#ifndef TCPX_BIND_ADDRESS_H
#define TCPX_BIND_ADDRESS_H

struct tcpx_bind_address_conn {
	struct tcpx_rules rules;
	__u32 local;
	__u32 given; /* what connect() was given; 0: nothing */
	__u32 by;    /* the scope whose rule that was: see sock_rule() */
};

#endif
