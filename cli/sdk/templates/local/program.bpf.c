// SPDX-License-Identifier: MIT
/* @NAME@: limits how fast a connection sends, with SO_MAX_PACING_RATE of socket(7). */
#include "tcpx_ext.h"

#define SOL_SOCKET 1
#define SO_MAX_PACING_RATE 47
#define UNLIMITED -1

/* What this connection has of ours, in its own words. */
#define WORD_IS_SET 0

/* The handshake is complete. Scopes in one another all come here: the first one decides. */
TCPX_HOOK(established)
{
	if (!tcpx_active(TCPX_LOCAL) || tcpx_has_outcome())
		return 0;
	tcpx_apply(SOL_SOCKET, SO_MAX_PACING_RATE, tcpx_value(TCPX_LOCAL, 0));
	tcpx_set_word(WORD_IS_SET, 1);
	return 0;
}

/* The socket connects once more, perhaps to somebody that has no rule. */
TCPX_HOOK(again)
{
	if (tcpx_word(WORD_IS_SET))
		tcpx_setsockopt(SOL_SOCKET, SO_MAX_PACING_RATE, UNLIMITED);
	return 0;
}
