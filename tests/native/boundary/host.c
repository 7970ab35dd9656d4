/*
 * A host program: runs an enclave through the PAL API.
 *
 *     host PAL-ARGUMENTS LOG-LEVEL STORM ARGUMENT...
 *
 * STORM: how the process is bombarded with signals while it runs: 0 not at all; n: pause n microseconds between two; -1: the next one as soon as the
 * enclave has seen the last one, which this program, under simulation, can read in the enclave's memory. With -DDLOPEN the PAL is the
 * shared library named by PAL_LIBRARY.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "pal.h"
#include "torture.h"

#ifdef DLOPEN
#include <dlfcn.h>
#define PAL(name) ((__typeof__(&name))dlsym(library, #name))
static void *library;
#else
#define PAL(name) name
#endif

static atomic_int over;
static long sent;

static void *storm(void *pause)
{
    while (!over) {
        if (PAL(pal_kill)(1, sent % 2 ? SIGUSR1 : SIGUSR2) == 0) {
            sent++;
        }
        usleep((useconds_t)(long)pause);
    }
    return NULL;
}

/* The number at an address that may not be mapped yet. */
static unsigned long long read_number(unsigned long long address)
{
    unsigned long long value = 0;
    struct iovec to = {&value, sizeof(value)}, from = {(void *)address, sizeof(value)};
    return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == sizeof(value) ? value : 0;
}

#define PATIENCE 5000000L

static void *handshake(void *unused)
{
    while (!over) {
        unsigned long long before = read_number(TORTURE_PAGES);
        if (PAL(pal_kill)(1, SIGUSR1) != 0) {
            continue;
        }
        sent++;
        for (long looks = 0; !over && read_number(TORTURE_PAGES) == before; looks++) {
            if (looks == PATIENCE) {
                fprintf(stderr, "signal %ld was lost\n", sent);
                _exit(98);
            }
        }
    }
    return unused;
}

int main(int argc, char **argv)
{
    int pid, status = -1;
    pthread_t thread;
    if (argc < 5) {
        return 2;
    }
#ifdef DLOPEN
    library = dlopen(getenv("PAL_LIBRARY"), RTLD_NOW);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 2;
    }
#endif
    const struct pal_attr_t attributes = {.args = argv[1], .log_level = argv[2], .fd = -1};
    struct pal_create_process_args process = {.path = argv[4], .argv = argv + 4, .pid = &pid};
    int error = PAL(pal_init)(&attributes);
    if (!error) {
        error = PAL(pal_create_process)(&process);
    }
    if (error) {
        fprintf(stderr, "error %d: %s\n", -error, PAL(pal_builtin_error)());
        return 125;
    }
    long pause = atol(argv[3]);
    struct pal_exec_args execution = {.pid = pid, .exit_value = &status};
    if (pause) {
        pthread_create(&thread, NULL, pause < 0 ? handshake : storm, (void *)pause);
    }
    error = PAL(pal_exec)(&execution);
    over = 1;
    if (pause) {
        pthread_join(thread, NULL);
        fprintf(stderr, "sent %ld signals\n", sent);
    }
    if (error || PAL(pal_destroy)() != 0) {
        fprintf(stderr, "error %d: %s\n", -error, PAL(pal_builtin_error)());
        return 125;
    }
    return status;
}
