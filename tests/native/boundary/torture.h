/* The torture application: C that is copied to application memory and runs there. */
#ifndef TORTURE_H
#define TORTURE_H

#include <stdint.h>

#define TORTURE_CODE 0x400000ULL
#define TORTURE_STACKS 0x10000000ULL
#define TORTURE_STACK_SIZE 0x10000ULL
#define TORTURE_PAGES 0x100000000ULL /* committed at the first touch */
#define TORTURE_PAGES_SIZE 0x10000000ULL /* for each thread */

/* System calls of the torture application. */
enum { CALL_NOTHING = 1, CALL_CLOCK = 2, CALL_END = 3, CALL_PAUSE = 4 };
#define CALL_RESULT 0x1234567ULL

struct torture {
    uint64_t index;
    uint64_t rounds;
    uint64_t syscall_entry;
    uint64_t flags;
    uint64_t fs_base;
};

/* Rounds of system calls as at patched sites, then nothing but waiting for *TORTURE_PAGES, the number of signals seen, to change. */
void window_main(const struct torture *torture);

/* Ends with CALL_END and the number of the first failed check, 0 if none did. */
void torture_main(const struct torture *torture);

#endif
