/* POSIX message queues: mq_overview(7). */
#ifndef ENCLAVIZE_FS_MQUEUE_H
#define ENCLAVIZE_FS_MQUEUE_H

#include "fs/file.h"

/* /proc/sys/fs/mqueue */
#define MQ_MESSAGES_DEFAULT 10
#define MQ_MESSAGES_MAX 10
#define MQ_SIZE_DEFAULT 8192
#define MQ_SIZE_MAX 8192
#define MQ_QUEUES_MAX 256
#define MQ_NAME_MAX 255

/* struct mq_attr */
struct mqueue_attributes {
    int64_t flags, messages_max, size_max, messages;
    int64_t reserved[4];
};

/* mq_open(2). `attributes` NULL: the defaults. Of a descriptor without O_CREAT they say nothing. */
int64_t mqueue_open(const char *name, uint32_t flags, uint32_t mode,
    const struct mqueue_attributes *attributes, struct file **file);
int64_t mqueue_unlink(const char *name);

/* The file is such a queue. */
bool is_mqueue(const struct file *file);

/* deadline: of CLOCK_REALTIME, or NO_TIMEOUT. Lengths or a negative errno; buffers are the application's. */
int64_t mqueue_send(
    struct file *file, user_address from, uint64_t length, uint32_t priority, uint64_t deadline);
int64_t mqueue_receive(
    struct file *file, user_address to, uint64_t length, user_address priority, uint64_t deadline);

/* mq_notify(2): who is told of the next message in an empty queue. signal 0 and no socket: registered, and told nothing. */
#define MQ_COOKIE_SIZE 32U
enum notification { SIGEV_SIGNAL = 0, SIGEV_NONE = 1, SIGEV_THREAD = 2 };
struct mqueue_notification {
    int32_t signal;
    uint64_t value;
    struct file *socket; /* counted; SIGEV_THREAD: this netlink socket receives the cookie, whose last byte says why */
    uint8_t cookie[MQ_COOKIE_SIZE];
};
/* Takes the socket's count over when it succeeds. */
int64_t mqueue_notify(struct file *file, const struct mqueue_notification *wanted);

void mqueue_describe(struct file *file, struct mqueue_attributes *attributes);

#endif
