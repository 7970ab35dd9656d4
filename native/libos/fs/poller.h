/*
 * Waiting for several files at once: poll, select, epoll, and single files on the host.
 */
#ifndef ENCLAVIZE_FS_POLLER_H
#define ENCLAVIZE_FS_POLLER_H

#include "wait/wait.h"

/* Events (Linux, include/uapi/asm-generic/poll.h and eventpoll.h: the same numbers). */
#define POLLIN 0x001U
#define POLLPRI 0x002U
#define POLLOUT 0x004U
#define POLLERR 0x008U
#define POLLHUP 0x010U
#define POLLNVAL 0x020U
#define POLLRDNORM 0x040U
#define POLLWRNORM 0x100U
#define POLLWRBAND 0x200U
#define POLLRDHUP 0x2000U

struct file;

/* Something inside the enclave that changes: each change counts one up and wakes who waits. Counted, since
 * those who wait must not lose it when the file is closed meanwhile. */
struct event_source {
    struct wait_queue queue;
    uint32_t changes;      /* of what can be read, and of everything else */
    uint32_t room_changes; /* of what can be written: who watches for that has edges of his own (EPOLLET) */
    bool is_told; /* to owners of files as well (fs/owner.h); atomic */
    uint32_t references;
    void (*unused)(struct event_source *source);
};
void event_source_changed(struct event_source *source);
/* Only for those who read, or who write. */
void event_source_has_data(struct event_source *source);
void event_source_has_room(struct event_source *source);
/* What a file waits for has become something else: who waits for it asks again. No edge. */
void event_source_moved(struct event_source *source);
/* There was room before: who sleeps for more looks again, and an owner hears of it. No edge. */
void event_source_was_read(struct event_source *source);
void event_source_put(struct event_source *source);

struct poller;

/* For a file's poll operation: what to wait for. Nothing happens when `poller` is NULL. */
void poller_watch(struct poller *poller, struct event_source *source);
/* Something beside what the host tells of a file: who waits looks again, but it is no change of the file. */
void poller_watch_aside(struct poller *poller, struct event_source *source);
/* The same, for who only writes. */
void poller_watch_room(struct poller *poller, struct event_source *source);
/* Something that becomes ready by itself, at this time of CLOCK_MONOTONIC. */
void poller_wake_at(struct poller *poller, uint64_t time_ns);
/* What the file says is true for who asks, and now: an epoll asks it in each wait. */
void poller_ask_again(struct poller *poller);
/* A host fd: returns the events that hold as far as the host has said in this round. */
uint32_t poller_watch_host(struct poller *poller, int host_fd);
uint32_t poller_watch_host_events(struct poller *poller, int host_fd, uint32_t events);

/* An epoll of the host's, and what it has told so far in this wait: it tells of an edge only once, so that must not be forgotten. */
struct poller_events {
    int host_fd;
    struct host_event *found; /* LibOS memory */
    uint32_t room, count;
    struct host_ahead *ahead; /* of ahead_take(), for what the host reads ahead; NULL: it is to read nothing */
    bool is_asked, is_quiet; /* it was waited for; it has told all that there was, when host_activity() was this */
    uint64_t activity;
};
void poller_watch_events(struct poller *poller, struct poller_events *events);

/* Events of one file; registers with the poller. `wanted` is only for host fds. */
uint32_t file_poll(struct file *file, uint32_t wanted, struct poller *poller);

/* What a file waits for, each with one more count. How many, or -EOPNOTSUPP: the host is asked, too; -ENOMEM. */
struct watched_source {
    struct event_source *source;
    bool of_room;
};
int64_t poller_sources(struct file *file, struct watched_source *sources, size_t room);

/* Between these, what a file waits for is told to the subscriber (fs/subscriber.h), not to the wait; what the host or a time decides still is. They
 * nest: poller_begin() returns what its poller_end() takes. */
struct subscriber;
struct subscriber *poller_begin(struct poller *poller, struct subscriber *subscriber);
void poller_end(struct poller *poller, struct subscriber *outer);

/* At the end of a scan: does it count, if it has a result? If not it is run again, after the host was asked. */
bool poller_counts(struct poller *poller);

/* Calls `scan` until it returns non-zero (its result), the time is over (0), or a signal waits (-EINTR).
 * scan() asks file_poll() of every file; it may run several times before its result counts. */
int64_t poll_until(int64_t (*scan)(void *context, struct poller *poller), void *context, uint64_t timeout_ns);
/* Calls it once, and waits for nothing: its result, or -ENOMEM. */
int64_t poll_once(int64_t (*scan)(void *context, struct poller *poller), void *context);

#endif
