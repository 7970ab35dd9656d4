#include "fs/event.h"

#include "fs/poller.h"
#include "fs/synthetic.h"

#define COUNTER_MAX (UINT64_MAX - 1)

struct counter {
    struct event_source source;
    struct mutex lock;
    uint64_t value;
    bool semaphore;
    uint32_t id; /* told by fdinfo: no two are alike */
};

static void counter_unused(struct event_source *source)
{
    release(CONTAINER_OF(source, struct counter, source), sizeof(struct counter));
}

static int64_t counter_read(struct file *file, void *to, size_t length, uint64_t *offset)
{
    struct counter *counter = file->state;
    int64_t result = 0;
    (void)offset;
    if (length < sizeof(uint64_t)) {
        return -EINVAL;
    }
    mutex_lock(&counter->lock);
    while (counter->value == 0 && result == 0) {
        result = (file->flags & O_NONBLOCK)
                     ? -EAGAIN
                     : wait_queue_sleep(&counter->source.queue, &counter->lock, NO_TIMEOUT);
    }
    if (counter->value > 0) {
        uint64_t taken = counter->semaphore ? 1 : counter->value;
        counter->value -= taken;
        memcpy(to, &taken, sizeof(taken));
        result = sizeof(taken);
    }
    mutex_unlock(&counter->lock);
    if (result > 0) {
        event_source_has_room(&counter->source);
    }
    return result;
}

static int64_t counter_write(struct file *file, const void *from, size_t length, uint64_t *offset)
{
    struct counter *counter = file->state;
    uint64_t added;
    int64_t result = 0;
    (void)offset;
    if (length < sizeof(added)) {
        return -EINVAL;
    }
    memcpy(&added, from, sizeof(added));
    if (added > COUNTER_MAX) {
        return -EINVAL;
    }
    mutex_lock(&counter->lock);
    while (added >= UINT64_MAX - counter->value && result == 0) {
        result = (file->flags & O_NONBLOCK)
                     ? -EAGAIN
                     : wait_queue_sleep(&counter->source.queue, &counter->lock, NO_TIMEOUT);
    }
    if (added < UINT64_MAX - counter->value) {
        counter->value += added;
        result = sizeof(added);
    }
    mutex_unlock(&counter->lock);
    if (result > 0) {
        event_source_changed(&counter->source);
    }
    return result;
}

static uint32_t counter_poll(struct file *file, struct poller *poller)
{
    struct counter *counter = file->state;
    poller_watch(poller, &counter->source);
    mutex_lock(&counter->lock);
    uint32_t events = counter->value > 0 ? POLLIN : 0; /* eventfd_poll() of Linux tells nothing of POLLRDNORM */
    events |= counter->value == UINT64_MAX ? POLLERR : 0;
    events |= counter->value < COUNTER_MAX ? POLLOUT : 0;
    mutex_unlock(&counter->lock);
    return events;
}

static void counter_release(struct file *file)
{
    struct counter *counter = file->state;
    event_source_put(&counter->source);
}

static void counter_tell(struct file *file, struct text *text)
{
    const struct counter *counter = file->state;
    text_add(text, "eventfd-count: %16llx\neventfd-id: %u\neventfd-semaphore: %d\n",
        (unsigned long long)__atomic_load_n(&counter->value, __ATOMIC_RELAXED), counter->id, counter->semaphore);
}

static const struct file_operations counter_operations = {
    .tell = counter_tell,
    .read = counter_read,
    .least_read = sizeof(uint64_t),
    .write = counter_write,
    .poll = counter_poll,
    .release = counter_release,
    .stream = true,
    .stands = true,
};

int64_t event_create(uint64_t initial, bool semaphore, uint32_t flags, struct file **file)
{
    static uint32_t last_id;
    struct counter *counter = allocate(sizeof(struct counter));
    if (!counter) {
        return -ENOMEM;
    }
    counter->id = __atomic_add_fetch(&last_id, 1, __ATOMIC_RELAXED);
    counter->source.references = 1;
    counter->source.changes = 1;
    counter->source.unused = counter_unused;
    counter->value = initial;
    counter->semaphore = semaphore;
    int64_t result = file_create_anonymous(
        &counter_operations, "anon_inode:[eventfd]", 0600, O_RDWR | flags, counter, file);
    if (result < 0) {
        counter_unused(&counter->source);
    }
    return result;
}

bool is_event(const struct file *file)
{
    return file->operations == &counter_operations;
}

void event_signal(struct file *file)
{
    struct counter *counter = file->state;
    mutex_lock(&counter->lock);
    counter->value += counter->value < UINT64_MAX; /* one more than write(2) can: told as an error */
    mutex_unlock(&counter->lock);
    event_source_changed(&counter->source);
}

struct timer {
    struct event_source source;
    struct mutex lock;
    enum clock_id clock;
    uint64_t next; /* time of `clock`; 0: not armed */
    uint64_t interval;
    bool is_absolute; /* as it was set last */
};

static void timer_unused(struct event_source *source)
{
    release(CONTAINER_OF(source, struct timer, source), sizeof(struct timer));
}

