// SPDX-License-Identifier: MIT
#include <bpf/libbpf.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bridge.h"
#include "log.h"

#define LOG_SIZE (1 << 20)

/* In .bss: pages that are never written cost nothing. */
static char text[LOG_SIZE];
static size_t used;
static int keep_level = LIBBPF_WARN;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void append(const char *s, size_t n)
{
	if (n > LOG_SIZE) {
		s += n - LOG_SIZE;
		n = LOG_SIZE;
	}
	if (used + n > LOG_SIZE) {
		size_t drop = used + n - LOG_SIZE;

		memmove(text, text + drop, used - drop);
		used -= drop;
	}
	memcpy(text + used, s, n);
	used += n;
}

static void format(const char *fmt, va_list args)
{
	char line[1024], *big;
	va_list again;
	int n;

	va_copy(again, args);
	n = vsnprintf(line, sizeof(line), fmt, args);
	if (n > 0 && (size_t)n < sizeof(line)) {
		append(line, n);
	} else if (n > 0) {
		big = malloc((size_t)n + 1);
		if (big) {
			vsnprintf(big, (size_t)n + 1, fmt, again);
			append(big, n);
			free(big);
		} else {
			append(line, sizeof(line) - 1);
		}
	}
	va_end(again);
}

static int capture(enum libbpf_print_level level, const char *fmt, va_list args)
{
	int saved = errno;

	pthread_mutex_lock(&lock);
	if ((int)level <= keep_level)
		format(fmt, args);
	pthread_mutex_unlock(&lock);
	errno = saved;
	return 0;
}

__attribute__((constructor)) static void install(void)
{
	libbpf_set_print(capture);
}

void tcpx_log_level(int level)
{
	pthread_mutex_lock(&lock);
	keep_level = level;
	pthread_mutex_unlock(&lock);
}

int tcpx_log_take(void *out, int cap)
{
	size_t n;

	if (!out || cap < 0)
		return -EINVAL;
	pthread_mutex_lock(&lock);
	n = used < (size_t)cap ? used : (size_t)cap;
	memcpy(out, text, n);
	memmove(text, text + n, used - n);
	used -= n;
	pthread_mutex_unlock(&lock);
	return (int)n;
}

void log_last_line(char *out, size_t size)
{
	static const char prefix[] = "libbpf: ";
	size_t end, begin, n;

	pthread_mutex_lock(&lock);
	end = used;
	while (end && text[end - 1] == '\n')
		end--;
	begin = end;
	while (begin && text[begin - 1] != '\n')
		begin--;
	if (end - begin > sizeof(prefix) - 1 && !memcmp(text + begin, prefix, sizeof(prefix) - 1))
		begin += sizeof(prefix) - 1;
	n = end - begin < size - 1 ? end - begin : size - 1;
	memcpy(out, text + begin, n);
	out[n] = 0;
	pthread_mutex_unlock(&lock);
}
