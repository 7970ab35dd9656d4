/* Pipes and FIFOs: enclave memory between the threads of the one process. */
#ifndef ENCLAVIZE_FS_PIPE_H
#define ENCLAVIZE_FS_PIPE_H

#include "fs/file.h"

struct pipe;

int64_t pipe_create(uint32_t flags, struct file *ends[2]);

/* A FIFO's pipe is made when the FIFO is opened first; *slot keeps it. */
int64_t pipe_open_fifo(struct pipe **slot, struct file *file);
void pipe_forget(struct pipe *pipe);

/* What files of other kinds are made of: a pipe without files. It has one count, and pipe_forget() gives that
 * back. */
struct pipe *pipe_make(void);

/* One more user, with a count. */
void pipe_join(struct pipe *pipe, bool reads, bool writes);
void pipe_leave(struct pipe *pipe, bool reads, bool writes);

/* 0: everybody who could write has left. -EAGAIN, -EINTR. */
int64_t pipe_take(struct pipe *pipe, bool nonblocking, bool peek, void *to, size_t length);

/* -EPIPE: everybody who could read has left; no signal is raised. -EAGAIN, -EINTR. */
int64_t pipe_put(struct pipe *pipe, bool nonblocking, const void *from, size_t length);

/* For splice(2) and tee(2), of pipe files alone. */
struct pipe *pipe_of(const struct file *file); /* NULL: no pipe or FIFO */
/* Waits for data, copies it, and keeps other readers away until pipe_settle() takes `used` bytes of it out.
 * 0: everybody who could write has left, and there is nothing to settle. -EAGAIN, -EINTR. */
int64_t pipe_claim(struct pipe *pipe, bool nonblocking, void *to, size_t length);
void pipe_settle(struct pipe *pipe, size_t used);
/* Waits for room: how many bytes there is room for. -EPIPE, -EAGAIN, -EINTR. */
int64_t pipe_await_room(struct pipe *pipe, bool nonblocking);
/* Waits only while nothing at all fits. -EPIPE, -EAGAIN, -EINTR. */
int64_t pipe_put_some(struct pipe *pipe, bool nonblocking, const void *from, size_t length);

struct pipe_state {
    bool has_data, has_room, readers_left, writers_left;
};
struct pipe_state pipe_watch(struct pipe *pipe, bool writes, struct poller *poller);

int64_t pipe_ioctl(struct pipe *pipe, uint32_t request, user_address argument);

/* F_SETPIPE_SZ, F_GETPIPE_SZ: bytes. -EPERM, -EBUSY, -EINVAL, -ENOMEM. */
int64_t pipe_set_size(struct pipe *pipe, uint64_t size);
int64_t pipe_size(struct pipe *pipe);

/* /proc/sys/fs: what one pipe may have, and all pipes together before new ones get little (pipe(7)). */
#define PIPE_SIZE_MAX 1048576
#define PIPE_PAGES_SOFT 16384

#endif
