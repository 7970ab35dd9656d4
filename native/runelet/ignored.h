/* What the engine gave this container and the enclave does not use: a user should hear of it. */
#ifndef RUNELET_IGNORED_H
#define RUNELET_IGNORED_H

#include <stdbool.h>

/* One line about user and working directory, which somebody chose; with `is_verbose` one about what engines set by themselves, too. */
void warn_of_ignored_settings(char **environment, const char *instance, bool is_verbose);

#endif
