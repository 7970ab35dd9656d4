/* Pipes and FIFOs: 64 KiB of enclave memory between the threads of the one process. */
#ifndef ENCLAVIZE_FS_PIPE_H
#define ENCLAVIZE_FS_PIPE_H

#include "fs/file.h"

struct pipe;

int64_t pipe_create(uint32_t flags, struct file *ends[2]);

/* A FIFO's pipe is made when the FIFO is opened first; *slot keeps it. Opening does not wait for the other
 * end: the first read or write does. */
int64_t pipe_open_fifo(struct pipe **slot, struct file *file);
void pipe_forget(struct pipe *pipe);

/* What files of other kinds are made of: a pipe without files. It has one count, and pipe_forget() gives that
 * back. */
struct pipe *pipe_make(void);

/* One more user, with a count. A writer that comes before a reader waits for it. */
void pipe_join(struct pipe *pipe, bool reads, bool writes);
void pipe_leave(struct pipe *pipe, bool reads, bool writes);

/* 0: everybody who could write has left. -EAGAIN, -EINTR. */
int64_t pipe_take(struct pipe *pipe, bool nonblocking, bool peek, void *to, size_t length);

/* -EPIPE: everybody who could read has left; no signal is raised. -EAGAIN, -EINTR. */
int64_t pipe_put(struct pipe *pipe, bool nonblocking, const void *from, size_t length);

struct pipe_state {
    bool has_data, has_room, readers_left, writers_left;
};
struct pipe_state pipe_watch(struct pipe *pipe, bool writes, struct poller *poller);

int64_t pipe_ioctl(struct pipe *pipe, uint32_t request, user_address argument);

#endif
