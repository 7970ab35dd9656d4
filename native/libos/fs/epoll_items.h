/* What an epoll watches: its items by descriptor and file, and those of a file. */
#ifndef ENCLAVIZE_FS_EPOLL_ITEMS_H
#define ENCLAVIZE_FS_EPOLL_ITEMS_H

#include "fs/epoll.h"
#include "fs/hosted.h"
#include "fs/subscriber.h"

#define EPOLLEXCLUSIVE (1U << 28)
#define EPOLLWAKEUP (1U << 29)
#define EPOLLONESHOT (1U << 30)
#define CONTROL_BITS (EPOLLEXCLUSIVE | EPOLLWAKEUP | EPOLLONESHOT | EPOLLET)
#define NESTING_MAX 4U /* EP_MAX_NESTS: an epoll in another, and so on */

struct item {
    struct epoll *epoll;
    struct file *file; /* not counted */
    int descriptor;
    int host_fd;     /* the host's epoll watches it; -1: it is watched here */
    uint32_t events; /* wanted, with control bits; no event bits: disabled by EPOLLONESHOT */
    uint64_t data;
    uint64_t told_in; /* the scan in which the host has told of it last */
    bool is_spent;   /* by EPOLLONESHOT, as the host has told; of what it does not watch, `events` says so */
    struct item *next_in_bucket;
    struct item *next_of_file, *previous_of_file;
    /* Watched here, or with data that the host has handed over: */
    struct subscriber subscriber;
    bool seen_valid; /* edge-triggered: `seen` holds */
    uint32_t seen;   /* the subscriber's changes, when it was reported last */
    bool is_ready;   /* in the list of what has to be looked at */
    struct item *next_ready, *previous_ready;
    struct epoll_event *found; /* where the scan that goes on has listed it; NULL: nowhere */
    struct item *next_kept;
};

/* What has to be looked at by the next wait: sources add to it at any time, and a look takes out what has nothing to tell. */
struct ready {
    struct spinlock lock; /* innermost but for wait queues' */
    struct item *first, *last;
};

/*
 * What is all the host's (sockets) an epoll of the host's watches, which knows of edges and of one-shot by itself; the rest is watched here. Either
 * way a wait costs as much as there is to tell, whatever the number of files.
 */
struct epoll {
    struct event_source source; /* changes when there may be something to tell */
    struct file *file;          /* this one, not counted */
    struct item **buckets;      /* all items, by descriptor */
    uint32_t capacity, count, nested;
    struct ready ready;
    struct item *kept; /* by the scan that goes on: the last one first */
    struct hosted hosted;
    uint64_t scans;    /* which have begun */
    bool prefers_host; /* where there is room for one event only, both sides take turns */
};

/* The epoll that a file is, or NULL. */
struct epoll *epoll_of(const struct file *file);

struct item *items_find(const struct epoll *epoll, int descriptor, const struct file *file);
/* False: out of memory. */
bool items_add(struct item *item);
void items_remove(struct item *item);
/* Any item, or the one that comes after `item` in no particular order; NULL: there is no more. */
struct item *items_next(const struct epoll *epoll, const struct item *item);

/* epoll_nesting.c: would watching `inner` let an epoll watch itself, or nest too deep? */
bool nesting_is_refused(const struct epoll *outer, const struct epoll *inner);

/* Does the host watch it, and has handed over data of it that was not read yet? */
static inline bool item_has_ahead(const struct item *item)
{
    return item->host_fd >= 0 && item->file->operations->has_ahead && item->file->operations->has_ahead(item->file);
}

/* epoll_ready.c. A subscriber's `changed`. */
void ready_changed(struct subscriber *subscriber);
void ready_add(struct item *item);
void ready_remove(struct item *item);
/* After it was added or changed. True: who waits has to look at it. -ENOMEM. */
int64_t ready_begin(struct item *item);
/* How many items have events; with `events`, as many as there is room for are listed, and ready_settle() has to follow. */
uint32_t ready_poll(struct epoll *epoll, struct poller *poller, struct epoll_event *events, size_t room, uint32_t depth);
/* Do the listed ones count? Then edges are used up, one-shot items go to sleep, and who was served goes to the end of the line. Else all is as before. */
void ready_settle(struct epoll *epoll, bool counts);

#endif
