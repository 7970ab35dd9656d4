/* A PAL that somebody else has made: a shared library with the functions of Inclavare's PAL API, version 1, 2 or 3. */
#ifndef RUNELET_PAL_LIBRARY_H
#define RUNELET_PAL_LIBRARY_H

#include <stdbool.h>

#include "pal.h"

struct library {
    int version; /* 1 to 3: what all else depends on */
    int (*init)(const struct pal_attr_t *attr);
    int (*create_process)(struct pal_create_process_args *args);                              /* since 2 */
    int (*exec)(struct pal_exec_args *args);                                                  /* since 2 */
    int (*exec_v1)(char *path, char **argv, struct pal_stdio_fds *stdio, int *exit_code);     /* 1 */
    int (*kill)(int pid, int sig);                                                            /* since 2 */
    int (*get_local_report)(void *targetinfo, int targetinfo_len, void *report, int *report_len); /* since 3 */
    int (*destroy)(void);
};

/* Load the library and find its functions. False after an error message. */
bool open_library(const char *path, struct library *library);

/* Whether all code that is loaded comes from the folder `libraries`, which has no slash at its end. False after an error message. */
bool all_code_is_from(const char *libraries);

#endif
