/* Loading a program: ELF or `#!` script, its interpreter, its stack. */
#ifndef ENCLAVIZE_PROGRAM_H
#define ENCLAVIZE_PROGRAM_H

#include "process/process.h"

/* Loads what arguments[0] names (searched in PATH as execvp(3) does) and sets the context to its first
 * instruction. 0 or a negative errno; then `problem` says more if there is more to say. */
int64_t program_load(struct strings *arguments, const struct strings *environment, struct context *context,
                     const char **problem);

#endif
