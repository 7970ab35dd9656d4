/*
 * That the host had nothing to tell when it was asked last. A program that looks without waiting may be given that for an answer as long as nothing has
 * happened from which it could know better: once, or again for a moment, since runtimes look before they wait, each thread for itself.
 */
#ifndef ENCLAVIZE_FS_QUIET_H
#define ENCLAVIZE_FS_QUIET_H

#include "base/base.h"

/* All-zero: nothing is known. */
struct quiet {
    bool is_known;
    uint64_t activity; /* host_activity() before it was asked */
    uint64_t since;    /* clock_counter(); 0: there is none */
};

void quiet_note(struct quiet *quiet, bool is_known, uint64_t activity);
bool quiet_holds(const struct quiet *quiet);
/* The same, for an answer that is given by it. */
bool quiet_use(struct quiet *quiet);

#endif
