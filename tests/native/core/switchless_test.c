/* Switchless calls against a host that serves them, does not come, or lies: never an answer that the host has not given, and no call made twice. */
#include "boundary/ocall.h"

#include "check.h"

int fork(void);
int waitpid(int child, int *status, int options);
int sched_yield(void);
int pthread_create(unsigned long *thread, const void *attributes, void *(*start)(void *), void *argument);
int pthread_join(unsigned long thread, void **result);

#define ENDED 42
#define PATIENCE_NS 5000U
#define LOOK_NS 100U

struct boundary_upcalls boundary_upcalls;
static struct exchange exchange;
static bool is_busy, counter_is_missing;
static uint64_t now = 1000; /* ticks of 1 ns; each look at the counter takes LOOK_NS */
static void (*at_look)(void); /* what the host does meanwhile */

void fatal(const char *format, ...)
{
    (void)format;
    exit(ENDED);
    __builtin_trap();
}

uint64_t clock_counter(void)
{
    if (at_look) {
        at_look();
    }
    return counter_is_missing ? 0 : __atomic_add_fetch(&now, LOOK_NS, __ATOMIC_RELAXED);
}

uint64_t clock_ticks(uint32_t ns)
{
    return ns;
}

static bool has_free_processor(void)
{
    return !is_busy;
}

static void set_state(uint32_t state)
{
    __atomic_store_n(&exchange.switchless, state, __ATOMIC_SEQ_CST);
}

static uint32_t state_now(void)
{
    return __atomic_load_n(&exchange.switchless, __ATOMIC_SEQ_CST);
}

enum outcome { NOT_TRIED, NOT_POSTED, WITHDRAWN, SERVED };

static enum outcome make(void)
{
    struct switchless call;
    if (!switchless_begin(&call, &exchange)) {
        return NOT_TRIED;
    }
    return !switchless_post(&call) ? NOT_POSTED : switchless_wait(&call) ? SERVED : WITHDRAWN;
}

static void take(void)
{
    if (state_now() == SWITCHLESS_POSTED) {
        set_state(SWITCHLESS_TAKEN);
    }
}

static uint64_t looks;

/* Between the last look and the withdrawal. */
static void take_at_last(void)
{
    if (state_now() == SWITCHLESS_POSTED && ++looks == PATIENCE_NS / LOOK_NS) {
        set_state(SWITCHLESS_TAKEN);
    }
}

static void serve(void)
{
    if (state_now() == SWITCHLESS_POSTED) {
        set_state(SWITCHLESS_DONE);
    }
}

static void close_it(void)
{
    set_state(SWITCHLESS_CLOSED);
}

/* Before there are workers, no state counts. */
static void check_without_workers(void)
{
    for (uint32_t state = SWITCHLESS_CLOSED; state < 8; state++) {
        set_state(state);
        CHECK(make() == NOT_TRIED && state_now() == state);
    }
}

static void check_when_it_is_tried(void)
{
    set_state(SWITCHLESS_CLOSED);
    CHECK(make() == NOT_TRIED);
    set_state(SWITCHLESS_OPEN);
    is_busy = true;
    CHECK(make() == NOT_TRIED && state_now() == SWITCHLESS_OPEN);
    is_busy = false;
    counter_is_missing = true;
    CHECK(make() == NOT_POSTED && state_now() == SWITCHLESS_OPEN);
    counter_is_missing = false;
    boundary_upcalls.has_free_processor = NULL;
    CHECK(make() == NOT_TRIED);
    boundary_upcalls.has_free_processor = has_free_processor;
    at_look = serve;
    CHECK(make() == SERVED && state_now() == SWITCHLESS_OPEN);
    set_state(SWITCHLESS_OPEN);
    at_look = close_it; /* between the look and the post */
    CHECK(make() == NOT_POSTED && state_now() == SWITCHLESS_CLOSED);
    at_look = NULL;
}

/* -> how many calls were not tried after that. */
static uint32_t withdraw_one(void)
{
    uint32_t skipped = 0;
    uint64_t start = now;
    set_state(SWITCHLESS_OPEN);
    at_look = NULL;
    CHECK(make() == WITHDRAWN && state_now() == SWITCHLESS_OPEN && now - start < PATIENCE_NS + 10 * LOOK_NS);
    at_look = serve;
    while (make() == NOT_TRIED) {
        skipped++;
    }
    at_look = NULL;
    return skipped;
}

static void check_withdrawal(void)
{
    uint32_t last = 0;
    CHECK(withdraw_one() == 1); /* the call that was served then halves it */
    for (int times = 0; times < 10; times++) {
        set_state(SWITCHLESS_OPEN);
        uint32_t skipped = 0;
        while (make() == NOT_TRIED) {
            skipped++;
        }
        CHECK(skipped >= last && skipped <= 15);
        last = skipped;
    }
    CHECK(last == 15); /* never for ever */
    for (int times = 0; times < 100; times++) {
        at_look = serve;
        make();
    }
    CHECK(make() == SERVED && withdraw_one() == 1);
}