/* Expirations up to now; `take` arms the timer for the first one after now. The lock is held. */
static uint64_t expirations(struct timer *timer, bool take)
{
    uint64_t now = clock_now_ns(timer->clock);
    if (timer->next == 0 || now < timer->next) {
        return 0;
    }
    uint64_t count = timer->interval == 0 ? 1 : (now - timer->next) / timer->interval + 1;
    if (take) {
        timer->next = timer->interval == 0 ? 0 : timer->next + count * timer->interval;
    }
    return count;
}

static uint64_t until_next(const struct timer *timer)
{
    uint64_t now = clock_now_ns(timer->clock);
    return timer->next == 0 ? NO_TIMEOUT : timer->next > now ? timer->next - now : 0;
}

static int64_t timer_read(struct file *file, void *to, size_t length, uint64_t *offset)
{
    struct timer *timer = file->state;
    int64_t result = 0;
    (void)offset;
    if (length < sizeof(uint64_t)) {
        return -EINVAL;
    }
    mutex_lock(&timer->lock);
    while (result == 0) {
        uint64_t count = expirations(timer, true);
        if (count > 0) {
            memcpy(to, &count, sizeof(count));
            result = sizeof(count);
        } else if (file->flags & O_NONBLOCK) {
            result = -EAGAIN;
        } else {
            result = wait_queue_sleep(&timer->source.queue, &timer->lock, until_next(timer));
            result = result == -ETIMEDOUT ? 0 : result;
        }
    }
    mutex_unlock(&timer->lock);
    if (result > 0) {
        event_source_changed(&timer->source);
    }
    return result;
}

static uint32_t timer_poll(struct file *file, struct poller *poller)
{
    struct timer *timer = file->state;
    poller_watch(poller, &timer->source);
    mutex_lock(&timer->lock);
    uint32_t events = expirations(timer, false) > 0 ? POLLIN : 0;
    uint64_t left = until_next(timer);
    mutex_unlock(&timer->lock);
    if (events == 0 && left != NO_TIMEOUT) {
        poller_wake_at(poller, clock_now_ns(CLOCK_MONOTONIC) + left);
    }
    return events;
}

static void timer_release(struct file *file)
{
    struct timer *timer = file->state;
    event_source_put(&timer->source);
}

static void describe(const struct timer *timer, struct itimerspec *now)
{
    uint64_t left = until_next(timer);
    now->interval = timespec_of(timer->interval);
    now->value = timespec_of(left == NO_TIMEOUT ? 0 : left == 0 ? 1 : left);
}

/* timerfd_show() of Linux. */
static void timer_tell(struct file *file, struct text *text)
{
    struct timer *timer = file->state;
    struct itimerspec now;
    mutex_lock(&timer->lock);
    describe(timer, &now);
    text_add(text, "clockid: %u\nticks: %llu\nsettime flags: 0%u\n", timer->clock,
        (unsigned long long)expirations(timer, false), timer->is_absolute);
    mutex_unlock(&timer->lock);
    text_add(text, "it_value: (%llu, %llu)\nit_interval: (%llu, %llu)\n", (unsigned long long)now.value.seconds,
        (unsigned long long)now.value.nanoseconds, (unsigned long long)now.interval.seconds,
        (unsigned long long)now.interval.nanoseconds);
}

static const struct file_operations timer_operations = {
    .tell = timer_tell,
    .read = timer_read,
    .least_read = sizeof(uint64_t),
    .poll = timer_poll,
    .release = timer_release,
    .stream = true,
    .stands = true,
};

int64_t timer_create(uint32_t clock, uint32_t flags, struct file **file)
{
    if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME) {
        return -EINVAL;
    }
    struct timer *timer = allocate(sizeof(struct timer));
    if (!timer) {
        return -ENOMEM;
    }
    timer->source.references = 1;
    timer->source.changes = 1;
    timer->source.unused = timer_unused;
    timer->clock = (enum clock_id)clock;
    int64_t result =
        file_create_anonymous(&timer_operations, "anon_inode:[timerfd]", 0600, O_RDWR | flags, timer, file);
    if (result < 0) {
        timer_unused(&timer->source);
    }
    return result;
}

int64_t timer_get(struct file *file, struct itimerspec *now)
{
    if (file->operations != &timer_operations) {
        return -EINVAL;
    }
    struct timer *timer = file->state;
    mutex_lock(&timer->lock);
    describe(timer, now);
    mutex_unlock(&timer->lock);
    return 0;
}

int64_t timer_set(struct file *file, bool absolute, const struct itimerspec *new, struct itimerspec *old)
{
    uint64_t value, interval;
    if (file->operations != &timer_operations || !ns_of_timespec(&value, &new->value) ||
        !ns_of_timespec(&interval, &new->interval)) {
        return -EINVAL;
    }
    struct timer *timer = file->state;
    mutex_lock(&timer->lock);
    describe(timer, old);
    timer->interval = interval;
    timer->is_absolute = absolute;
    timer->next = value == 0 ? 0 : absolute ? value : clock_now_ns(timer->clock) + value;
    mutex_unlock(&timer->lock);
    event_source_changed(&timer->source);
    return 0;
}
