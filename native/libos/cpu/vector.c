/* The vector state: the application's, live in the CPU all the time but for OCALLs and hashing. */
#include "cpu/cpu.h"

#define XFRM_AVX512 0xE4U /* which needs AVX */
#define XSAVE_X87 1U
#define XSAVE_MXCSR 24
#define XSAVE_REGISTERS 32
#define XSAVE_X87_SIZE 128
#define XSAVE_HEADER 512
#define XSAVE_HEADER_SIZE 64
#define MXCSR_VALID 0xFFFFU
#define COMPONENTS_KNOWN 0xE7ULL /* x87, SSE, AVX, the three of AVX-512 */

extern uint32_t vector_components HIDDEN;
extern const uint8_t initial_vector_state[] HIDDEN;
void vector_load(const void *image) HIDDEN;
void vector_trim(uint8_t *image) HIDDEN;

uint32_t cpu_features;

uint64_t vector_mask(void)
{
    return vector_components;
}

void vector_restore(void *image)
{
    uint8_t *bytes = image;
    uint64_t present;
    uint32_t mxcsr;
    memcpy(&present, bytes + XSAVE_HEADER, sizeof(present));
    memcpy(&mxcsr, bytes + XSAVE_MXCSR, sizeof(mxcsr));
    present &= vector_components;
    mxcsr &= MXCSR_VALID;
    memset(bytes + XSAVE_HEADER, 0, XSAVE_HEADER_SIZE);
    memcpy(bytes + XSAVE_HEADER, &present, sizeof(present));
    memcpy(bytes + XSAVE_MXCSR, &mxcsr, sizeof(mxcsr));
    vector_load(image);
}

/* XINUSE of x87 stays set when its state is the initial one again: Linux sets it in every signal frame. An image that says so makes the next OCALL a
 * cheap one. */
void vector_trim(uint8_t *image)
{
    if (memcmp(image, initial_vector_state, XSAVE_MXCSR) == 0 &&
        memcmp(image + XSAVE_REGISTERS, initial_vector_state + XSAVE_REGISTERS, XSAVE_X87_SIZE) == 0) {
        image[XSAVE_HEADER] &= (uint8_t)~XSAVE_X87;
    }
}

/* The hints come from the host. If one lies, the instruction is missing and the enclave ends with #UD. XFRM is measured. */
static bool has_sha_extensions(void)
{
    return cpu_features & CPU_FEATURE_SHA;
}

static bool has_wide_registers(void)
{
    return (cpu_features & CPU_FEATURE_AVX512) && (vector_components & XFRM_AVX512) == XFRM_AVX512;
}

static void with_vector_registers(void (*work)(void *argument), void *argument)
{
    uint8_t application[VECTOR_STATE_SIZE] __attribute__((aligned(64)));
    vector_save(application);
    work(argument);
    vector_load(application);
}

void vector_start(uint64_t xfrm)
{
    vector_components = (uint32_t)(xfrm & COMPONENTS_KNOWN);
    base_upcalls.has_sha_extensions = has_sha_extensions;
    base_upcalls.has_wide_registers = has_wide_registers;
    base_upcalls.with_vector_registers = with_vector_registers;
}
