/*
 * A host that asks for commands in ways that no PAL does: struct command with fields of its own choosing, strings that do not fit, numbers twice,
 * descriptors of others, signals for commands that are not there, from several threads at once. The arguments: the PAL's words, how often, a seed.
 * The enclave has to go on as if nothing had been: its program holds, and a command ends with its exit code.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ocall.h"
#include "pal.h"
#include "process.h"

#define THREADS 4
#define GOOD_STATUS 3
#define ROOM 4096

static long rounds;
static int first_pid;

static uint64_t next(uint64_t *state)
{
    *state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
    return *state >> 33;
}

static int run_good(void)
{
    int pid, value = -1;
    struct pal_create_process_args wanted = {
        .path = "x", .argv = (char *[]){"/probe", "exit", "3", NULL}, .env = (char *[]){NULL}, .pid = &pid};
    struct pal_exec_args execution = {.exit_value = &value};
    if (pal_create_process(&wanted) != 0)
        return -1;
    execution.pid = pid;
    return pal_exec(&execution) == 0 ? value : -2;
}

static void left(struct host_thread *thread)
{
    (void)thread;
}

static void choose(struct command *command, uint64_t *state)
{
    static const uint32_t values[] = {0, 1, 2, 3, 4, 0x40000 - 36, 0x40000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF};
    uint32_t *fields[] = {&command->number, &command->argument_count, &command->environment_count, &command->strings_size,
                          (uint32_t *)&command->streams[0], (uint32_t *)&command->streams[1], (uint32_t *)&command->streams[2]};
    for (uint64_t changes = next(state) % 4; changes > 0; changes--)
        *fields[next(state) % 7] = next(state) % 2 ? values[next(state) % 10] : (uint32_t)next(state) % 64;
}

/* What the enclave finds in the data behind what was written is of no account either. */
static void ask(uint64_t *state)
{
    static const char strings[] = "/probe\0exit\0003\0A=1\0PATH=/";
    uint8_t request[ROOM];
    struct command command = {.number = 1 + (uint32_t)(next(state) % 5), .argument_count = 3, .environment_count = 2,
                              .strings_size = sizeof(strings), .streams = {-1, -1, -1}};
    choose(&command, state);
    memset(request, (int)next(state), sizeof(request));
    memcpy(request, &command, sizeof(command));
    memcpy(request + sizeof(command), strings, sizeof(strings));
    for (uint64_t changes = next(state) % 3; changes > 0; changes--)
        request[sizeof(command) + next(state) % sizeof(strings)] = (uint8_t)next(state);
    struct host_thread *thread = process_claim_thread();
    if (thread)
        process_enter_command(thread, request, sizeof(request), left);
}

static void *attack(void *argument)
{
    uint64_t state = (uint64_t)argument;
    for (long round = 0; round < rounds; round++) {
        ask(&state);
        if (next(&state) % 4 == 0)
            process_signal(COMMAND_DOORBELL);
    }
    return NULL;
}

static void *hold(void *unused)
{
    int value;
    struct pal_exec_args execution = {.pid = first_pid, .exit_value = &value};
    (void)unused;
    pal_exec(&execution);
    fprintf(stderr, "the enclave has ended with %d\n", value);
    exit(99);
}

int main(int argc, char **argv)
{
    pthread_t holder, attackers[THREADS];
    const struct pal_attr_t attributes = {.args = argv[1], .log_level = "off", .fd = -1};
    struct pal_create_process_args wanted = {.path = "x", .argv = (char *[]){NULL}, .env = (char *[]){NULL}, .pid = &first_pid};
    if (argc != 4 || pal_init(&attributes) != 0 || pal_create_process(&wanted) != 0) {
        fprintf(stderr, "%s\n", pal_builtin_error());
        return 98;
    }
    rounds = atol(argv[2]);
    pthread_create(&holder, NULL, hold, NULL);
    if (run_good() != GOOD_STATUS)
        return 97;
    for (uint64_t index = 0; index < THREADS; index++)
        pthread_create(&attackers[index], NULL, attack, (void *)((uint64_t)atol(argv[3]) + index));
    for (int index = 0; index < THREADS; index++)
        pthread_join(attackers[index], NULL);
    for (int index = 0; index < 10; index++) {
        int status = run_good();
        if (status != GOOD_STATUS) {
            fprintf(stderr, "a command ended with %d\n", status);
            return 96;
        }
    }
    return 0;
}
