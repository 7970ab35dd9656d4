#include "fs/poller.h"

#include "fs/ahead.h"
#include "fs/fs.h"
#include "fs/owner.h"
#include "fs/subscriber.h"

#define WATCHES_IN_BLOCK 32U
#define HOSTS_FIRST 16U
#define HOSTS_MAX (EXCHANGE_DATA_SIZE / sizeof(struct host_poll))

struct watch {
    struct waiter waiter;
    struct event_source *source;
    bool of_room;
};

struct watch_block {
    struct watch_block *next;
    uint32_t used;
    struct watch watches[WATCHES_IN_BLOCK];
};

/* One call's wait. A round is one scan: it adds waiters before it looks, so that no change is lost. */
struct poller {
    struct watch_block *blocks;
    int64_t error;
    uint32_t wanted; /* of the file that is being asked */
    struct subscriber *subscriber; /* who hears of its sources; NULL: this wait does */
    uint64_t wake_at;
    /* What this round waits for, and what the host said after the last one: rounds ask in the same order, unless a scan ends early. */
    uint32_t host_count, answer_count, capacity;
    struct host_poll *hosts, *answers;
    struct host_poll few_hosts[HOSTS_FIRST], few_answers[HOSTS_FIRST];
    /* One epoll of the host's; it is waited in, if nothing else is there. */
    struct poller_events *events;
    bool has_asked; /* before this round, without sleeping again */
    bool is_deferred; /* somebody wants this round not to count before the host was asked */
};

static void tell_owners(struct event_source *source, enum owner_reason reason)
{
    if (__atomic_load_n(&source->is_told, __ATOMIC_RELAXED)) {
        owner_source_changed(source, reason);
    }
}

void event_source_changed(struct event_source *source)
{
    event_source_has_data(source);
    event_source_has_room(source);
}

void event_source_has_data(struct event_source *source)
{
    __atomic_fetch_add(&source->changes, 1, __ATOMIC_RELEASE);
    wake_all(&source->queue);
    tell_owners(source, POLL_IN);
}

void event_source_has_room(struct event_source *source)
{
    __atomic_fetch_add(&source->room_changes, 1, __ATOMIC_RELEASE);
    wake_all(&source->queue);
    tell_owners(source, POLL_OUT);
}

void event_source_moved(struct event_source *source)
{
    wake_all(&source->queue);
}

void event_source_was_read(struct event_source *source)
{
    wake_all(&source->queue);
    tell_owners(source, POLL_OUT);
}

void event_source_put(struct event_source *source)
{
    if (__atomic_sub_fetch(&source->references, 1, __ATOMIC_ACQ_REL) == 0) {
        source->unused(source);
    }
}

static void watch_for(struct poller *poller, struct subscriber *subscriber, struct event_source *source)
{
    if (!subscriber_name(subscriber, source)) {
        poller->error = -ENOMEM;
        subscriber->must_be_asked = true;
    }
}

static void watch_source(struct poller *poller, struct event_source *source, bool of_room)
{
    if (!poller->blocks || poller->blocks->used == WATCHES_IN_BLOCK) {
        struct watch_block *block = allocate(sizeof(struct watch_block));
        if (!block) {
            poller->error = -ENOMEM;
            return;
        }
        block->next = poller->blocks;
        poller->blocks = block;
    }
    struct watch *watch = &poller->blocks->watches[poller->blocks->used++];
    __atomic_fetch_add(&source->references, 1, __ATOMIC_RELAXED);
    watch->source = source;
    watch->of_room = of_room;
    watch->waiter.task = current_task();
    wait_queue_add(&source->queue, &watch->waiter);
}

/* What makes room is no news for who only reads: to him, it is no edge. */
static void watch(struct poller *poller, struct event_source *source, bool of_room)
{
    struct subscriber *subscriber = !poller ? NULL : poller->subscriber;
    if (subscriber) {
        bool counts = !of_room || (poller->wanted & (POLLOUT | POLLWRNORM)) != 0;
        const uint32_t *changes = of_room ? &source->room_changes : &source->changes;
        watch_for(poller, subscriber, source);
        subscriber->changes += (counts ? __atomic_load_n(changes, __ATOMIC_ACQUIRE) : 0) + 1; /* never 0 with a source */
    } else if (poller) {
        watch_source(poller, source, of_room);
    }
}

void poller_watch(struct poller *poller, struct event_source *source)
{
    watch(poller, source, false);
}

void poller_watch_aside(struct poller *poller, struct event_source *source)
{
    if (poller) {
        watch_source(poller, source, false);
    }
}

void poller_watch_room(struct poller *poller, struct event_source *source)
{
    watch(poller, source, true);
}

void poller_ask_again(struct poller *poller)
{
    if (poller && poller->subscriber) {
        poller->subscriber->must_be_asked = true;
    }
}

void poller_wake_at(struct poller *poller, uint64_t time_ns)
{
    poller_ask_again(poller);
    if (poller && time_ns < poller->wake_at) {
        poller->wake_at = time_ns;
    }
}

