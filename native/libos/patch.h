/* Load-time patching of `syscall` sites. */
#ifndef ENCLAVIZE_PATCH_H
#define ENCLAVIZE_PATCH_H

#include "libos.h"

/* The bytes have just been loaded, are writable, and no thread runs them yet. The caller holds the memory lock. */
void patch_system_calls(user_address text, uint64_t size);
void patch_disable(void);

#endif
