#include "torture.h"

#define IN_APPLICATION __attribute__((section("torture_code")))
#define EVENTS 5 /* of torture_round() */
#define FAILED_VECTORS 100
#define FAILED_TLS 101
#define FAILED_RESULT 102

uint64_t torture_round(const uint8_t *pattern, uint8_t *vectors, uint64_t event, uint64_t argument, uint64_t flags);

IN_APPLICATION static inline uint64_t system_call(uint64_t number, uint64_t argument)
{
    uint64_t result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(argument) : "rcx", "r11", "memory");
    return result;
}

IN_APPLICATION static uint64_t check_round(const struct torture *torture, uint64_t round, uint64_t *page)
{
    uint8_t pattern[512], vectors[512];
    for (unsigned index = 0; index < sizeof(pattern); index++) {
        pattern[index] = (uint8_t)(index * 7 + round + torture->index);
        vectors[index] = pattern[index];
        __asm__ volatile("" : : : "memory"); /* no memset, no memcpy: they are not in application memory */
    }
    uint64_t event = round % EVENTS;
    uint64_t argument = event == 0 ? 1000 : event % 2 == 0 ? torture->syscall_entry : *page;
    uint64_t flags = round / EVENTS % 2 == 0 ? torture->flags : 2;
    uint64_t failed = torture_round(pattern, vectors, event, argument, flags);
    *page += event == 3 ? 4096 : 0;
    for (unsigned index = 0; index < sizeof(pattern) && !failed; index++) {
        failed = pattern[index] == vectors[index] ? 0 : FAILED_VECTORS;
    }
    uint64_t tls;
    __asm__ volatile("rdfsbase %0" : "=r"(tls));
    return tls == torture->fs_base ? failed : FAILED_TLS;
}

IN_APPLICATION void torture_main(const struct torture *torture)
{
    uint64_t failed = 0;
    uint64_t page = TORTURE_PAGES + torture->index * TORTURE_PAGES_SIZE;
    __asm__ volatile("wrfsbase %0" : : "r"(torture->fs_base));
    for (uint64_t round = 0; round < torture->rounds && !failed; round++) {
        failed = check_round(torture, round, &page);
        if (round % 64 == 0 && system_call(CALL_CLOCK, 0) != CALL_RESULT) {
            failed = FAILED_RESULT;
        }
    }
    system_call(CALL_END, failed);
    for (;;) {
    }
}

IN_APPLICATION static inline void patched_call(uint64_t entry)
{
    uint64_t result = CALL_NOTHING;
    __asm__ volatile("lea 1f(%%rip), %%rcx\n jmp *%1\n 1:" : "+a"(result) : "r"(entry) : "rcx", "r11", "memory");
}

IN_APPLICATION void window_main(const struct torture *torture)
{
    const volatile uint64_t *seen = (const volatile uint64_t *)TORTURE_PAGES;
    uint64_t entry = torture->syscall_entry;
    for (uint64_t round = 0; round < torture->rounds; round++) {
        uint64_t before = *seen;
        for (uint64_t calls = round * 7919 % 512; calls > 0; calls--) {
            patched_call(entry);
        }
        while (*seen == before) {
        }
    }
    system_call(CALL_END, 0);
    for (;;) {
    }
}
