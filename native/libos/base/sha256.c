/* SHA-256 by Zig's std.crypto, with the application's vector registers kept: all of each, since the variant for the SHA extensions is made of
 * AVX instructions, which clear the upper halves of what they write. */
#include "base/crypto.h"

#include "boundary/boundary.h"
#include "boundary/private.h"

#define VARIANT(name)                                                                                                      \
    void sha256_start_##name(struct sha256 *hash);                                                                         \
    void sha256_update_##name(struct sha256 *hash, const void *data, size_t size);                                         \
    void sha256_finish_##name(struct sha256 *hash, uint8_t digest[SHA256_SIZE]);
VARIANT(baseline)
VARIANT(ni)

#define XFRM_AVX 4U

/* The hints come from the host. If one lies, the instruction is missing and the enclave ends with #UD. XFRM is measured. */
static bool has_sha_extensions(void)
{
    const uint32_t wanted = CPU_FEATURE_SHA | CPU_FEATURE_AVX2;
    return (cpu_features & wanted) == wanted && (vector_mask() & XFRM_AVX) != 0;
}

struct vector_state {
    uint8_t bytes[VECTOR_STATE_SIZE] __attribute__((aligned(64)));
};

static void start(struct sha256 *hash)
{
    if (has_sha_extensions()) {
        sha256_start_ni(hash);
    } else {
        sha256_start_baseline(hash);
    }
}

static void update(struct sha256 *hash, const void *data, size_t size)
{
    if (has_sha_extensions()) {
        sha256_update_ni(hash, data, size);
    } else {
        sha256_update_baseline(hash, data, size);
    }
}

static void finish(struct sha256 *hash, uint8_t digest[SHA256_SIZE])
{
    if (has_sha_extensions()) {
        sha256_finish_ni(hash, digest);
    } else {
        sha256_finish_baseline(hash, digest);
    }
}

void sha256_start(struct sha256 *hash)
{
    struct vector_state application;
    vector_save(&application);
    start(hash);
    vector_load(&application);
}

void sha256_update(struct sha256 *hash, const void *data, size_t size)
{
    struct vector_state application;
    vector_save(&application);
    update(hash, data, size);
    vector_load(&application);
}

void sha256_finish(struct sha256 *hash, uint8_t digest[SHA256_SIZE])
{
    struct vector_state application;
    vector_save(&application);
    finish(hash, digest);
    vector_load(&application);
}

void sha256_each(const void *data, size_t size, size_t count, uint8_t *digests)
{
    struct vector_state application;
    struct sha256 hash;
    vector_save(&application);
    for (size_t index = 0; index < count; index++) {
        start(&hash);
        update(&hash, (const uint8_t *)data + index * size, size);
        finish(&hash, digests + index * SHA256_SIZE);
    }
    vector_load(&application);
}

void sha256(const void *data, size_t size, uint8_t digest[SHA256_SIZE])
{
    sha256_each(data, size, 1, digest);
}
