/*
 * The syscall room: the table of all system calls, and the dispatcher. The table is made of the rows that each room has
 * in its calls.def, one row a call:
 *
 *     CALL(number, name, flags, argument 1 .. argument 6)
 *
 * The handler of NAME is sys_NAME. Argument descriptors say what each register holds; no handler gets a pointer outside the
 * application's range: the dispatcher refuses it with EFAULT, or makes one of it that nobody can use. A handler must still
 * use the copy functions.
 */
#ifndef ENCLAVIZE_SYSCALL_H
#define ENCLAVIZE_SYSCALL_H

#include "base/base.h"

enum syscall_flag {
    NORMAL = 0,
    ENDS = 2,     /* does not return */
    RESTARTS = 1, /* -EINTR starts the call again when the handler of the signal has SA_RESTART (signal(7)) */
};

enum argument_kind {
    ARGUMENT_UNUSED,
    ARGUMENT_VALUE,   /* number, flags, size */
    ARGUMENT_OPEN_FLAGS, /* this and the next three: values of which traces know the names */
    ARGUMENT_PROTECTION,
    ARGUMENT_MAP_FLAGS,
    ARGUMENT_MODE,       /* permissions, octal */
    ARGUMENT_FD,
    ARGUMENT_ADDRESS, /* an address that is not read or written as such (mmap hint, futex key) */
    ARGUMENT_PATH,    /* NUL-terminated string */
    ARGUMENT_IN,      /* read by the call */
    ARGUMENT_OUT,     /* written by the call */
    ARGUMENT_INOUT,
};

struct argument {
    uint8_t kind;
    bool optional;         /* NULL is allowed */
    uint8_t size_argument; /* 1..6: the size in bytes stands in that argument; 0: it is `size` */
    uint16_t size;         /* bytes; 0 with size_argument 0: unknown, the handler checks */
};

/* Shorthands for rows. */
#define NONE {ARGUMENT_UNUSED, false, 0, 0}
#define VALUE {ARGUMENT_VALUE, false, 0, 0}
#define OPEN_FLAGS {ARGUMENT_OPEN_FLAGS, false, 0, 0}
#define PROTECTION {ARGUMENT_PROTECTION, false, 0, 0}
#define MAP_FLAGS {ARGUMENT_MAP_FLAGS, false, 0, 0}
#define MODE {ARGUMENT_MODE, false, 0, 0}
#define FD {ARGUMENT_FD, false, 0, 0}
#define ADDRESS {ARGUMENT_ADDRESS, false, 0, 0}
#define PATH {ARGUMENT_PATH, false, 0, 0}
#define PATH_OPTIONAL {ARGUMENT_PATH, true, 0, 0}
#define IN(size) {ARGUMENT_IN, false, 0, size}
#define IN_OPTIONAL(size) {ARGUMENT_IN, true, 0, size}
#define IN_SIZED(argument) {ARGUMENT_IN, false, argument, 0}
#define OUT(size) {ARGUMENT_OUT, false, 0, size}
#define OUT_OPTIONAL(size) {ARGUMENT_OUT, true, 0, size}
#define OUT_SIZED(argument) {ARGUMENT_OUT, false, argument, 0}
#define INOUT(size) {ARGUMENT_INOUT, false, 0, size}
#define INOUT_OPTIONAL(size) {ARGUMENT_INOUT, true, 0, size}

struct syscall_row {
    const char *name;
    int64_t (*handler)(const struct arguments *arguments); /* NULL: ENOSYS */
    uint32_t flags;
    struct argument arguments[6];
};

#define SYSCALL_COUNT 512

extern const struct syscall_row syscall_table[SYSCALL_COUNT];

/* Handlers declared from the rows. Weak: a row may stand before its handler is written; such a call returns
 * ENOSYS. */
#define CALL(number, name, ...)                                                                              \
    __attribute__((weak, visibility("hidden"))) int64_t sys_##name(const struct arguments *arguments);
#include "syscall/all_calls.def"
#undef CALL

/* Checks descriptors, runs the handler, traces. Knows nothing of registers. */
int64_t syscall_dispatch(uint64_t number, const struct arguments *arguments);

/* `flags`: enum boot_flag, those that this enclave honours. */
void syscall_start(uint32_t flags);

#endif
