#define _GNU_SOURCE
#include "hash.h"

#include <cpuid.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "../pal/crypto.h"

#define CHUNK (256 << 10)

static bool has_sha_extensions(void)
{
    uint32_t a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
}

bool hash_file(int file, uint64_t size, char hex[HEX_SIZE])
{
    static char chunk[CHUNK];
    struct sha256 hash;
    uint8_t digest[32];
    ssize_t got;
    sha256_choose(has_sha_extensions());
    sha256_start(&hash);
    while ((got = read(file, chunk, sizeof(chunk))) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 || (uint64_t)got > size)
            return false;
        sha256_update(&hash, chunk, (size_t)got);
        size -= (uint64_t)got;
    }
    sha256_finish(&hash, digest);
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    return size == 0;
}
