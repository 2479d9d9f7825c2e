// SPDX-License-Identifier: MIT
/* An error as tcpx tells it (cli/output/io.ts), told without it. */
#include "start.h"

#define UNSUPPORTED 3  /* cli/base/errors.ts */
#define RUN_FAILED 125 /* tcpx run */

struct text {
	size_t size;
	char bytes[512];
};

static void add(struct text *t, const char *more)
{
	while (*more && t->size < sizeof(t->bytes))
		t->bytes[t->size++] = *more++;
}

static void add_number(struct text *t, uint64_t number)
{
	char digits[21];
	size_t at = sizeof(digits) - 1;

	digits[at] = 0;
	do
		digits[--at] = (char)('0' + number % 10);
	while (number /= 10);
	add(t, digits + at);
}

int same(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

const char *command_of(const struct words *w)
{
	for (long i = 1; i < w->count; i++) {
		if (w->all[i][0] != '-')
			return w->all[i];
	}
	return "";
}

static int wants_json(const struct words *w)
{
	for (long i = 1; i < w->count && !same(w->all[i], "--"); i++) {
		if (same(w->all[i], "--json"))
			return 1;
	}
	return 0;
}

static void put(int fd, const struct text *t)
{
	call4(SYS_write, fd, (long)t->bytes, (long)t->size, 0);
}

_Noreturn static void tell(const struct words *words, const char *what, const char *hint)
{
	struct text line, json;

	line.size = json.size = 0;
	add(&json, "{\"schema\":2,\"error\":{\"code\":3,\"what\":\"");
	add(&json, what);
	add(&json, "\",\"value\":null,\"hint\":\"");
	add(&json, hint);
	add(&json, "\"}}\n");
	if (wants_json(words))
		put(1, &json);
	add(&line, "tcpx: ");
	add(&line, what);
	add(&line, "; ");
	add(&line, hint);
	add(&line, "\n");
	put(2, &line);
	for (;;)
		call4(SYS_exit_group, same(command_of(words), "run") ? RUN_FAILED : UNSUPPORTED, 0,
		      0, 0);
}

_Noreturn void refuse_number(const struct words *words, const char *what, uint64_t number,
			     const char *hint)
{
	struct text text;

	text.size = 0;
	for (; *what && *what != '#' && text.size < sizeof(text.bytes) - 1; what++)
		text.bytes[text.size++] = *what;
	if (*what == '#') {
		add_number(&text, number);
		add(&text, what + 1);
	}
	text.bytes[text.size < sizeof(text.bytes) ? text.size : sizeof(text.bytes) - 1] = 0;
	tell(words, text.bytes, hint);
}

_Noreturn void refuse(const struct words *words, const char *what, const char *hint)
{
	tell(words, what, hint);
}
