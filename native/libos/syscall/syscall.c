#include "syscall/syscall.h"

#include "signal/signal.h"
#include "syscall/observe.h"

#define CALL(number, name, flags, ...) [number] = {#name, sys_##name, flags, {__VA_ARGS__}},
const struct syscall_row syscall_table[SYSCALL_COUNT] = {
#include "syscall/all_calls.def"
};
#undef CALL

static uint64_t reported[SYSCALL_COUNT / 64]; /* calls that were named as missing: once each */

static void report_missing(uint64_t number)
{
    if (number >= SYSCALL_COUNT) {
        return;
    }
    uint64_t bit = 1ULL << (number % 64);
    if (__atomic_fetch_or(&reported[number / 64], bit, __ATOMIC_RELAXED) & bit) {
        return;
    }
    const char *name = syscall_table[number].name;
    log_line(LOG_DEBUG, "system call %s (%lu) is not implemented", name ? name : "?", number);
}

/* Addresses that no application has; 0 could mean that the argument is absent. The other one is no program's on any Linux, which some calls look at first. */
#define NOWHERE 1
#define BEYOND (1ULL << 63)

static bool is_outside(const struct syscall_row *row, const struct arguments *arguments, size_t i)
{
    const struct argument *argument = &row->arguments[i];
    if (argument->kind <= ARGUMENT_PATH || (argument->optional && arguments->at[i] == 0)) {
        return false;
    }
    uint64_t size = argument->size_argument ? arguments->at[argument->size_argument - 1] : argument->size;
    return !user_range_is_valid(arguments->at[i], size);
}

/* No handler sees a pointer to memory that is not the application's. One that leads outside is made to lead nowhere: the
 * call fails with EFAULT where it uses it, and with another error where Linux, too, finds that first. */
static void confine(struct arguments *safe, const struct syscall_row *row)
{
    for (size_t i = 0; i < ARRAY_LENGTH(row->arguments) && row->arguments[i].kind != ARGUMENT_UNUSED; i++) {
        if (is_outside(row, safe, i)) {
            safe->at[i] = user_address_is_possible(safe->at[i]) ? NOWHERE : BEYOND;
        }
    }
}

int64_t syscall_dispatch(uint64_t number, const struct arguments *arguments)
{
    const struct syscall_row *row = number < SYSCALL_COUNT ? &syscall_table[number] : NULL;
    if (!row || !row->handler) {
        report_missing(number);
        if (is_observed && row && row->name) {
            struct observation observation = observe_begin(row, arguments);
            observe_end(&observation, row, arguments, -ENOSYS);
        }
        return -ENOSYS;
    }
    struct arguments safe = *arguments;
    confine(&safe, row);
    if (!is_observed) {
        return row->handler(&safe);
    }
    struct observation observation = observe_begin(row, arguments);
    int64_t result = row->handler(&safe);
    observe_end(&observation, row, arguments, result);
    return result;
}

static enum call_restart restart_of(uint64_t number, int64_t result)
{
    switch (result) {
    case -ERESTARTNOINTR:
        return RESTARTS_ALWAYS;
    case -ERESTART_RESTARTBLOCK:
        return RESTARTS_NEVER;
    default:
        return syscall_table[number].flags & RESTARTS ? RESTARTS_WITH_FLAG : RESTARTS_NEVER;
    }
}

/* cpu_upcalls.system_call */
static void serve(struct context *context)
{
    struct task *task = current_task();
    const struct arguments arguments = {
        {context->rdi, context->rsi, context->rdx, context->r10, context->r8, context->r9}};
    uint64_t number = context->rax;
    task->context = context;
    int64_t result = syscall_dispatch(number, &arguments);
    memory_relieve();
    if (task->context_replaced) {
        task->context_replaced = false;
    } else {
        bool is_interrupted = result == -EINTR || result == -ERESTARTNOINTR || result == -ERESTART_RESTARTBLOCK;
        context->rax = (uint64_t)(is_interrupted ? -EINTR : result);
        task->interrupted_call = is_interrupted ? number + 1 : 0;
        if (is_interrupted) { /* so the number is in the table */
            task->call_restarts = restart_of(number, result);
        }
    }
    if (task->interrupted_call || task->mask_is_saved || signal_is_pending()) {
        signal_deliver(context);
    }
}

void syscall_start(uint32_t flags)
{
    observe_start(flags);
    cpu_upcalls.system_call = serve;
}
