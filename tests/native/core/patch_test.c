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

struct base_upcalls base_upcalls;

static void call(void (*work)(void *argument), void *argument)
{
    work(argument);
}

/* Texts are looked through in pieces: nothing is lost where one ends, nor found twice. */
#define LARGE_SIZE 0x9000U
#define LARGE_SITE 0x6000U

static size_t candidates_one_by_one(const uint8_t *text, size_t size)
{
    size_t count = 0;
    for (size_t at = 95; at + 2 <= size; at++) { /* FARTHEST of patch.c */
        count += text[at] == 0x0F && text[at + 1] == 0x05;
    }
    return count;
}

static int check_candidates(uint8_t *text)
{
    static const uint8_t bytes[] = {0x0F, 0x05, 0x0F, 0x90};
    for (size_t i = 0; i < LARGE_SIZE; i++) {
        text[i] = bytes[random_number(4)];
    }
    for (size_t size = 0; size <= 400; size++) {
        CHECK(patch_candidates(text, size) == candidates_one_by_one(text, size));
    }
    for (size_t size = 0x4000 - 70; size <= 0x4000 + 70; size++) {
        CHECK(patch_candidates(text, size) == candidates_one_by_one(text, size));
    }
    CHECK(patch_candidates(text, LARGE_SIZE) == candidates_one_by_one(text, LARGE_SIZE));
    return 0;
}

/* A branch at `at` that leads into the middle of the block before the site, or one byte in front of it. */
static size_t sites_with_branch(uint8_t *text, size_t at, bool is_conditional, bool leads_into_block)
{
    static const uint8_t site[] = "\xB8\x27\x00\x00\x00\x48\x89\xFE\x0F\x05\xC3";
    struct patch_site sites[8];
    size_t end = at + (is_conditional ? 6 : 5);
    int32_t distance = (int32_t)(LARGE_SITE + (leads_into_block ? 5 : 0)) - (int32_t)end;
    memset(text, 0x90, LARGE_SIZE);
    memcpy(text + LARGE_SITE, site, sizeof site - 1);
    memcpy(text + at, is_conditional ? "\x0F\x84" : "\xE9", is_conditional ? 2 : 1);
    memcpy(text + end - 4, &distance, 4);
    return patch_find(text, LARGE_SIZE, sites);
}

static int check_branches(uint8_t *text)
{
    static const size_t edges[] = {0x40, 0x4000, 0x8000, LARGE_SIZE - 128, LARGE_SIZE - 6};
    for (size_t edge = 0; edge < ARRAY_LENGTH(edges); edge++) {
        for (size_t at = edges[edge] - 8; at <= edges[edge]; at++) {
            for (int is_conditional = 0; is_conditional < 2; is_conditional++) {
                CHECK(sites_with_branch(text, at, is_conditional, true) == 0);
                CHECK(sites_with_branch(text, at, is_conditional, false) == 1);
            }
        }
    }
    return 0;
}

int main(void)
{
    base_upcalls.with_vector_registers = call;
    uint8_t *large = malloc(LARGE_SIZE);
    if (check_candidates(large) || check_branches(large)) {
        return 1;
    }
    free(large);
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
