/* SHA-256 by Zig's std.crypto, with the application's XMM registers kept. */
#include "crypto.h"

#include "boundary.h"

#define VARIANT(name)                                                                                                      \
    void sha256_start_##name(struct sha256 *hash);                                                                         \
    void sha256_update_##name(struct sha256 *hash, const void *data, size_t size);                                         \
    void sha256_finish_##name(struct sha256 *hash, uint8_t digest[SHA256_SIZE]);
VARIANT(baseline)
VARIANT(ni)

struct xmm_registers {
    uint8_t bytes[16 * 16];
};
void sse_save(struct xmm_registers *registers);
void sse_load(const struct xmm_registers *registers);

/* The hint comes from the host. If it lies, the instruction is missing and the enclave ends with #UD. */
static bool has_sha_extensions(void)
{
    return (cpu_features & CPU_FEATURE_SHA) != 0;
}

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
    struct xmm_registers application;
    sse_save(&application);
    start(hash);
    sse_load(&application);
}

void sha256_update(struct sha256 *hash, const void *data, size_t size)
{
    struct xmm_registers application;
    sse_save(&application);
    update(hash, data, size);
    sse_load(&application);
}

void sha256_finish(struct sha256 *hash, uint8_t digest[SHA256_SIZE])
{
    struct xmm_registers application;
    sse_save(&application);
    finish(hash, digest);
    sse_load(&application);
}

void sha256(const void *data, size_t size, uint8_t digest[SHA256_SIZE])
{
    struct xmm_registers application;
    struct sha256 hash;
    sse_save(&application);
    start(&hash);
    update(&hash, data, size);
    finish(&hash, digest);
    sse_load(&application);
}
