/* The node's settings: the Python part reads them. Here is only seen whether they may say something about ordinary containers. */
#ifndef RUNE_SETTINGS_H
#define RUNE_SETTINGS_H

#include <stdbool.h>

#define CONFIG_VARIABLE "ENCLAVIZE_RUNE_CONFIG" /* tells the Python part of --config */

/* False: none of the files that may count can have the key `ordinary`. */
bool settings_may_judge_ordinary(void);

enum ordinary { ORDINARY_UNKNOWN, ORDINARY_CONVERT };

/* ORDINARY_CONVERT: the file that counts has a line that says so, in the usual form. The Python part is asked about all others; it reads
 * the whole file before a container of a new kind is created, and a plan holds for that file alone. */
enum ordinary settings_about_ordinary(void);

#endif
