/*
 * The signal room: who has a signal waiting, what it does, delivery on the way back to the application, and what becomes
 * of exceptions.
 */
#ifndef ENCLAVIZE_SIGNAL_H
#define ENCLAVIZE_SIGNAL_H

#include "process/process.h"

/* An unblocked signal waits for the calling task; signals that wait outside are taken in first. */
bool signal_is_pending(void);
/* Make the context run the handlers of waiting signals, or end the process by default action. */
void signal_deliver(struct context *context);

/* 0, or -EAGAIN: a real-time signal of a known sender finds no place in the queue. */
int64_t signal_send(struct task *task, const struct signal_info *info);
/* To whichever thread does not block it. */
int64_t signal_send_process(const struct signal_info *info);
/* To the calling task, as the kernel does for SIGPIPE. */
void signal_send_current(int signal);

/* For ppoll, pselect6, epoll_pwait: the mask holds until this system call returns; a handler that runs at its
 * end returns to the old one. mask 0: nothing happens. -EINVAL (size is not 8), -EFAULT. */
int signal_set_temporary_mask(user_address mask, uint64_t size);

void signal_start(void);
/* Lets these signals (bit n - 1) of the host in. */
void signal_allow_host(uint64_t mask);

#endif
