/* SHA-256 of what is in an open file. */
#ifndef RUNE_HASH_H
#define RUNE_HASH_H

#include <stdbool.h>
#include <stdint.h>

#define HEX_SIZE 65 /* with its NUL */

/* Hash exactly `size` bytes from where the file stands. False if there are fewer, or more, or they cannot be read. */
bool hash_file(int file, uint64_t size, char hex[HEX_SIZE]);

#endif
