/* The runelet's own options. They come from ENCLAVIZE_* alone, which never reaches the application; argv is the application's. */
#ifndef RUNELET_OPTIONS_H
#define RUNELET_OPTIONS_H

#include <limits.h>
#include <stdbool.h>

struct options {
    bool simulate;          /* ENCLAVIZE_SIMULATE=1 */
    const char *log_level;  /* ENCLAVIZE_LOG_LEVEL */
    const char *instance;   /* ENCLAVIZE_INSTANCE */
    const char *root;       /* ENCLAVIZE_ROOT */
    char pal_arguments[3 * PATH_MAX + 128]; /* the same for pal_init() */
};

/* Take them out of `environment` without a look. */
void drop_options(char **environment);

/* Read the options and take them out of `environment`. False after an error message. */
bool take_options(char **environment, struct options *options);

/* Whether the log level is "info", or one that tells more. */
bool says_info(const struct options *options);

#endif
