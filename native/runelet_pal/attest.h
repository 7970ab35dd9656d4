/*
 * Local reports for `rune attest`: a socket in the container's own folder. A request is a TARGETINFO of 512 bytes in one packet; the answer is
 * a packet, too: an int32, 0 or a negative errno, then the REPORT of 432 bytes, or why there is none.
 */
#ifndef RUNELET_PAL_ATTEST_H
#define RUNELET_PAL_ATTEST_H

#include "library.h"

/* Make the socket in `folder`, which may be "": before the PAL has threads, as its mode comes from the mask that all threads share. */
void bind_attestation(const char *folder);

/* Answer from now on, in a thread of its own. */
void start_attestation(const struct library *library);

/* When this returns, no call of the PAL is made any more for a report. */
void stop_attestation(void);

#endif
