/* State of a thread, between the frame of a signal and a frame of the SSA. No thread-local storage: see sim_signals.c. */
#define _GNU_SOURCE
#include "sim_frame.h"

#include <stddef.h>
#include <string.h>

#include "sim.h"

#define XSAVE_LEGACY_SIZE 512
#define XSAVE_HEADER_SIZE 64
#define XSAVE_MXCSR 24
#define XSAVE_MXCSR_INITIAL 0x1F80U
#define XSAVE_SOFTWARE_BYTES 464 /* the kernel's description of the frame, to 511 */
#define XSAVE_MAX 2688U
#define FP_XSTATE_MAGIC1 0x46505853U

/* The vector state between a signal frame and an SSA frame. Both are XSAVE images in standard form. */

struct frame_software_bytes { /* struct _fpx_sw_bytes */
    uint32_t magic1, extended_size;
    uint64_t xfeatures;
    uint32_t xstate_size;
};

static uint64_t *features_of(uint8_t *image)
{
    return (uint64_t *)(image + XSAVE_LEGACY_SIZE);
}

/* The size of the frame's image, as far as the enclave has it; only the legacy part in a frame without extensions. */
static size_t frame_size(const uint8_t *image)
{
    struct frame_software_bytes software;
    memcpy(&software, image + XSAVE_SOFTWARE_BYTES, sizeof(software));
    if (software.magic1 != FP_XSTATE_MAGIC1) {
        return XSAVE_LEGACY_SIZE;
    }
    return software.xstate_size < XSAVE_MAX ? software.xstate_size : XSAVE_MAX;
}

void save_vectors(uint8_t *ssa, uint8_t *image)
{
    size_t size = frame_size(image);
    uint64_t features = size > XSAVE_LEGACY_SIZE ? *features_of(image) & sim_xfrm : XFRM_LEGACY;
    memcpy(ssa, image, size);
    memset(ssa + XSAVE_SOFTWARE_BYTES, 0, XSAVE_LEGACY_SIZE - XSAVE_SOFTWARE_BYTES);
    memset(ssa + XSAVE_LEGACY_SIZE, 0, XSAVE_HEADER_SIZE);
    *features_of(ssa) = features;
    if (size > XSAVE_LEGACY_SIZE) { /* AEX leaves the CPU with initial state */
        const uint32_t mxcsr = XSAVE_MXCSR_INITIAL;
        *features_of(image) &= ~(uint64_t)sim_xfrm;
        memcpy(image + XSAVE_MXCSR, &mxcsr, sizeof(mxcsr));
    }
}

void load_vectors(uint8_t *image, const uint8_t *ssa)
{
    uint8_t software[XSAVE_LEGACY_SIZE - XSAVE_SOFTWARE_BYTES];
    size_t size = frame_size(image);
    uint64_t features;
    memcpy(&features, ssa + XSAVE_LEGACY_SIZE, sizeof(features));
    memcpy(software, image + XSAVE_SOFTWARE_BYTES, sizeof(software));
    memcpy(image, ssa, XSAVE_LEGACY_SIZE);
    memcpy(image + XSAVE_SOFTWARE_BYTES, software, sizeof(software));
    if (size > XSAVE_LEGACY_SIZE) {
        memcpy(image + XSAVE_LEGACY_SIZE + XSAVE_HEADER_SIZE, ssa + XSAVE_LEGACY_SIZE + XSAVE_HEADER_SIZE,
               size - XSAVE_LEGACY_SIZE - XSAVE_HEADER_SIZE);
        *features_of(image) = (*features_of(image) & ~(uint64_t)sim_xfrm) | (features & sim_xfrm);
    }
}

/* General registers: the frame's index for each field of GPRSGX. */
static const struct {
    uint8_t frame;
    uint8_t gpr;
} REGISTERS[] = {
#define REGISTER(frame, field) {frame, offsetof(struct ssa_gpr, field)}
    REGISTER(REG_RAX, rax), REGISTER(REG_RCX, rcx), REGISTER(REG_RDX, rdx), REGISTER(REG_RBX, rbx), REGISTER(REG_RSP, rsp),
    REGISTER(REG_RBP, rbp), REGISTER(REG_RSI, rsi), REGISTER(REG_RDI, rdi), REGISTER(REG_R8, r8), REGISTER(REG_R9, r9),
    REGISTER(REG_R10, r10), REGISTER(REG_R11, r11), REGISTER(REG_R12, r12), REGISTER(REG_R13, r13), REGISTER(REG_R14, r14),
    REGISTER(REG_R15, r15), REGISTER(REG_EFL, rflags), REGISTER(REG_RIP, rip),
#undef REGISTER
};
#define REGISTER_COUNT (sizeof(REGISTERS) / sizeof(REGISTERS[0]))

void save_registers(struct ssa_gpr *gpr, const greg_t *frame)
{
    for (size_t index = 0; index < REGISTER_COUNT; index++) {
        memcpy((uint8_t *)gpr + REGISTERS[index].gpr, &frame[REGISTERS[index].frame], sizeof(uint64_t));
    }
}

void load_registers(greg_t *frame, const struct ssa_gpr *gpr)
{
    for (size_t index = 0; index < REGISTER_COUNT; index++) {
        memcpy(&frame[REGISTERS[index].frame], (const uint8_t *)gpr + REGISTERS[index].gpr, sizeof(uint64_t));
    }
}

void clear_registers(greg_t *frame)
{
    for (size_t index = 0; index < REGISTER_COUNT; index++) {
        frame[REGISTERS[index].frame] = 0;
    }
}