static void *finish_later(void *unused)
{
    (void)unused;
    while (state_now() != SWITCHLESS_TAKEN) {
        sched_yield();
    }
    for (int times = 0; times < 50; times++) {
        sched_yield();
    }
    CHECK(state_now() == SWITCHLESS_TAKEN); /* nobody has withdrawn it */
    __atomic_store_n(&exchange.result, 7, __ATOMIC_RELAXED);
    set_state(SWITCHLESS_DONE);
    return NULL;
}

/* What was taken is waited for, however long it takes. */
static void check_slow_worker(void (*taking)(void))
{
    unsigned long thread;
    exchange.result = 0;
    set_state(SWITCHLESS_OPEN);
    CHECK(pthread_create(&thread, NULL, finish_later, NULL) == 0);
    at_look = taking;
    CHECK(make() == SERVED && exchange.result == 7 && state_now() == SWITCHLESS_OPEN);
    at_look = NULL;
    pthread_join(thread, NULL);
}

static uint32_t lie;

static void tell_lie(void)
{
    if (state_now() == SWITCHLESS_POSTED) {
        set_state(lie);
    }
}

static bool ends(void (*host)(void), uint32_t before)
{
    int status, child = fork();
    if (child == 0) {
        set_state(before);
        at_look = host;
        make();
        exit(0);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(status == 0 || status == ENDED << 8);
    return status != 0;
}

static void check_lies(void)
{
    const uint32_t wrong[] = {SWITCHLESS_CLOSED, SWITCHLESS_OPEN, SWITCHLESS_DONE + 1, 1U << 31, UINT32_MAX};
    for (size_t at = 0; at < sizeof(wrong) / sizeof(wrong[0]); at++) {
        lie = wrong[at];
        CHECK(ends(tell_lie, SWITCHLESS_OPEN));
    }
    for (uint32_t state = SWITCHLESS_POSTED; state < 8; state++) { /* of a call that nobody has made; done a second time, too */
        CHECK(ends(NULL, state));
    }
    CHECK(!ends(serve, SWITCHLESS_OPEN));
}

static bool is_over;
static uint64_t served_by_host;

/* Opens, closes, takes and serves, and has the processor taken away at any moment. */
static void *work(void *unused)
{
    (void)unused;
    uint64_t seed = 88172645463325252ULL;
    while (!__atomic_load_n(&is_over, __ATOMIC_ACQUIRE)) {
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        uint32_t from = seed % 8 == 0 ? SWITCHLESS_OPEN : seed % 8 < 4 ? SWITCHLESS_CLOSED : SWITCHLESS_POSTED;
        uint32_t to = from == SWITCHLESS_POSTED ? SWITCHLESS_TAKEN : from == SWITCHLESS_OPEN ? SWITCHLESS_CLOSED : SWITCHLESS_OPEN;
        if (__atomic_compare_exchange_n(&exchange.switchless, &from, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) && to == SWITCHLESS_TAKEN) {
            __atomic_store_n(&exchange.result, (int64_t)exchange.arguments[0] + 1, __ATOMIC_RELAXED);
            served_by_host++;
            set_state(SWITCHLESS_DONE);
        }
        if ((seed >> 32) % 4096 == 0) {
            sched_yield();
        }
    }
    return NULL;
}

static void check_races(uint64_t calls)
{
    unsigned long thread;
    uint64_t served = 0;
    set_state(SWITCHLESS_CLOSED);
    CHECK(pthread_create(&thread, NULL, work, NULL) == 0);
    for (uint64_t call = 0; call < calls || served < 100; call++) {
        exchange.arguments[0] = call;
        enum outcome outcome = make();
        CHECK(outcome != SERVED || exchange.result == (int64_t)call + 1);
        served += outcome == SERVED;
    }
    __atomic_store_n(&is_over, true, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    CHECK(served == served_by_host);
}

int main(int count, char **arguments)
{
    boundary_upcalls.has_free_processor = has_free_processor;
    check_without_workers();
    switchless_start();
    check_when_it_is_tried();
    check_withdrawal();
    check_slow_worker(take);
    at_look = serve;
    while (make() != SERVED) { /* it may have been late: then others are skipped */
    }
    at_look = NULL;
    check_slow_worker(take_at_last);
    CHECK(looks == PATIENCE_NS / LOOK_NS);
    at_look = serve;
    while (make() != SERVED) {
    }
    at_look = NULL;
    check_lies();
    check_races(count > 1 ? (uint64_t)atol(arguments[1]) : 1000);
    return 0;
}
