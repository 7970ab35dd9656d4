/* Log lines leave the enclave, so their level is capped in production enclaves (docs/libos.md). */
#include "base/base.h"

#define LINE_MAX 512

static enum log_level maximum = LOG_ERROR;
static bool may_report;

void log_set_level(uint32_t wanted, bool is_debug)
{
    uint32_t cap = is_debug ? LOG_TRACE : LOG_ERROR;
    may_report = is_debug;
    maximum = (enum log_level)(wanted < cap ? wanted : cap);
}

bool log_enabled(enum log_level level)
{
    return level <= maximum;
}

void log_line(enum log_level level, const char *format, ...)
{
    char line[LINE_MAX];
    if (!log_enabled(level)) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    size_t length = format_text_list(line, sizeof line, format, arguments);
    va_end(arguments);
    base_upcalls.write_line(level, line, length < sizeof line ? length : sizeof line - 1);
}

void log_report(const char *text, size_t length)
{
    if (may_report) {
        base_upcalls.write_line(LOG_REPORT, text, length);
    }
}

_Noreturn void fatal(const char *format, ...)
{
    char line[LINE_MAX];
    va_list arguments;
    va_start(arguments, format);
    size_t length = format_text_list(line, sizeof line, format, arguments);
    va_end(arguments);
    base_upcalls.end(FATAL_STATUS, 0, line, length < sizeof line ? length : sizeof line - 1);
    __builtin_trap();
}