struct subscriber *poller_begin(struct poller *poller, struct subscriber *subscriber)
{
    struct subscriber *outer = poller->subscriber;
    subscriber_begin_round(subscriber);
    poller->subscriber = subscriber;
    return outer;
}

void poller_end(struct poller *poller, struct subscriber *outer)
{
    const struct subscriber *subscriber = poller->subscriber;
    subscriber_end_round(poller->subscriber);
    if (outer) {
        outer->must_be_asked |= subscriber->must_be_asked;
    }
    poller->subscriber = outer;
}

bool poller_counts(struct poller *poller)
{
    bool counts = poller->host_count == 0 || poller->has_asked;
    poller->is_deferred |= !counts;
    return counts && poller->error == 0;
}

/* Room for one more. */
static bool make_room(struct poller *poller)
{
    if (poller->host_count < poller->capacity) {
        return true;
    }
    uint32_t capacity = poller->capacity * 2;
    struct host_poll *hosts = capacity <= HOSTS_MAX ? allocate(capacity * sizeof(struct host_poll)) : NULL;
    struct host_poll *answers = capacity <= HOSTS_MAX ? allocate(capacity * sizeof(struct host_poll)) : NULL;
    if (!hosts || !answers) {
        release(hosts, capacity * sizeof(struct host_poll));
        release(answers, capacity * sizeof(struct host_poll));
        return false;
    }
    memcpy(hosts, poller->hosts, poller->host_count * sizeof(struct host_poll));
    memcpy(answers, poller->answers, poller->answer_count * sizeof(struct host_poll));
    if (poller->hosts != poller->few_hosts) {
        release(poller->hosts, poller->capacity * sizeof(struct host_poll));
        release(poller->answers, poller->capacity * sizeof(struct host_poll));
    }
    poller->hosts = hosts;
    poller->answers = answers;
    poller->capacity = capacity;
    return true;
}

static bool is_same(const struct host_poll *one, const struct host_poll *other)
{
    return one->fd == other->fd && one->events == other->events;
}

static uint32_t answer_to(const struct poller *poller, const struct host_poll *asked, uint32_t at)
{
    if (at < poller->answer_count && is_same(&poller->answers[at], asked)) {
        return poller->answers[at].revents;
    }
    for (at = 0; at < poller->answer_count; at++) {
        if (is_same(&poller->answers[at], asked)) {
            return poller->answers[at].revents;
        }
    }
    return 0;
}

uint32_t poller_watch_host_events(struct poller *poller, int host_fd, uint32_t wanted)
{
    const struct host_poll asked = {.fd = host_fd, .events = (uint16_t)(wanted & ~(POLLERR | POLLHUP | POLLNVAL))};
    if (!poller) {
        return 0;
    }
    poller_ask_again(poller);
    if (!make_room(poller)) {
        poller->error = -ENOMEM;
        return 0;
    }
    uint32_t at = poller->host_count++;
    poller->hosts[at] = asked;
    return answer_to(poller, &asked, at);
}

void poller_watch_events(struct poller *poller, struct poller_events *events)
{
    poller->events = events;
    if (poller_watch_host_events(poller, events->host_fd, POLLIN) != 0 && events->count == 0) {
        int count = host_events_wait(events->host_fd, events->found, events->room, 0, NULL);
        events->count = count < 0 ? 0 : (uint32_t)count;
    }
}

uint32_t poller_watch_host(struct poller *poller, int host_fd)
{
    return !poller ? 0 : poller_watch_host_events(poller, host_fd, poller->wanted);
}

uint32_t file_poll(struct file *file, uint32_t wanted, struct poller *poller)
{
    if (!file->operations->poll) {
        return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
    }
    if (poller) {
        poller->wanted = wanted;
    }
    return file->operations->poll(file, poller);
}

static void forget_waiters(struct poller *poller)
{
    while (poller->blocks) {
        struct watch_block *block = poller->blocks;
        poller->blocks = block->next;
        for (uint32_t at = 0; at < block->used; at++) {
            wait_queue_remove(&block->watches[at].waiter);
            event_source_put(block->watches[at].source);
        }
        release(block, sizeof(struct watch_block));
    }
}

/* With nothing but one epoll of the host's to wait for, the wait brings its events along. */
static int ask_events(struct poller *poller, uint64_t timeout_ns)
{
    struct poller_events *events = poller->events;
    uint64_t activity = host_activity();
    int count = host_events_wait(events->host_fd, events->found, events->room, timeout_ns, events->ahead);
    events->activity = activity + (timeout_ns != 0 || count > 0); /* this is one, by itself */
    events->count = count < 0 ? 0 : (uint32_t)count;
    events->is_asked = true;
    events->is_quiet = count >= 0 && (uint32_t)count < events->room;
    if (events->ahead && events->ahead->length > 0) {
        fs_upcalls.take_ahead(events->ahead, events->host_fd, events->activity);
        ahead_arrived();
        events->ahead = NULL;
    }
    return count;
}

