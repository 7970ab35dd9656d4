/* Log lines leave the enclave, so their level is capped in production enclaves (docs/libos.md). */
#include "log.h"

#include "boundary.h"

#define LINE_MAX 512

static enum log_level maximum = LOG_ERROR;

void log_set_level(uint32_t wanted)
{
    uint32_t cap = enclave_is_debug() ? LOG_TRACE : LOG_ERROR;
    maximum = (enum log_level)(wanted < cap ? wanted : cap);
}

bool log_enabled(enum log_level level)
{
    return level <= maximum;
}

static void log_list(enum log_level level, const char *format, va_list arguments)
{
    char line[LINE_MAX];
    size_t length = format_text_list(line, sizeof line, format, arguments);
    host_log(level, line, length < sizeof line ? length : sizeof line - 1);
}

void log_line(enum log_level level, const char *format, ...)
{
    if (!log_enabled(level)) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    log_list(level, format, arguments);
    va_end(arguments);
}

_Noreturn void fatal(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_list(LOG_ERROR, format, arguments);
    va_end(arguments);
    host_exit(FATAL_STATUS, 0);
}
