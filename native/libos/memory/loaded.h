/*
 * ELF objects that programs have loaded from measured files, between the files of the memory room. What a program could not have changed of one (pages that
 * never had the right to be stored to, their `syscall` sites patched) stays where it is when the program ends: in enclave memory, with its rights in the
 * EPCM. The next program that loads the same file gets the same place, where nothing has to be added, read, verified or patched. What nobody has is given
 * back before anybody goes without memory or an address. The memory lock is held.
 */
#ifndef ENCLAVIZE_MEMORY_LOADED_H
#define ENCLAVIZE_MEMORY_LOADED_H

#include "memory/space.h"

/* The calling thread's space is about to map an object of this file and length, all of it at once. Where one lies that nobody has: the place is the
 * caller's, who maps there now. 0: there is none at `start` (0: anywhere) with a gap of `room` bytes behind it. */
user_address loaded_take(struct file *file, user_address start, uint64_t length, uint64_t room);
/* It has mapped one for the first time. */
void loaded_note(struct file *file, user_address start, user_address end);
/* A text of it has been patched, with these trampolines, of which there may be none. */
void loaded_note_text(const struct area *text, user_address trampolines, user_address trampolines_end);
/* A part of what was taken is mapped as it was before: its pages are there, and from now on the area's. */
bool loaded_adopt(const struct area *area);
/* The space changes what it has in the range: what it has not mapped again goes. */
void loaded_settle(struct space *space, user_address start, user_address end);
/* The space, which is alone at its addresses, goes: its objects stay. */
void loaded_leave(struct space *space);
/* The space goes, and its objects with it. */
void loaded_forget(struct space *space);
/* Somebody wants these addresses: objects that nobody has make room. */
void loaded_make_way(user_address start, user_address end);
/* The one that nobody has had for longest goes. False: there is none. */
bool loaded_drop_oldest(void);

#endif
