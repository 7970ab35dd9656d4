#define _GNU_SOURCE
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "raw_syscall.h"

#define EXIT_FAULT 139 /* as after SIGSEGV */

#define LOG_SILENT (-1)

static const struct {
    const char *name;
    int level;
} LEVELS[] = {
    {"", LOG_ERROR}, {"trace", LOG_TRACE}, {"debug", LOG_DEBUG}, {"info", LOG_INFO}, {"warning", LOG_WARNING},
    {"error", LOG_ERROR}, {"fatal", LOG_SILENT}, {"panic", LOG_SILENT}, {"off", LOG_SILENT},
};

static int current_level = LOG_ERROR;
static int report = -1; /* where LOG_REPORT goes */
static _Thread_local char last_failure[512];

int log_set_level(const char *name)
{
    for (size_t index = 0; index < sizeof(LEVELS) / sizeof(LEVELS[0]); index++) {
        if (strcmp(name ? name : "", LEVELS[index].name) == 0) {
            current_level = LEVELS[index].level;
            return 0;
        }
    }
    return -1;
}

enum log_level log_level(void)
{
    return current_level < 0 ? LOG_ERROR : (enum log_level)current_level;
}

void log_set_report(int descriptor)
{
    report = descriptor;
}

static void write_line(int descriptor, const char *prefix, const char *text, size_t length)
{
    const struct iovec parts[] = {
        {(void *)prefix, strlen(prefix)},
        {(void *)text, length},
        {"\n", 1},
    };
    ssize_t written = writev(descriptor, parts, 3);
    (void)written; /* nobody left to tell */
}

void log_message(enum log_level level, const char *format, ...)
{
    char text[512];
    va_list arguments;
    if ((int)level > current_level) {
        return;
    }
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    write_line(STDERR_FILENO, "enclavize: ", text, strlen(text));
}

void log_enclave_line(enum log_level level, const char *text, size_t length)
{
    if (level == LOG_REPORT) {
        if (report >= 0) {
            write_line(report, "", text, length);
        }
    } else if ((int)level <= current_level) {
        write_line(STDERR_FILENO, "enclave: ", text, length);
    }
}

void log_command_line(int descriptor, const char *text, size_t length)
{
    write_line(descriptor, "enclave: ", text, length);
}

int fail(int error, const char *format, ...)
{
    char text[sizeof(last_failure)];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    memcpy(last_failure, text, sizeof(last_failure));
    log_message(LOG_INFO, "%s", text);
    return error;
}

const char *log_last_failure(void)
{
    return last_failure;
}

void log_forget_failure(void)
{
    last_failure[0] = '\0';
}

void log_raw(const char *text)
{
    size_t length = 0;
    while (text[length]) {
        length++;
    }
    raw_syscall(SYS_write, STDERR_FILENO, (long)text, (long)length, 0);
}

void log_raw_hex(const char *label, unsigned long value)
{
    char digits[19] = "0x";
    for (int index = 0; index < 16; index++) {
        digits[2 + index] = "0123456789abcdef"[(value >> (60 - 4 * index)) & 15];
    }
    digits[18] = '\0';
    log_raw(label);
    log_raw(digits);
}

_Noreturn void die(const char *reason, unsigned long value)
{
    log_raw("enclavize: ");
    log_raw_hex(reason, value);
    log_raw("\n");
    for (;;) {
        raw_syscall(SYS_exit_group, EXIT_FAULT, 0, 0, 0);
    }
}
