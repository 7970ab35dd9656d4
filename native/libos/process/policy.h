/* What the host may choose, under the measured policy. Pure but for log lines. */
#ifndef ENCLAVIZE_POLICY_H
#define ENCLAVIZE_POLICY_H

#include "base/base.h"
#include "process/configuration.h"

/* The arguments and the environment of the program. `arguments` and `environment` are the host's. NULL, or
 * what is refused. */
const char *policy_apply(const struct configuration *measured, const struct strings *arguments,
                         const struct strings *environment, struct strings *to_arguments,
                         struct strings *to_environment);

/* The same for a command from outside; no arguments: the image's health check. */
const char *policy_apply_to_command(const struct configuration *measured, const struct strings *arguments,
                                    const struct strings *environment, struct strings *to_arguments,
                                    struct strings *to_environment);

/* Could this variable make a common loader or interpreter run other code, or give secrets away? The rules are
 * those of the command line. */
bool policy_is_loader_name(const char *name, size_t length);

#endif
