/* What rune tells the runelet, on a command line that rune writes; what stands behind "--" is the program's. */
#ifndef RUNELET_PAL_OPTIONS_H
#define RUNELET_PAL_OPTIONS_H

#include <signal.h>
#include <stdbool.h>

#include "exit_status.h"

struct options {
    const char *pal;          /* --pal: the library */
    const char *libraries;    /* --libraries: the folder of all code */
    const char *run;          /* --run: the folder of the status and of the socket */
    const char *pal_args;     /* --args: for pal_init() */
    const char *log_level;    /* --log-level: the same */
    enum exit_form exit_form; /* --exit-status=code|wait */
    sigset_t signals;         /* --signal=N, repeated: those that the PAL takes */
    char **program;           /* its arguments, the first one its path */
};

/* False after an error message. */
bool read_options(int argc, char **argv, struct options *options);

/* The program's variables: without rune's own, and those with their names back that loaders act on. NULL if there is no memory. */
char **program_environment(char **environment);

#endif
