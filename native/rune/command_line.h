/* runc's command line, as far as rune has to understand it. */
#ifndef RUNE_COMMAND_LINE_H
#define RUNE_COMMAND_LINE_H

#include <stdbool.h>

struct command_line {
    const char *command;    /* NULL if there is none */
    const char *id;         /* first argument of the command that is not an option, or NULL */
    int id_index;           /* where in argv */
    const char *process;    /* exec: --process, or NULL; within argv[process_index], which may be of the form --process=VALUE */
    int process_index;
    const char *bundle;     /* --bundle, or "." */
    const char *root;       /* --root, or NULL */
    const char *log;        /* --log, or NULL */
    bool log_json;          /* --log-format json */
    bool version;           /* --version or -v before any command */
    bool simulate;          /* --simulate, which is rune's own */
    const char *config;     /* --config, which is rune's own: instead of the node's settings; or NULL */
    const char *node;       /* --node-socket, which is rune's own: where the node's daemon listens; or NULL */
    const char *plan;       /* --plan, which is rune's own: what `enclavize run` has decided; or NULL */
    bool kept_plan;         /* --kept-plan, which is rune's own: only a plan that was kept may decide, or `enclavize run` is asked for one */
    const char *parent;     /* --parent, which is rune's own: the process that runc is not to outlive; or NULL */
    const char *target_info; /* --target-info of attest, or NULL */
    const char *report_file; /* --report-file of attest, or NULL */
    const char *epc_limit;  /* --sgx-epc of update, which is rune's own; or NULL */
    bool epc_alone;         /* it is update's only option, and the container its only argument */
    int command_index;      /* where in argv */
    const char *unclear;    /* an option that runc may read in another way than rune, or NULL */
};

/* Whether rune decides about a command; all others are runc's affair. Of events and update, options that are not understood leave everything to runc. */
bool is_judged(const char *command);

/* Takes rune's own options out of `argv`: what is left is runc's command line. */
struct command_line parse_command_line(int argc, char **argv);

#endif
