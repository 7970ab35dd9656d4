/* Which pages of the application's range exist, and how they come and go. The caller holds the memory
 * lock. */
#ifndef ENCLAVIZE_COMMIT_H
#define ENCLAVIZE_COMMIT_H

#include "memory/memory.h"

/* The end of the run from `start` on whose pages are all there (*committed) or all missing, at most `end`. */
user_address commit_run(user_address start, user_address end, bool *committed);
bool commit_test(user_address address);

/* Make the missing pages of the range: zero, readable and writable. 0 or -ENOMEM; on failure some may have
 * been made. */
int commit_add(user_address start, user_address end);
/* The same for a range that is all missing, whose pages cannot be touched until each is accepted. */
int commit_add_pending(user_address start, user_address end);
/* Take away those that are there. */
void commit_remove(user_address start, user_address end);
/* The same for pages that are only kept (pages_spare()). */
void commit_remove_spare(user_address start, user_address end);
/* Change the rights of those that are there from `before` to `after`. What is frozen stays so. */
void commit_protect(user_address start, user_address end, uint32_t before, uint32_t after);

/*
 * A page that is frozen cannot be stored to, whatever its area allows: the first store faults, and thaws it (versions.c). In the EPCM, so that nothing that
 * a host does or leaves to its page tables lets a store pass. `protection` is the area's.
 */
int commit_freeze(user_address start, user_address end, uint32_t protection); /* 0, or -ENOMEM: some are frozen */
void commit_thaw(user_address start, user_address end, uint32_t protection);
bool commit_is_frozen(user_address address);
/* While nobody else touches them: they can be read and written, whatever their area allows; as the area allows again. */
void commit_open(user_address start, user_address end, uint32_t protection);
void commit_close(user_address start, user_address end, uint32_t protection);
/* The same for pages that commit_add() has made. */
void commit_protect_new(user_address start, user_address end, uint32_t protection);
/* Before the last two; false: no memory for the mark. */
bool commit_set_frozen(user_address page, bool is_frozen);

#endif
