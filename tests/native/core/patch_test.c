/* Patched code must do what the unpatched code does; what is no code must stay. */
#include "cpu/cpu.h"

#include "check.h"
#include "cpu/instruction.h"

void *mmap(void *address, size_t length, int protection, int flags, int fd, long offset);

/* Stands for the LibOS: the "system call" returns its number plus its first argument. RCX holds the return
 * address. */
__asm__(".globl syscall_entry\n"
        "syscall_entry:\n"
        "    lea (%rax,%rdi), %rax\n"
        "    jmp *%rcx\n");

#define NOPS                                                                                                 \
    "\x0F\x1F\x84\x00\x00\x00\x00\x00"                                                                       \
    "\x0F\x1F\x84\x00\x00\x00\x00\x00"                                                                       \
    "\x0F\x1F\x84\x00\x00\x00\x00\x00"                                                                       \
    "\x0F\x1F\x84\x00\x00\x00\x00\x00"
#define PADDING NOPS NOPS NOPS NOPS
#define PADDING_SIZE 128U

struct sample {
    const char *code; /* behind the padding */
    size_t size;
    size_t sites;
    uint64_t result; /* of the call with RDI = 1000; 0: not run */
};

#define SAMPLE(code, sites, result) {code, sizeof(code) - 1, sites, result}

static const struct sample samples[] = {
    SAMPLE("\xB8\x27\x00\x00\x00\x0F\x05\xC3", 1, 1039),                 /* mov $39, %eax */
    SAMPLE("\x48\xC7\xC0\x27\x00\x00\x00\x0F\x05\xC3", 1, 1039),         /* mov $39, %rax */
    /* mov $1, %eax; mov $8, %r10d */
    SAMPLE("\xB8\x01\x00\x00\x00\x41\xBA\x08\x00\x00\x00\x0F\x05\xC3", 1, 1001),
    SAMPLE("\xB8\x05\x00\x00\x00\x0F\x05\xB8\x06\x00\x00\x00\x0F\x05\xC3", 2, 1006),
    SAMPLE("\xB8\x27\x00\x00\x00\x48\x89\xFE\x0F\x05\xC3", 1, 1039), /* a short instruction between */
    /* a branch to between */
    SAMPLE("\x83\xFF\x05\xB8\x27\x00\x00\x00\x72\x05\xB8\x28\x00\x00\x00\x48\x89\xFE\x0F\x05\xC3", 0, 0),
    SAMPLE("\xB8\x27\x00\x00\x00\x90\x0F\x05\xC3", 0, 0),                 /* nop: not movable */
    /* mov 0x88(%r8), %rdi: B8 is ModRM */
    SAMPLE("\x49\x8B\xB8\x88\x00\x00\x00\x0F\x05\xC3", 0, 0),
    SAMPLE("\x48\xB8\x27\x00\x00\x00\x0F\x05\x00\x00\xC3", 0, 0),         /* movabs: 0F 05 in its constant */
    /* lea 0(%rip): depends on its address */
    SAMPLE("\x48\x8D\x05\x00\x00\x00\x00\x0F\x05\xC3", 0, 0),
    SAMPLE("\xE8\x00\x00\x00\x00\x0F\x05\xC3", 0, 0),                     /* call */
    SAMPLE("\xC7\x04\x24\x01\x00\x00\x00\x0F\x05\xC3", 0, 0),             /* mov to memory */
    /* no call has this number: more likely data */
    SAMPLE("\xB8\x78\x56\x34\x12\x0F\x05\xC3", 0, 0),
};

int main(void)
{
    uint8_t *text = mmap(NULL, 0x4000, 7, 0x22, -1, 0);
    CHECK(text != (void *)-1);
    uint8_t *trampolines = text + 0x2000;
    for (size_t i = 0; i < ARRAY_LENGTH(samples); i++) {
        const struct sample *sample = &samples[i];
        uint8_t before[64];
        memcpy(text, PADDING, PADDING_SIZE);
        memcpy(text + PADDING_SIZE, sample->code, sample->size);
        memcpy(before, sample->code, sample->size);
        size_t size = PADDING_SIZE + sample->size;
        struct patch_site sites[8];
        CHECK(patch_candidates(text, size) <= ARRAY_LENGTH(sites));
        size_t count = patch_find(text, size, sites);
        if (count != sample->sites) {
            printf("sample %zu: %zu sites\n", i, count);
            return 1;
        }
        patch_apply(text, sites, count, trampolines);
        CHECK(count || memcmp(text + PADDING_SIZE, before, sample->size) == 0);
        if (sample->result) {
            uint64_t (*function)(uint64_t) = (uint64_t(*)(uint64_t))(text + PADDING_SIZE);
            CHECK(function(1000) == sample->result);
        }
    }
    patch_disable();
    memcpy(text + PADDING_SIZE, samples[0].code, samples[0].size);
    CHECK(patch_candidates(text, PADDING_SIZE + samples[0].size) == 0);
    return 0;
}
