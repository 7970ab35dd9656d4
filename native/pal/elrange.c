#define _GNU_SOURCE
#include "elrange.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "abi.h"
#include "log.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* Everything from the first mappable page on, without rights and without commitment. */
int elrange_reserve(void)
{
    void *start = (void *)APPLICATION_START;
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *got = mmap(start, ELRANGE_SIZE - APPLICATION_START, PROT_NONE, flags | MAP_FIXED_NOREPLACE, -1, 0);
    if (got == MAP_FAILED) {
        return fail(-errno, "the enclave's address range (64 KiB to 64 GiB) cannot be reserved: %s%s", strerror(errno),
                    errno == EEXIST ? "; the program must be loaded above it (position independent)"
                                    : errno == ENOMEM ? "; is `ulimit -v` set?"
                                                      : errno == EPERM ? "; is vm.mmap_min_addr above 64 KiB?" : "");
    }
    if (got != start) { /* a kernel before 4.17 takes the address as a hint */
        munmap(got, ELRANGE_SIZE - APPLICATION_START);
        return fail(-EEXIST, "the enclave's address range (64 KiB to 64 GiB) is in use");
    }
    return 0;
}

void elrange_release(void)
{
    munmap((void *)APPLICATION_START, ELRANGE_SIZE - APPLICATION_START);
}
