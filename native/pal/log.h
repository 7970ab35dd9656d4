/* The PAL's messages: to standard error and, for failures, kept for pal_builtin_error(). */
#ifndef ENCLAVIZE_PAL_LOG_H
#define ENCLAVIZE_PAL_LOG_H

#include <stddef.h>

#include "abi.h"

/* From pal_attr_t.log_level: "" or NULL is error; fatal, panic and off silence everything but pal_builtin_error(). -1: unknown. */
int log_set_level(const char *name);
enum log_level log_level(void);

void log_message(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Where lines of LOG_REPORT go; -1: nowhere. */
void log_set_report(int descriptor);
/* A line of the enclave's. */
void log_enclave_line(enum log_level level, const char *text, size_t length);

/* The same for the one who asked for a command. */
void log_command_line(int descriptor, const char *text, size_t length);

/* Remembers for the calling thread why something failed (and says so at level info: it is the caller's to show), returns `error`, a negative errno. */
int fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *log_last_failure(void);
void log_forget_failure(void);

/* Usable in signal handlers and without libc's thread-local storage. */
void log_raw(const char *text);
void log_raw_hex(const char *label, unsigned long value);
/* Ends the process at once: the enclave did something that a CPU would answer with a fault nobody can handle, or the machine fails. */
_Noreturn void die(const char *reason, unsigned long value);

#endif
