/* pal_attr_t.args, parsed. See pal.h for the words. */
#ifndef ENCLAVIZE_PAL_OPTIONS_H
#define ENCLAVIZE_PAL_OPTIONS_H

#include <linux/limits.h>
#include <stdbool.h>
#include <stdint.h>

enum run_mode { MODE_AUTOMATIC, MODE_SIMULATION, MODE_HARDWARE };
enum syscall_trap { SYSCALL_TRAP_AUTOMATIC, SYSCALL_TRAP_SUD, SYSCALL_TRAP_SECCOMP };

struct options {
    char instance[PATH_MAX];
    char root[PATH_MAX];
    char layers[PATH_MAX]; /* empty: the root has the files */
    enum run_mode mode;
    bool trap_enclu;  /* strict simulation: each ENCLU is executed, and traps */
    bool step_enclave; /* the same, and each instruction inside is looked at first */
    enum syscall_trap syscall_trap;
    uint32_t boot_flags; /* enum boot_flag: what a debug enclave is to tell */
    int report;          /* the descriptor where it goes */
};

/* 0, or -EINVAL with the reason told to fail(). */
int options_parse(struct options *options, const char *words);

#endif
