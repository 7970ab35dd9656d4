/* How OCALLs are made: between the files of the boundary only. */
#ifndef ENCLAVIZE_BOUNDARY_OCALL_H
#define ENCLAVIZE_BOUNDARY_OCALL_H

#include "boundary/boundary.h"

/* The exchange area's data. The host can change it at any time: each byte is read once. */
static inline void *exchange_data(void)
{
    return current_thread()->exchange->data;
}

static inline size_t at_most_data(size_t length)
{
    return length < EXCHANGE_DATA_SIZE ? length : EXCHANGE_DATA_SIZE;
}

/* Bytes for the host, from byte `at` of its data on. */
void exchange_put(size_t at, const void *from, size_t size);

/* One OCALL as ocalls.def describes it; `out`, if there is any, gets what it gives, which may be no more than it was asked for. The result and each
 * byte of data are read once. */
int64_t ocall_make(void *out, enum ocall number, uint64_t a, uint64_t b, uint64_t c, uint64_t d);

/* A transfer of any length, in pieces. `object` is a descriptor or whatever else the OCALL calls its first argument. */
int64_t ocall_transfer(enum ocall number, uint64_t object, void *to, const void *from, size_t length, uint64_t offset);

/* An OCALL whose first argument is the length of a path. */
int64_t ocall_with_path(void *out, enum ocall number, const char *path, size_t path_length, uint64_t b, uint64_t c);

/* switchless.c. The calling thread's own; `state` is outside. */
struct switchless {
    uint32_t *state;
    uint64_t start, patience; /* ticks */
};
/* Is it worth trying now? Before the call is described in the exchange area. */
bool switchless_begin(struct switchless *call, struct exchange *exchange);
/* False: nobody watches any more. */
bool switchless_post(struct switchless *call);
/* Of what was posted: true when the answer is there; false: it was withdrawn. */
bool switchless_wait(struct switchless *call);

/* What host_activity() gives. */
extern uint64_t ocalls_with_activity;

/* boundary.c */
void boundary_start(void);

#endif
