/* Asynchronous I/O: io_setup(2) and its kin. What is submitted is done before the submission returns, as Linux does it for files that are not opened
 * with O_DIRECT. */
#ifndef ENCLAVIZE_FS_AIO_H
#define ENCLAVIZE_FS_AIO_H

#include "fs/file.h"

#define AIO_EVENTS_MAX 65536 /* of all contexts: /proc/sys/fs/aio-max-nr */

/* struct io_event of Linux */
struct aio_event {
    uint64_t data;
    user_address request;
    int64_t result, second_result;
};

struct aio_context;

/* -EAGAIN: too many events; -ENOMEM. *id names the context, as it does in Linux by an address of the application's. */
int64_t aio_create(uint32_t events, user_address *id);
/* The calling process's, with one more count; NULL: it has none of that name. */
struct aio_context *aio_get(user_address id);
void aio_put(struct aio_context *context);
/* -EINVAL: there is none. Who waits for its events is told so. */
int64_t aio_destroy(user_address id);
/* The process ends, or executes another program. */
void aio_leave(const struct process *process);
/* How many events all contexts have room for. */
uint32_t aio_events_in_use(void);
/* For how many events it was made. */
uint32_t aio_capacity(const struct aio_context *context);

/* Room for one event, to be given back or used by aio_complete(); false: there is none. */
bool aio_reserve(struct aio_context *context);
void aio_give_back(struct aio_context *context);
void aio_complete(struct aio_context *context, const struct aio_event *event);
/* Waits for `least` events, and copies up to `most` to the application. Their number; -EINVAL: the context has gone; -EINTR, -EFAULT. */
int64_t aio_take(struct aio_context *context, uint64_t least, uint64_t most, user_address to, uint64_t timeout_ns);

#endif
