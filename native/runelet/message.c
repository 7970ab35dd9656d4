#include "message.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_SIZE 4096

/* One write() a line, so that lines of several threads do not mix. A line that is too long is cut. */
static void say(const char *level, const char *format, va_list arguments)
{
    char line[LINE_SIZE + 1];
    int length = snprintf(line, LINE_SIZE, "enclavize: %s: ", level);
    int more = vsnprintf(line + length, (size_t)(LINE_SIZE - length), format, arguments);
    if (more < 0)
        return;
    length = length + more < LINE_SIZE ? length + more : LINE_SIZE - 1;
    line[length++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, (size_t)length);
    (void)written; /* there is nowhere else to say it */
}

void error_message(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say("error", format, arguments);
    va_end(arguments);
}

void info_message(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say("info", format, arguments);
    va_end(arguments);
}

void warning_message(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say("warning", format, arguments);
    va_end(arguments);
}
