/*
 * What comes over a stream can be read along with the wait that tells of it (struct host_ahead): the enclave need not leave once more for it. Until it
 * says that it has that (host_message.aheads), nothing more is received of the stream: two threads inside could not know which of it comes first.
 */
#ifndef ENCLAVIZE_PAL_READ_AHEAD_H
#define ENCLAVIZE_PAL_READ_AHEAD_H

#include <stdbool.h>

#include "abi.h"

/* Before something is received. False: something else is on its way into the enclave, and read_ahead_received() is not to be called. */
bool read_ahead_receives(int64_t fd, const struct host_message *message);
void read_ahead_received(int64_t fd, const struct host_message *message);
/* In its place, where nothing was received. */
void read_ahead_looked(int64_t fd);
/* After something was sent. */
void read_ahead_sent(int64_t fd, const struct host_message *message);
/* Not until the next transfer asks for it; when the descriptor is closed, all is forgotten. */
void read_ahead_stop(int64_t fd, bool is_closing);
/* Of a stream of which epoll(7) has told these events. ahead->length 0: nothing was read. */
void read_ahead(int64_t fd, uint32_t events, struct host_ahead *ahead);

/* How often anything was read ahead. What is no longer in the kernel's hands when this is asked was counted. */
uint32_t read_ahead_count(void);

#endif
