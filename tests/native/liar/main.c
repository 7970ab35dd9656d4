/*
 * A host program that runs an enclave with the lying PAL.
 *
 *     liar PAL-ARGUMENTS [ARGUMENT...]
 *
 * Its last line on standard output is the report. It ends with 70 when the enclave did what it must not do.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "liar.h"
#include "log.h"
#include "pal.h"

#define EXIT_FOUND 70

struct counts *counts;
uint64_t random_state;

uint64_t random_number(void) /* xorshift64* */
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 2685821657736338717ULL;
}

uint64_t random_below(uint64_t limit)
{
    return (random_number() >> 16) % limit;
}

uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 0) : otherwise;
}

void found(const char *format, ...)
{
    char text[512] = "FOUND: ";
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + 7, sizeof(text) - 9, format, arguments);
    va_end(arguments);
    size_t length = strlen(text);
    text[length] = '\n';
    ssize_t written = write(STDERR_FILENO, text, length + 1);
    (void)written;
    _exit(EXIT_FOUND);
}

bool wait_for(pid_t child, int *status)
{
    pid_t ended;
    do {
        ended = waitpid(child, status, 0);
    } while (ended < 0 && errno == EINTR);
    return ended == child;
}

void print_report(void)
{
    printf("{\"lies\": %lu, \"entries\": %lu, \"refused\": %lu, \"steps\": %lu, ", counts->lies, counts->entries, counts->refused, counts->steps);
    printf("\"flips\": %lu, \"children\": %lu, \"honest\": [", counts->flips, counts->children);
    const char *separator = "";
    for (uint32_t number = 0; number < OCALL_COUNT; number++) {
        uint64_t told = 0;
        for (enum field field = 0; field < FIELD_COUNT; field++) {
            told += counts->told[number][field];
        }
        if (told == 0 && OCALLS[number].result.rule != OCALL_RESULT_NEVER) {
            printf("%s\"%s\"", separator, OCALLS[number].name);
            separator = ", ";
        }
    }
    printf("]}\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    int pid, status = -1;
    if (argc < 2) {
        return 2;
    }
    random_state = setting("LIAR_SEED", 1);
    counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const struct pal_attr_t attributes = {.args = argv[1], .log_level = getenv("LIAR_LOG"), .fd = -1};
    struct pal_create_process_args created = {.path = "liar", .argv = argv + 2, .pid = &pid};
    struct pal_exec_args execution = {.exit_value = &status};
    int error = pal_init(&attributes);
    if (!error) {
        process.boot_flags = (uint32_t)setting("LIAR_BOOT_FLAGS", 0);
        log_set_report(2);
        error = pal_create_process(&created);
    }
    if (!error) {
        execution.pid = pid;
        error = pal_exec(&execution);
    }
    if (error) {
        fprintf(stderr, "error %d: %s\n", -error, pal_builtin_error());
        return 125;
    }
    print_report();
    return status;
}
