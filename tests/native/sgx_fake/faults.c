/* What the tests ask for, and what they are told. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake.h"

#define STATUS_REFUSED 70

static const char *const NAMES[N_MAX] = {"eenter", "eresume", "eexit", "aex", "eaccept", "eaug", "eremove", "ioctl"};
static uint64_t own_counts[N_MAX], *counts = own_counts;

uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *value = getenv(name);
    return value ? strtoull(value, NULL, 0) : otherwise;
}

bool is_set(const char *name, const char *value)
{
    const char *found = getenv(name);
    return found && strcmp(found, value) == 0;
}

bool every(const char *name, uint64_t *calls)
{
    uint64_t period = setting(name, 0);
    return period && __atomic_add_fetch(calls, 1, __ATOMIC_RELAXED) % period == 0;
}

bool lies(const char *kind)
{
    static uint64_t calls;
    return is_set("FAKE_LIE", kind) && every("FAKE_LIE_EACH", &calls);
}

void count(unsigned what)
{
    __atomic_fetch_add(&counts[what], 1, __ATOMIC_RELAXED);
}

__attribute__((constructor)) static void share_counts(void)
{
    const char *path = getenv("FAKE_COUNTS");
    int file = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (!path) {
        return;
    }
    void *shared = ftruncate(file, sizeof(own_counts)) == 0 ? mmap(NULL, sizeof(own_counts), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) : MAP_FAILED;
    if (shared == MAP_FAILED) {
        refuse("%s cannot be mapped", path);
    }
    counts = shared;
    close(file);
}

__attribute__((destructor)) static void report(void)
{
    if (getenv("FAKE_REPORT")) {
        for (unsigned index = 0; index < N_MAX; index++) {
            fprintf(stderr, "fake: %s %llu\n", NAMES[index], (unsigned long long)counts[index]);
        }
    }
}

_Noreturn void refuse(const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int length = snprintf(text, sizeof(text), "fake: refused: ");
    length += vsnprintf(text + length, sizeof(text) - (size_t)length - 2, format, arguments);
    va_end(arguments);
    text[length++] = '\n';
    ssize_t written = write(STDERR_FILENO, text, (size_t)length);
    (void)written;
    _exit(STATUS_REFUSED);
}
