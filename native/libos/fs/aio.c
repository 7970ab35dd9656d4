#include "fs/aio.h"

struct aio_context {
    struct aio_context *next;      /* all that are there; under contexts_lock */
    const struct process *process; /* NULL: it has been destroyed; under the lock */
    user_address id;
    uint32_t references; /* atomic */
    uint32_t capacity;
    struct mutex lock;
    struct wait_queue queue;
    uint32_t first, used, reserved; /* events that wait, a ring; and room that is set aside */
    struct aio_event events[];
};

static struct mutex contexts_lock;
static struct aio_context *contexts;
static uint32_t events_in_use;

static size_t size_of(uint32_t capacity)
{
    return sizeof(struct aio_context) + capacity * sizeof(struct aio_event);
}

void aio_put(struct aio_context *context)
{
    if (__atomic_sub_fetch(&context->references, 1, __ATOMIC_ACQ_REL) == 0) {
        release(context, size_of(context->capacity));
    }
}

/* Libraries look for a ring of events at the address that names a context; where they find none they ask the kernel. */
static int64_t take_name(void)
{
    return memory_map(0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, NULL, 0);
}

static bool enlist(struct aio_context *context)
{
    mutex_lock(&contexts_lock);
    bool fits = context->capacity <= AIO_EVENTS_MAX - events_in_use;
    if (fits) {
        events_in_use += context->capacity;
        context->next = contexts;
        contexts = context;
    }
    mutex_unlock(&contexts_lock);
    return fits;
}

int64_t aio_create(uint32_t events, user_address *id)
{
    if (events > AIO_EVENTS_MAX) {
        return -EAGAIN;
    }
    struct aio_context *context = allocate(size_of(events));
    if (!context) {
        return -ENOMEM;
    }
    int64_t name = take_name();
    context->process = current_process();
    context->id = (user_address)name;
    context->references = 1;
    context->capacity = events;
    if (name < 0 || !enlist(context)) {
        if (name >= 0) {
            memory_unmap((user_address)name, PAGE_SIZE);
        }
        aio_put(context);
        return name < 0 ? -ENOMEM : -EAGAIN;
    }
    *id = (user_address)name;
    return 0;
}

struct aio_context *aio_get(user_address id)
{
    mutex_lock(&contexts_lock);
    struct aio_context *context = contexts;
    while (context && (context->id != id || context->process != current_process())) {
        context = context->next;
    }
    if (context) {
        __atomic_fetch_add(&context->references, 1, __ATOMIC_RELAXED);
    }
    mutex_unlock(&contexts_lock);
    return context;
}

/* Takes the first context of the process out of the list, or the one of that name (not 0). */
static struct aio_context *delist(const struct process *process, user_address id)
{
    mutex_lock(&contexts_lock);
    struct aio_context **link = &contexts;
    while (*link && ((*link)->process != process || (id != 0 && (*link)->id != id))) {
        link = &(*link)->next;
    }
    struct aio_context *context = *link;
    if (context) {
        *link = context->next;
        events_in_use -= context->capacity;
    }
    mutex_unlock(&contexts_lock);
    return context;
}

static void end(struct aio_context *context)
{
    mutex_lock(&context->lock);
    context->process = NULL;
    mutex_unlock(&context->lock);
    wake_all(&context->queue);
    aio_put(context);
}

int64_t aio_destroy(user_address id)
{
    struct aio_context *context = id != 0 ? delist(current_process(), id) : NULL;
    if (!context) {
        return -EINVAL;
    }
    end(context);
    memory_unmap(id, PAGE_SIZE);
    return 0;
}

void aio_leave(const struct process *process)
{
    struct aio_context *context;
    while ((context = delist(process, 0))) {
        end(context);
    }
}

uint32_t aio_events_in_use(void)
{
    return __atomic_load_n(&events_in_use, __ATOMIC_RELAXED);
}

uint32_t aio_capacity(const struct aio_context *context)
{
    return context->capacity;
}

bool aio_reserve(struct aio_context *context)
{
    mutex_lock(&context->lock);
    bool fits = context->used + context->reserved < context->capacity;
    context->reserved += fits;
    mutex_unlock(&context->lock);
    return fits;
}

void aio_give_back(struct aio_context *context)
{
    mutex_lock(&context->lock);
    context->reserved--;
    mutex_unlock(&context->lock);
}

void aio_complete(struct aio_context *context, const struct aio_event *event)
{
    mutex_lock(&context->lock);
    context->reserved--;
    context->events[(context->first + context->used) % context->capacity] = *event;
    context->used++;
    mutex_unlock(&context->lock);
    wake_all(&context->queue);
}

/* The context's lock is held. */
static int64_t copy_out(struct aio_context *context, uint64_t most, user_address to)
{
    uint64_t done = 0;
    while (done < most && context->used > 0) {
        if (copy_to_user(to + done * sizeof(struct aio_event), &context->events[context->first], sizeof(struct aio_event)) < 0) {
            return done > 0 ? (int64_t)done : -EFAULT;
        }
        context->first = (context->first + 1) % context->capacity;
        context->used--;
        done++;
    }
    return (int64_t)done;
}

int64_t aio_take(struct aio_context *context, uint64_t least, uint64_t most, user_address to, uint64_t timeout_ns)
{
    uint64_t start = clock_now_ns(CLOCK_MONOTONIC), done = 0;
    int64_t result = 0;
    mutex_lock(&context->lock);
    for (;;) {
        int64_t taken = copy_out(context, most - done, to + done * sizeof(struct aio_event));
        done += taken > 0 ? (uint64_t)taken : 0;
        result = taken < 0 ? taken : result;
        uint64_t passed = clock_now_ns(CLOCK_MONOTONIC) - start;
        if (result < 0 || done >= least || (timeout_ns != NO_TIMEOUT && passed >= timeout_ns)) {
            break;
        }
        if (!context->process) {
            result = -EINVAL;
            break;
        }
        int slept = wait_queue_sleep(&context->queue, &context->lock, timeout_ns == NO_TIMEOUT ? NO_TIMEOUT : timeout_ns - passed);
        result = slept == -EINTR ? -EINTR : 0; /* what has come meanwhile is looked for once more */
    }
    mutex_unlock(&context->lock);
    return done > 0 ? (int64_t)done : result;
}
