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

/* What is written has no say yet: as in Linux the handler may find something else wrong first, and the copy fails. Buffers
 * whose size the caller names are looked at before anything is done with them. */
static bool is_looked_at(const struct argument *argument)
{
    bool is_result = argument->kind == ARGUMENT_OUT || argument->kind == ARGUMENT_INOUT;
    return argument->kind > ARGUMENT_PATH && (!is_result || argument->size_argument);
}

/* Linux looks at a descriptor before it looks at the buffer. */
static bool names_no_file(const struct syscall_row *row, const struct arguments *arguments)
{
    if (row->arguments[0].kind != ARGUMENT_FD) {
        return false;
    }
    struct file *file = file_upcalls.of_descriptor((int)arguments->at[0]);
    if (file) {
        file_upcalls.put(file);
    }
    return !file;
}

/* 0, -EFAULT or -EBADF. */
static int64_t check_pointers(const struct syscall_row *row, const struct arguments *arguments)
{
    for (size_t i = 0; i < ARRAY_LENGTH(row->arguments); i++) {
        const struct argument *argument = &row->arguments[i];
        if (argument->kind == ARGUMENT_UNUSED) {
            break;
        }
        if (!is_looked_at(argument)) {
            continue;
        }
        uint64_t size = argument->size_argument ? arguments->at[argument->size_argument - 1] : argument->size;
        bool absent = argument->optional && arguments->at[i] == 0;
        if (!absent && !user_range_is_valid(arguments->at[i], size)) {
            return argument->size_argument && names_no_file(row, arguments) ? -EBADF : -EFAULT;
        }
    }
    return 0;
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
    int64_t refusal = check_pointers(row, arguments);
    if (!is_observed) {
        return refusal ? refusal : row->handler(arguments);
    }
    struct observation observation = observe_begin(row, arguments);
    int64_t result = refusal ? refusal : row->handler(arguments);
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
