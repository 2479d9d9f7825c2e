// SPDX-License-Identifier: MIT
/*
 * @NAME@: each end tells a number in an option of its own on SYN and SYN-ACK, and the other end's
 * socket has it as its mark (SO_MARK of socket(7)), which firewalls and routes can look at.
 */
#include "tcpx_ext.h"

#define SOL_SOCKET 1
#define SO_MARK 36

/* What this connection has of ours, in its own words. */
#define WORD_TAG 0
#define WORD_IS_TOLD 1

/* Who connects says this on its SYN. tcpx puts kind, length and identifier before it. */
TCPX_HOOK(say)
{
	tcpx_put32(0, tcpx_value(TCPX_ASK, 0));
	return 0;
}

/* Who accepts says this on its SYN-ACK. `arg`: the SYN has the option. */
TCPX_HOOK(say_syn_ack)
{
	if (arg)
		tcpx_put32(0, tcpx_value(TCPX_ACCEPT, 0));
	return 0;
}

/* The peer's header has the option; `arg` bytes of it can be read. */
TCPX_HOOK(see)
{
	tcpx_set_word(WORD_TAG, tcpx_get32(0));
	tcpx_set_word(WORD_IS_TOLD, 1);
	return 0;
}

/* The handshake is complete, and later segments need no option. */
TCPX_HOOK(established)
{
	tcpx_speak(0);
	if (tcpx_word(WORD_IS_TOLD))
		tcpx_setsockopt(SOL_SOCKET, SO_MARK, tcpx_word(WORD_TAG));
	return 0;
}
