/* What --trace and --profile see of system calls: between the files of the syscall room. */
#ifndef ENCLAVIZE_SYSCALL_OBSERVE_H
#define ENCLAVIZE_SYSCALL_OBSERVE_H

#include "syscall/syscall.h"

/* Is anybody interested? Never in a production enclave. */
extern bool is_observed;

/* Of a call that is being served. */
struct observation {
    uint64_t start; /* time stamp counter */
    uint64_t ocalls, exceptions;
};

void observe_start(uint32_t flags);
struct observation observe_begin(const struct syscall_row *row, const struct arguments *arguments);
void observe_end(const struct observation *observation, const struct syscall_row *row, const struct arguments *arguments, int64_t result);

/* trace.c: one line as strace prints it; of a call that does not return, without a result. -> its length, less than `size`. */
size_t trace_line(char *line, size_t size, const struct syscall_row *row, const struct arguments *arguments, const int64_t *result);

/* profile.c */
void profile_start(bool json);
void profile_note(const struct syscall_row *row, const struct observation *observation, int64_t result);

#endif
