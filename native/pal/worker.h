/* Host threads that serve calls of enclave threads which stay inside meanwhile (enum switchless_state). */
#ifndef ENCLAVIZE_PAL_WORKER_H
#define ENCLAVIZE_PAL_WORKER_H

#include "host_thread.h"

/* A call that a worker might have served has come by leaving: one that sleeps is woken, if such calls come often enough. */
void workers_note_call(void);
/* They end, and are gone. */
void workers_stop(void);

#endif
