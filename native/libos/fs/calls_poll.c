/* poll(2) and select(2), in the order of Linux's checks (fs/select.c). */
#include "fs/call_support.h"
#include "fs/poller.h"
#include "signal/signal.h"
#include "time/time.h"

struct poll_entry {
    int32_t descriptor;
    uint16_t events;
    uint16_t revents;
};

struct poll_set {
    struct poll_entry *entries;
    struct file **files; /* counted; NULL: no such descriptor */
    size_t count;
};

static int64_t scan_set(void *context, struct poller *poller)
{
    struct poll_set *set = context;
    int64_t ready = 0;
    for (size_t at = 0; at < set->count; at++) {
        struct poll_entry *entry = &set->entries[at];
        entry->revents = 0;
        if (entry->descriptor < 0) {
            continue;
        }
        uint32_t revents = POLLNVAL;
        if (set->files[at]) {
            revents = file_poll(set->files[at], entry->events, poller) &
                      (entry->events | POLLERR | POLLHUP | POLLNVAL);
        }
        entry->revents = (uint16_t)revents;
        ready += revents != 0;
    }
    return ready;
}

/* Entries are LibOS memory; revents are filled in. */
static int64_t poll_entries(struct poll_entry *entries, size_t count, uint64_t timeout_ns)
{
    struct poll_set set = {.entries = entries, .count = count, .files = NULL};
    if (count > 0 && !(set.files = allocate(count * sizeof(struct file *)))) {
        return -ENOMEM;
    }
    for (size_t at = 0; at < count; at++) {
        set.files[at] = entries[at].descriptor < 0 ? NULL : opened_file_of_descriptor(entries[at].descriptor);
    }
    int64_t result = poll_until(scan_set, &set, timeout_ns);
    for (size_t at = 0; at < count; at++) {
        file_put(set.files[at]);
    }
    release(set.files, count * sizeof(struct file *));
    return result;
}

/* What is left of a timeout is told: in the form that it had. */
struct patience {
    user_address at; /* 0: nobody asks */
    bool is_timeval;
    uint64_t start_ns, timeout_ns;
};

static struct patience begin_patience(user_address at, bool is_timeval, uint64_t timeout_ns)
{
    bool is_asked = at != 0 && timeout_ns != 0 && !(current_task()->personality & STICKY_TIMEOUTS);
    return (struct patience){
        .at = is_asked ? at : 0,
        .is_timeval = is_timeval,
        .start_ns = is_asked ? clock_now_ns(CLOCK_MONOTONIC) : 0,
        .timeout_ns = timeout_ns,
    };
}

/* poll_select_finish() of Linux: a call does not fail because its timeout lies where nothing can be written. */
static int64_t finish(const struct patience *patience, int64_t result)
{
    if (patience->at == 0) {
        return result;
    }
    uint64_t passed = clock_now_ns(CLOCK_MONOTONIC) - patience->start_ns;
    uint64_t rest = passed < patience->timeout_ns ? patience->timeout_ns - passed : 0;
    struct timespec time = timespec_of(rest);
    struct timeval value = timeval_of(rest);
    _Static_assert(sizeof(time) == sizeof(value), "either fills the same place");
    (void)copy_to_user(patience->at, patience->is_timeval ? (const void *)&value : &time, sizeof(time));
    return result;
}

/* Nothing else of an entry is the call's to write: a thread may change the rest meanwhile. */
static int64_t tell_events(user_address to, const struct poll_entry *entries, uint64_t count)
{
    int64_t result = 0;
    for (uint64_t at = 0; at < count && result == 0; at++) {
        user_address field = to + at * sizeof(*entries) + offsetof(struct poll_entry, revents);
        result = copy_to_user(field, &entries[at].revents, sizeof(entries[at].revents));
    }
    return result;
}

