// SPDX-License-Identifier: MIT
// What Debian's libstdc++ and libgcc take from glibc and musl does not have. A host with musl has
// its own of both; with these, Debian's do for a test.

#include <locale.h>
#include <stddef.h>
#include <time.h>

char __libc_single_threaded;

struct {
	unsigned words[4];
} __cpu_model;

int __cpu_indicator_init(void)
{
	return 0;
}

unsigned long __getauxval(unsigned long type)
{
	extern unsigned long getauxval(unsigned long);

	return getauxval(type);
}

unsigned arc4random(void)
{
	return 4;
}

int __cxa_thread_atexit_impl(void (*destroy)(void *), void *object, void *library)
{
	(void)destroy, (void)object, (void)library;
	return 0;
}

int _dl_find_object(void *address, void *result)
{
	(void)address, (void)result;
	return -1; // the caller then asks dl_iterate_phdr
}

size_t __strftime_l(char *to, size_t size, const char *format, const struct tm *time,
		    locale_t locale)
{
	extern size_t strftime_l(char *, size_t, const char *, const struct tm *, locale_t);

	return strftime_l(to, size, format, time, locale);
}
