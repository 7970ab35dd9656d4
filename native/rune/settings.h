/* The node's settings: the Python part reads them. Here is only seen whether they may say something about ordinary containers. */
#ifndef RUNE_SETTINGS_H
#define RUNE_SETTINGS_H

#include <stdbool.h>

#define CONFIG_VARIABLE "ENCLAVIZE_RUNE_CONFIG" /* tells the Python part of --config */

/* False: none of the files that may count can have the key `ordinary`. */
bool settings_may_judge_ordinary(void);

#endif