static int64_t poll_call(user_address from, uint64_t count, uint64_t timeout_ns)
{
    if (count > resource_limit(RLIMIT_NOFILE)) {
        return -EINVAL;
    }
    size_t size = (size_t)count * sizeof(struct poll_entry);
    struct poll_entry *entries = NULL;
    if (count > 0 && !(entries = allocate(size))) {
        return -ENOMEM;
    }
    int64_t result = copy_from_user(entries, from, size);
    if (result == 0) {
        result = poll_entries(entries, (size_t)count, timeout_ns);
    }
    if (result >= 0 && tell_events(from, entries, count) < 0) {
        result = -EFAULT;
    }
    release(entries, size);
    return result;
}

int64_t sys_poll(const struct arguments *arguments)
{
    return poll_call(arguments->at[0], (uint32_t)arguments->at[1], milliseconds(arguments->at[2]));
}

int64_t sys_ppoll(const struct arguments *arguments)
{
    uint64_t timeout_ns;
    int64_t result = optional_timeout(&timeout_ns, arguments->at[2]);
    if (result == 0) {
        result = signal_set_temporary_mask(arguments->at[3], arguments->at[4]);
    }
    if (result < 0) {
        return result;
    }
    struct patience patience = begin_patience(arguments->at[2], false, timeout_ns);
    return finish(&patience, poll_call(arguments->at[0], (uint32_t)arguments->at[1], timeout_ns));
}

/* select: three bit sets become poll entries, and back. What each set asks for, and what counts as ready in
 * it (select(2)). */
#define SELECT_LEAST 1024U /* FD_SETSIZE: so many bits are always looked at */
#define SET_COUNT 3U
#define WORD_BITS 64U

static const uint16_t asks[SET_COUNT] = {POLLIN, POLLOUT, POLLPRI};
static const uint16_t counts[SET_COUNT] = {
    POLLIN | POLLRDNORM | POLLHUP | POLLERR,
    POLLOUT | POLLWRNORM | POLLERR,
    POLLPRI,
};

struct bit_sets {
    user_address from[SET_COUNT]; /* 0: no such set */
    uint32_t limit;               /* bits of each */
    uint32_t words;               /* of each */
    uint64_t *bits;               /* one set behind the other */
};

static uint64_t *word_of(const struct bit_sets *sets, uint32_t which, uint32_t bit)
{
    return &sets->bits[which * sets->words + bit / WORD_BITS];
}

static bool is_set(const struct bit_sets *sets, uint32_t which, uint32_t bit)
{
    return (*word_of(sets, which, bit) >> (bit % WORD_BITS) & 1) != 0;
}

static size_t size_of_sets(const struct bit_sets *sets)
{
    return (size_t)SET_COUNT * sets->words * sizeof(uint64_t);
}

static int64_t import_sets(struct bit_sets *sets)
{
    for (uint32_t which = 0; which < SET_COUNT; which++) {
        if (sets->from[which] != 0 &&
            copy_from_user(word_of(sets, which, 0), sets->from[which], sets->words * sizeof(uint64_t)) < 0) {
            return -EFAULT;
        }
    }
    return 0;
}

static int64_t export_sets(const struct bit_sets *sets)
{
    for (uint32_t which = 0; which < SET_COUNT; which++) {
        if (sets->from[which] != 0 &&
            copy_to_user(sets->from[which], word_of(sets, which, 0), sets->words * sizeof(uint64_t)) < 0) {
            return -EFAULT;
        }
    }
    return 0;
}

static uint16_t events_of(const struct bit_sets *sets, uint32_t bit)
{
    uint16_t events = 0;
    for (uint32_t which = 0; which < SET_COUNT; which++) {
        events |= is_set(sets, which, bit) ? asks[which] : 0;
    }
    return events;
}

/* Returns how many; `entries` NULL: they are only counted. */
static uint32_t list_entries(const struct bit_sets *sets, struct poll_entry *entries)
{
    uint32_t count = 0;
    for (uint32_t bit = 0; bit < sets->limit; bit++) {
        uint16_t events = events_of(sets, bit);
        if (events != 0 && entries) {
            entries[count] = (struct poll_entry){.descriptor = (int32_t)bit, .events = events};
        }
        count += events != 0;
    }
    return count;
}

