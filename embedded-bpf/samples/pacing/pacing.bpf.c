// SPDX-License-Identifier: MIT
/* A local setting: what a connection sends is paced at a rate. tcpx keeps the rules, and says which
 * connection has one; this says what is done with it. */
#include "tcpx_ext.h"

#define SOL_SOCKET 1
#define SO_MAX_PACING_RATE 47
#define UNLIMITED -1

/* Words that the connection keeps. */
#define WE_HAVE_SET 0

TCPX_HOOK(established)
{
	/* scopes in one another may all come here: the first one has done it */
	if (!tcpx_active(TCPX_LOCAL) || tcpx_has_outcome())
		return 0;
	if (tcpx_apply(SOL_SOCKET, SO_MAX_PACING_RATE, tcpx_value(TCPX_LOCAL, 0)) == 0)
		tcpx_set_word(WE_HAVE_SET, 1);
	return 0;
}

/* With --live: a connection that exists gets the rule, or loses it. */
TCPX_HOOK(live_set)
{
	if (tcpx_apply(SOL_SOCKET, SO_MAX_PACING_RATE, tcpx_value(TCPX_LOCAL, 0)) == 0)
		tcpx_set_word(WE_HAVE_SET, 1);
	return 0;
}

TCPX_HOOK(live_undo)
{
	if (tcpx_word(WE_HAVE_SET))
		tcpx_setsockopt(SOL_SOCKET, SO_MAX_PACING_RATE, UNLIMITED);
	tcpx_set_word(WE_HAVE_SET, 0);
	return 0;
}

/* The socket connects once more, and the next connection need not have the rule. */
TCPX_HOOK(again)
{
	if (tcpx_word(WE_HAVE_SET))
		tcpx_setsockopt(SOL_SOCKET, SO_MAX_PACING_RATE, UNLIMITED);
	return 0;
}
