/* epoll. A watched file is not kept open: when its last descriptor goes, it leaves every epoll. */
#ifndef ENCLAVIZE_FS_EPOLL_H
#define ENCLAVIZE_FS_EPOLL_H

#include "fs/file.h"

struct epoll_event {
    uint32_t events;
    uint64_t data;
} __attribute__((packed));

int64_t epoll_create_file(uint32_t flags, struct file **file);

#define EPOLLET (1U << 31)

enum epoll_operation { EPOLL_CTL_ADD = 1, EPOLL_CTL_DEL = 2, EPOLL_CTL_MOD = 3 };

int64_t epoll_change(struct file *epoll, enum epoll_operation operation, int descriptor, struct file *file,
    const struct epoll_event *event);

/* Fills `events` (LibOS memory): the number of events, 0 when the time is over, -EINTR, -EINVAL. */
int64_t epoll_wait_events(struct file *epoll, struct epoll_event *events, size_t count, uint64_t timeout_ns);

/* How many files it watches now; 0 for what is no epoll. */
size_t epoll_watched(const struct file *epoll);

/* Does any epoll watch it? A hint: one may begin meanwhile. */
bool epoll_watches(const struct file *file);
/* The host has handed over data of it (file_operations.has_ahead), in the wait of its epoll `events_fd`, which tells of that itself. */
void epoll_has_ahead(struct file *file, int events_fd);

/* The last count of `file` is gone. */
void epoll_forget(struct file *file);

#endif
