/* How many processors the host lets this process use. */
#ifndef ENCLAVIZE_PAL_PROCESSORS_H
#define ENCLAVIZE_PAL_PROCESSORS_H

#include <stdint.h>

/* Of the affinity mask, and no more than the quota of the control groups, rounded up, as Go and the JVM do. At least 1. */
uint32_t processors_allowed(void);

#endif
