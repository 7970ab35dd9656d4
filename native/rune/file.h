/* Text that others wrote, mapped for the millisecond that rune lives. */
#ifndef RUNE_FILE_H
#define RUNE_FILE_H

#include <stdbool.h>

#include "json.h"

/* Map a whole regular file. False with errno 0: it is empty. */
bool map_descriptor(int file, struct json *text);

/* The same for a path. False with errno 0: there is none, or it is empty. */
bool map_file(int directory, const char *path, struct json *text);

/* Make a file with this content and these permission bits; what has its name gives way. False: errno says why. */
bool write_file(int directory, const char *name, struct json text, unsigned mode);

#endif
