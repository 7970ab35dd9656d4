/* The names under which files are open. They go along when something is renamed, and say so when it is removed, as Linux's
 * directory entries do (/proc/self/fd, inotify(7)). All files that are open under one name share one of these. */
#ifndef ENCLAVIZE_FS_OPEN_NAME_H
#define ENCLAVIZE_FS_OPEN_NAME_H

#include "fs/inode.h"

struct open_name;

/* A copy of where something lies. */
struct location {
    struct inode *parent; /* counted; NULL: nowhere */
    bool removed;         /* there was a name, and there is none any more */
    size_t length;
    char name[NAME_LENGTH_MAX + 1];
};

/* With one more count, or NULL without memory. */
struct open_name *open_name_of(struct inode *directory, struct name name);
/* The same for something that never had a name: as if it had been removed. */
struct open_name *open_name_of_unnamed(struct inode *directory, struct name name);
struct open_name *open_name_get(struct open_name *name);
/* NULL is fine. True: nothing is open any more under what was a name once. */
bool open_name_put(struct open_name *name);

/* The namespace lock is held for these: what the name led to lies elsewhere now, or nowhere. True: something was open under
 * the name that is gone. */
bool open_names_moved(struct inode *from, struct name from_name, struct inode *to, struct name to_name);
void open_names_exchanged(struct inode *one, struct name one_name, struct inode *other, struct name other_name);
bool open_names_removed(struct inode *directory, struct name name);

/* These take no lock of others, and need none; location_release() when it is no longer wanted. */
void location_of_name(const struct open_name *name, struct location *location); /* NULL is nowhere */
void location_of_directory(const struct inode *directory, struct location *location);
void location_release(struct location *location);

#endif
