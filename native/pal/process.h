/*
 * The one process that runs in the enclave: what was handed over for it, what it has open on the host, and how it ended.
 */
#ifndef ENCLAVIZE_PAL_PROCESS_H
#define ENCLAVIZE_PAL_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "host_thread.h"
#include "pal.h"

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