/* Leaves in the sets what is ready: the number of bits, or -EBADF. */
static int64_t reduce_sets(struct bit_sets *sets, const struct poll_entry *entries, uint32_t count)
{
    int64_t bits = 0;
    for (uint32_t at = 0; at < count; at++) {
        if (entries[at].revents & POLLNVAL) {
            return -EBADF;
        }
    }
    memset(sets->bits, 0, size_of_sets(sets));
    for (uint32_t at = 0; at < count; at++) {
        uint32_t bit = (uint32_t)entries[at].descriptor;
        for (uint32_t which = 0; which < SET_COUNT; which++) {
            if ((entries[at].events & asks[which]) && (entries[at].revents & counts[which])) {
                *word_of(sets, which, bit) |= 1ULL << (bit % WORD_BITS);
                bits++;
            }
        }
    }
    return bits;
}

static int64_t select_listed(struct bit_sets *sets, uint64_t timeout_ns)
{
    uint32_t count = list_entries(sets, NULL);
    size_t size = count * sizeof(struct poll_entry);
    struct poll_entry *entries = count > 0 ? allocate(size) : NULL;
    if (count > 0 && !entries) {
        return -ENOMEM;
    }
    (void)list_entries(sets, entries);
    int64_t result = poll_entries(entries, count, timeout_ns);
    if (result >= 0) {
        result = reduce_sets(sets, entries, count);
    }
    release(entries, size);
    return result;
}

static int64_t select_call(const struct arguments *arguments, uint64_t timeout_ns)
{
    int32_t wanted = (int32_t)arguments->at[0];
    if (wanted < 0) {
        return -EINVAL;
    }
    uint64_t capacity = descriptor_capacity();
    uint32_t most = capacity < SELECT_LEAST ? SELECT_LEAST : (uint32_t)capacity;
    uint32_t limit = (uint32_t)wanted < most ? (uint32_t)wanted : most;
    struct bit_sets sets = {
        .from = {arguments->at[1], arguments->at[2], arguments->at[3]},
        .limit = limit,
        .words = (limit + WORD_BITS - 1) / WORD_BITS,
    };
    if (limit > 0 && !(sets.bits = allocate(size_of_sets(&sets)))) {
        return -ENOMEM;
    }
    int64_t result = import_sets(&sets);
    result = result < 0 ? result : select_listed(&sets, timeout_ns);
    if (result >= 0 && export_sets(&sets) < 0) {
        result = -EFAULT;
    }
    release(sets.bits, size_of_sets(&sets));
    return result;
}

/* A user timeval, of which the microseconds may be more than a second; NULL: no limit. */
static int64_t optional_timeval(uint64_t *timeout_ns, user_address from)
{
    struct timeval value;
    *timeout_ns = NO_TIMEOUT;
    if (from == 0) {
        return 0;
    }
    if (copy_from_user(&value, from, sizeof(value)) < 0) {
        return -EFAULT;
    }
    struct timespec time = {.nanoseconds = value.microseconds % 1000000 * 1000};
    bool overflows = __builtin_add_overflow(value.seconds, value.microseconds / 1000000, &time.seconds);
    return !overflows && ns_of_timespec(timeout_ns, &time) ? 0 : -EINVAL;
}

int64_t sys_select(const struct arguments *arguments)
{
    uint64_t timeout_ns;
    int64_t result = optional_timeval(&timeout_ns, arguments->at[4]);
    if (result < 0) {
        return result;
    }
    struct patience patience = begin_patience(arguments->at[4], true, timeout_ns);
    return finish(&patience, select_call(arguments, timeout_ns));
}

int64_t sys_pselect6(const struct arguments *arguments)
{
    uint64_t timeout_ns;
    struct mask_place place;
    int64_t result = signal_find_mask(&place, arguments->at[5]);
    if (result == 0) {
        result = optional_timeout(&timeout_ns, arguments->at[4]);
    }
    if (result == 0) {
        result = signal_set_temporary_mask(place.mask, place.size);
    }
    if (result < 0) {
        return result;
    }
    struct patience patience = begin_patience(arguments->at[4], false, timeout_ns);
    return finish(&patience, select_call(arguments, timeout_ns));
}