/* Have the host look at its fds. Its answers count for the next round only. */
static int ask_host(struct poller *poller, uint64_t timeout_ns)
{
    poller->has_asked = true;
    if (poller->events && poller->host_count == 1) {
        return ask_events(poller, timeout_ns);
    }
    memcpy(poller->answers, poller->hosts, poller->host_count * sizeof(struct host_poll));
    poller->answer_count = poller->host_count;
    int count = host_poll(poller->answers, poller->answer_count, timeout_ns);
    if (count < 0) {
        poller->answer_count = 0;
    }
    return count;
}

static uint64_t time_left(uint64_t start, uint64_t timeout_ns)
{
    if (timeout_ns == NO_TIMEOUT || timeout_ns == 0) {
        return timeout_ns;
    }
    uint64_t passed = clock_now_ns(CLOCK_MONOTONIC) - start;
    return passed < timeout_ns ? timeout_ns - passed : 0;
}

/* A wake takes the waiter out of its queue. Asked because a lock taken during the scan may have used up the
 * task's wake. */
static bool was_woken(const struct poller *poller)
{
    for (const struct watch_block *block = poller->blocks; block; block = block->next) {
        for (uint32_t at = 0; at < block->used; at++) {
            if (!__atomic_load_n(&block->watches[at].waiter.queue, __ATOMIC_ACQUIRE)) {
                return true;
            }
        }
    }
    return false;
}

static int64_t sleep_round(struct poller *poller, uint64_t timeout_ns)
{
    poller->answer_count = 0;
    poller->has_asked = false;
    if (poller->wake_at != UINT64_MAX) {
        uint64_t now = clock_now_ns(CLOCK_MONOTONIC);
        uint64_t until = poller->wake_at > now ? poller->wake_at - now : 0;
        timeout_ns = until < timeout_ns ? until : timeout_ns;
    }
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

static int64_t run(
    struct poller *poller, int64_t (*scan)(void *, struct poller *), void *context, uint64_t timeout_ns)
{
    uint64_t start = timeout_ns == NO_TIMEOUT || timeout_ns == 0 ? 0 : clock_now_ns(CLOCK_MONOTONIC);
    int64_t interrupted = 0;
    for (;;) {
        forget_waiters(poller);
        poller->host_count = 0;
        poller->events = NULL;
        poller->wake_at = UINT64_MAX;
        poller->is_deferred = false;
        uint32_t aheads = ahead_count();
        int64_t result = scan(context, poller);
        if (poller->error < 0) {
            return poller->error;
        }
        uint64_t left = time_left(start, timeout_ns);
        bool settled = result != 0 || left == 0 || interrupted < 0;
        if (settled && poller->host_count > 0 && !poller->has_asked) {
            int count = ask_host(poller, 0);
            if (count > 0 || poller->is_deferred) {
                continue;
            }
        }
        if (settled && result == 0 && poller->has_asked && ahead_await(aheads)) {
            continue;
        }
        if (settled) {
            return result != 0 ? result : interrupted;
        }
        int64_t slept = sleep_round(poller, left);
        interrupted = slept == -EINTR ? -EINTR : 0;
    }
}

static void begin(struct poller *poller)
{
    *poller = (struct poller){.capacity = HOSTS_FIRST, .wake_at = UINT64_MAX};
    poller->hosts = poller->few_hosts;
    poller->answers = poller->few_answers;
}

static void end(struct poller *poller)
{
    forget_waiters(poller);
    if (poller->hosts != poller->few_hosts) {
        release(poller->hosts, poller->capacity * sizeof(struct host_poll));
        release(poller->answers, poller->capacity * sizeof(struct host_poll));
    }
}

int64_t poll_until(int64_t (*scan)(void *context, struct poller *poller), void *context, uint64_t timeout_ns)
{
    struct poller poller;
    begin(&poller);
    int64_t result = run(&poller, scan, context, timeout_ns);
    end(&poller);
    return result;
}

int64_t poll_once(int64_t (*scan)(void *context, struct poller *poller), void *context)
{
    struct poller poller;
    begin(&poller);
    int64_t result = scan(context, &poller);
    result = poller.error < 0 ? poller.error : result;
    end(&poller);
    return result;
}

int64_t poller_sources(struct file *file, struct watched_source *sources, size_t room)
{
    struct poller poller;
    begin(&poller);
    file_poll(file, POLLIN | POLLOUT, &poller);
    size_t count = 0;
    for (const struct watch_block *block = poller.blocks; block; block = block->next) {
        for (uint32_t at = 0; at < block->used && count < room && poller.host_count == 0; at++) {
            sources[count++] = (struct watched_source){block->watches[at].source, block->watches[at].of_room};
            __atomic_fetch_add(&block->watches[at].source->references, 1, __ATOMIC_RELAXED);
        }
    }
    int64_t result = poller.host_count > 0 ? -EOPNOTSUPP : poller.error < 0 ? poller.error : (int64_t)count;
    end(&poller);
    return result;
}
