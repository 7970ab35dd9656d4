/* Paths that mean the same to runc and to the kernel. */
#ifndef RUNE_PATH_H
#define RUNE_PATH_H

#include <stdbool.h>

/* Whether a path has a ".." in it. runc takes it out of the text (filepath.Clean), the kernel goes up from where a link leads. */
bool goes_up(const char *path);

#endif
