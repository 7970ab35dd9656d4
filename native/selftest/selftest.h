/* `enclavize doctor --selftest` runs this program in an enclave, once for each step (enclavize/node/selftest.py). */
#ifndef SELFTEST_H
#define SELFTEST_H

#include <stdio.h>
#include <stdlib.h>

/* The first thing that is not as it should be ends the step with status 1, and is its text. */
#define EXPECT(condition, ...)        \
    do {                              \
        if (!(condition)) {           \
            fprintf(stderr, __VA_ARGS__); \
            fprintf(stderr, "\n");    \
            exit(1);                  \
        }                             \
    } while (0)

void try_memory(void);
void try_exceptions(void);
void try_threads(void);
void try_interrupts(void);
void try_processes(void);
void try_reports(void);
void print_seal_key(void);

#endif
