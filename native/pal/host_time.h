/* The host's clocks for the enclave, so that it need not ask for each reading. */
#ifndef ENCLAVIZE_PAL_HOST_TIME_H
#define ENCLAVIZE_PAL_HOST_TIME_H

#include "abi.h"

/* Begin to watch how fast the time stamp counter runs. As early as possible. */
void host_time_start(void);
void host_time_fill(struct host_time *time);
/* Again, where they are wanted and half of the time is over that they are valid for: along with an OCALL, this costs less than one of its own. */
void host_time_renew(struct host_time *time);

#endif
