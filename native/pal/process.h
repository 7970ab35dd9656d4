/*
 * The first process that runs in the enclave: what was handed over for it, what it has open on the host, and how it ended.
 */
#ifndef ENCLAVIZE_PAL_PROCESS_H
#define ENCLAVIZE_PAL_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host_thread.h"
#include "pal.h"

/* The first one has this number; commands have higher ones. */
#define PROCESS_NUMBER 1

struct process {
    int root;            /* O_PATH: the container's root */
    int image_files[2];  /* enum image_file */
    int stdio[3];
    int exit_value;
    uint32_t boot_flags;
};
extern struct process process;

/* The CPU's features, enum cpu_feature. */
uint32_t cpu_features_found(void);

/* Copies them. -E2BIG. */
int process_set_arguments(char **arguments, char **environment);

/* For commands (command.h). Everything ends. */
bool process_is_ending(void);
/* A thread's record when the first process runs; NULL: none is free, or everything ends. */
struct host_thread *process_claim_thread(void);
void process_give_back_thread(struct host_thread *thread);
/* The calling thread runs, from ECALL_COMMAND, for which this lies in exchange.data, to the end of the thread, which is told before the record is given back. */
void process_enter_command(struct host_thread *thread, const void *request, size_t size, void (*left)(struct host_thread *thread));

/* Has the enclave make a report of itself for the one that TARGETINFO names. 0, or a negative errno told to fail(). */
int process_report(const uint8_t target[TARGETINFO_SIZE], struct report *report);

/* Runs it in the calling thread to its end. 0, or a negative errno told to fail(). */
int process_run(void);

/* Host signals. Before process_run() they are kept for the first thread. */
void process_signal(int signal);

/* OCALLs: what the thread loop does next. */
enum next_step { STEP_RETURN, STEP_THREAD_EXIT, STEP_PROCESS_EXIT };
enum next_step ocall_serve(struct host_thread *thread);

/* For OCALL_THREAD_CREATE and OCALL_EXIT. */
int process_create_thread(void);
void process_set_exit(uint64_t status, uint64_t signal);

#endif
