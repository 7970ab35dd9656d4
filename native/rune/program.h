/* Where the programs are that rune becomes. */
#ifndef RUNE_PROGRAM_H
#define RUNE_PROGRAM_H

#include <limits.h>
#include <stdbool.h>

#define SAFE_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Find `name` in a PATH-like list. This program itself does not count: rune may be installed under the name runc. */
bool find_program(const char *list, const char *name, char path[PATH_MAX]);

/* The path of this program. */
bool own_path(char path[PATH_MAX]);

/* Find runc: the administrator's choice ($ENCLAVIZE_RUNC), or the one in SAFE_PATH. */
bool find_runc(char path[PATH_MAX]);

#endif
