/* Pipes and FIFOs: 64 KiB of enclave memory between the threads of the one process. */
#ifndef ENCLAVIZE_FS_PIPE_H
#define ENCLAVIZE_FS_PIPE_H

#include "file.h"

struct pipe;

int64_t pipe_create(uint32_t flags, struct file *ends[2]);

/* A FIFO's pipe is made when the FIFO is opened first; *slot keeps it. Opening does not wait for the other
 * end: the first read or write does. */
int64_t pipe_open_fifo(struct pipe **slot, struct file *file);
void pipe_forget(struct pipe *pipe);

#endif
