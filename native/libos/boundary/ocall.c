/*
 * How every OCALL is made, and what the host may say in answer. See boundary.h.
 */
#include "boundary/ocall.h"

#include "ocalls.h"

#define ERRNO_MAX 133 /* EHWPOISON, the last one of Linux */

void exchange_put(size_t at, const void *from, size_t size)
{
    memcpy((uint8_t *)exchange_data() + at, from, size);
}

/* A result that is neither a legal value nor an errno becomes -EPERM. */
static int64_t check_result(const struct ocall_description *row, const uint64_t arguments[OCALL_ARGUMENTS], int64_t result)
{
    if (result < 0) {
        return result < -ERRNO_MAX ? -EPERM : result;
    }
    int64_t least = ocall_result_min(row), most = ocall_result_max(row, arguments);
    if (result < least || result > most) {
        log_line(LOG_ERROR, "the host answered %s with %ld, which is not within %ld and %ld", row->name, result, least, most);
        return -EPERM;
    }
    return result;
}

struct ocall_count *ocall_counts;

const char *ocall_name(enum ocall number)
{
    return OCALLS[number].name;
}

enum way { BY_LEAVING, BY_LEAVING_IN_THE_END, BY_WORKER };

static void note_ocall(enum ocall number, uint64_t start, enum way way)
{
    current_thread()->ocalls += way != BY_WORKER;
    if (ocall_counts) {
        struct ocall_count *count = &ocall_counts[number];
        __atomic_fetch_add(way == BY_WORKER ? &count->switchless : &count->calls, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(way == BY_WORKER ? &count->switchless_ticks : &count->ticks, clock_counter() - start, __ATOMIC_RELAXED);
        __atomic_fetch_add(&count->withdrawn, way == BY_LEAVING_IN_THE_END, __ATOMIC_RELAXED);
    }
}

/* The call that stands in the exchange area. */
static enum way make(struct switchless *call, bool is_tried)
{
    bool is_posted = is_tried && switchless_post(call);
    if (is_posted && switchless_wait(call)) {
        return BY_WORKER;
    }
    ocall();
    return is_posted ? BY_LEAVING_IN_THE_END : BY_LEAVING;
}

uint64_t ocalls_with_activity; /* counted when the host is done */
uint64_t slept_until;          /* clock_counter() at the end of the last sleep that counts */

#define SHORT_SLEEPS_NS 500000U

/* Runtimes have a thread that sleeps for some microseconds, again and again. From that, nobody knows what has come meanwhile; but from many of them. */
static bool is_short_sleep(uint64_t timeout_ns)
{
    static uint64_t slept;
    if (timeout_ns > SHORT_SLEEPS_NS || __atomic_add_fetch(&slept, timeout_ns, __ATOMIC_RELAXED) > SHORT_SLEEPS_NS) {
        __atomic_store_n(&slept, 0, __ATOMIC_RELAXED);
        return false;
    }
    return true;
}

/* From a sleep a program knows that time has passed, and no more; where there is no counter, that is like anything else. */
void host_note_sleep(uint64_t timeout_ns)
{
    uint64_t now = clock_counter(), seen = __atomic_load_n(&slept_until, __ATOMIC_RELAXED);
    if (is_short_sleep(timeout_ns)) {
        return;
    }
    if (now == 0) {
        host_note_activity();
    }
    while (seen < now && !__atomic_compare_exchange_n(&slept_until, &seen, now, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
    }
}

/* What is received says nothing of other connections: the network keeps no order among them. */
static bool leaves_sockets_alone(enum ocall number, const uint64_t arguments[OCALL_ARGUMENTS], int64_t result)
{
    switch (number) {
    case OCALL_SOCKET_ACCEPT:
    case OCALL_SOCKET_NAME:
    case OCALL_SOCKET_RECEIVE:
    case OCALL_SOCKET_SEND: /* host_note_activity() */
    case OCALL_OPTION_GET:
    case OCALL_OPTION_SET:
    case OCALL_EVENTS_CHANGE:
    case OCALL_WAIT: /* one that was woken */
    case OCALL_WAKE:
    case OCALL_INTERRUPT:
    case OCALL_YIELD:
    case OCALL_CLOCK:
    case OCALL_LOG:
    case OCALL_THREAD_CREATE:
    case OCALL_MEMORY_ADD:
    case OCALL_MEMORY_PROTECT:
    case OCALL_MEMORY_TRIM:
    case OCALL_MEMORY_REMOVE:
        return true;
    case OCALL_EVENTS_WAIT: /* an edge that was told must be found by who reads: it comes only once */
        return arguments[2] == 0 && result <= 0;
    default:
        return false;
    }
}

void host_note_activity(void)
{
    __atomic_fetch_add(&ocalls_with_activity, 1, __ATOMIC_ACQ_REL);
}

uint64_t host_activity(void)
{
    return __atomic_load_n(&ocalls_with_activity, __ATOMIC_ACQUIRE);
}

uint64_t host_slept_until(void)
{
    return __atomic_load_n(&slept_until, __ATOMIC_ACQUIRE);
}

int64_t ocall_make(void *out, enum ocall number, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    const struct ocall_description *row = &OCALLS[number];
    const uint64_t arguments[OCALL_ARGUMENTS] = {a, b, c, d};
    volatile struct exchange *exchange = current_thread()->exchange;
    struct switchless call;
    int64_t result;
    if (!ocall_fits(row, arguments)) {
        return -EINVAL;
    }
    do {
        bool is_tried = ocall_is_for_worker(row, arguments) && switchless_begin(&call, current_thread()->exchange);
        exchange->ocall = number;
        for (size_t index = 0; index < OCALL_ARGUMENTS; index++) {
            exchange->arguments[index] = arguments[index];
        }
        uint64_t start = ocall_counts ? clock_counter() : 0;
        note_ocall(number, start, make(&call, is_tried));
        result = check_result(row, arguments, exchange->result);
    } while (result == -EINTR && row->again && !attention_is_pending());
    if (number == OCALL_WAIT && result == -ETIMEDOUT) {
        host_note_sleep(arguments[0]);
    } else if (!leaves_sockets_alone(number, arguments, result)) {
        host_note_activity();
    }
    if (out && result >= 0) {
        memcpy(out, exchange_data(), ocall_area_size(&row->out, arguments, result));
    }
    return result;
}

int64_t ocall_transfer(enum ocall number, uint64_t object, void *to, const void *from, size_t length, uint64_t offset)
{
    size_t done = 0;
    do {
        size_t size = at_most_data(length - done);
        if (from) {
            exchange_put(0, (const uint8_t *)from + done, size);
        }
        int64_t result = ocall_make(to ? (uint8_t *)to + done : NULL, number, object, size, offset + done, 0);
        if (result < 0) {
            return done > 0 ? (int64_t)done : result;
        }
        done += (size_t)result;
        if ((size_t)result < size) {
            break;
        }
    } while (done < length);
    return (int64_t)done;
}

int64_t ocall_with_path(void *out, enum ocall number, const char *path, size_t path_length, uint64_t b, uint64_t c)
{
    if (path_length > EXCHANGE_DATA_SIZE) {
        return -ENAMETOOLONG;
    }
    exchange_put(0, path, path_length);
    return ocall_make(out, number, path_length, b, c, 0);
}
