// SPDX-License-Identifier: MIT
/*
 * The bridge is linked against no C library: its symbols bind to the one that Bun has
 * loaded, an old glibc or musl. What the headers of the building machine make of the
 * third-party code, but these may lack, is defined here, hidden.
 *
 * Symbols that glibc has in several versions bind to the oldest.
 */
#include <stdarg.h>
#include <sys/syscall.h>

#define HIDDEN __attribute__((visibility("hidden")))

struct stat;
struct _IO_FILE;

/* Declared here, under their plain names: the headers would rename them. */
long syscall(long number, ...);
int vsscanf(const char *s, const char *fmt, va_list args);
int vfscanf(struct _IO_FILE *from, const char *fmt, va_list args);
long strtol(const char *s, char **end, int base);
unsigned long strtoul(const char *s, char **end, int base);
long long strtoll(const char *s, char **end, int base);
unsigned long long strtoull(const char *s, char **end, int base);

/* No such symbols before glibc 2.33. The kernel's struct stat is user space's on 64 bit. */
HIDDEN int fstat(int fd, struct stat *st)
{
	return (int)syscall(SYS_fstat, fd, st);
}

HIDDEN int stat(const char *path, struct stat *st)
{
	return (int)syscall(SYS_newfstatat, -100 /* AT_FDCWD */, path, st, 0);
}

/* glibc 2.38 and its C23 names for what is the same function to us. */
HIDDEN long __isoc23_strtol(const char *s, char **end, int base)
{
	return strtol(s, end, base);
}

HIDDEN unsigned long __isoc23_strtoul(const char *s, char **end, int base)
{
	return strtoul(s, end, base);
}

HIDDEN long long __isoc23_strtoll(const char *s, char **end, int base)
{
	return strtoll(s, end, base);
}

HIDDEN unsigned long long __isoc23_strtoull(const char *s, char **end, int base)
{
	return strtoull(s, end, base);
}

#define SCANF(symbol, source, plain)                                                               \
	HIDDEN int symbol(source, const char *fmt, ...)                                            \
	{                                                                                          \
		va_list args;                                                                      \
		int n;                                                                             \
                                                                                                   \
		va_start(args, fmt);                                                               \
		n = plain(from, fmt, args);                                                        \
		va_end(args);                                                                      \
		return n;                                                                          \
	}

SCANF(__isoc99_sscanf, const char *from, vsscanf)
SCANF(__isoc23_sscanf, const char *from, vsscanf)
SCANF(__isoc99_fscanf, struct _IO_FILE *from, vfscanf)
SCANF(__isoc23_fscanf, struct _IO_FILE *from, vfscanf)
