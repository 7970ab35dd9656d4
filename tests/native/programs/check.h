/* For programs that run inside the enclave and natively alike: the first failed check ends them with status
 * 1. */
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                     \
    do {                                                                                     \
        if (!(condition)) {                                                                  \
            fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno); \
            exit(1);                                                                         \
        }                                                                                    \
    } while (0)

/* A system call that has to fail so. */
#define FAILS(call, error)                                                                                    \
    do {                                                                                                      \
        errno = 0;                                                                                            \
        if ((long)(call) != -1 || errno != (error)) {                                                         \
            fprintf(stderr, "%s:%d: %s (errno %d, not %d)\n", __FILE__, __LINE__, #call, errno, error);       \
            exit(1);                                                                                          \
        }                                                                                                     \
    } while (0)

#endif
