/* Where runc keeps the state of its containers. */
#ifndef RUNE_STATE_ROOT_H
#define RUNE_STATE_ROOT_H

#include <stdbool.h>
#include <stddef.h>

/* runc's default for --root. False if it does not fit. */
bool default_state_root(char *path, size_t size);

/* The folder of this user, or of the system, for what need not outlive a reboot; NULL if there is none. */
const char *runtime_base(void);

#endif
