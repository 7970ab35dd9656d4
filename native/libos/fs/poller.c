#include "poller.h"

#include "file.h"

#define WAITERS_IN_BLOCK 32U
#define HOST_ENTRIES_MAX 64U

struct waiter_block {
    struct waiter_block *next;
    uint32_t used;
    struct waiter waiters[WAITERS_IN_BLOCK];
};

/* One call's wait. A round is one scan: it adds waiters before it looks, so that no change is lost. */
struct poller {
    struct waiter_block *blocks;
    int64_t error;
    uint32_t wanted; /* of the file that is being asked */
    uint32_t host_count, answer_count;
    struct host_poll hosts[HOST_ENTRIES_MAX];   /* what this round waits for */
    struct host_poll answers[HOST_ENTRIES_MAX]; /* what the host said after the last round */
};

void event_source_changed(struct event_source *source) {
    __atomic_fetch_add(&source->changes, 1, __ATOMIC_RELEASE);
    wake_all(&source->queue);
}

void poller_watch(struct poller *poller, struct event_source *source) {
    if (poller == NULL) {
        return;
    }
    if (poller->blocks == NULL || poller->blocks->used == WAITERS_IN_BLOCK) {
        struct waiter_block *block = allocate(sizeof(struct waiter_block));
        if (block == NULL) {
            poller->error = -ENOMEM;
            return;
        }
        block->next = poller->blocks;
        poller->blocks = block;
    }
    struct waiter *waiter = &poller->blocks->waiters[poller->blocks->used++];
    waiter->task = current_task();
    wait_queue_add(&source->queue, waiter);
}

uint32_t poller_watch_host(struct poller *poller, int host_fd) {
    if (poller == NULL) {
        return 0;
    }
    uint32_t events = poller->wanted & ~(POLLERR | POLLHUP | POLLNVAL);
    for (uint32_t at = 0; at < poller->host_count; at++) {
        if (poller->hosts[at].fd == host_fd && poller->hosts[at].events == events) {
            goto known;
        }
    }
    if (poller->host_count == HOST_ENTRIES_MAX) {
        poller->error = -ENOMEM;
        return 0;
    }
    poller->hosts[poller->host_count++] = (struct host_poll){.fd = host_fd, .events = (uint16_t)events};
known:
    for (uint32_t at = 0; at < poller->answer_count; at++) {
        if (poller->answers[at].fd == host_fd && poller->answers[at].events == events) {
            return poller->answers[at].revents;
        }
    }
    return 0;
}

uint32_t file_poll(struct file *file, uint32_t wanted, struct poller *poller) {
    if (file->operations->poll == NULL) {
        return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
    }
    if (poller != NULL) {
        poller->wanted = wanted;
    }
    return file->operations->poll(file, poller);
}

static void forget_waiters(struct poller *poller) {
    while (poller->blocks != NULL) {
        struct waiter_block *block = poller->blocks;
        poller->blocks = block->next;
        for (uint32_t at = 0; at < block->used; at++) {
            wait_queue_remove(&block->waiters[at]);
        }
        release(block, sizeof(struct waiter_block));
    }
}

/* Have the host look at its fds. Its answers count for the next round only. */
static int ask_host(struct poller *poller, uint64_t timeout_ns) {
    memcpy(poller->answers, poller->hosts, poller->host_count * sizeof(struct host_poll));
    poller->answer_count = poller->host_count;
    int count = host_poll(poller->answers, poller->answer_count, timeout_ns);
    if (count < 0) {
        poller->answer_count = 0;
    }
    return count;
}

static uint64_t time_left(uint64_t start, uint64_t timeout_ns) {
    if (timeout_ns == NO_TIMEOUT || timeout_ns == 0) {
        return timeout_ns;
    }
    uint64_t passed = clock_now_ns(CLOCK_MONOTONIC) - start;
    return passed < timeout_ns ? timeout_ns - passed : 0;
}

/* A wake takes the waiter out of its queue. Asked because a lock taken during the scan may have used up the task's wake. */
static bool was_woken(const struct poller *poller) {
    for (const struct waiter_block *block = poller->blocks; block != NULL; block = block->next) {
        for (uint32_t at = 0; at < block->used; at++) {
            if (__atomic_load_n(&block->waiters[at].queue, __ATOMIC_ACQUIRE) == NULL) {
                return true;
            }
        }
    }
    return false;
}

static int64_t sleep_round(struct poller *poller, uint64_t timeout_ns) {
    poller->answer_count = 0;
    if (was_woken(poller)) {
        return 0;
    }
    if (poller->host_count == 0) {
        return task_sleep(timeout_ns);
    }
    int count = task_sleep_begin() ? ask_host(poller, timeout_ns) : 0;
    int result = task_sleep_end();
    return count > 0 ? 0 : result;
}

static int64_t run(struct poller *poller, int64_t (*scan)(void *, struct poller *), void *context, uint64_t timeout_ns) {
    uint64_t start = timeout_ns == NO_TIMEOUT || timeout_ns == 0 ? 0 : clock_now_ns(CLOCK_MONOTONIC);
    int64_t interrupted = 0;
    for (;;) {
        forget_waiters(poller);
        poller->host_count = 0;
        int64_t result = scan(context, poller);
        if (poller->error < 0) {
            return poller->error;
        }
        uint64_t left = time_left(start, timeout_ns);
        bool settled = result != 0 || left == 0 || interrupted < 0;
        if (settled && poller->host_count > 0 && poller->answer_count == 0) {
            int count = ask_host(poller, 0);
            if (count > 0) {
                continue;
            }
        }
        if (settled) {
            return result != 0 ? result : interrupted;
        }
        int64_t slept = sleep_round(poller, left);
        interrupted = slept == -EINTR ? -EINTR : 0;
    }
}

int64_t poll_until(int64_t (*scan)(void *context, struct poller *poller), void *context, uint64_t timeout_ns) {
    struct poller poller = {0};
    int64_t result = run(&poller, scan, context, timeout_ns);
    forget_waiters(&poller);
    return result;
}
