/* Where the LibOS's own dynamic memory lies: the stacks of all threads, then the pages of pages.c. */
#ifndef ENCLAVIZE_BASE_LAYOUT_H
#define ENCLAVIZE_BASE_LAYOUT_H

#include "abi.h"

/* Committed for each thread before its first line of C. Nested exceptions use the same stack. */
#define LIBOS_STACK_SIZE 0x10000ULL
#define LIBOS_STACK_STRIDE 0x20000ULL /* the rest is never committed: a guard */
#define LIBOS_THREADS_MAX 4096ULL
#define LIBOS_STACKS_START LIBOS_DYNAMIC_START
#define LIBOS_STACKS_END (LIBOS_STACKS_START + LIBOS_THREADS_MAX * LIBOS_STACK_STRIDE)

#endif
