/* SHA-256 of Zig's std.crypto, the variant that the CPU can run. */
#include "crypto.h"

#define VARIANT(name)                                                                                                      \
    void sha256_start_##name(struct sha256 *hash);                                                                         \
    void sha256_update_##name(struct sha256 *hash, const void *data, size_t size);                                         \
    void sha256_finish_##name(struct sha256 *hash, uint8_t digest[32]);
VARIANT(baseline)
VARIANT(ni)

static bool has_sha_extensions;

void sha256_choose(bool has)
{
    has_sha_extensions = has;
}

void sha256_start(struct sha256 *hash)
{
    (has_sha_extensions ? sha256_start_ni : sha256_start_baseline)(hash);
}

void sha256_update(struct sha256 *hash, const void *data, size_t size)
{
    (has_sha_extensions ? sha256_update_ni : sha256_update_baseline)(hash, data, size);
}

void sha256_finish(struct sha256 *hash, uint8_t digest[32])
{
    (has_sha_extensions ? sha256_finish_ni : sha256_finish_baseline)(hash, digest);
}
