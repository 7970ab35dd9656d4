#include "syscall/observe.h"

#include "process/process.h"

#define LINE_SIZE 1024

bool is_observed;
static bool is_traced, is_profiled;

void observe_start(uint32_t flags)
{
    is_traced = flags & BOOT_TRACE;
    is_profiled = flags & BOOT_PROFILE;
    is_observed = is_traced || is_profiled || log_enabled(LOG_TRACE);
    if (is_profiled) {
        profile_start(flags & BOOT_PROFILE_JSON);
    }
}

static void trace(const struct syscall_row *row, const struct arguments *arguments, const int64_t *result)
{
    char line[LINE_SIZE];
    if (!is_traced && !log_enabled(LOG_TRACE)) {
        return;
    }
    size_t length = trace_line(line, sizeof line, row, arguments, result);
    if (is_traced) {
        log_report(line, length);
    } else {
        log_line(LOG_TRACE, "%s", line);
    }
}

struct observation observe_begin(const struct syscall_row *row, const struct arguments *arguments)
{
    const struct thread *thread = current_thread();
    if (row->flags & ENDS) {
        trace(row, arguments, NULL);
    }
    return (struct observation){.start = is_profiled ? clock_counter() : 0, .ocalls = thread->ocalls, .exceptions = thread->exceptions};
}

void observe_end(const struct observation *observation, const struct syscall_row *row, const struct arguments *arguments, int64_t result)
{
    if (is_profiled) {
        profile_note(row, observation, result);
    }
    trace(row, arguments, &result);
}
