/* Tables of descriptors, as processes have them; file.h says what the current one offers. */
#ifndef ENCLAVIZE_FS_DESCRIPTOR_H
#define ENCLAVIZE_FS_DESCRIPTOR_H

#include "fs/file.h"

/* One more count, or a copy with a count of each file. NULL: no memory. `from` NULL: an empty one. */
struct descriptor_table *descriptor_table_inherit(struct descriptor_table *from, bool shares);
/* The last count closes all. NULL is fine. */
void descriptor_table_put(struct descriptor_table *table);
void descriptor_table_close_all(struct descriptor_table *table);
/* What a process has open, as /proc shows it: with one more count, or NULL. */
struct file *descriptor_file_of(const struct subject *subject, int64_t descriptor, bool *close_on_exec);
/* The first one in use from `from` on, or -1. */
int64_t descriptor_next_of(const struct subject *subject, int64_t from);
uint64_t descriptor_capacity_of(const struct subject *subject); /* 0: it has no table any more */
/* Closes what the current table has with close-on-exec. */
void descriptor_table_close_on_exec(void);

#endif
