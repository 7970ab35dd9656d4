/* Reports of the enclave, for `runelet exec --report`. */
#ifndef RUNELET_REPORTS_H
#define RUNELET_REPORTS_H

#include <stdbool.h>
#include <stdint.h>

#include "channel.h"

/* Ask the PAL for a REPORT for the TARGETINFO in `file`, which is said to have `size` bytes. False: `notice` says why there is none. */
bool make_report(int file, uint32_t size, struct notice *notice);

#endif
