#define _GNU_SOURCE
#include "options.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"

#define OWN_PREFIX "ENCLAVIZE_"
#define KEPT_PREFIX "ENCLAVIZE_ENV_" /* enclavize/rune/pal_process.py: a variable under a name that no loader knows */

enum { PAL = 1, LIBRARIES, RUN, ARGS, LOG_LEVEL, EXIT_STATUS, SIGNAL };

static const struct option names[] = {
    {"pal", required_argument, NULL, PAL},           {"libraries", required_argument, NULL, LIBRARIES},
    {"run", required_argument, NULL, RUN},           {"args", required_argument, NULL, ARGS},
    {"log-level", required_argument, NULL, LOG_LEVEL}, {"exit-status", required_argument, NULL, EXIT_STATUS},
    {"signal", required_argument, NULL, SIGNAL},     {NULL, 0, NULL, 0},
};

static bool read_exit_form(const char *text, enum exit_form *form)
{
    *form = strcmp(text, "wait") == 0 ? EXIT_WAIT_STATUS : EXIT_CODE;
    return *form == EXIT_WAIT_STATUS || strcmp(text, "code") == 0;
}

static bool read_signal(const char *text, sigset_t *signals)
{
    char *rest;
    long number = strtol(text, &rest, 10);
    return *text && !*rest && number > 0 && number < NSIG && sigaddset(signals, (int)number) == 0;
}

static bool take(int option, struct options *options)
{
    switch (option) {
    case PAL:
        options->pal = optarg;
        return true;
    case LIBRARIES:
        options->libraries = optarg;
        return true;
    case RUN:
        options->run = optarg;
        return true;
    case ARGS:
        options->pal_args = optarg;
        return true;
    case LOG_LEVEL:
        options->log_level = optarg;
        return true;
    case EXIT_STATUS:
        return read_exit_form(optarg, &options->exit_form);
    case SIGNAL:
        return read_signal(optarg, &options->signals);
    default:
        return false;
    }
}

bool read_options(int argc, char **argv, struct options *options)
{
    int option;
    *options = (struct options){.pal_args = "", .log_level = "", .run = ""};
    sigemptyset(&options->signals);
    opterr = 0;
    while ((option = getopt_long(argc, argv, "+", names, NULL)) >= 0) {
        if (!take(option, options)) {
            error_message("the runelet's command line is not one that rune writes");
            return false;
        }
    }
    options->program = argv + optind;
    if (options->pal && options->libraries && *options->program)
        return true;
    error_message("this runelet is started by rune: --pal, --libraries and a program are missing");
    return false;
}

char **program_environment(char **environment)
{
    size_t count = 0;
    while (environment[count])
        count++;
    char **kept = calloc(count + 1, sizeof(*kept)), **next = kept;
    for (; kept && *environment; environment++) {
        if (strncmp(*environment, KEPT_PREFIX, strlen(KEPT_PREFIX)) == 0)
            *next++ = *environment + strlen(KEPT_PREFIX);
        else if (strncmp(*environment, OWN_PREFIX, strlen(OWN_PREFIX)) != 0)
            *next++ = *environment;
    }
    return kept;
}
