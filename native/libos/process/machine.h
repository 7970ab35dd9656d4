/* The machine that programs see, in uname and in /proc alike. */
#ifndef ENCLAVIZE_LIBOS_MACHINE_H
#define ENCLAVIZE_LIBOS_MACHINE_H

#include "process/configuration.h"

#define KERNEL_RELEASE "6.1.0-enclavize"
#define KERNEL_VERSION "#1 SMP"

#define PROCESSORS_MAX 8U

/* As many as there may be threads, up to a limit; the host may run them on fewer. */
static inline uint32_t processor_count(void)
{
    uint32_t count = configuration.threads < PROCESSORS_MAX ? configuration.threads : PROCESSORS_MAX;
    return count > 0 ? count : 1;
}

#endif
