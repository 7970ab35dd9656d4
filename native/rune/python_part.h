/* enclavize-rune, which verifies, and decides what becomes of a container. */
#ifndef RUNE_PYTHON_PART_H
#define RUNE_PYTHON_PART_H

#include <limits.h>
#include <stdbool.h>

#include "command_line.h"
#include "json.h"

/* Find it: beside rune, else in PATH. False after an error was reported. */
bool find_python_part(const struct command_line *line, char path[PATH_MAX]);

/* Become it, with a switch before the arguments of the command line. Returns after an error was reported. */
void become_python_part(const struct command_line *line, const char *path, const char *option, char **argv);

/* Run it for what it writes to its standard output. False if it fails, which it reports itself. */
bool ask_python_part(const struct command_line *line, const char *path, const char *option, char **argv, struct json *answer);

#endif
