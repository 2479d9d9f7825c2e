// SPDX-License-Identifier: MIT
/* Arguments and answers of a command, and the clock. */
#include "wire.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void answer(struct call *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->out, sizeof(c->out), fmt, ap);
	va_end(ap);
}

const char *word(struct call *c, int i, const char *otherwise)
{
	return i < c->argc ? c->arg[i] : otherwise;
}

long num(struct call *c, int i, long otherwise)
{
	return i < c->argc ? strtol(c->arg[i], NULL, 0) : otherwise;
}

long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000L + t.tv_nsec / 1000000;
}
